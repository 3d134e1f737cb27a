"""A cut comes to the same whatever lies in which file, in which order, and how much of it is looked at in one go."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pairwright.pipelines.cut import cut, read_groups
from pairwright.pipelines.publish_pairs import PairPart
from pairwright.pipelines.stored import Annotations, Index, Slab, Stored
from pairwright.storage.schemas import RESPONSES
from tests.pipelines.made_tables import (
    Tables,
    groups_of,
    outcome,
    prompt_of,
    recipe,
    response,
    shelved,
    some,
    with_stale,
    written,
)

LAYOUTS = [(1, 1, 1), (2, 7, 5), (3, 20_000, 20_000)]  # shuffle, slab_rows, row_group
RULES: dict[str, dict[str, Any]] = {
    "plain": {},
    "random": {"pair": {"rule": "best_random", "per_prompt": 3, "drop_cut": False}, "combine": {"scores": ["a", "b"]}},
    "debiased": {"pair": {"rule": "best_percentile", "percentile": 40}, "combine": {"scores": {"a": {"length_alpha": "auto"}}}},
    "ches": {"pair": {"per_prompt": 2, "ches": {"quantile": 0.6}}},
    "votes": {"combine": {"scores": ["a", "b", "jury"], "rule": "votes"}, "pair": {"per_prompt": 2}},
    "heron": {"combine": {"scores": {"a": {"margin": 0.5}, "b": {}}, "rule": "heron", "order": ["a", "b"]}},
    "split": {"combine": {"scores": ["a", "b"], "rule": "lower"}, "split": {"test": 0.3}},
}
SEEDS = st.integers(0, 10**6)
few = hypothesis_settings(max_examples=8)


@pytest.mark.parametrize("rule", RULES)
def test_neither_slabs_nor_files_nor_their_order_change_a_cut(tmp_path: Path, rule: str) -> None:
    tables, asked = some(1, groups=30), recipe(filters=[{"use": "floor", "chosen": {"b": 0.25}}], **RULES[rule])
    plain = outcome(shelved(tmp_path / "plain", tables), asked)
    assert len(plain[0]) > 8 and len({row["keep"] for row in plain[0]}) == 2
    for shuffle, slab_rows, row_group in LAYOUTS:
        stored = shelved(tmp_path / str(shuffle), tables, shuffle, slab_rows, row_group)
        assert outcome(stored, asked) == plain, (shuffle, slab_rows, row_group)


@few
@given(seed=SEEDS, rule=st.sampled_from(sorted(RULES)), slab_rows=st.sampled_from([1, 7, 20_000]))
def test_stale_groups_and_prompts_that_left_are_passed_over(seed: int, rule: str, slab_rows: int) -> None:
    clean, asked = some(seed, groups=8), recipe(**RULES[rule])
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        expected = outcome(shelved(root / "clean", clean, settled=True), asked)
        stale = shelved(root / "stale", with_stale(clean, seed), seed, slab_rows, 3)
        assert outcome(stale, asked) == expected


@few
@given(seed=SEEDS, rule=st.sampled_from(sorted(RULES)), data=st.data())
def test_rows_in_are_rows_out_and_rows_dropped_by_a_reason(seed: int, rule: str, data: st.DataObject) -> None:
    filters = [{"use": "margin", "min": data.draw(st.sampled_from([0.25, 0.5, 1.0]))}, {"use": "verdict", "annotator": "jury"}]
    tables, asked = with_stale(some(seed, groups=8), seed), recipe(filters=filters, sample={"n": 6}, **RULES[rule])
    with tempfile.TemporaryDirectory() as folder:
        stored = shelved(Path(folder), tables, seed, 7, 3)
        made = cut(stored, asked)
        mine = [r for r in tables.responses if r["prompt_id"] in tables.prompts]
        good = {r["response_id"] for r in mine if r["reason"] is None}
        paired = {row[side] for row in made.pairs.to_pylist() for side in ("chosen_id", "rejected_id")}
        assert paired | made.left_out.keys() == good and not paired & made.left_out.keys()
        with_pair = {row["prompt_id"] for row in made.pairs.to_pylist()}
        answered = {r["prompt_id"] for r in mine if r["reason"] is None}
        assert with_pair | made.dropped.keys() == answered and not with_pair & made.dropped.keys()
        for row in made.pairs.to_pylist():
            assert row["chosen_id"] != row["rejected_id"] and row["margin"] > 0
            assert row["keep"] == (row["dropped_by"] is None) == (row["reason"] is None)
        accounts = {(a.stage, a.unit): a for a in PairPart(asked, stored, made).accounts() if a.stage != "sample"}
        for account in accounts.values():
            account.check()
        assert accounts["pair", "response"].rows_in == len(good) and accounts["pair", "response"].rows_out == len(paired)
        assert accounts["pair", "group"].dropped == Counter(made.dropped.values())
        assert accounts["group", "prompt"].rows_in == len(tables.prompts)
        assert accounts["filter", "pair"].rows_out == made.kept.num_rows == made.kept_rows
        parts = PairPart(asked, stored, made)
        told = Counter(row["reason"] for table in parts.dropped() for row in table.to_pylist())
        failed = Counter(r["reason"] for r in mine if r["reason"] is not None)
        assert told == failed + Counter(made.dropped.values()) + Counter(made.left_out.values())


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=12), slab_rows=st.integers(1, 30), row_group=st.integers(1, 30))
@few
def test_slabs_are_whole_groups_and_all_of_them(sizes: list[int], slab_rows: int, row_group: int) -> None:
    rows = [response(prompt_of(str(g)), k, "x") for g, size in enumerate(sizes) for k in range(size)]
    with tempfile.TemporaryDirectory() as folder:
        cuts = [len(rows) // 3, len(rows) // 2]
        index = Index(written(Path(folder), "r", rows, RESPONSES, cuts, row_group), slab_rows)
        assert index.rows == len(rows) == index.slabs[-1].high and index.slabs[0].low == 0
        for slab, after in pairwise(index.slabs):
            assert slab.high == after.low and slab.high - slab.low >= slab_rows
            assert rows[slab.high - 1]["prompt_id"] != rows[slab.high]["prompt_id"]
        for slab in [*index.slabs, Slab(0, index.rows)]:
            ids = index.read(slab, ["response_id"])["response_id"].to_pylist()
            assert ids == [row["response_id"] for row in rows[slab.low : slab.high]]


@pytest.mark.parametrize("row_group", [1, 2, 100])
@pytest.mark.parametrize("end", range(1, 5))
def test_a_group_that_goes_on_in_the_next_file_is_one_group(tmp_path: Path, end: int, row_group: int) -> None:
    tables, prompt = Tables(), prompt_of("it")
    tables.group(prompt, [response(prompt, k, f"Answer {k}.") for k in range(5)], random.Random(0))
    stored = shelved(tmp_path, tables, slab_rows=1)
    files = written(tmp_path / "two", "r", tables.responses, RESPONSES, [end], row_group)
    stored = Stored(stored.prompts, files, stored.annotations, slab_rows=1)
    [(prompt_id, rows)] = [group for slab in stored.index.slabs for group in read_groups(stored, slab)]
    assert prompt_id == prompt.prompt_id and [row["index"] for row in tables.responses] == list(range(5)) and len(rows) == 5
    assert [row["place"] for row in rows] == list(range(5))


def test_a_failed_response_is_in_no_group_and_parts_none(tmp_path: Path) -> None:
    tables = Tables()
    for name, failed in (("first", {1}), ("nothing", {0, 1, 2}), ("last", {0, 2})):
        prompt = prompt_of(name)
        made = [response(prompt, k, f"Answer {k}.", "server_error" if k in failed else None) for k in range(3)]
        tables.group(prompt, made, random.Random(0))
    tables.prompts["unasked"] = prompt_of("unasked")
    for slab_rows in (1, 20_000):
        stored = shelved(tmp_path / str(slab_rows), tables, slab_rows=slab_rows, row_group=2)
        groups = [(p, len(rows)) for slab in stored.index.slabs for p, rows in read_groups(stored, slab)]
        assert groups == [(prompt_of("first").prompt_id, 2), (prompt_of("last").prompt_id, 1)]
        made = cut(stored, recipe())
        assert made.groups == 2 and made.dropped[prompt_of("last").prompt_id] == "fewer_than_two_responses"


@few
@given(seed=SEEDS, data=st.data())
def test_every_slab_meets_its_own_annotations_however_far_out_of_order_they_lie(seed: int, data: st.DataObject) -> None:
    tables = some(seed, groups=10)
    expected = {row["subject_id"]: (row["score"], row["reason"]) for row in tables.annotations["a"]}
    with tempfile.TemporaryDirectory() as folder:
        stored = shelved(Path(folder), tables, seed, slab_rows=1, row_group=1)
        said = Annotations(stored)
        for slab in stored.index.slabs:
            if data.draw(st.booleans()):  # a slab may be left out
                here = set(stored.read(slab, ["response_id"])["response_id"].to_pylist())
                said.at(slab)
                assert said.scores("a") == {i: expected[i] for i in here}
                assert said.scores("jury").keys() == here and said.parts("displacement").keys() <= here
                assert {i for pair in said.comparisons("jury").verdicts for i in pair} <= here


def test_scores_of_an_annotator_that_compares_are_not_its_comparisons(tmp_path: Path) -> None:
    tables = some(3)
    stored = shelved(tmp_path, tables, 5)
    said = Annotations(stored).at(stored.whole)
    rows = tables.annotations["jury"]
    assert said.scores("jury") == {r["subject_id"]: (r["score"], r["reason"]) for r in rows if r["other_id"] is None}
    found, both = said.comparisons("jury"), [r for r in rows if r["other_id"] is not None]
    told = {(r["subject_id"], r["other_id"]): {"a": 1.0, "b": 0.0, "tie": 0.5}[r["label"]] for r in both if r["valid"]}
    assert found.verdicts == told | {(b, a): 1 - won for (a, b), won in told.items()}
    assert found.compared == {i for r in both for i in (r["subject_id"], r["other_id"])}
    parts = {(r["subject_id"], r["other_id"]): {p["name"]: p["value"] for p in r["parts"]} for r in both}
    assert said.comparison_parts("jury") == parts


def test_an_annotator_of_whom_nothing_is_stored_has_said_nothing(tmp_path: Path) -> None:
    tables = some(4)
    stored = shelved(tmp_path, tables)
    silent = Stored(stored.prompts, stored.responses, {**stored.annotations, "a": []})
    assert Annotations(silent).at(silent.whole).scores("a") == {}
    made = cut(silent, recipe())
    assert made.rows == 0 and {"a:no_annotation"} <= set(made.left_out.values()) <= {"a:no_annotation", "empty", "cut"}


def test_empty_files_between_others_are_passed_over(tmp_path: Path) -> None:
    tables = some(5)
    stored, nothing = shelved(tmp_path, tables), written(tmp_path, "nothing", [], RESPONSES, [], 1)
    padded = Stored(stored.prompts, [*nothing, *stored.responses, *nothing], stored.annotations)
    assert outcome(padded, recipe()) == outcome(stored, recipe())
    assert len(groups_of(tables)) == 12
