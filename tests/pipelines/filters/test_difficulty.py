from __future__ import annotations

import math
from dataclasses import replace

import pytest

from pairwright.pipelines.filters import apply_filters
from pairwright.pipelines.filters.difficulty import Difficulty
from tests.pipelines.filters.columns import columns


def judged(name, *sums, **about):
    """Pairs of which (sum of chosen, sum of rejected) is stored as part `name`, or None."""
    parts = {f"{side}{i}": {name: s} for i, both in enumerate(sums) if both for side, s in zip("cr", both, strict=True)}
    pairs = replace(columns(len(sums)), load_parts={"reference": parts}.__getitem__)
    return apply_filters([Difficulty(annotator="reference", **about)], pairs)


def test_the_golden_difficulty_is_within_what_the_ideal_policy_turns():
    limit = math.log(0.999 / 0.001) / 0.1
    outcome = judged("reference_sum", (-50.0, -52.0), max=limit)
    (difficulty,) = outcome.scores["difficulty"].tolist()
    assert difficulty == -2.0 and limit - difficulty == pytest.approx(71.0675, abs=1e-4)
    assert outcome.keep.all()


@pytest.mark.parametrize("name", ["reference_sum", "weak_sum"])
def test_what_the_first_model_prefers_the_wrong_way_is_hard(name):
    outcome = judged(name, (-50.0, -40.0), (-40.0, -50.0), (-20.0, 0.0), max=5)
    assert outcome.scores["difficulty"].tolist() == [10.0, -10.0, 20.0]
    assert outcome.reason == ["ranking difficulty 10 is above 5", None, "ranking difficulty 20 is above 5"]


def test_a_sum_that_was_not_stored_is_named():
    outcome = judged("strong_sum", (-50.0, -40.0), None, max_quantile=0.9)
    assert (
        outcome.reason
        == ["difficulty_missing: reference stored neither reference_sum nor weak_sum of one of the two responses"] * 2
    )
