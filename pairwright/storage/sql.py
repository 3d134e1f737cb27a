"""What every DuckDB query here shares: one way to open it, one way to name Parquet files."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from pathlib import Path

import duckdb

from pairwright.files import scratch


def open_memory(limit: str | None = None) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB that fetches no extension from anywhere and spills to this process's scratch folder, from `limit` on
    (such as "512MB"; default: most of the memory there is)."""
    spill = scratch() / f"spill-{uuid.uuid4().hex}"  # made and removed by DuckDB, at need
    bounds = {"memory_limit": limit} if limit else {}
    return duckdb.connect(config={"autoinstall_known_extensions": False, "temp_directory": str(spill), **bounds})


def literal(value: object) -> str:
    """`value` as an SQL string."""
    return "'" + str(value).replace("'", "''") + "'"


def parquet(paths: Iterable[Path], *options: str) -> str:
    """The table expression that reads `paths` (at least one) as one table, with exactly the columns that are in the files (and
    those that `options` add, such as "filename = true").

    Without `hive_partitioning = false` a folder such as `model=x` above the data would replace the column `model` in silence.
    """
    files = ", ".join(literal(path.resolve()) for path in paths)
    return f"read_parquet([{files}], {', '.join(['hive_partitioning = false', 'union_by_name = true', *options])})"
