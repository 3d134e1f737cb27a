"""What changed from one version to another, by id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from pairwright.storage import sql
from pairwright.storage.schemas import TABLES
from pairwright.storage.versions import Dataset

REPLACED = """
CREATE TEMP TABLE replaced AS
SELECT prompt_id, old, new
FROM (SELECT prompt_id, list(pair_id ORDER BY pair_id) AS old FROM gone GROUP BY prompt_id)
JOIN (SELECT prompt_id, list(pair_id ORDER BY pair_id) AS new FROM come GROUP BY prompt_id) USING (prompt_id)
"""
FLIPS = """
SELECT a.pair_id, a.prompt_id, a.keep AS keep_before, b.keep AS keep_after,
       a.dropped_by AS dropped_by_before, b.dropped_by AS dropped_by_after, coalesce(b.reason, a.reason) AS reason
FROM pairs_a a JOIN pairs_b b USING (pair_id)
WHERE a.keep IS DISTINCT FROM b.keep
ORDER BY a.prompt_id, a.pair_id
"""


@dataclass(frozen=True)
class Delta:
    """How many ids are only in the newer and only in the older version."""

    added: int
    removed: int


@dataclass(frozen=True)
class Diff:
    """What changed from version `before` to version `after`. Every pair is in at most one of the four tables.

    `added`, `removed`: pair_id, prompt_id, chosen_id, rejected_id, margin, keep. `changed`: prompt_id with its `old` and `new`
    pair ids, for prompts that lost and gained a pair. `flips`: pairs that both versions have but only one keeps, with the
    filter and the sentence. `recipe`: dotted path -> (before, after), None where the key is absent.
    """

    before: int
    after: int
    added: pa.Table
    removed: pa.Table
    changed: pa.Table
    flips: pa.Table
    prompts: Delta
    responses: Delta
    annotators: Delta
    steps: Delta
    solutions: Delta
    recipe: dict[str, tuple[Any, Any]]


def diff(dataset: Dataset, before: int, after: int) -> Diff:
    """Compare two versions of `dataset`. Raises PairwrightError if one of them, or a file of it, is not there."""
    with sql.open_memory() as con:
        for side, n in (("a", before), ("b", after)):
            tables = dataset.tables(n)
            for table in ("prompts", "responses", "annotations", "pairs", "steps", "stepwise"):
                _view(con, f"{table}_{side}", sql.parquet(tables[table]) if table in tables else None, TABLES[table])
        for name, here, there in (("gone", "a", "b"), ("come", "b", "a")):
            con.execute(f"CREATE TEMP VIEW {name} AS SELECT * FROM pairs_{here} ANTI JOIN pairs_{there} USING (pair_id)")
        con.execute(REPLACED)
        return Diff(
            before,
            after,
            added=_alone(con, "come"),
            removed=_alone(con, "gone"),
            changed=con.sql("SELECT * FROM replaced ORDER BY prompt_id").to_arrow_table(),
            flips=con.sql(FLIPS).to_arrow_table(),
            prompts=_delta(con, "prompts", "prompt_id"),
            responses=_delta(con, "responses", "response_id"),
            annotators=_delta(con, "annotations", "annotator, fingerprint"),
            steps=_delta(con, "steps", "node_id"),
            solutions=_delta(con, "stepwise", "solution_id, labels"),
            recipe=recipe_changes(dataset.manifest(before).recipe, dataset.manifest(after).recipe),
        )


def recipe_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The dotted paths at which two recipes differ, each with (before, after); None where the key is absent."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    return {path: (old.get(path), new.get(path)) for path in sorted(old.keys() | new.keys()) if old.get(path) != new.get(path)}


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    found = False
    for key, inner in items:
        found = True
        yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    if not found and path:
        yield path, value


def _view(con: duckdb.DuckDBPyConnection, name: str, source: str | None, schema: pa.Schema) -> None:
    if source is None:
        con.register(name, schema.empty_table())
    else:
        con.execute(f"CREATE TEMP VIEW {name} AS SELECT * FROM {source}")


def _alone(con: duckdb.DuckDBPyConnection, side: str) -> pa.Table:
    return con.sql(
        f"SELECT pair_id, prompt_id, chosen_id, rejected_id, margin, keep FROM {side} "
        "ANTI JOIN replaced USING (prompt_id) ORDER BY prompt_id, pair_id"
    ).to_arrow_table()


def _delta(con: duckdb.DuckDBPyConnection, table: str, key: str) -> Delta:
    added, removed = con.execute(
        f"""
        SELECT (SELECT count(*) FROM (SELECT {key} FROM {table}_b EXCEPT SELECT {key} FROM {table}_a)),
               (SELECT count(*) FROM (SELECT {key} FROM {table}_a EXCEPT SELECT {key} FROM {table}_b))
        """
    ).fetchall()[0]
    return Delta(added, removed)
