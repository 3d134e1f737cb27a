from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pairwright.pipelines.filters import apply_filters
from pairwright.pipelines.filters.consistency import Consistency
from tests.pipelines.filters.columns import columns

P = st.floats(0, 1)


def of_groups(*stored, **about):
    parts = {f"c{i}": {"consistency": c} for i, c in enumerate(stored) if c is not None}
    pairs = replace(columns(len(stored)), load_parts={"cream": parts}.__getitem__)
    return apply_filters([Consistency(annotator="cream", of="ranks", **about)], pairs)


def of_pairs(of, *stored, turned=False, **about):
    """Pairs of whose comparison these parts are stored, or None; `turned`: stored as that of (rejected, chosen)."""
    known = {(f"c{i}", f"r{i}")[:: -1 if turned else 1]: parts for i, parts in enumerate(stored) if parts is not None}
    pairs = replace(columns(len(stored)), load_comparison_parts={"judge": known}.__getitem__)
    return apply_filters([Consistency(annotator="judge", of=of, **about)], pairs)


def orders(ab, ba):
    return {"p_ab": ab, "p_ba": ba}


def test_groups_that_two_generations_rank_alike_are_kept():
    outcome = of_groups(0.9, 0.8, 0.7, None)
    assert outcome.reason == [
        None,
        None,
        "agreement of both generations' rankings 0.7 is below 0.8",
        "consistency_missing: cream has no consistency for the group",
    ]
    assert of_groups(0.9, 0.7, min=0.5).keep.all()


def test_pairs_on_which_judge_and_reward_agree_are_kept():
    outcome = of_pairs("views", {"agree": 1.0}, {"agree": 0.0}, {"p_imp": 0.7}, None)
    assert outcome.scores["consistency"].tolist() == [1.0, 0.0, None, None]
    assert outcome.reason[1] == "judge's judge and implicit reward prefer different responses"
    assert outcome.reason[2].endswith("judge has no verdict and reward to set side by side for exactly these two")


def test_both_orders_must_prefer_the_same_response():
    outcome = of_pairs("orders", orders(0.9, 0.7), orders(0.2, 0.4), orders(0.9, 0.2), orders(0.9, 0.5), {"p_ab": 0.9}, None)
    assert outcome.scores["consistency"].tolist() == [0.7, 0.6, pytest.approx(0.2), 0.5, None, None]
    assert outcome.keep.tolist() == [True, True, False, False, False, False]
    assert outcome.reason[2:4] == ["judge does not prefer the same response in both orders"] * 2
    assert outcome.reason[4].endswith("judge has no readable answer in both orders for exactly these two")
    assert of_pairs("orders", orders(0.9, 0.7), orders(0.9, 0.8), min=0.75).keep.tolist() == [False, True]


@given(P, P)
def test_it_does_not_matter_which_response_was_called_a(ab, ba):
    one = of_pairs("orders", orders(ab, ba))
    other = of_pairs("orders", orders(1 - ba, 1 - ab), turned=True)
    assert other.scores["consistency"].tolist() == pytest.approx(one.scores["consistency"].tolist())


@given(P, P)
def test_a_kept_pair_has_one_winner_in_both_orders(ab, ba):
    assert of_pairs("orders", orders(ab, ba)).keep.all() == (min(ab, ba) > 0.5 or max(ab, ba) < 0.5)


@pytest.mark.parametrize(("of", "least"), [("views", 0), ("views", 1), ("orders", 0), ("orders", 0.5)])
def test_a_limit_without_effect_is_refused(of, least):
    with pytest.raises(ValidationError, match="`min` .*has no effect with `of: "):
        Consistency(annotator="judge", of=of, min=least)


def test_it_must_be_said_what_is_asked_twice():
    with pytest.raises(ValidationError, match="Field required"):
        Consistency(annotator="judge")
