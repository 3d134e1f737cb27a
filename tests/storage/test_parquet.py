from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pairwright.errors import PairwrightError
from pairwright.storage.parquet import is_sound, read_table, rows, write_table
from pairwright.storage.schemas import PROMPTS, RESPONSES, TABLES
from tests.storage.sample_tables import prompts, responses


@pytest.mark.parametrize("name", TABLES)
def test_every_table_without_rows_is_a_valid_file_with_its_schema(tmp_path: Path, name: str) -> None:
    assert write_table(tmp_path / "x.parquet", [], TABLES[name]) == 0
    assert is_sound(tmp_path / "x.parquet")
    assert read_table(tmp_path / "x.parquet").schema.equals(TABLES[name])


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    table = responses(50)
    assert write_table(tmp_path / "x.parquet", table, RESPONSES) == rows(tmp_path / "x.parquet") == 150
    assert read_table(tmp_path / "x.parquet").equals(table)
    assert read_table(tmp_path / "x.parquet", ["text", "index"]).equals(table.select(["text", "index"]))


def test_a_stream_of_small_batches_becomes_full_row_groups(tmp_path: Path) -> None:
    table = responses(25)
    assert write_table(tmp_path / "x.parquet", table.to_batches(max_chunksize=7), RESPONSES, row_group=30) == 75
    metadata = pq.read_metadata(tmp_path / "x.parquet")
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [30, 30, 15]
    assert read_table(tmp_path / "x.parquet").equals(table)


def test_columns_are_put_in_the_order_and_the_types_of_the_schema(tmp_path: Path) -> None:
    mixed = prompts(3).select(["count", *[name for name in PROMPTS.names if name != "count"]])
    wide = mixed.set_column(0, "count", mixed["count"].cast(pa.int64()))
    write_table(tmp_path / "x.parquet", wide, PROMPTS)
    assert read_table(tmp_path / "x.parquet").schema.equals(PROMPTS)


def test_a_missing_column_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="source"):
        write_table(tmp_path / "x.parquet", prompts(3).drop_columns(["source"]), PROMPTS)
    assert list(tmp_path.iterdir()) == []


def test_a_value_that_does_not_fit_its_type_is_refused(tmp_path: Path) -> None:
    table = prompts(2)
    with pytest.raises(pa.ArrowInvalid):
        write_table(tmp_path / "x.parquet", table.set_column(5, "count", pa.array([1.5, 2.0])), PROMPTS)


def test_a_stream_that_breaks_leaves_the_old_file(tmp_path: Path) -> None:
    def broken() -> Iterator[pa.Table]:
        yield prompts(2)
        raise RuntimeError("the source broke")

    write_table(tmp_path / "x.parquet", prompts(1), PROMPTS)
    with pytest.raises(RuntimeError):
        write_table(tmp_path / "x.parquet", broken(), PROMPTS)
    assert rows(tmp_path / "x.parquet") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet"]


def test_only_repetitive_text_is_dictionary_encoded(tmp_path: Path) -> None:
    write_table(tmp_path / "x.parquet", prompts(9), PROMPTS)
    group = pq.read_metadata(tmp_path / "x.parquet").row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    encoded = {column.path_in_schema for column in columns if "RLE_DICTIONARY" in column.encodings}
    assert encoded == {"messages.list.element.role", "tags.list.element", "source"}
    assert {column.compression for column in columns} == {"ZSTD"}


def test_a_folder_named_like_a_partition_adds_no_column(tmp_path: Path) -> None:
    path = tmp_path / "source=evil" / "version=3" / "x.parquet"
    write_table(path, prompts(1), PROMPTS)
    assert read_table(path).equals(prompts(1))


def test_a_file_cut_short_is_named_with_the_fix(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    write_table(path, responses(20), RESPONSES)
    path.write_bytes(path.read_bytes()[:-20])
    assert not is_sound(path)
    for read in (read_table, rows):
        with pytest.raises(PairwrightError, match=r"x\.parquet is not readable Parquet .*delete it and build again"):
            read(path)


def test_a_missing_file_and_a_missing_column_are_named(tmp_path: Path) -> None:
    assert not is_sound(tmp_path / "no.parquet")
    with pytest.raises(PairwrightError, match=r"no\.parquet is missing"):
        read_table(tmp_path / "no.parquet")
    write_table(tmp_path / "x.parquet", prompts(1), PROMPTS)
    with pytest.raises(PairwrightError, match="no column nonsense"):
        read_table(tmp_path / "x.parquet", ["nonsense", "source"])
