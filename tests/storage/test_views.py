from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairwright.errors import PairwrightError
from pairwright.storage.parquet import write_table
from pairwright.storage.schemas import PREFERENCE, RESPONSES, UNPAIRED
from pairwright.storage.views import count_sides, preference, unpaired
from tests.storage.sample_tables import PAIRS, kept, pair_row, prompt_row, prompts, response_row, responses, table, written

N = 6


@pytest.fixture
def files(tmp_path: Path) -> tuple[list[Path], list[Path]]:
    return written(tmp_path, "prompts", prompts(N)), written(tmp_path, "responses", responses(N))


def test_a_pair_becomes_a_row_in_trls_conversational_form(files: Any) -> None:
    rows = pa.Table.from_batches(preference(*files, kept([pair_row(i, 2, 0) for i in range(N)]))).to_pylist()
    assert [row["prompt"] for row in rows] == [prompt_row(i)["messages"] for i in range(N)]
    assert rows[3]["chosen"] == [{"role": "assistant", "content": response_row(3, 2)["text"]}]
    assert rows[3]["rejected"] == [{"role": "assistant", "content": response_row(3, 0)["text"]}]
    assert rows[3]["chosen_id"] == response_row(3, 2)["response_id"]
    assert (rows[3]["score_chosen"], rows[3]["score_rejected"], rows[3]["margin"]) == (1.0, 0.25, 0.75)
    assert rows[3]["chosen_model"] == rows[3]["rejected_model"] == "policy"


def test_rows_come_in_the_order_of_the_response_files_then_of_the_pairs(tmp_path: Path) -> None:
    shuffled = responses(N).take(list(range(N * 3))[::-1])
    halves = [written(tmp_path, f"r{i}", shuffled.slice(i * 9, 9))[0] for i in range(2)]
    pairs = kept([pair_row(i) for i in (4, 0, 5, 2)])
    rows = pa.Table.from_batches(preference(written(tmp_path, "p", prompts(N)), halves, pairs))
    assert rows["pair_id"].to_pylist() == [pair_row(i)["pair_id"] for i in (4, 5, 0, 2)]
    assert rows.schema.equals(PREFERENCE)


@settings(max_examples=12, deadline=None)
@given(rows=st.permutations(range(N * 3)), cut=st.integers(1, N * 3), group=st.integers(1, 5), slice_rows=st.integers(1, 5))
def test_every_pair_gets_its_own_texts_however_the_responses_are_scattered(
    rows: list[int], cut: int, group: int, slice_rows: int
) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr("pairwright.storage.views.SLICE_ROWS", slice_rows)
        folder, shuffled = Path(name), responses(N).take(rows)
        write_table(folder / "a.parquet", shuffled.slice(0, cut), RESPONSES, row_group=group)
        write_table(folder / "b.parquet", shuffled.slice(cut), RESPONSES, row_group=group)
        files = written(folder, "p", prompts(N)), [folder / "a.parquet", folder / "b.parquet"]
        found = pa.Table.from_batches(preference(*files, kept([pair_row(i, 2, 1) for i in range(N)]))).to_pylist()
        for row in found:
            i = int(row["prompt"][0]["content"].split()[1].rstrip(":"))
            assert row["pair_id"] == pair_row(i, 2, 1)["pair_id"]
            assert (row["chosen"][0]["content"], row["rejected"][0]["content"]) == (f"Answer 2 to {i}.\n", f"Answer 1 to {i}.\n")
        assert len(found) == N
        labels = pa.Table.from_batches(unpaired(*files, kept([pair_row(i, 2, 1) for i in range(N)]))[0]).to_pylist()
        assert {(row["completion"][0]["content"], row["label"]) for row in labels} == {
            (f"Answer {k} to {i}.\n", k == 2) for i in range(N) for k in (1, 2)
        }


def test_no_pairs_give_no_rows(files: Any) -> None:
    assert list(preference(*files, kept([]))) == []
    rows, left_out = unpaired(*files, kept([]))
    assert (list(rows), left_out) == ([], 0)


@pytest.mark.parametrize(
    ("missing", "said"), [("prompts", "needs prompt .* found 0 times"), ("responses", "needs response .* found 0 times")]
)
def test_a_pair_without_its_prompt_or_response_is_an_error_before_any_row(tmp_path: Path, missing: str, said: str) -> None:
    files = {"prompts": prompts(N), "responses": responses(N)}
    files[missing] = files[missing].slice(0, files[missing].num_rows - 3)
    paths = [written(tmp_path, name, rows) for name, rows in files.items()]
    for view in (
        lambda: next(preference(*paths, kept([pair_row(i) for i in range(N)]))),
        lambda: unpaired(*paths, kept([pair_row(5)])),
    ):
        with pytest.raises(PairwrightError, match=said):
            view()


def test_a_response_of_another_prompt_is_not_accepted(files: Any) -> None:
    stray = pair_row(1) | {"chosen_id": response_row(2, 0)["response_id"]}
    with pytest.raises(PairwrightError, match="needs response"):
        next(preference(*files, kept([stray])))


def test_a_response_without_text_is_not_accepted(tmp_path: Path) -> None:
    failed = table([response_row(0, 0), response_row(0, 1) | {"text": None, "reason": "empty"}], RESPONSES)
    with pytest.raises(PairwrightError, match="response_id .* has no text, yet a kept pair names it"):
        next(preference(written(tmp_path, "p", prompts(1)), written(tmp_path, "r", failed), kept([pair_row(0)])))


def test_a_response_or_pair_that_stands_twice_is_an_error_not_two_rows(tmp_path: Path, files: Any) -> None:
    twice = written(tmp_path, "twice", pa.concat_tables([responses(N), responses(1)]))
    with pytest.raises(PairwrightError, match="found 2 times"):
        next(preference(files[0], twice, kept([pair_row(0)])))
    with pytest.raises(PairwrightError, match=r"needs pair .* found 2 times"):
        next(preference(*files, kept([pair_row(0), pair_row(0)])))


def test_dropped_pairs_and_equal_texts_are_never_published(tmp_path: Path, files: Any) -> None:
    both = table([pair_row(0), pair_row(1, dropped_by="length")], PAIRS)
    assert [row["pair_id"] for batch in preference(*files, both) for row in batch.to_pylist()] == [pair_row(0)["pair_id"]]
    same = table([response_row(0, 0), response_row(0, 1) | {"text": response_row(0, 0)["text"]}], RESPONSES)
    with pytest.raises(ValueError, match="chosen equals rejected"):
        next(preference(files[0], written(tmp_path, "same", same), kept([pair_row(0)])))


def test_each_response_is_unpaired_once_and_one_that_is_both_is_left_out_and_counted(files: Any) -> None:
    pairs = kept([pair_row(0, 0, 1), pair_row(0, 1, 2), pair_row(0, 0, 2), pair_row(3, 2, 1)])
    batches, left_out = unpaired(*files, pairs)
    rows = pa.Table.from_batches(batches, UNPAIRED)
    found = {row["response_id"]: row["label"] for row in rows.to_pylist()}
    assert left_out == 1
    assert rows.num_rows == len(found) == 4
    assert found == {
        response_row(0, 0)["response_id"]: True,
        response_row(0, 2)["response_id"]: False,
        response_row(3, 2)["response_id"]: True,
        response_row(3, 1)["response_id"]: False,
    }
    first = rows.to_pylist()[0]
    assert first["prompt"] == prompt_row(0)["messages"]
    assert first["completion"] == [{"role": "assistant", "content": response_row(0, 0)["text"]}]


def test_the_responses_of_kept_pairs_are_counted_once_each_whichever_side_they_are_on(tmp_path: Path) -> None:
    pairs = [pair_row(0, 0, 1), pair_row(0, 0, 2), pair_row(0, 2, 1), pair_row(1, 0, 1), pair_row(2, 0, 1, "length")]
    path = tmp_path / "pairs.parquet"
    write_table(path, table(pairs, PAIRS), PAIRS)
    assert count_sides([path]) == 5


def test_an_unpaired_score_is_null_where_the_pairs_disagree(files: Any) -> None:
    pairs = kept([pair_row(0, 0, 1), pair_row(0, 0, 2) | {"score_chosen": 2.0}])
    rows = pa.Table.from_batches(unpaired(*files, pairs)[0]).to_pylist()
    assert {row["response_id"]: row["score"] for row in rows} == {
        response_row(0, 0)["response_id"]: None,
        response_row(0, 1)["response_id"]: 0.25,
        response_row(0, 2)["response_id"]: 0.25,
    }


def test_the_streams_go_straight_into_a_file(tmp_path: Path, files: Any) -> None:
    pairs = kept([pair_row(i) for i in range(N)])
    assert write_table(tmp_path / "a.parquet", preference(*files, pairs), PREFERENCE) == N
    assert write_table(tmp_path / "b.parquet", unpaired(*files, pairs)[0], UNPAIRED) == 2 * N
