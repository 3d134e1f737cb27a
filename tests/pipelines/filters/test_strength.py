from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pairwright.pipelines.filters import apply_filters
from pairwright.pipelines.filters.strength import Strength
from tests.pipelines.filters.columns import columns

FOUR = [1.2, 0.8, -0.1, 0.5]


def scored(margins, **about):
    f = Strength.model_validate({"annotators": list(margins), "min": -1e9, **about})
    return apply_filters([f], columns(len(next(iter(margins.values()))), margins))


@pytest.mark.parametrize(
    ("margins", "statistic", "expected"),
    [(FOUR, "mean", 0.6), (FOUR, "sd", 0.474342), ([0.2, -0.1, 0.4, 0.1], "mean", 0.15), ([0.2, -0.1, 0.4, 0.1], "sd", 0.18028)],
)
def test_the_golden_strengths(margins, statistic, expected):
    outcome = scored({f"rm{i}": [m] for i, m in enumerate(margins)}, standardise="none", statistic=statistic)
    assert outcome.scores["strength"].tolist() == pytest.approx([expected], abs=1e-5)


def test_margins_are_divided_by_their_own_deviation_and_keep_their_sign():
    margins = {"small": [0.1, 0.3, -0.2], "large": [100.0, 300.0, -200.0]}
    unit = np.std(margins["small"])
    expected = [m / unit for m in margins["small"]]
    assert scored(margins).scores["strength"].tolist() == pytest.approx(expected)
    assert scored(margins, statistic="sd").scores["strength"].tolist() == pytest.approx([0.0] * 3, abs=1e-9)


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=2, max_size=8), st.floats(0.1, 50))
def test_the_scale_of_an_annotator_does_not_matter(rows, factor):
    x, y = (list(column) for column in zip(*rows, strict=True))
    if min(np.std(x), np.std(y)) > 0.1:
        plain, scaled = scored({"x": x, "y": y}), scored({"x": [factor * v for v in x], "y": y})
        assert plain.scores["strength"].tolist() == pytest.approx(scaled.scores["strength"].tolist(), rel=1e-6, abs=1e-9)


def test_pairs_go_by_sign_or_by_quantile():
    margins = {"x": [2.0, -1.0, 0.5, -0.2, 1.0], "y": [1.0, -2.0, -0.1, 0.1, 1.0]}
    by_sign = scored(margins, min=0)
    assert by_sign.keep.tolist() == [True, False, True, False, True]
    assert by_sign.reason[1].startswith("preference strength") and by_sign.reason[1].endswith("is below 0")
    assert scored(margins, min=None, min_quantile=0.2).keep.sum() == 4


def test_an_annotator_without_a_score_or_without_an_opinion_is_named():
    gap = scored({"x": [1.0, None, 3.0], "y": [1.0, 2.0, 4.0]})
    assert gap.scores["strength"].tolist()[1] is None
    assert gap.reason[1] == "strength_missing: x lacks a score of one of the two responses"
    flat = scored({"x": [1.0, 2.0], "y": [3.0, 3.0]})
    assert flat.reason == ["strength_missing: y gives all pairs one margin"] * 2
    assert scored({"x": [1.0, 2.0], "y": [3.0, 3.0]}, standardise="none").keep.all()


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"annotators": ["x"], "min": 0}, "at least 2"),
        ({"annotators": ["x", "x"], "min": 0}, "listed twice"),
        ({"annotators": ["x", "y"]}, "it keeps everything"),
    ],
)
def test_settings_that_make_no_sense_are_refused(about, message):
    with pytest.raises(ValidationError, match=message):
        Strength.model_validate(about)
