"""What annotators say of two responses, asked of a version in SQL, is what the filters are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from pairwright.pipelines.reporting import votes
from pairwright.pipelines.reporting.collect import opened, people, raters
from pairwright.storage.manifest import Manifest
from pairwright.storage.schemas import ANNOTATIONS, PROMPTS, RESPONSES
from pairwright.storage.versions import Dataset
from tests.storage.sample_tables import PAIRS, annotation_row, pair_row, prompts, response_row, responses, table


def scored(i: int, k: int, score: float, annotator: str) -> dict:
    return annotation_row(i, k, score) | {"annotator": annotator, "group_id": f"g{i}"}


def compared(i: int, a: int, b: int, label: str, p: float | None, annotator: str, method: str = "pairwise") -> dict:
    parts = [] if p is None else [{"name": "p_ab", "value": p}, {"name": "p_ba", "value": p}]
    other = response_row(i, b)["response_id"]
    return scored(i, a, p, annotator) | {"other_id": other, "label": label, "method": method, "parts": parts}


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Four prompts; the pair of each is response 0 over response 1."""
    rows = [scored(i, k, float(s), "ratio") for i, both in enumerate([(2, 1), (1, 2), (1, 1)]) for k, s in enumerate(both)]
    for i, (label, p) in enumerate([("a", 0.9), ("b", 0.2), ("tie", 0.5)]):
        rows += [scored(i, k, 9.0 - k, "judge") for k in (0, 1)]  # its strengths say the first; its comparison counts
        rows.append(compared(i, 1, 0, label, p, "judge"))
    rows += [compared(0, 0, 1, "a", 1.0, "ann", "person"), compared(1, 0, 1, "invalid", None, "ann", "person")]
    rows += [scored(i, k, float(k), "ann") | {"method": "person"} for i in (0, 1) for k in (0, 1)]
    rows += [scored(0, k, float(k), "norms") | {"method": "displacement"} for k in (0, 1)]
    made = Dataset(tmp_path, "votes")
    with made.stage() as staging:
        staging.write("prompts", prompts(4), PROMPTS)
        staging.write("responses", responses(4), RESPONSES)
        staging.write("annotations", table(rows, ANNOTATIONS), ANNOTATIONS)
        staging.write("pairs", table([pair_row(i) for i in range(4)], PAIRS), PAIRS)
        staging.commit(Manifest(dataset="votes"))
    return made


def by_prompt(said: votes.Votes, column: dict[str, list[float | None]], name: str) -> list[float | None]:
    places = {duel: i for i, duel in enumerate(said.duels)}
    ids = [pair_row(i)["pair_id"] for i in range(3)]
    return [column[name][places[id]] if id in places else None for id in ids]


def test_a_comparison_counts_before_strengths_and_is_told_of_the_pairs_first(dataset: Dataset) -> None:
    with opened(dataset, None) as source:
        said = votes.of_pairs(source, raters(source))
    assert by_prompt(said, said.votes, "ratio") == [1, 0, 0.5]
    assert by_prompt(said, said.votes, "judge") == [0, 1, 0.5]
    assert by_prompt(said, said.p, "judge") == pytest.approx([0.1, 0.8, 0.5])
    assert by_prompt(said, said.margins, "ratio") == [1, -1, 0]


def test_an_unreadable_comparison_is_no_vote_though_there_are_strengths(dataset: Dataset) -> None:
    with opened(dataset, None) as source:
        said = votes.of_pairs(source, ["ann"])
    assert by_prompt(said, said.votes, "ann") == [1, None, None]


def test_what_people_compared_is_where_others_are_measured(dataset: Dataset) -> None:
    with opened(dataset, None) as source:
        assert people(source) == ["ann"]
        said = votes.against(source, raters(source), "ann")
    assert len(said.duels) == 2
    for one, other in zip(said.votes["ann"], said.votes["ratio"], strict=True):
        assert one is None or one == other


def test_what_is_no_rating_has_no_vote(dataset: Dataset) -> None:
    with opened(dataset, None) as source:
        assert raters(source) == ["ann", "judge", "ratio"]


def test_a_sample_is_of_the_lowest_ids_and_about_as_large_as_asked(pairs: Dataset) -> None:
    with opened(pairs, 1) as source:
        every = votes.of_pairs(source, ["judge"]).duels
        some = votes.of_pairs(source, ["judge"], size=len(every) // 2).duels
    assert list(some) == list(every)[: len(some)]
    assert 0 < len(some) < len(every)
