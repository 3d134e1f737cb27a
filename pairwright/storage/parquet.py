"""Parquet files: cast to their schema, written in bounded memory, whole or absent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from pairwright.errors import PairwrightError
from pairwright.files import whole_file
from pairwright.storage.schemas import cast

Rows: TypeAlias = pa.Table | Iterable[pa.Table | pa.RecordBatch]

ROW_GROUP = 20_000
FREE_TEXT = frozenset({"content", "detail", "raw", "reference", "text"})


def write_table(path: Path, rows: Rows, schema: pa.Schema, row_group: int = ROW_GROUP) -> int:
    """Write `rows` to `path`, whole or not at all, and return how many there were.

    Holds about one row group in memory. No rows still make a file with the schema.

    Raises KeyError if a column of `schema` is missing and pa.ArrowInvalid if a value does not fit its type.
    """
    written = 0
    with whole_file(path) as temporary, _writer(temporary, schema) as writer:
        for table in _regroup(rows, schema, row_group):
            writer.write_table(table, row_group_size=row_group)
            written += table.num_rows
    return written


def read_table(path: Path, columns: list[str] | None = None, row_group: int | None = None) -> pa.Table:
    """Read `path`, or only `columns` of it, or only its row group number `row_group`."""
    try:
        with pq.ParquetFile(path) as file:
            absent = sorted(set(columns or []) - set(file.schema_arrow.names))
            if absent:
                raise PairwrightError(
                    f"{path} has no column {', '.join(absent)}: it was not written by this version; build it again"
                )
            return file.read(columns) if row_group is None else file.read_row_group(row_group, columns)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error


def rows(path: Path) -> int:
    """The number of rows, from the footer."""
    return int(_footer(path).num_rows)


def row_groups(path: Path) -> int:
    """The number of row groups, from the footer."""
    return int(_footer(path).num_row_groups)


def is_sound(path: Path) -> bool:
    """True if the footer can be read; a file cut short or never finished has none."""
    try:
        _footer(path)
    except PairwrightError:
        return False
    return True


def tables(rows: Rows) -> Iterator[pa.Table]:
    """`rows` as a stream of tables."""
    for part in [rows] if isinstance(rows, pa.Table) else rows:
        yield pa.Table.from_batches([part]) if isinstance(part, pa.RecordBatch) else part


def _footer(path: Path) -> pq.FileMetaData:
    try:
        return pq.read_metadata(path)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error


def _regroup(rows: Rows, schema: pa.Schema, size: int) -> Iterator[pa.Table]:
    """Tables of whole row groups, at last what is left. Never an empty one: `datasets` cannot read an empty row group."""
    held = schema.empty_table()
    for table in tables(rows):
        held = pa.concat_tables([held, cast(table, schema)])
        whole = held.num_rows - held.num_rows % size
        if whole:
            yield held.slice(0, whole)
            held = held.slice(whole)
    if held.num_rows:
        yield held


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    dictionary = [path for field in schema for path in _repetitive(field, field.name)]
    return pq.ParquetWriter(path, schema, compression="zstd", compression_level=3, use_dictionary=dictionary)


def _repetitive(field: pa.Field, path: str) -> Iterator[str]:
    """The Parquet paths of text leaves that repeat a few values, so neither ids nor free text: a dictionary would bloat those."""
    if pa.types.is_list(field.type):
        yield from _repetitive(field.type.value_field, f"{path}.list.element")
    elif pa.types.is_struct(field.type):
        for child in field.type:
            yield from _repetitive(child, f"{path}.{child.name}")
    elif pa.types.is_string(field.type) and field.name not in FREE_TEXT and field.name.rpartition("_")[2] != "id":
        yield path


def _unreadable(path: Path, error: Exception) -> PairwrightError:
    if isinstance(error, FileNotFoundError):
        return PairwrightError(f"{path} is missing: restore it, or build it again")
    return PairwrightError(f"{path} is not readable Parquet ({error}): delete it and build again")
