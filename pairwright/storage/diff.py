"""What changed from one version to another, by id: settings, rows, and for every pair that differs the cause."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from pairwright.storage import sql
from pairwright.storage.schemas import TABLES
from pairwright.storage.versions import Dataset

LAST_BITS = 1e-6  # scores are fp32 sums: a smaller difference (relative above 1) may be another order of summation
MEMORY = "1GB"  # of DuckDB; more is spilled to disk
CAUSES = {
    "prompt": "only one of the versions has the prompt",
    "relabelled": "a relabelling rule turned the pair around or gave its label another probability",
    "responses": "the prompt has other responses",
    "score": "an annotator's score of, or verdict on, a response of the prompt changed",
    "combine": "scores are combined in another way",
    "pair rule": "the pair rule takes other responses",
    "other": "nothing stored about the prompt differs: what the whole dataset measures it against changed, or the code did",
    "filter": "a filter's verdict changed",
    "split": "the prompt went to another split",
}
"""In the order in which they are looked for. The cause `filter` is followed by the filter's name."""

MACROS = f"""
CREATE TEMP MACRO differs(x, y) AS
    (x IS NULL) <> (y IS NULL) OR coalesce(abs(x - y) > {LAST_BITS} * greatest(1, abs(x), abs(y)), false);
CREATE TEMP MACRO verdict(dropped_by, reason) AS coalesce('dropped by ' || dropped_by || coalesce(': ' || reason, ''), 'kept');
CREATE TEMP MACRO label_of(p, rule) AS
    CASE WHEN p IS NULL THEN 'a hard label' ELSE format('P(chosen is better) = {{:.4g}}', p) END || coalesce(' by ' || rule, '');
CREATE TEMP MACRO told(label, score, reason) AS coalesce(label, score::VARCHAR, reason, 'nothing');
"""
ALONE = """
CREATE TEMP TABLE {name} AS
SELECT prompt_id, list(pair_id ORDER BY pair_id) AS ids, count(*) FILTER (keep) AS kept,
       list(least(chosen_id, rejected_id) || greatest(chosen_id, rejected_id) ORDER BY ALL) AS met,
       list(margin < 0 ORDER BY least(chosen_id, rejected_id) || greatest(chosen_id, rejected_id)) AS turned,
       string_agg(format('{{}} over {{}} (margin {{:.4g}}{{}})', chosen_id[:8], rejected_id[:8], margin,
                         coalesce(', dropped by ' || dropped_by, '')), '; ' ORDER BY pair_id) AS said
FROM pairs_{here} ANTI JOIN pairs_{there} USING (pair_id) GROUP BY prompt_id
"""
SHARED = """
CREATE TEMP TABLE shared AS
SELECT a.prompt_id, pair_id, a.keep::INT AS kept_before, b.keep::INT AS kept_after,
       coalesce(b.dropped_by, a.dropped_by) AS filter,
       verdict(a.dropped_by, a.reason) AS verdict_before, verdict(b.dropped_by, b.reason) AS verdict_after,
       a.relabelled_by IS DISTINCT FROM b.relabelled_by OR differs(a.p_chosen, b.p_chosen) AS relabelled,
       label_of(a.p_chosen, a.relabelled_by) AS label_before, label_of(b.p_chosen, b.relabelled_by) AS label_after,
       differs(a.margin, b.margin) AS rescored, a.margin AS margin_before, b.margin AS margin_after,
       coalesce(a.split, 'train') AS split_before, coalesce(b.split, 'train') AS split_after
FROM pairs_a a JOIN pairs_b b USING (pair_id)
WHERE a.keep <> b.keep OR (a.keep AND (relabelled OR rescored OR split_before <> split_after))
"""
CHANGED = """
CREATE TEMP TABLE changed AS
SELECT prompt_id, coalesce(g.ids, []) AS old, coalesce(c.ids, []) AS new, g.said AS before, c.said AS after,
       coalesce(g.kept, 0) AS kept_before, coalesce(c.kept, 0) AS kept_after,
       CASE WHEN g.ids IS NULL THEN 'added' WHEN c.ids IS NULL THEN 'removed' ELSE 'replaced' END AS change,
       CASE WHEN g.met = c.met AND g.turned <> c.turned THEN 'relabelled' END AS cause
FROM gone g FULL JOIN come c USING (prompt_id)
UNION ALL BY NAME
SELECT prompt_id, [pair_id] AS old, [pair_id] AS new, verdict_before AS before, verdict_after AS after, kept_before, kept_after,
       CASE WHEN kept_before THEN 'dropped' ELSE 'taken back' END AS change, 'filter ' || filter AS cause
FROM shared WHERE kept_before <> kept_after
UNION ALL BY NAME
SELECT prompt_id, [pair_id] AS old, [pair_id] AS new, label_before AS before, label_after AS after, kept_before, kept_after,
       'relabelled' AS change, 'relabelled' AS cause
FROM shared WHERE kept_before = kept_after AND relabelled
UNION ALL BY NAME
SELECT prompt_id, [pair_id] AS old, [pair_id] AS new, format('margin {:.4g}', margin_before) AS before,
       format('margin {:.4g}', margin_after) AS after, kept_before, kept_after, 'rescored' AS change
FROM shared WHERE kept_before = kept_after AND NOT relabelled AND rescored
UNION ALL BY NAME
SELECT prompt_id, [pair_id] AS old, [pair_id] AS new, split_before AS before, split_after AS after, kept_before, kept_after,
       'moved' AS change, 'split' AS cause
FROM shared WHERE kept_before = kept_after AND NOT relabelled AND NOT rescored
"""
OPEN = "CREATE TEMP TABLE open AS SELECT DISTINCT prompt_id FROM changed WHERE cause IS NULL"
ONE_SIDED = """
CREATE TEMP TABLE one_sided AS
SELECT prompt_id FROM open ANTI JOIN prompts_a USING (prompt_id)
UNION SELECT prompt_id FROM open ANTI JOIN prompts_b USING (prompt_id)
"""
OTHER_RESPONSES = """
CREATE TEMP TABLE other_responses AS
SELECT DISTINCT prompt_id
FROM (SELECT response_id, prompt_id FROM responses_a SEMI JOIN open USING (prompt_id)) a
FULL JOIN (SELECT response_id, prompt_id FROM responses_b SEMI JOIN open USING (prompt_id)) b USING (response_id, prompt_id)
WHERE a.response_id IS NULL OR b.response_id IS NULL
"""
MOVED = """
CREATE TEMP TABLE moved AS
SELECT prompt_id, min(format('{{}} said {{}} of {{}}, now {{}}', annotator, told(a.label, a.score, a.reason), subject_id[:8],
                             told(b.label, b.score, b.reason))) AS why
FROM (SELECT *, coalesce(other_id, '') AS other FROM annotations_a SEMI JOIN open USING (prompt_id) {only}) a
FULL JOIN (SELECT *, coalesce(other_id, '') AS other FROM annotations_b SEMI JOIN open USING (prompt_id) {only}) b
USING (prompt_id, annotator, subject_id, other)
WHERE differs(a.score, b.score) OR a.label IS DISTINCT FROM b.label
GROUP BY prompt_id
"""
COMBINED = """
CREATE TEMP MACRO sides_of(pairs) AS TABLE
SELECT prompt_id, chosen_id AS response_id, score_chosen AS score FROM query_table(pairs) SEMI JOIN open USING (prompt_id)
UNION SELECT prompt_id, rejected_id, score_rejected FROM query_table(pairs) SEMI JOIN open USING (prompt_id);
CREATE TEMP TABLE combined AS
SELECT DISTINCT prompt_id
FROM (FROM sides_of('pairs_a')) a JOIN (FROM sides_of('pairs_b')) b USING (prompt_id, response_id)
WHERE differs(a.score, b.score)
"""
CHANGES = """
CREATE TEMP TABLE changes AS
SELECT * REPLACE (coalesce(cause, CASE
           WHEN prompt_id IN (FROM one_sided) THEN 'prompt'
           WHEN prompt_id IN (FROM other_responses) THEN 'responses'
           WHEN why IS NOT NULL THEN 'score'
           WHEN {combine} AND (NOT {pair} OR prompt_id IN (FROM combined)) THEN 'combine'
           WHEN {pair} AND change <> 'rescored' THEN 'pair rule'
           ELSE 'other' END) AS cause)
FROM changed LEFT JOIN moved USING (prompt_id)
"""
COUNTS = """
SELECT cause, count(*), count(DISTINCT prompt_id), sum(kept_before)::BIGINT, sum(kept_after)::BIGINT
FROM changes GROUP BY cause ORDER BY count(*) DESC, cause
"""
EXAMPLES = """
SELECT cause, change, prompt_id, old, new, before, after, CASE WHEN cause = 'score' THEN why END AS why FROM changes
{limit}
ORDER BY cause, change, prompt_id, old, new
"""


@dataclass(frozen=True)
class Delta:
    """How many ids are only in the newer and only in the older version."""

    added: int
    removed: int


@dataclass(frozen=True)
class Cause:
    """How many changes have this cause, in how many prompts, and how many kept pairs of either version they are about."""

    cause: str
    changes: int
    prompts: int
    kept_before: int
    kept_after: int


@dataclass(frozen=True)
class Diff:
    """What changed from version `before` to version `after`.

    causes: the most frequent first; each change has one. changes, all of them or the first of each cause, by prompt: cause,
    change, prompt_id, old and new (pair ids), before and after (what was and what is, in words), why. A change is either a prompt
    that gained pairs (`added`), lost some (`removed`) or both (`replaced`), or one pair that both versions have: `dropped` or
    `taken back` by a filter, or kept by both and `relabelled`, `rescored`
    (its margin changed) or `moved` to another split.
    recipe: dotted path -> (before, after), None where the key is absent.
    """

    before: int
    after: int
    causes: list[Cause]
    changes: pa.Table
    prompts: Delta
    responses: Delta
    annotators: Delta
    pairs: Delta
    steps: Delta
    solutions: Delta
    recipe: dict[str, tuple[Any, Any]]


def diff(dataset: Dataset, before: int, after: int, examples: int | None = None) -> Diff:
    """Compare two versions of `dataset`. `examples`: at most so many changes of each cause, which also bounds memory; None: all.

    Raises PairwrightError if one of them, or a file of it, is not there.
    """
    recipes = [dataset.manifest(n).recipe for n in (before, after)]
    with sql.open_memory(MEMORY) as con:
        con.execute("SET preserve_insertion_order = false")
        for side, n in (("a", before), ("b", after)):
            tables = dataset.tables(n)
            for table in ("prompts", "responses", "annotations", "pairs", "steps", "stepwise"):
                source = sql.parquet(tables[table]) if table in tables else None
                _view(con, f"{table}_{side}", source, TABLES[table])
        _find_changes(con, recipes)
        return Diff(
            before,
            after,
            causes=[Cause(*row) for row in con.execute(COUNTS).fetchall()],
            changes=con.sql(EXAMPLES.format(limit=_limited(examples))).to_arrow_table(),
            prompts=_delta(con, "prompts", "prompt_id"),
            responses=_delta(con, "responses", "response_id"),
            annotators=_delta(con, "annotations", "annotator, fingerprint"),
            pairs=_delta(con, "pairs", "pair_id"),
            steps=_delta(con, "steps", "node_id"),
            solutions=_delta(con, "stepwise", "solution_id, labels"),
            recipe=recipe_changes(*recipes),
        )


def recipe_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The dotted paths at which two recipes differ, each with (before, after); None where the key is absent."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    return {path: (old.get(path), new.get(path)) for path in sorted(old.keys() | new.keys()) if old.get(path) != new.get(path)}


def meaning(cause: str) -> str:
    """What a cause says, in a sentence."""
    return CAUSES["filter" if cause.startswith("filter ") else cause]


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    found = False
    for key, inner in items:
        found = True
        yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    if not found and path:
        yield path, value


def _find_changes(con: duckdb.DuckDBPyConnection, recipes: Sequence[Mapping[str, Any]]) -> None:
    """Make the table `changes`. What is compared row by row is narrowed to the prompts whose pairs differ."""
    combine, pair = (recipes[0].get(part) != recipes[1].get(part) for part in ("combine", "pair"))
    con.execute(MACROS)
    for name, here, there in (("gone", "a", "b"), ("come", "b", "a")):
        con.execute(ALONE.format(name=name, here=here, there=there))
    for statement in (SHARED, CHANGED, OPEN, ONE_SIDED, OTHER_RESPONSES, MOVED.format(only=_only(recipes)), COMBINED):
        con.execute(statement)
    con.execute(CHANGES.format(combine=combine, pair=pair))


def _only(recipes: Sequence[Mapping[str, Any]]) -> str:
    """The annotators whose scores both versions combine; one that only one of them combines is a matter of `combine`."""
    combines = [recipe.get("combine") for recipe in recipes]
    if not all(combines):
        return ""
    names = set.intersection(*(set(combine["scores"]) for combine in combines if combine))
    return f"WHERE annotator IN ({', '.join(map(sql.literal, sorted(names))) or 'NULL'})"


def _limited(examples: int | None) -> str:
    each = "row_number() OVER (PARTITION BY cause ORDER BY kept_before = kept_after AND kept_before = 0, prompt_id, old, new)"
    return "" if examples is None else f"QUALIFY {each} <= {examples}"


def _view(con: duckdb.DuckDBPyConnection, name: str, source: str | None, schema: pa.Schema) -> None:
    """A view with at least the columns of `schema`: those that an older version lacks are null."""
    con.register(f"{name}_empty", schema.empty_table())
    more = "" if source is None else f" UNION ALL BY NAME SELECT * FROM {source}"
    con.execute(f"CREATE TEMP VIEW {name} AS SELECT * FROM {name}_empty{more}")


def _delta(con: duckdb.DuckDBPyConnection, table: str, key: str) -> Delta:
    added, removed = con.execute(
        f"""
        SELECT (SELECT count(*) FROM (SELECT {key} FROM {table}_b EXCEPT SELECT {key} FROM {table}_a)),
               (SELECT count(*) FROM (SELECT {key} FROM {table}_a EXCEPT SELECT {key} FROM {table}_b))
        """
    ).fetchall()[0]
    return Delta(added, removed)
