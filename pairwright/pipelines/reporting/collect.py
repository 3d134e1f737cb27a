"""Numbers of one version, asked of its Parquet files by DuckDB: memory is bounded, whatever the size of the tables.

Where texts or points have to be in memory, a sample stands for all rows: those with the lowest ids. Ids are content hashes, so
this draws at random, and draws the same rows every time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pairwright.errors import PairwrightError
from pairwright.ids import ID_CHARS
from pairwright.storage.manifest import Manifest

if TYPE_CHECKING:
    import duckdb

    from pairwright.storage.versions import Dataset

Floats = npt.NDArray[np.float64]
MEMORY = "512MB"  # DuckDB spills to disk beyond it


class Source:
    """A version that is open for questions. `con` has a view for each of its tables that has rows."""

    def __init__(self, manifest: Manifest, con: duckdb.DuckDBPyConnection) -> None:
        self.manifest = manifest
        self.con = con

    @property
    def name(self) -> str:
        """The version in words."""
        return f"{self.manifest.dataset} version {self.manifest.version}"

    def has(self, *tables: str) -> bool:
        """Do all of these tables have rows?"""
        return all(self.manifest.rows(table) for table in tables)

    def holds(self, table: str, *columns: str) -> bool:
        """Does this table, which is there, have these columns? Older versions lack some."""
        return set(columns) <= {c[0] for c in self.con.execute(f'SELECT * FROM "{table}" LIMIT 0').description or []}

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """The rows of a query whose result is small."""
        found = self.con.execute(query, list(values))
        names = [column[0] for column in found.description or []]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def row(self, query: str, *values: Any) -> dict[str, Any]:
        """The one row of a query."""
        [found] = self.rows(query, *values)
        return found

    def columns(self, query: str, *values: Any) -> dict[str, list[Any]]:
        """The same by column; for many rows."""
        table = self.con.sql(query, params=list(values)).to_arrow_table()
        return {name: table[name].to_pylist() for name in table.column_names}

    def some(self, key: str, rows: int, size: int) -> str:
        """An SQL condition that about `size` of `rows` rows meet (all, if there are no more): those with the lowest ids `key`."""
        if rows <= size:
            return "true"
        return f"{key} < '{int(size / rows * 16**ID_CHARS):0{ID_CHARS}x}'"

    def recipe(self, *path: str) -> Any:
        """A part of the recipe; None if it is not there."""
        found: Any = self.manifest.recipe
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return found


@contextmanager
def opened(dataset: Dataset, version: int | None) -> Iterator[Source]:
    """Open version `version` (default: the latest). Raises PairwrightError if it is not there."""
    from pairwright.storage import sql

    n = dataset.latest() if version is None else version
    if n is None:
        raise PairwrightError(f"dataset {dataset.name} in {dataset.folder.parent} has no version yet: build one first")
    manifest, tables = dataset.manifest(n), dataset.tables(n)
    with sql.open_memory(MEMORY) as con:
        con.execute("SET preserve_insertion_order = false")
        for table, files in tables.items():
            con.execute(f'CREATE VIEW "{table}" AS SELECT * FROM {sql.parquet(files)}')
        yield Source(manifest, con)


def raters(source: Source) -> list[str]:
    """The annotators whose scores say which response is better, by name, as far as the version holds scores or comparisons of
    theirs. What `displacement` and its like store is no rating."""
    names = source.columns(
        "SELECT annotator, any_value(method) AS method FROM annotations WHERE score IS NOT NULL OR label IS NOT NULL "
        "GROUP BY annotator ORDER BY annotator"
    )
    return [name for name, method in zip(names["annotator"], names["method"], strict=True) if _rates(method)]


def _rates(method: str) -> bool:
    from pairwright.annotators.registry import load

    try:
        return load(method).rates
    except PairwrightError:  # a plug-in that is not installed here: most annotators rate
        return True


def people(source: Source) -> list[str]:
    """The annotators that are people."""
    found = source.columns("SELECT DISTINCT annotator FROM annotations WHERE method = 'person' AND label IS NOT NULL ORDER BY 1")
    return list(found["annotator"])


def numbers(values: Sequence[float | None]) -> Floats:
    """An array with NaN for None."""
    return np.array([np.nan if v is None else v for v in values], np.float64)
