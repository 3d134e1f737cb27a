from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pairwright.pipelines.filters import apply_filters
from pairwright.pipelines.filters.fused_margin import FusedMargin, fused, scaled
from tests.pipelines.filters.columns import columns


def outcome(scores, **about):
    n = len(next(iter(scores.values())))
    return apply_filters([FusedMargin(annotators=tuple(scores), **about)], columns(n, scores))


def test_the_goldens():
    assert [scaled(m, 0, 2) for m in (-1.0, 0.0, 1.0, 3.0)] == [0, 0, 0.5, 1]
    both = zip([0.0, 0.0, 0.5, 1.0], [0.9, 0.6, 0.2, 0.8], strict=True)
    assert [fused(p) for p in both] == pytest.approx([0, 0, 0.2, 1], abs=1e-4)


def test_margins_are_clipped_and_fused():
    found = outcome({"x": [-1.0, 0.0, 1.0, 3.0], "y": [9.0, 6.0, 2.0, 8.0]}, clip={"x": (0, 2), "y": (0, 10)}, min=0.1)
    assert found.scores["fused_margin"].tolist() == pytest.approx([0, 0, 0.2, 1], abs=1e-4)
    assert found.keep.tolist() == [False, False, True, True]


def test_no_source_decides_alone():
    assert fused([0.0, 1.0]) == pytest.approx(0.5)
    assert fused([0.0, 1.0, 1.0]) > 0.99 and fused([1.0, 0.0, 0.0]) < 0.01


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_a_source_without_a_side_changes_nothing(probabilities):
    assert fused([*probabilities, 0.5]) == pytest.approx(fused(probabilities), abs=1e-9)


def test_the_top_tenth_is_kept_unless_said_otherwise():
    margins = [float(i) for i in range(20)]
    assert outcome({"x": margins, "y": margins}).keep.tolist() == [False] * 18 + [True] * 2


def test_a_source_without_a_score_or_without_an_opinion_is_named():
    assert outcome({"x": [1.0, 2.0, None], "y": [1.0, 2.0, 3.0]}, min=0).reason[2] == (
        "fused_margin_missing: one of x, y lacks a score"
    )
    assert (
        outcome({"x": [1.0, 2.0], "y": [3.0, 3.0]}).reason == ["fused_margin_missing: y gives all pairs one margin, or none"] * 2
    )


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"annotators": ["x", "x"]}, "listed twice"),
        ({"annotators": ["x", "y"], "clip": {"z": [0, 1]}}, "speaks of 'z'"),
        ({"annotators": ["x", "y"], "clip": {"y": [2, 2]}}, "2 is not below 2"),
    ],
)
def test_settings_that_make_no_sense_are_refused(about, message):
    with pytest.raises(ValidationError, match=message):
        FusedMargin.model_validate(about)
