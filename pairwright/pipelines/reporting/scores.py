"""How numbers are spread: margins, scores against length, and what every filter saw."""

from __future__ import annotations

from typing import Any

from pairwright.pipelines.reporting import plots
from pairwright.pipelines.reporting.collect import Source, numbers, raters
from pairwright.pipelines.reporting.histograms import histogram
from pairwright.pipelines.reporting.page import Block, Figure, Section, Table, Words, share

POINTS = 700  # of a scatter plot
PANELS = 12  # plots of one kind
LIMITS = {"min": "at least", "max": "at most", "threshold": "threshold"}
QUARTILES = """
SELECT CASE WHEN keep THEN 'kept' ELSE 'dropped' END AS what, count(*) AS n, min(margin) AS least,
       quantile_cont(margin, [0.1, 0.25, 0.5, 0.75, 0.9]) AS q, max(margin) AS most
FROM pairs GROUP BY what ORDER BY what DESC
"""
RELABELLED = """
SELECT relabelled_by AS rule, count(*) AS n, count(*) FILTER (margin < 0) AS against, count(p_chosen) AS soft, avg(p_chosen) AS p
FROM pairs WHERE relabelled_by IS NOT NULL OR p_chosen IS NOT NULL GROUP BY rule ORDER BY rule
"""
AGAINST_LENGTH = """
SELECT a.score, r.tokens FROM annotations a JOIN responses r ON r.response_id = a.subject_id AND r.prompt_id = a.prompt_id
WHERE a.annotator = ? AND a.other_id IS NULL AND a.score IS NOT NULL AND {some}
ORDER BY a.subject_id LIMIT {points}
"""


def margins(source: Source) -> Section:
    """How far chosen and rejected lie apart."""
    if not source.has("pairs"):
        return Section("margins", "Margins", "This version holds no pairs of responses.")
    found = histogram(source.con, "SELECT margin AS x, CASE WHEN keep THEN 'kept' ELSE 'dropped' END AS series FROM pairs")
    blocks: list[Block] = []
    if found is not None:
        svg = plots.histogram(
            found, {"kept": "kept", "dropped": "dropped"}, "margin (score of chosen − score of rejected)", "pairs"
        )
        caption = "Look for a heap near zero: there the label is close to a coin's toss." + found.beyond
        blocks.append(Figure(svg, caption, f"Histogram of the margins of {found.total:,} pairs, kept and dropped."))
    quartiles = source.rows(QUARTILES)
    columns = [(r["n"], r["least"], *r["q"], r["most"]) for r in quartiles]
    names = ("pairs", "least", "10%", "25%", "median", "75%", "90%", "most")
    rows = [(name, *values) for name, *values in zip(names, *columns, strict=True)]
    blocks.append(Table(("margin", *(r["what"] for r in quartiles)), rows, beside=True))
    blocks += _relabelled(source)
    return Section(
        "margins", "Margins", "By how much the chosen response was found better, in units of the combined score.", blocks
    )


def _relabelled(source: Source) -> list[Block]:
    if not source.holds("pairs", "relabelled_by", "p_chosen"):
        return []
    rows = [(r["rule"], r["n"], r["against"], r["soft"], r["p"]) for r in source.rows(RELABELLED)]
    columns = ("last rule", "pairs", "against the score", "softened", "mean P(chosen is better)")
    return [Table(columns, rows, "Relabelled pairs")] if rows else []


def against_length(source: Source) -> Section:
    """Every annotator's scores against the length of what it scored."""
    title = "Score against length"
    names = raters(source) if source.has("annotations", "responses") else []
    blocks: list[Block] = []
    left_out = 0
    for name in names:
        if len(blocks) == PANELS:
            left_out = len(names) - PANELS
            break
        rows = "SELECT count(*) AS n FROM annotations WHERE annotator = ? AND other_id IS NULL AND score IS NOT NULL"
        total = source.row(rows, name)["n"]
        some = source.some("a.subject_id", total, 2 * POINTS)
        points = source.columns(AGAINST_LENGTH.format(some=some, points=POINTS), name)
        if len(points["score"]) < 3:
            continue
        x, y = numbers(points["tokens"]), numbers(points["score"])
        rho = rank_correlation(x, y)
        svg = plots.scatter(x, y, "length (tokens)", "score", name)
        size = sampled(len(x), total, "responses")
        said = "no rank correlation is defined" if rho is None else f"rank correlation {rho:+.2f}"
        caption = f"Look for a slope: {said}. {size}"
        blocks.append(Figure(svg, caption, f"Scores of {name} against length in tokens, {len(x):,} points, {said}."))
    if left_out:
        blocks.append(Words(f"{left_out} more annotators are not drawn."))
    if not blocks:
        return Section("length", title, "This version holds no scored responses.")
    return Section("length", title, "An annotator that gives more to what is longer teaches length.", blocks)


def filters(source: Source) -> Section:
    """What every filter saw, its limit, and what was dropped."""
    names = [name for name in source.manifest.filters if source.has("pairs")]
    if not names:
        return Section("filters", "Filters", "This version was made without filters.")
    blocks: list[Block] = []
    rows = []
    settings = {f.get("name"): f for f in source.recipe("filters") or [] if isinstance(f, dict)}
    for name in names:
        column = _quoted(f"{name}_score")
        limits = _limits(source, column, settings.get(name, {}))
        series = "CASE WHEN keep THEN 'kept' WHEN dropped_by = ? THEN 'dropped by it' ELSE 'dropped by another' END"
        counted = source.row(
            "SELECT count(*) FILTER (dropped_by = ?) AS first, count(*) AS n, count(*) FILTER (dropped_by = ? AND "
            f"{column} IS NULL) AS blind, count({column}) AS scored, median({column}) AS middle FROM pairs", name, name
        )  # fmt: skip
        rows.append(
            (
                name,
                counted["n"],
                counted["first"],
                share(counted["first"], counted["n"]),
                counted["n"] - counted["scored"],
                counted["blind"],
                counted["middle"],
            )
        )
        if len(blocks) < PANELS:
            query = f"SELECT {column} AS x, {series.replace('?', _text(name))} AS series FROM pairs"
            found = histogram(source.con, query, list(limits.values()))
            if found is None:
                blocks.append(Words(f"{name}: no pair has a score."))
                continue
            colours = {"kept": "kept", "dropped by it": "dropped", "dropped by another": "other"}
            svg = plots.histogram(found, colours, f"{name} score", "pairs", name, limits)
            missing = f" {found.missing:,} pairs have no score." if found.missing else ""
            said = "; ".join(limits) or "it has no single limit"
            caption = (
                f"Look for orange outside the dashed lines, and for how much lies near them ({said}).{missing}{found.beyond}"
            )
            blocks.append(
                Figure(svg, caption, f"Histogram of the {name} score of {found.total:,} pairs, kept and dropped; {said}.")
            )
    columns = ("filter", "pairs", "dropped by it first", "share", "without a score", "dropped for that", "median score")
    if len(names) > PANELS:
        blocks.append(Words(f"{len(names) - PANELS} more filters are not drawn."))
    blocks.append(Table(columns, rows, "Filters in their order; a pair counts for the first that turned it down"))
    return Section(
        "filters", "Filters", "Every filter scores every pair; none is deleted, and the first that objects is named.", blocks
    )


def _limits(source: Source, column: str, settings: dict[str, Any]) -> dict[str, float]:
    """In words, the limits that a filter's settings name, and where on its scores they are."""
    found: dict[str, float] = {}
    for key, words in LIMITS.items():
        if isinstance(value := settings.get(key), int | float):
            found[f"{words} {value:.4g}"] = float(value)
        if isinstance(q := settings.get(f"{key}_quantile"), int | float):
            at = source.row(f"SELECT quantile_cont({column}, {float(q)!r}) AS at FROM pairs")["at"]
            if at is not None:
                found[f"{words} {at:.4g}, the {q:g} quantile"] = float(at)
    return found


def sampled(size: int, total: int, unit: str) -> str:
    """How many of all rows a figure shows, and which, in a sentence."""
    return f"All {total:,} {unit}." if size == total else f"A sample of {size:,} of {total:,} {unit}, those with the lowest ids."


def rank_correlation(x: plots.Floats, y: plots.Floats) -> float | None:
    """Spearman's, [N] each; None if one of them does not vary."""
    if x.min() == x.max() or y.min() == y.max():
        return None
    from scipy.stats import spearmanr

    return float(spearmanr(x, y).statistic)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    from pairwright.storage import sql

    return sql.literal(value)
