from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pairwright.pipelines.filters import apply_filters
from pairwright.pipelines.filters.floor import Floor
from tests.pipelines.filters.columns import columns

SCORES = st.integers(-5, 5).map(float)


def judged(stored, **about):
    """`stored[annotator]`: (score of chosen, score of rejected) of each pair, None for none."""
    scores = {
        name: {f"{side}{i}": s for i, both in enumerate(pairs) for side, s in zip("cr", both, strict=True) if s is not None}
        for name, pairs in stored.items()
    }
    n = len(next(iter(stored.values())))
    return apply_filters([Floor(**about)], replace(columns(n), load_scores=scores.__getitem__))


def test_every_limit_must_hold_and_includes_its_end():
    stored = {
        "reward": [(5.0, 1.0), (4.0, 1.0), (9.0, 3.0), (9.0, 1.0)],
        "safety": [(0.0, 9.0), (9.0, 9.0), (9.0, 9.0), (-2.0, 9.0)],
    }
    outcome = judged(stored, chosen={"reward": 5, "safety": 0}, rejected={"reward": 2})
    assert outcome.scores["floor"].tolist() == [0.0, -1.0, -1.0, -2.0]
    assert outcome.reason == [
        None,
        "reward gives chosen 4, below the floor 5",
        "reward gives rejected 3, above the limit 2",
        "safety gives chosen -2, below the floor 0",
    ]


@given(st.lists(st.tuples(SCORES, SCORES), min_size=1, max_size=9), SCORES, SCORES)
def test_a_pair_is_kept_exactly_where_both_limits_hold(pairs, least, most):
    outcome = judged({"x": pairs}, chosen={"x": least}, rejected={"x": most})
    assert outcome.keep.tolist() == [c >= least and r <= most for c, r in pairs]


def test_only_scores_that_have_a_limit_are_needed():
    stored = {"x": [(5.0, None), (None, 1.0)]}
    assert judged(stored, chosen={"x": 1}).reason == [None, "floor_missing: x lacks a score of a response that has a limit"]


def test_what_is_under_one_floor_is_not_kept_for_want_of_another_score():
    stored = {"x": [(0.0, None), (9.0, None)], "y": [(None, None), (None, None)]}
    found = judged(stored, chosen={"x": 5}, rejected={"y": 1}, on_missing="keep")
    assert found.scores["floor"].mask.all() and found.keep.tolist() == [False, True]
    assert found.reason[0] == "x gives chosen 0, below the floor 5"


def test_a_floor_without_a_limit_is_refused():
    with pytest.raises(ValidationError, match="it keeps everything"):
        Floor()
