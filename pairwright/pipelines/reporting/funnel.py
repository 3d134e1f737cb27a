"""Where rows fell out, stage by stage, and why."""

from __future__ import annotations

from typing import Any

from pairwright.pipelines.reporting import plots
from pairwright.pipelines.reporting.collect import Source
from pairwright.pipelines.reporting.page import Block, Cell, Figure, Section, Table, share
from pairwright.storage.manifest import StageAccount

SPARE = "not_taken"  # a response that was good enough, only the pair rule took others: no loss
EXAMPLE = """
SELECT stage, unit, reason, min(id) AS id, arg_min(detail, id) AS detail FROM dropped GROUP BY stage, unit, reason
"""
SENTENCES = """
SELECT dropped_by AS filter, regexp_replace(reason, '[-+]?[0-9]+([.,][0-9]+)*(e[-+]?[0-9]+)?', '#', 'g') AS said, count(*) AS n,
       arg_min(reason, pair_id) AS reason, min(pair_id) AS id
FROM pairs WHERE NOT keep GROUP BY ALL ORDER BY n DESC, filter, said LIMIT 40
"""


def funnel(source: Source) -> Section:
    """A bar per stage, and a row for every reason."""
    accounts = source.manifest.accounting
    blocks: list[Block] = [_figure(accounts), _reasons(source, accounts)]
    if source.has("pairs"):
        rows = source.rows(SENTENCES)
        said = [(r["filter"], r["n"], r["reason"], r["id"]) for r in rows]
        if said:
            blocks.append(
                Table(
                    ("filter", "pairs", "what it says, for example", "pair"),
                    said,
                    "Pairs turned down, by the first filter that did",
                )
            )
    lead = (
        "Each bar is one stage: how many of the rows it got went on, and how many fell out. Every row that fell out has a reason."
    )
    return Section("funnel", "Funnel", lead, blocks)


def worst(accounts: list[StageAccount]) -> str | None:
    """The stage that dropped the largest share of its rows, in a sentence."""
    lossy = [(a, lost) for a in accounts if (lost := {reason: n for reason, n in a.dropped.items() if reason != SPARE})]
    if not lossy:
        return None
    a, lost = max(lossy, key=lambda item: (sum(item[1].values()) / item[0].rows_in, item[0].rows_in))
    gone, reason = sum(lost.values()), max(sorted(lost), key=lambda r: lost[r])
    words = "for" if len(lost) == 1 else "mostly for"
    rows = f"{gone:,} of {a.rows_in:,} {a.unit}s ({share(gone, a.rows_in)})"
    return f"Most is lost at the stage “{a.stage}”: {rows}, {words} {reason}."


def _figure(accounts: list[StageAccount]) -> Figure:
    shown = [a for a in accounts if a.rows_in]
    kept = [100 * a.rows_out / a.rows_in for a in shown]
    notes = [f"{a.rows_out:,} of {a.rows_in:,} {a.unit}s" for a in shown]
    svg = plots.bars(
        [a.stage for a in shown],
        {"went on": kept, "fell out": [100 - k for k in kept]},
        {"went on": "kept", "fell out": "dropped"},
        notes,
        "share of the stage's rows (%)",
    )
    alt = "; ".join(f"{a.stage}: {note}" for a, note in zip(shown, notes, strict=True))
    return Figure(svg, "Look for the longest orange part: that stage decides how much data there is.", alt)


def _reasons(source: Source, accounts: list[StageAccount]) -> Table:
    examples: dict[tuple[str, str, str], dict[str, Any]] = {}
    if source.has("dropped"):
        examples = {(r["stage"], r["unit"], r["reason"]): r for r in source.rows(EXAMPLE)}
    rows: list[tuple[Cell, ...]] = []
    for a in accounts:
        for reason, n in sorted(a.dropped.items(), key=lambda item: (-item[1], item[0])):
            found = examples.get((a.stage, a.unit, reason), {})
            example = " ".join(str(found[key]) for key in ("id", "detail") if found.get(key))
            rows.append((n, share(n, a.rows_in), a.stage, reason, example[:200] or None))
    if not rows:
        return Table(("stage", "dropped for"), [("all", "nothing fell out")], beside=True)
    return Table(("rows", "share", "stage", "dropped for", "for example"), rows, beside=True)
