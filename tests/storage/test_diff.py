"""Every pair that differs has one cause, and it is the right one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pairwright.errors import PairwrightError
from pairwright.storage.catalog import diff
from pairwright.storage.diff import CAUSES, Cause, Delta, meaning, recipe_changes
from pairwright.storage.manifest import Manifest
from pairwright.storage.parquet import read_table, write_table
from pairwright.storage.schemas import ANNOTATIONS, pairs_schema
from pairwright.storage.versions import Dataset
from tests.storage import sample_tables as sample
from tests.storage.sample_tables import annotation_row, commit, pair_row

PAIRS = pairs_schema(["length"])
NEW = ("relabelled_by", "p_chosen", "split")  # columns that older versions lack


def version(
    dataset: Dataset,
    pairs: list[dict[str, Any]],
    n: int = 4,
    each: int = 3,
    scores: dict[tuple[int, int], float] | None = None,
    **recipe: Any,
) -> int:
    """A version of `n` prompts with `each` responses, an annotator's scores of them (0.5 unless given) and these pairs."""
    given_scores = scores or {}
    annotations = [annotation_row(i, k, given_scores.get((i, k), 0.5)) for i in range(n) for k in range(each)]
    with dataset.stage() as staging:
        staging.write("prompts", sample.prompts(n), sample.PROMPTS)
        staging.write("responses", sample.responses(n, each), sample.RESPONSES)
        staging.write("annotations", sample.table(annotations, ANNOTATIONS), ANNOTATIONS)
        staging.write("pairs", sample.table(pairs, PAIRS), PAIRS)
        return staging.commit(Manifest(dataset=dataset.name, recipe=recipe))


def changes(dataset: Dataset, before: int = 1, after: int = 2, examples: int | None = None) -> dict[str, tuple[Any, ...]]:
    """prompt -> what changed there and why."""
    rows = diff(dataset, before, after, examples).changes.to_pylist()
    return {row["prompt_id"]: (row["change"], row["cause"]) for row in rows}


def prompt(i: int) -> str:
    return str(sample.prompt_row(i)["prompt_id"])


def test_every_pair_is_added_removed_replaced_dropped_taken_back_or_the_same(dataset: Dataset) -> None:
    commit(dataset, n=6, pairs=[pair_row(0), pair_row(1), pair_row(2), pair_row(3), pair_row(4, dropped_by="length")])
    after = [pair_row(0), pair_row(1, 0, 2), pair_row(3, dropped_by="length"), pair_row(4), pair_row(5)]
    commit(dataset, n=6, pairs=after)
    found = diff(dataset, 1, 2)
    rows = {row["prompt_id"]: row for row in found.changes.to_pylist()}
    assert {i: rows[prompt(i)]["change"] for i in range(6) if prompt(i) in rows} == {
        1: "replaced",
        2: "removed",
        3: "dropped",
        4: "taken back",
        5: "added",
    }
    assert rows[prompt(1)]["old"] == [pair_row(1)["pair_id"]] and rows[prompt(1)]["new"] == [pair_row(1, 0, 2)["pair_id"]]
    said = "dropped by length: length said no"
    assert [(rows[prompt(i)]["before"], rows[prompt(i)]["after"]) for i in (3, 4)] == [("kept", said), (said, "kept")]
    assert (rows[prompt(2)]["after"], rows[prompt(5)]["before"]) == (None, None)
    assert (found.before, found.after, found.pairs) == (1, 2, Delta(2, 2))


def test_another_score_is_told_from_another_pair_rule(dataset: Dataset) -> None:
    version(dataset, [pair_row(0), pair_row(1)], pair={"rule": "best_worst"})
    version(dataset, [pair_row(0, 0, 2), pair_row(1, 0, 2)], scores={(1, 2): 0.25}, pair={"rule": "best_random"})
    assert changes(dataset) == {prompt(0): ("replaced", "pair rule"), prompt(1): ("replaced", "score")}
    [row] = [row for row in diff(dataset, 1, 2).changes.to_pylist() if row["cause"] == "score"]
    assert row["why"].startswith("ratio said 0.5 of ") and row["why"].endswith(", now 0.25")


def test_last_bits_of_a_score_are_no_change(dataset: Dataset) -> None:
    version(dataset, [pair_row(0)], pair={"margin": 0})
    version(dataset, [pair_row(0, 0, 2)], scores={(0, 1): 0.5 + 1e-8}, pair={"margin": 1})
    version(dataset, [pair_row(0, 0, 2) | {"margin": 0.75 + 1e-9}], pair={"margin": 1})
    assert changes(dataset) == {prompt(0): ("replaced", "pair rule")}
    assert changes(dataset, 2, 3) == {}


def test_other_responses_come_before_other_scores(dataset: Dataset) -> None:
    version(dataset, [pair_row(0)], each=2)
    version(dataset, [pair_row(0, 0, 2)], each=3, scores={(0, 0): 0.9})
    assert changes(dataset) == {prompt(0): ("replaced", "responses")}


def test_a_prompt_that_one_version_lacks_is_the_cause_of_its_pairs(dataset: Dataset) -> None:
    version(dataset, [pair_row(0)], n=1)
    version(dataset, [pair_row(0), pair_row(1)], n=2)
    assert changes(dataset) == {prompt(1): ("added", "prompt")}
    assert changes(dataset, 2, 1) == {prompt(1): ("removed", "prompt")}


def test_another_way_to_combine_is_told_by_the_combined_scores(dataset: Dataset) -> None:
    before, after = (
        {"combine": {"scores": {"ratio": weight}}, "pair": {"margin": margin}} for weight, margin in ((1, 0), (2, 1))
    )
    version(dataset, [pair_row(0), pair_row(1)], **before)
    version(dataset, [pair_row(0, 0, 2) | {"score_chosen": 2.0}, pair_row(1, 0, 2)], **after)
    assert changes(dataset) == {prompt(0): ("replaced", "combine"), prompt(1): ("replaced", "pair rule")}


def test_an_annotator_that_only_one_version_combines_is_a_matter_of_combining(dataset: Dataset) -> None:
    version(dataset, [pair_row(0)], combine={"scores": {"ratio": {}}})
    version(dataset, [pair_row(0, 0, 2)], scores={(0, 0): 9.0}, combine={"scores": {"length": {}}})
    assert changes(dataset) == {prompt(0): ("replaced", "combine")}


def test_a_pair_that_was_turned_around_was_relabelled(dataset: Dataset) -> None:
    version(dataset, [pair_row(0), pair_row(1), pair_row(2)])
    turned = pair_row(0, 1, 0) | {"relabelled_by": "strength", "margin": -0.5}
    softened = pair_row(1) | {"relabelled_by": "strength", "p_chosen": 0.75}
    version(dataset, [turned, softened, pair_row(2)])
    assert changes(dataset) == {prompt(0): ("replaced", "relabelled"), prompt(1): ("relabelled", "relabelled")}
    [row] = [row for row in diff(dataset, 1, 2).changes.to_pylist() if row["change"] == "relabelled"]
    assert (row["before"], row["after"]) == ("a hard label", "P(chosen is better) = 0.75 by strength")


def test_a_pair_turned_around_by_its_scores_was_not_relabelled(dataset: Dataset) -> None:
    version(dataset, [pair_row(0)], scores={(0, 0): 0.6})
    version(dataset, [pair_row(0, 1, 0)], scores={(0, 0): 0.4})
    assert changes(dataset) == {prompt(0): ("replaced", "score")}


def test_a_pair_that_combining_turned_around_was_not_relabelled_though_its_label_was_softened(dataset: Dataset) -> None:
    version(dataset, [pair_row(0)], combine={"scores": {"length": {}}})
    softened = {"relabelled_by": "strength", "p_chosen": 0.75}
    version(dataset, [pair_row(0, 1, 0) | softened], combine={"scores": {"length": {}}, "rule": "votes"})
    assert changes(dataset) == {prompt(0): ("replaced", "combine")}


def test_a_kept_pair_with_another_margin_is_rescored(dataset: Dataset) -> None:
    version(dataset, [pair_row(0), pair_row(1)])
    version(dataset, [pair_row(0) | {"margin": 0.5}, pair_row(1) | {"margin": 0.5}], scores={(0, 0): 0.75})
    assert changes(dataset) == {prompt(0): ("rescored", "score"), prompt(1): ("rescored", "other")}


def test_a_kept_pair_may_only_move_to_another_split(dataset: Dataset) -> None:
    version(dataset, [pair_row(0) | {"split": "train"}, pair_row(1, dropped_by="length") | {"split": "train"}])
    version(dataset, [pair_row(0) | {"split": "test"}, pair_row(1, dropped_by="length") | {"split": "test"}])
    rows = diff(dataset, 1, 2).changes.to_pylist()
    assert [(row["change"], row["cause"], row["before"], row["after"]) for row in rows] == [("moved", "split", "train", "test")]


def test_causes_count_changes_prompts_and_kept_pairs(dataset: Dataset) -> None:
    version(dataset, [pair_row(0), pair_row(0, 0, 2), pair_row(1), pair_row(2, dropped_by="length")], pair={"margin": 0})
    after = [pair_row(0, dropped_by="length"), pair_row(0, 0, 2, "length"), pair_row(1, 1, 2), pair_row(2)]
    version(dataset, after, pair={"margin": 1})
    assert diff(dataset, 1, 2).causes == [Cause("filter length", 3, 2, 2, 1), Cause("pair rule", 1, 1, 1, 1)]


def test_examples_bound_the_changes_and_not_the_counts(dataset: Dataset) -> None:
    version(dataset, [pair_row(i) for i in range(4)])
    version(dataset, [pair_row(i, dropped_by="length") for i in range(4)])
    found = diff(dataset, 1, 2, examples=1)
    assert (found.changes.num_rows, found.causes[0].changes) == (1, 4)


def test_versions_made_before_relabelling_are_read_as_hard_labels(dataset: Dataset) -> None:
    version(dataset, [pair_row(0), pair_row(1)])
    [file] = dataset.tables(1)["pairs"]
    old = read_table(file).drop_columns(list(NEW))
    write_table(file, old, old.schema)
    version(dataset, [pair_row(0) | {"split": "train"}, pair_row(1) | {"relabelled_by": "strength", "p_chosen": 0.6}])
    rows = diff(dataset, 1, 2).changes.to_pylist()
    assert [(row["change"], row["before"]) for row in rows] == [("relabelled", "a hard label")]


def test_a_version_does_not_differ_from_itself(dataset: Dataset) -> None:
    commit(dataset)
    found = diff(dataset, 1, 1)
    assert (found.changes.num_rows, found.causes, found.recipe) == (0, [], {})
    assert found.prompts == found.responses == found.annotators == found.pairs == Delta(0, 0)


def test_prompts_responses_and_annotators_are_counted_both_ways(dataset: Dataset) -> None:
    commit(dataset, n=5, pairs=[pair_row(1)])
    commit(dataset, n=7, pairs=[pair_row(1)])
    assert (diff(dataset, 1, 2).prompts, diff(dataset, 1, 2).responses) == (Delta(2, 0), Delta(6, 0))
    assert diff(dataset, 2, 1).prompts == Delta(0, 2)
    assert diff(dataset, 1, 2).annotators == Delta(0, 0)


def test_a_table_that_one_version_lacks_counts_as_empty(dataset: Dataset) -> None:
    commit(dataset, n=3)
    with dataset.stage() as staging:
        staging.link("prompts", dataset.tables(1)["prompts"][0])
        staging.commit(Manifest(dataset="prefs", parents=[1]))
    found = diff(dataset, 1, 2)
    assert (found.prompts, found.responses, found.annotators) == (Delta(0, 0), Delta(0, 9), Delta(0, 1))
    assert changes(dataset) == {prompt(i): ("removed", "responses") for i in range(3)}


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
    assert diff(dataset, 1, 2).changes.num_rows == 0


Rows = st.dictionaries(
    st.tuples(st.integers(0, 3), st.sampled_from([(0, 1), (0, 2), (1, 0), (1, 2)])),
    st.tuples(st.sampled_from([None, "length", "margin"]), st.sampled_from([None, "strength"]), st.sampled_from([0.25, 0.75])),
    max_size=8,
)


@hypothesis_settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=Rows, after=Rows)
def test_the_changes_lead_from_the_kept_pairs_of_one_version_to_those_of_the_other(
    dataset: Dataset, before: dict[Any, Any], after: dict[Any, Any]
) -> None:
    made = [
        version(
            dataset,
            [pair_row(i, *two, dropped) | {"relabelled_by": rule, "margin": m} for (i, two), (dropped, rule, m) in rows.items()],
        )
        for rows in (before, after)
    ]
    found = diff(dataset, *made)
    kept = [
        {pair_row(i, *two)["pair_id"] for (i, two), (dropped, _, _) in rows.items() if not dropped} for rows in (before, after)
    ]
    rows = found.changes.to_pylist()
    moved = {id for row in rows for id in row["old"]}, {id for row in rows for id in row["new"]}
    assert (kept[0] ^ kept[1]) <= moved[0] | moved[1]
    for c in found.causes:
        assert meaning(c.cause) in CAUSES.values() and c.changes == sum(row["cause"] == c.cause for row in rows)
    assert sum(c.kept_after - c.kept_before for c in found.causes) == len(kept[1]) - len(kept[0])
