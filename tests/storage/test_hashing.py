from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairwright.ids import digest
from pairwright.storage.hashing import Sums, exact_hash, logical_hash, sums_of, uniform
from pairwright.storage.hashing import hashes as hashes_of
from pairwright.storage.parquet import write_table
from pairwright.storage.schemas import ANNOTATIONS, DROPPED
from tests.storage.sample_tables import PAIRS, annotation_row, pair_row, responses, table, written

ROWS = [annotation_row(i, k, 1.0 / (1 + i + k)) for i in range(5) for k in range(3)]


def hashes(folder: Path, rows: list[dict[str, Any]], cuts: int = 1) -> tuple[str, str]:
    """Both hashes of `rows` as annotations, in `cuts` files."""
    paths = []
    for c in range(cuts):
        paths.append(folder / f"{cuts}-{c}.parquet")
        write_table(paths[-1], table(rows[c::cuts], ANNOTATIONS), ANNOTATIONS)
    return logical_hash({"annotations": paths}), exact_hash({"annotations": paths[::-1]})


@settings(max_examples=15, deadline=None)
@given(rows=st.permutations(ROWS), cuts=st.integers(1, 4))
def test_neither_row_order_nor_sharding_nor_file_order_enters(rows: list[dict[str, Any]], cuts: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert hashes(Path(folder), rows, cuts) == hashes(Path(folder), ROWS)


def test_a_row_more_a_row_less_and_a_row_twice_all_change_both_hashes(tmp_path: Path) -> None:
    variants = [ROWS, ROWS[1:], [*ROWS, ROWS[0]], [*ROWS, ROWS[0], ROWS[0]], []]
    logical, exact = zip(*(hashes(tmp_path, rows) for rows in variants), strict=True)
    assert len(set(logical)) == len(set(exact)) == len(variants)


def test_a_last_bit_changes_the_exact_hash_and_not_the_logical_one(tmp_path: Path) -> None:
    nudged = [dict(ROWS[0], score=ROWS[0]["score"] + 2.0**-52), *ROWS[1:]]
    before, after = hashes(tmp_path, ROWS), hashes(tmp_path, nudged)
    assert before[0] == after[0] and before[1] != after[1]


@pytest.mark.parametrize("change", [{"label": "a"}, {"fingerprint": "f2"}, {"valid": False}, {"subject_id": "other"}])
def test_a_decision_changes_both_hashes(tmp_path: Path, change: dict[str, Any]) -> None:
    before, after = hashes(tmp_path, ROWS), hashes(tmp_path, [ROWS[0] | change, *ROWS[1:]])
    assert before[0] != after[0] and before[1] != after[1]


def test_what_it_cost_enters_neither_hash(tmp_path: Path) -> None:
    costly = [row | {"tokens": 7, "seconds": 1.5} for row in ROWS]
    assert hashes(tmp_path, costly) == hashes(tmp_path, ROWS)


def test_a_value_moved_to_the_next_column_changes_the_hash(tmp_path: Path) -> None:
    here = [ROWS[0] | {"label": "a", "reason": None}]
    there = [ROWS[0] | {"label": None, "reason": "a"}]
    assert hashes(tmp_path, here)[0] != hashes(tmp_path, there)[0]


def test_the_hash_is_the_sum_of_the_md5_of_json_rows(tmp_path: Path) -> None:
    """The definition written a second time, in Python: it holds whatever DuckDB's version."""
    pairs = [pair_row(i, dropped_by="length" if i % 2 else None) for i in range(300)]
    names = ("pair_id", "keep", "dropped_by", "relabelled_by", "split")
    texts = [json.dumps([row.get(name) for name in names], separators=(",", ":"), ensure_ascii=False) for row in pairs]
    total = sum(int(hashlib.md5(text.encode()).hexdigest(), 16) for text in texts) % 2**128
    expected = digest("logical", {"pairs": [list(names), f"{total:032x}"]})
    assert logical_hash({"pairs": written(tmp_path, "pairs", table(pairs, PAIRS))}) == expected


def test_golden_hashes_do_not_change_with_the_version_of_duckdb(tmp_path: Path) -> None:
    odd = ['quote " back \\ tab \t é 漢 \u2028 \x01', "", None]
    scores = [1e-7, 1e16, 0.1]
    rows = [annotation_row(1, 1, score) | {"raw": text} for text, score in zip(odd, scores, strict=True)]
    paths = {"annotations": written(tmp_path, "a", table(rows, ANNOTATIONS)), "responses": written(tmp_path, "r", responses(2))}
    assert logical_hash(paths) == "d43c620474b97850db1c1536"
    assert exact_hash(paths) == "9503ea40b55ac0257bf0ec96"


def test_the_dropped_table_is_part_of_the_exact_hash_only(tmp_path: Path) -> None:
    gone = [{"stage": "sample", "unit": "response", "id": "x", "reason": "empty", "detail": None}]
    paths = {"dropped": written(tmp_path, "d", table(gone, DROPPED))}
    assert logical_hash(paths) == logical_hash({})
    assert exact_hash(paths) != exact_hash({})


def test_columns_may_stand_in_any_order(tmp_path: Path) -> None:
    rows = table([pair_row(1)], PAIRS)
    turned = pa.table({name: rows[name] for name in reversed(rows.column_names)})
    assert exact_hash({"pairs": written(tmp_path, "a", rows)}) == exact_hash({"pairs": written(tmp_path, "b", turned)})


def halves(folder: Path, fewer: bool = False) -> list[Path]:
    """Annotations in two files; with `fewer` the first lacks a column, as if an older release had written it."""
    one, two = table(ROWS[:7], ANNOTATIONS), table(ROWS[7:], ANNOTATIONS)
    return written(folder, "one", one.drop_columns(["raw"]) if fewer else one) + written(folder, "two", two)


def test_hashes_come_from_the_sums_of_files_whether_taken_now_or_known(tmp_path: Path) -> None:
    tables = {"annotations": halves(tmp_path), "responses": written(tmp_path, "r", responses(2))}
    sums = sums_of(tables)
    assert hashes_of(tables, sums) == (logical_hash(tables), exact_hash(tables))
    known = {path: sums[path] for path in (tables["annotations"][0], tables["responses"][0])}
    assert sums_of(tables, known) == sums
    assert {len(text) for found in sums.values() for text in found} == {32}


def test_what_is_known_is_not_read(tmp_path: Path) -> None:
    tables = {"annotations": halves(tmp_path)}
    made_up = Sums("1" * 32, "2" * 32)
    found = sums_of(tables, {tables["annotations"][0]: made_up})
    assert (
        found[tables["annotations"][0]] == made_up
        and found[tables["annotations"][1]] == sums_of(tables)[tables["annotations"][1]]
    )


def test_a_file_without_rows_adds_nothing(tmp_path: Path) -> None:
    nothing = written(tmp_path, "nothing", ANNOTATIONS.empty_table())
    assert sums_of({"annotations": nothing})[nothing[0]] == Sums("0" * 32, "0" * 32)
    assert logical_hash({"annotations": [*halves(tmp_path), *nothing]}) == logical_hash({"annotations": halves(tmp_path)})


def test_files_that_differ_in_columns_are_summed_over_all_of_them_and_always_read(tmp_path: Path) -> None:
    """A column that is not there counts as null; so the sum of such a file holds among these files only."""
    mixed, alone = halves(tmp_path, fewer=True), written(tmp_path, "whole", table(ROWS, ANNOTATIONS))
    assert exact_hash({"annotations": mixed}) == exact_hash({"annotations": alone})
    wrong = {path: Sums("1" * 32, "2" * 32) for path in mixed}
    assert sums_of({"annotations": mixed}, wrong) == sums_of({"annotations": mixed})
    assert not uniform(mixed) and uniform(mixed[:1]) and uniform(alone)
