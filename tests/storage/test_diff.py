from __future__ import annotations

import pytest

from pairwright.errors import PairwrightError
from pairwright.storage.catalog import diff
from pairwright.storage.diff import Delta, recipe_changes
from pairwright.storage.versions import Dataset
from tests.storage.sample_tables import commit, pair_row, response_row


def test_every_pair_is_added_removed_changed_flipped_or_the_same(dataset: Dataset) -> None:
    commit(dataset, n=6, pairs=[pair_row(0), pair_row(1), pair_row(2), pair_row(3), pair_row(4, dropped_by="length")])
    after = [pair_row(0), pair_row(1, 0, 2), pair_row(3, dropped_by="length"), pair_row(4), pair_row(5)]
    commit(dataset, n=6, pairs=after)
    found = diff(dataset, 1, 2)
    assert (found.before, found.after) == (1, 2)
    assert found.added["pair_id"].to_pylist() == [pair_row(5)["pair_id"]]
    assert found.removed["pair_id"].to_pylist() == [pair_row(2)["pair_id"]]
    assert found.changed.to_pylist() == [
        {"prompt_id": pair_row(1)["prompt_id"], "old": [pair_row(1)["pair_id"]], "new": [pair_row(1, 0, 2)["pair_id"]]}
    ]
    flips = {row["pair_id"]: (row["keep_before"], row["keep_after"], row["reason"]) for row in found.flips.to_pylist()}
    assert flips == {
        pair_row(3)["pair_id"]: (True, False, "length said no"),
        pair_row(4)["pair_id"]: (False, True, "length said no"),
    }


def test_a_version_does_not_differ_from_itself(dataset: Dataset) -> None:
    commit(dataset)
    found = diff(dataset, 1, 1)
    assert [table.num_rows for table in (found.added, found.removed, found.changed, found.flips)] == [0, 0, 0, 0]
    assert found.prompts == found.responses == found.annotators == Delta(0, 0) and found.recipe == {}


def test_prompts_responses_and_annotators_are_counted_both_ways(dataset: Dataset) -> None:
    commit(dataset, n=5, pairs=[pair_row(1)])
    commit(dataset, n=7, pairs=[pair_row(1)])
    assert (diff(dataset, 1, 2).prompts, diff(dataset, 1, 2).responses) == (Delta(2, 0), Delta(6, 0))
    assert diff(dataset, 2, 1).prompts == Delta(0, 2)
    assert diff(dataset, 1, 2).annotators == Delta(0, 0)


def test_a_table_that_one_version_lacks_counts_as_empty(dataset: Dataset) -> None:
    from pairwright.storage.manifest import Manifest

    commit(dataset, n=3)
    with dataset.stage() as staging:
        staging.link("prompts", dataset.tables(1)["prompts"][0])
        staging.commit(Manifest(dataset="prefs", parents=[1]))
    found = diff(dataset, 1, 2)
    assert (found.prompts, found.responses, found.annotators) == (Delta(0, 0), Delta(0, 9), Delta(0, 1))
    assert found.removed.num_rows == 3


def test_recipe_changes_are_dotted_paths_with_old_and_new() -> None:
    before = {"seed": 1, "pair": {"rule": "best_worst", "margin": 0.1}, "annotators": [{"name": "a"}], "same": {"x": [1, 2]}}
    after = {"seed": 2, "pair": {"rule": "best_worst"}, "annotators": [{"name": "a"}, {"name": "b"}], "same": {"x": [1, 2]}}
    assert recipe_changes(before, after) == {"annotators.1.name": (None, "b"), "pair.margin": (0.1, None), "seed": (1, 2)}


def test_a_version_that_is_not_there_is_named(dataset: Dataset) -> None:
    commit(dataset)
    with pytest.raises(PairwrightError, match="has no version 2: it has 1"):
        diff(dataset, 1, 2)


def test_ids_are_compared_not_positions(dataset: Dataset) -> None:
    rows = [pair_row(i) for i in range(4)]
    commit(dataset, pairs=rows)
    commit(dataset, pairs=rows[::-1])
    assert diff(dataset, 1, 2).changed.num_rows == diff(dataset, 1, 2).added.num_rows == 0
    assert len({response_row(i, 0)["response_id"] for i in range(4)}) == 4
