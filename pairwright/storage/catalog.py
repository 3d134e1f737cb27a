"""A dataset's versions as SQL: views over the Parquet files, in an in-memory DuckDB that needs no extension.

Fetch results with `fetchall()` or `con.sql(query).to_arrow_table()`; both work on DuckDB 1.5 and 2.0.
"""

from __future__ import annotations

from collections.abc import Iterable

import duckdb

from pairwright.errors import PairwrightError
from pairwright.storage import sql
from pairwright.storage.diff import Diff, diff
from pairwright.storage.manifest import MANIFEST
from pairwright.storage.versions import Dataset

__all__ = ["Diff", "connect", "diff"]

COLUMNS = {
    "dataset": "VARCHAR",
    "version": "INTEGER",
    "created": "VARCHAR",
    "pairwright": "VARCHAR",
    "recipe": "JSON",
    "models": "JSON",
    "parents": "INTEGER[]",
    "accounting": ("STRUCT(stage VARCHAR, unit VARCHAR, rows_in BIGINT, rows_out BIGINT, dropped MAP(VARCHAR, BIGINT))[]"),
    "cost": "JSON",
    "logical_hash": "VARCHAR",
    "exact_hash": "VARCHAR",
    "files": 'STRUCT(path VARCHAR, "rows" BIGINT, bytes BIGINT, sha256 VARCHAR)[]',
    "filters": "VARCHAR[]",
    "notes": "VARCHAR[]",
}  # given, not guessed: recipes differ from version to version

FUNNEL = """
CREATE VIEW funnel AS
SELECT version, a.stage, a.unit, a.rows_in, a.rows_out, d.key AS reason, d.value AS dropped
FROM (
    SELECT version, a, unnest(CASE WHEN cardinality(a.dropped) > 0 THEN map_entries(a.dropped)
                                   ELSE [{'key': NULL::VARCHAR, 'value': 0::BIGINT}] END) AS d
    FROM (SELECT version, unnest(accounting) AS a FROM manifests)
)
"""


def connect(dataset: Dataset, version: int | None = None) -> duckdb.DuckDBPyConnection:
    """Open `dataset` for SQL.

    For each table T there are: the view `T` (version `version`, by default the latest), the view `T_all` over all versions
    with an integer column `version`, and the macro `T_at(v)` that reads only version v's files. Besides, `manifests` has
    one row a version and `funnel` one row a version, stage and reason (reason null, dropped 0 where nothing was dropped).
    Raises PairwrightError if there is no such version or a version's files are gone.
    """
    version = dataset.latest() if version is None else version
    if version is None:
        raise PairwrightError(f"dataset {dataset.name} in {dataset.folder.parent} has no version yet: build one first")
    dataset.path(version)
    present = {n: dataset.tables(n) for n in dataset.versions()}
    con = sql.open_memory()
    for table in dict.fromkeys(name for tables in present.values() for name in tables):
        if table in present[version]:
            con.execute(f'CREATE VIEW "{table}" AS SELECT * FROM {sql.parquet(present[version][table])}')
        # one branch a version, its number as a constant: DuckDB drops the branches a filter on `version` rules out, and no
        # other `key=value` folder above the data can slip in as a column, as it would with hive_partitioning
        branches = [
            f"SELECT *, {n}::INTEGER AS version FROM {sql.parquet(tables[table])}"
            for n, tables in present.items()
            if table in tables
        ]
        con.execute(f'CREATE VIEW "{table}_all" AS {" UNION ALL BY NAME ".join(branches)}')
        con.execute(f'CREATE MACRO "{table}_at"(v) AS TABLE SELECT * FROM "{table}_all" WHERE version = v')
    con.execute(f"CREATE VIEW manifests AS SELECT * FROM {_manifests(dataset, present)} ORDER BY version")
    con.execute(FUNNEL)
    return con


def _manifests(dataset: Dataset, versions: Iterable[int]) -> str:
    paths = ", ".join(sql.literal((dataset.path(n) / MANIFEST).resolve()) for n in versions)
    columns = ", ".join(f"{name}: {sql.literal(kind)}" for name, kind in COLUMNS.items())
    return f"read_json([{paths}], format = 'unstructured', columns = {{{columns}}}, hive_partitioning = false)"
