from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pairwright.pipelines.filters import apply_filters
from pairwright.pipelines.filters.implicit_margin import ImplicitMargin
from tests.pipelines.filters.columns import columns

FIVE = [-9.0, -1.0, 0.5, 4.0, 20.0]


def with_margins(*margins):
    """Pairs whose implicit margins are these, though policy and reference say other things of each response; None: no sums."""
    parts = {}
    for i, m in enumerate(margins):
        parts[f"r{i}"] = {"policy_sum": -30.0, "reference_sum": -28.0}
        if m is not None:
            parts[f"c{i}"] = {"policy_sum": -50.0 + m, "reference_sum": -48.0}
    return replace(columns(len(margins)), load_parts={"implicit_reward": parts}.__getitem__)


def kept(margins, **about):
    outcome = apply_filters([ImplicitMargin(**about)], with_margins(*margins))
    return [m for m, keep in zip(margins, outcome.keep, strict=True) if keep]


def test_the_score_is_the_difference_of_log_ratios_without_beta():
    outcome = apply_filters([ImplicitMargin(min=0)], with_margins(*FIVE))
    assert outcome.scores["implicit_margin"].tolist() == pytest.approx(FIVE)
    assert outcome.reason[0] == "implicit margin -9 is below 0"


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        ({"min_quantile": 0.75}, [4.0, 20.0]),
        ({"max_quantile": 0.25}, [-9.0, -1.0]),
        ({"min_quantile": 0.25, "max_quantile": 0.75}, [-1.0, 0.5, 4.0]),
        ({"absolute": True, "max_quantile": 0.25}, [-1.0, 0.5]),
    ],
    ids=["top", "bottom", "band", "smallest by size"],
)
def test_each_advice_of_the_literature_can_be_followed(about, expected):
    assert kept(FIVE, **about) == expected


@given(st.lists(st.integers(-20, 20).map(float), min_size=1, max_size=9))
def test_the_size_does_not_depend_on_which_response_was_chosen(margins):
    pairs = with_margins(*margins)
    turned = replace(pairs, chosen=pairs.rejected, rejected=pairs.chosen)
    size = ImplicitMargin(absolute=True, min=0)
    assert size.score(pairs).values.tolist() == size.score(turned).values.tolist() == [abs(m) for m in margins]


def test_no_side_is_taken_unless_one_is_asked_for():
    with pytest.raises(ValidationError, match="it keeps everything"):
        ImplicitMargin()


def test_without_sums_there_is_no_score():
    outcome = apply_filters([ImplicitMargin(min=0)], with_margins(1.0, None))
    assert outcome.reason == [
        None,
        "implicit_margin_missing: implicit_reward stored no policy_sum and reference_sum of one of the two responses",
    ]
