"""What changed from one version to another, of one dataset or of two, as a page and as rows for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pairwright.errors import PairwrightError
from pairwright.pipelines.reporting import plots, texts
from pairwright.pipelines.reporting.collect import Source, opened
from pairwright.pipelines.reporting.examples import as_examples
from pairwright.pipelines.reporting.fates import Fate, both, changed_prompts, fates_of
from pairwright.pipelines.reporting.histograms import histogram
from pairwright.pipelines.reporting.page import Block, Cell, Example, Figure, Number, Page, Pane, Section, Table, Words, share
from pairwright.pipelines.reporting.provenance import hidden, tokens
from pairwright.storage.diff import Cause, diff, meaning, recipe_changes

if TYPE_CHECKING:
    import duckdb

    from pairwright.storage.versions import Dataset

EXAMPLES = 5
LONGEST = 200  # characters of a setting
TABLES = ("prompts", "responses", "annotations", "pairs", "preference", "unpaired", "steps", "stepwise", "step_preference")


@dataclass(frozen=True)
class Comparison:
    """Versions A and B. settings: dotted path -> (in A, in B), None where the key is absent; rows: table -> (in A, in B)."""

    names: tuple[str, str]
    settings: dict[str, tuple[Any, Any]]
    rows: dict[str, tuple[int, int]]
    fates: Sequence[Fate]

    def count(self, fate: str) -> int:
        """How many kept pairs met this fate; a pair that was turned around counts once, though it has an id in each version."""
        n = sum(f.n for f in self.fates if f.fate == fate)
        return n // 2 if fate == "turned around" else n


def compare(before: tuple[Dataset, int | None], after: tuple[Dataset, int | None]) -> tuple[Comparison, Page]:
    """Compare A with B, each a dataset and a version (None: the latest). Raises PairwrightError if one is not there."""
    with ExitStack() as stack:
        a, b = (stack.enter_context(opened(*side)) for side in (before, after))
        if not any(side.has(table) for side in (a, b) for table in ("pairs", "stepwise", "step_preference")):
            raise PairwrightError(f"neither {a.name} nor {b.name} holds pairs or step labels: there is nothing to compare")
        con = stack.enter_context(both((before[0], a), (after[0], b)))
        names = (a.name, b.name) if a.name != b.name else (f"{a.name} (A)", f"{b.name} (B)")
        settings = recipe_changes(hidden(a.manifest.recipe), hidden(b.manifest.recipe))
        rows = {t: (a.manifest.rows(t), b.manifest.rows(t)) for t in TABLES if a.manifest.rows(t) or b.manifest.rows(t)}
        found = Comparison(names, settings, rows, fates_of(con))
        causes = diff(before[0], a.manifest.version, b.manifest.version, examples=1).causes if _same(before[0], after[0]) else []
        sections = [
            _settings(found),
            _rows(found, a, b),
            _pairs(found, causes),
            _margins(con, names),
            _bias(a, b, names),
            _examples(con, a, b, names),
        ]
        subtitle = f"A: {names[0]}, made {a.manifest.created}. B: {names[1]}, made {b.manifest.created}."
        return found, Page(f"{names[0]} and {names[1]}", subtitle, _numbers(found), _remarks(found), sections)


def _same(one: Dataset, other: Dataset) -> bool:
    return one.folder.resolve() == other.folder.resolve()


def _settings(found: Comparison) -> Section:
    rows = [(path, _said(a), _said(b)) for path, (a, b) in found.settings.items()]
    lead = "What the two recipes say differently; everything else is equal." if rows else "Both recipes say the same."
    return Section("settings", "Settings", lead, [Table(("setting", *found.names), rows)] if rows else [])


def _rows(found: Comparison, a: Source, b: Source) -> Section:
    rows: list[tuple[Cell, ...]] = [(table, n, m, m - n) for table, (n, m) in found.rows.items()]
    spent = [tokens(side)[0] for side in (a, b)]
    rows.append(("tokens behind them", *(int(t) for t in spent), int(spent[1] - spent[0])))
    return Section("rows", "Rows", "How many rows each table holds.", [Table(("table", *found.names, "more in B"), rows)])


def _pairs(found: Comparison, causes: Sequence[Cause]) -> Section:
    if "pairs" not in found.rows:
        return Section("pairs", "Pairs", "Neither version holds pairs of responses.")
    rows = [(f.fate, f.why or None, f.n, f.pair_id, f.said) for f in found.fates]
    table = Table(("fate", "why", "pairs", "for example", "what the filter says"), rows)
    lead = "Every pair that at least one version keeps, and what became of it from A to B."
    blocks: list[Block] = [table]
    if found.count("turned around"):
        blocks.append(Words("A pair that was turned around has an id in each version, and is counted here under both."))
    if causes:
        told = [(c.cause, c.changes, c.prompts, c.kept_before, c.kept_after, meaning(c.cause)) for c in causes]
        columns = ("cause", "changes", "prompts", "kept pairs of A", "of B", "meaning")
        blocks.append(Table(columns, told, "What differs between the versions where pairs do; each change has one cause"))
    return Section("pairs", "Pairs", lead, blocks)


def _margins(con: duckdb.DuckDBPyConnection, names: tuple[str, str]) -> Section:
    query = "SELECT margin AS x, 'A' AS series FROM a WHERE keep UNION ALL SELECT margin, 'B' FROM b WHERE keep"
    shape = histogram(con, query)
    if shape is None:
        return Section("margins", "Margins", "Neither version keeps a pair.")
    colours = {"A": "before", "B": "after"}
    svg = plots.histogram(shape, colours, "margin (score of chosen − score of rejected)", "kept pairs (%)", overlaid=True)
    caption = f"Look for where B lies above A. A (dashed) is {names[0]}, B is {names[1]}.{shape.beyond}"
    rows = [(f"{q:.0%}", *_quantiles(con, q)) for q in (0.1, 0.25, 0.5, 0.75, 0.9)]
    blocks: list[Block] = [
        Figure(svg, caption, "Histograms of the margins of kept pairs, A and B."),
        Table(("quantile", "A", "B"), rows, beside=True),
    ]
    return Section(
        "margins",
        "Margins",
        "Margins of kept pairs, in per cent of each version's own. Combined in another way, scores have another unit.",
        blocks,
    )


def _quantiles(con: duckdb.DuckDBPyConnection, q: float) -> list[float | None]:
    return [con.execute(f"SELECT quantile_cont(margin, {q}) FROM {side} WHERE keep").fetchall()[0][0] for side in ("a", "b")]


def _bias(a: Source, b: Source, names: tuple[str, str]) -> Section:
    rows = []
    for name, side in zip(names, (a, b), strict=True):
        found = texts.length_bias(side) if side.has("pairs", "responses") else None
        if found is not None:
            rows.append(texts.row(name, found))
    if not rows:
        return Section("bias", "Length", "Neither version keeps a pair.")
    lead = "Does being longer go with being chosen, in kept pairs? Chosen − rejected, in tokens."
    return Section("bias", "Length", lead, [Table(("version", *texts.COLUMNS[1:]), rows), texts.FLAGGED])


def _examples(con: duckdb.DuckDBPyConnection, a: Source, b: Source, names: tuple[str, str]) -> Section:
    changed = changed_prompts(con, EXAMPLES)
    made = [_prompt(prompt_id, ((a, old, "A"), (b, new, "B"))) for prompt_id, old, new in changed]
    if not made:
        return Section("examples", "Prompts whose pair changed", "No prompt has another pair.")
    lead = (
        f"{len(made)} prompts, those with a pair in both first, then those with the lowest ids. A is {names[0]}, B is {names[1]}."
    )
    return Section("examples", "Prompts whose pair changed", lead, made)


def _prompt(prompt_id: str, sides: Sequence[tuple[Source, str | None, str]]) -> Example:
    """A prompt with its pair in either version."""
    question: Sequence[Pane] = ()
    answers: list[Pane] = []
    facts = [f"prompt {prompt_id}"]
    for source, pair, letter in sides:
        if pair is None or not source.has("responses", "prompts"):
            facts.append(f"{letter} keeps no pair" if pair is None else f"{letter} holds no texts")
            continue
        [found] = as_examples(source, [("", source.row("SELECT * FROM pairs WHERE pair_id = ?", pair))])
        question = question or found.asked
        answers += [replace(pane, title=f"{letter}: {pane.title}") for pane in found.answers]
    return Example("Another pair", question, answers, facts)


def _numbers(found: Comparison) -> list[Number]:
    if "pairs" not in found.rows:
        shown = [t for t in ("stepwise", "step_preference", "steps", "prompts") if t in found.rows]
        return [Number(f"{found.rows[t][1]:,}", f"{t.replace('_', ' ')} in B", f"{found.rows[t][0]:,} in A") for t in shown]
    both = found.count("kept in both")
    of_a = both + found.count("turned around") + found.count("lost")
    return [
        Number(f"{both:,}", "kept in both", f"{share(both, of_a)} of A's {of_a:,}"),
        Number(f"{found.count('lost'):,}", "lost", "kept in A only"),
        Number(f"{found.count('gained'):,}", "gained", "kept in B only"),
        Number(f"{found.count('turned around'):,}", "turned around", "chosen is now rejected"),
        Number(f"{len(found.settings):,}", "settings differ"),
    ]


def _remarks(found: Comparison) -> list[str]:
    main = [max((f for f in found.fates if f.fate == fate), key=lambda f: f.n, default=None) for fate in ("lost", "gained")]
    return [f"Most pairs that are {f.fate}: {f.why} ({f.n:,} of {found.count(f.fate):,})." for f in main if f is not None]


def _said(value: Any) -> str | None:
    if value is None:
        return None
    text = str(value)
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"
