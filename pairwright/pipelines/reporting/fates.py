"""What became of every kept pair from one version to another: kept, lost, gained or turned around, and why.

Pairs meet by pair_id, prompts by prompt_id. Ids are content hashes, so versions of different datasets meet where their content is
the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pairwright.pipelines.reporting.collect import MEMORY, Source

if TYPE_CHECKING:
    import duckdb

    from pairwright.storage.versions import Dataset

FATE_ORDER = ("kept in both", "turned around", "lost", "gained")
SIDES = """
CREATE VIEW {name} AS
SELECT pair_id, prompt_id, chosen_id, rejected_id, margin, keep, dropped_by, reason, p_chosen FROM {pairs}
"""
FATES = """
CREATE TEMP TABLE fates AS
SELECT coalesce(a.prompt_id, b.prompt_id) AS prompt_id, a.pair_id AS old, b.pair_id AS new,
       coalesce(a.keep, false) AS kept_a, coalesce(b.keep, false) AS kept_b,
       a.keep AND b.keep AND a.p_chosen IS DISTINCT FROM b.p_chosen AS softened, a.dropped_by AS dropped_a,
       b.dropped_by AS dropped_b, a.reason AS said_a, b.reason AS said_b
FROM a FULL JOIN b USING (pair_id)
WHERE a.keep OR b.keep
"""
TURNED = """
CREATE TEMP TABLE turned AS
SELECT a.pair_id AS old, b.pair_id AS new
FROM a JOIN b ON a.prompt_id = b.prompt_id AND a.chosen_id = b.rejected_id AND a.rejected_id = b.chosen_id
WHERE a.keep AND b.keep
"""
BY_PROMPT = """
CREATE TEMP TABLE prompts_of_{side} AS
SELECT prompt_id, p.kept, p.dropped_by, d.reason
FROM (SELECT DISTINCT prompt_id FROM prompts_{side})
LEFT JOIN (SELECT prompt_id, bool_or(keep) AS kept, min(dropped_by) AS dropped_by FROM {side} GROUP BY prompt_id) p
    USING (prompt_id)
LEFT JOIN (SELECT id AS prompt_id, min(reason) AS reason FROM dropped_{side} WHERE unit = 'group' GROUP BY id) d
    USING (prompt_id)
"""
CAUSES = """
SELECT fate, why, count(*) AS n, min(id) AS id, arg_min(said, id) AS said
FROM (
    SELECT CASE WHEN f.kept_a AND f.kept_b THEN 'kept in both' WHEN f.turned THEN 'turned around'
                WHEN f.kept_a THEN 'lost' ELSE 'gained' END AS fate,
           CASE WHEN f.softened THEN 'its label is softened in another way'
                WHEN f.kept_a AND f.kept_b THEN '' WHEN f.turned THEN 'chosen and rejected changed places'
                WHEN f.old IS NOT NULL AND f.new IS NOT NULL THEN 'dropped by ' || coalesce(f.dropped_a, f.dropped_b)
                WHEN o.prompt_id IS NULL THEN 'the prompt is not there'
                WHEN o.kept THEN 'another pair of the prompt is kept'
                WHEN o.dropped_by IS NOT NULL THEN 'the prompt has another pair, dropped by ' || o.dropped_by
                ELSE 'the prompt gives no pair' || coalesce(': ' || o.reason, '') END AS why,
           coalesce(f.old, f.new) AS id, CASE WHEN f.kept_a THEN f.said_b ELSE f.said_a END AS said
    FROM (SELECT *, old IN (SELECT old FROM turned) OR new IN (SELECT new FROM turned) AS turned FROM fates WHERE {which}) f
    LEFT JOIN prompts_of_{other} o USING (prompt_id)
) GROUP BY fate, why ORDER BY n DESC, fate, why
"""
CHANGED = """
SELECT prompt_id, min(old) FILTER (kept_a) AS old, min(new) FILTER (kept_b) AS new
FROM fates WHERE kept_a <> kept_b GROUP BY prompt_id
ORDER BY (count(*) FILTER (kept_a) > 0 AND count(*) FILTER (kept_b) > 0) DESC, prompt_id LIMIT {limit}
"""


@dataclass(frozen=True)
class Fate:
    """`n` kept pairs of one version or both that met the same fate, and one of them. said: a filter's sentence."""

    fate: str
    why: str
    n: int
    pair_id: str
    said: str | None


@contextmanager
def both(a: tuple[Dataset, Source], b: tuple[Dataset, Source]) -> Iterator[duckdb.DuckDBPyConnection]:
    """Both versions in one place: their pairs as the views `a` and `b`, and what `fates_of` and `changed_prompts` read."""
    from pairwright.storage import sql
    from pairwright.storage.schemas import DROPPED, PAIRS, PROMPTS

    with sql.open_memory(MEMORY) as con:
        con.execute("SET preserve_insertion_order = false")
        for side, dataset, source in (("a", *a), ("b", *b)):
            tables = dataset.tables(source.manifest.version)
            for table, schema in (("pairs", PAIRS), ("prompts", PROMPTS), ("dropped", DROPPED)):
                con.register(f"no_{table}_{side}", schema.empty_table())  # older versions lack columns, others whole tables
                stored = f" UNION ALL BY NAME SELECT * FROM {sql.parquet(tables[table])}" if table in tables else ""
                con.execute(f"CREATE VIEW {table}_{side} AS SELECT * FROM no_{table}_{side}{stored}")
            con.execute(SIDES.format(name=side, pairs=f"pairs_{side}"))
            con.execute(BY_PROMPT.format(side=side))
        con.execute(FATES)
        con.execute(TURNED)
        yield con


def fates_of(con: duckdb.DuckDBPyConnection) -> list[Fate]:
    """The fates of all pairs that a version keeps, by what `both` opened."""
    found = []
    for which, other in (("kept_a", "b"), ("NOT kept_a", "a")):
        rows = con.execute(CAUSES.format(which=which, other=other)).fetchall()
        found += [Fate(fate, f"in {other.upper()}: {why}" if why else "", n, id_, said) for fate, why, n, id_, said in rows]
    return sorted(found, key=lambda f: (FATE_ORDER.index(f.fate), -f.n, f.why))


def changed_prompts(con: duckdb.DuckDBPyConnection, most: int) -> list[tuple[str, str | None, str | None]]:
    """Prompts of which another pair is kept: prompt_id, a pair of A, a pair of B; those with both first, then by id."""
    return con.execute(CHANGED.format(limit=most)).fetchall()
