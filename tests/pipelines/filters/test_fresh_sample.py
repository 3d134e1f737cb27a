from __future__ import annotations

from dataclasses import replace

import pytest

from pairwright.pipelines.filters import apply_filters
from pairwright.pipelines.filters.fresh_sample import FreshSample
from tests.pipelines.filters.columns import columns


def judged(*stored, **about):
    """What the filter says of pairs of whose chosen response (own, fresh_mean) is stored, or None."""
    parts = {f"c{i}": dict(zip(("own", "fresh_mean"), both, strict=True)) for i, both in enumerate(stored) if both}
    return apply_filters([FreshSample(**about)], replace(columns(len(stored)), load_parts={"fresh_sample": parts}.__getitem__))


def test_the_chosen_response_must_beat_the_fresh_samples():
    outcome = judged((2.0, 1.0), (1.0, 1.0), (0.5, 1.0), None)
    assert outcome.scores["fresh_sample"].tolist() == [1.0, 0.0, -0.5, None]
    assert outcome.reason == [
        None,
        "chosen - mean fresh sample is 0, not over 0",
        "chosen - mean fresh sample is -0.5, not over 0",
        "fresh_sample_missing: fresh_sample stored no own and fresh_mean of the chosen response",
    ]


@pytest.mark.parametrize(("threshold", "kept"), [(-1.0, True), (0.0, True), (1.0, False)])
def test_it_may_have_to_beat_them_by_more_or_by_less(threshold, kept):
    assert judged((2.0, 1.0), threshold=threshold).keep.tolist() == [kept]
