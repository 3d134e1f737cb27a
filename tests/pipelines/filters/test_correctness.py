from __future__ import annotations

from dataclasses import replace

from pairwright.pipelines.filters import apply_filters
from pairwright.pipelines.filters.correctness import Correctness
from tests.pipelines.filters.columns import columns


def judged(*stored, **about):
    """What the filter says of pairs whose responses have these scores, None for none."""
    scores = {f"{side}{i}": s for i, both in enumerate(stored) for side, s in zip("cr", both, strict=True) if s is not None}
    return apply_filters([Correctness(**about)], replace(columns(len(stored)), load_scores={"correctness": scores}.__getitem__))


def test_only_right_against_wrong_is_kept():
    outcome = judged((1.0, 0.0), (1.0, 1.0), (0.0, 0.0), (0.0, 1.0), (1.0, None))
    assert outcome.scores["correctness"].tolist() == [1.0, 0.0, 0.0, -1.0, None]
    assert outcome.reason == [
        None,
        "both responses are right",
        "both responses are wrong",
        "the chosen response is wrong and the rejected one right",
        "correctness_missing: correctness could not tell whether both responses are right",
    ]


def test_a_half_that_is_on_the_wrong_side_is_enough_whatever_the_other_is():
    for about in ({}, {"on_missing": "keep"}):
        found = judged((None, 1.0), (0.0, None), **about)
        assert found.scores["correctness"].mask.all()
        assert found.reason == ["the rejected response is right", "the chosen response is wrong"]
    assert judged((None, 0.0), (1.0, None), on_missing="keep").keep.all()


def test_prompts_without_a_reference_can_be_kept():
    assert judged((None, None), (0.0, 0.0), on_missing="keep").keep.tolist() == [True, False]
