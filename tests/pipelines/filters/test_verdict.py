from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from pydantic import TypeAdapter, ValidationError

from pairwright.annotators import registry
from pairwright.pipelines.build import Build
from pairwright.pipelines.cut import cut
from pairwright.pipelines.filters import AnyFilter, apply_filters
from pairwright.pipelines.filters.base import Comparisons
from pairwright.pipelines.filters.verdict import Verdict
from tests.pipelines.filters.columns import columns

LONGER = {"use": "voter", "name": "longer", "likes": "longer"}


def judged(*stored, **about):
    """What the filter says of pairs of which (vote for the chosen, its P) is stored, or None."""
    votes = {(f"c{i}", f"r{i}"): said for i, said in enumerate(stored) if said is not None}
    known = Comparisons(
        {pair: vote for pair, (vote, _) in votes.items()},
        {id for pair in votes for id in pair},
        {pair: p for pair, (_, p) in votes.items() if p is not None},
    )
    pairs = replace(columns(len(stored)), load_comparisons={"judge": known}.__getitem__)
    return apply_filters([Verdict(annotator="judge", **about)], pairs)


def test_a_pair_is_kept_only_if_the_annotator_itself_prefers_its_chosen_response():
    outcome = judged((1.0, 0.875), (0.0, 0.25), (0.5, 0.625), None)
    assert outcome.keep.tolist() == [True, False, False, False]
    assert outcome.scores["verdict"].tolist() == [0.875, 0.25, 0.5, None]
    assert outcome.reason == [
        None,
        "judge prefers the rejected response (P that the chosen is better: 0.25)",
        "judge finds the two equally good",
        "verdict_missing: judge has no verdict on exactly these two",
    ]


def test_a_verdict_that_was_stored_without_a_probability_counts_as_sure():
    assert judged((1.0, None), (0.0, None)).scores["verdict"].tolist() == [1.0, 0.0]


def test_a_pair_without_a_verdict_can_be_kept_on_request():
    assert judged(None, (0.0, 0.25), on_missing="keep").keep.tolist() == [True, False]


def test_it_names_the_annotator_it_reads_and_survives_a_round_trip():
    f = TypeAdapter(AnyFilter).validate_python({"use": "verdict", "annotator": "judge"})
    assert f.reads() == ("judge",) and TypeAdapter(AnyFilter).validate_json(f.model_dump_json()) == f
    with pytest.raises(ValidationError, match="Field required"):
        Verdict()


@pytest.mark.parametrize("comparisons", ["all", "pivot"])
def test_pairs_of_a_build_keep_to_the_stored_comparisons(build: Callable[..., Build], monkeypatch, comparisons):
    monkeypatch.setitem(registry.BUILT_IN, "voter", "tests.voters:Voter")
    made = build(
        annotators=[{**LONGER, "comparisons": comparisons}, "density_ratio"],
        combine={"scores": "density_ratio"},
        pair={"per_prompt": 3},
        filters=[{"use": "verdict", "annotator": "longer"}],
    )
    made.run()
    table = cut(made.stored(), made.recipe).pairs
    scores = [None if score is None else round(score, 9) for score in table["verdict_score"].to_pylist()]
    assert table["keep"].to_pylist() == [score == 0.9 for score in scores]
    assert {0.9, 0.1} <= set(scores) <= {0.9, 0.1, 0.5, None}
    assert (None in scores) == (comparisons == "pivot")
