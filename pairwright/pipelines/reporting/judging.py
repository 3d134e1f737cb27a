"""What annotators are worth: how far they agree, what the order of two responses does to them, whether to believe them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pairwright.errors import PairwrightError
from pairwright.pipelines.mistakes import near
from pairwright.pipelines.quality.agreement import agreement_of
from pairwright.pipelines.quality.calibration import Calibration, calibration_of, probabilities_of
from pairwright.pipelines.quality.measures import wilson
from pairwright.pipelines.quality.order_bias import OrderBias, order_bias_of
from pairwright.pipelines.reporting import plots, votes
from pairwright.pipelines.reporting.collect import Source, numbers, people, raters
from pairwright.pipelines.reporting.page import Block, Cell, Figure, Section, Table, Words

HEAT = 16  # annotators of a heatmap
PANELS = 12
BOTH_ORDERS = """
SELECT list_extract(list_filter(parts, lambda x: x.name = 'p_ab'), 1).value AS ab,
       list_extract(list_filter(parts, lambda x: x.name = 'p_ba'), 1).value AS ba
FROM annotations WHERE annotator = ? AND other_id IS NOT NULL AND {some}
"""


def agreement(source: Source) -> Section:
    """How often two annotators find the same response of a pair better."""
    title = "Agreement between annotators"
    if not source.has("pairs", "annotations"):
        return Section("agreement", title, "This version holds no pairs that annotators voted on.")
    names = raters(source)[:HEAT]
    if len(names) < 2:
        only = f"Only {names[0]} says which response is better" if names else "No annotator says which response is better"
        return Section("agreement", title, f"{only}: it takes two to agree.")
    said = votes.of_pairs(source, names)
    found = agreement_of(said.votes)
    rows: list[tuple[Cell, ...]] = []
    for one in names:
        chosen = [v for v in said.votes[one] if v is not None]
        rows.append((one, len(chosen), float(np.mean(chosen)) if chosen else None))
    pairs = [
        (names[j], names[i], found.n[i][j], found.share[i][j], found.kappa[i][j], found.why.get((names[i], names[j])))
        for i in range(len(names))
        for j in range(i)
    ]
    low = min([s for row in found.share for s in row if s is not None] + [0.5])
    svg = plots.heatmap(names, found.share, low=low)
    alt = "; ".join(f"{a} and {b}: {'no common pair' if s is None else format(s, '.2f')}" for a, b, _, s, _, _ in pairs[:20])
    common = f"Share of equal votes over the pairs both vote on, of {len(said.duels):,}."
    caption = f"Look for a pale row: that annotator goes its own way. {common}"
    blocks: list[Block] = [
        Figure(svg, caption, alt),
        Table(
            ("annotator", "votes", "finds the chosen one better"),
            rows,
            "Each annotator and the label; a tie counts one half",
            beside=True,
        ),
        Table(("annotator", "and", "pairs", "equal votes", "Cohen's kappa", "why not"), pairs, "Two by two"),
    ]
    lead = "Annotators that agree beyond chance see the same thing; one that does not sees something else, or nothing."
    return Section("agreement", title, lead, blocks)


def order_bias(source: Source) -> Section:
    """What the place in which a response is shown does to a judge."""
    title = "Order bias"
    if not source.has("annotations"):
        return Section("order", title, "This version holds no annotations.")
    rows: list[tuple[Cell, ...]] = []
    biases: list[tuple[str, OrderBias]] = []
    query = "SELECT annotator, count(*) AS n FROM annotations WHERE other_id IS NOT NULL GROUP BY annotator ORDER BY annotator"
    for row in source.rows(query):
        some = source.some("prompt_id", row["n"], votes.DUELS)
        both = source.columns(BOTH_ORDERS.format(some=some), row["annotator"])
        bias = order_bias_of(both["ab"], both["ba"])
        why = next(iter(bias.why.values()), None)
        rows.append((row["annotator"], row["n"], bias.both, bias.swap_consistency, bias.first_position, bias.position_bias, why))
        if bias.shown:
            biases.append((row["annotator"], bias))
    if not rows:
        return Section("order", title, "No annotator compared two responses, so there is no order that could matter.")
    columns = ("annotator", "comparisons", "both ways", "same winner", "first wins", "P(first) − ½", "why not")
    blocks: list[Block] = []
    if biases:
        names = [name for name, _ in biases]
        first = [100 * (b.first_position or 0) for _, b in biases]
        svg = plots.bars(
            names,
            {"shown first wins": first, "shown second wins": [100 - f for f in first]},
            {"shown first wins": "plain", "shown second wins": "other"},
            [f"{f:.1f}%" for f in first],
            "share of answers (%), a tie one half each",
        )
        alt = "; ".join(f"{name}: the one shown first wins {f:.1f}%" for name, f in zip(names, first, strict=True))
        blocks.append(Figure(svg, "Look for bars that do not end in the middle: there the place decides, not the response.", alt))
    blocks.append(Table(columns, rows, beside=bool(biases)))
    lead = "Judges are asked in both orders, so that a liking for one place cancels; its size still tells how far to trust them."
    return Section("order", title, lead, blocks)


@dataclass(frozen=True)
class Measured:
    """One annotator against those who know. how: where its probabilities come from."""

    name: str
    n: int
    right: float
    calibration: Calibration | None
    how: str


def calibration(source: Source, against: str | None) -> Section:
    """Annotators against labels of people, or of the annotator named `against`. Raises PairwrightError if there is none."""
    title = "Calibration"
    names, known = (raters(source), people(source)) if source.has("annotations") else ([], [])
    if against is not None and against not in names:
        raise PairwrightError(
            f"there are no labels of {against!r} in {source.name} to measure against; it holds those of "
            f"{', '.join(names) or 'nobody'}{near(against, names)}"
        )
    reference = against or (known[0] if known else None)
    if reference is None:
        return Section(
            "calibration",
            title,
            "There are no labels from people, and no annotator was named with --against to stand in for them.",
        )
    others = [name for name in names if name != reference]
    if not others:
        return Section("calibration", title, f"Besides {reference} there is no annotator to be measured.")
    said = votes.against(source, names, reference)
    gold = numbers(said.votes[reference])
    found = [_measured(name, said, gold) for name in others]
    rows = [_row(m) for m in found]
    blocks: list[Block] = [
        Figure(
            plots.reliability(m.calibration.bins, m.name),
            f"Look for points below the dashed line: there {m.name} is surer than it is right. {m.n:,} pairs; probabilities: "
            f"{m.how}.",
            "; ".join(f"confidence {b.confidence:.2f}: {b.accuracy:.2f} right, {b.n} pairs" for b in m.calibration.bins),
        )
        for m in found[:PANELS]
        if m.calibration is not None and m.calibration.bins
    ]
    columns = ("annotator", "pairs", "agrees", "95 % interval", "ECE", "adaptive ECE", "Brier", "AUROC", "AURC", "probabilities")
    blocks.append(Table(columns, rows, f"Against {reference}, where it prefers one of two; a tie of the annotator is half right"))
    if reference not in known:
        blocks.append(Words(f"{reference} is not a person: these figures say how far others follow it, not how right they are."))
    return Section(
        "calibration",
        title,
        f"How often annotators find what {reference} finds, and whether they are as right as they are sure.",
        blocks,
    )


def _measured(name: str, said: votes.Votes, gold: plots.Floats) -> Measured:
    vote, p, margin = (numbers(column[name]) for column in (said.votes, said.p, said.margins))
    at = (gold != 0.5) & ~np.isnan(gold) & ~np.isnan(vote)
    right = float((1 - np.abs(vote[at] - gold[at])).sum())
    n = int(at.sum())
    told = at & ~np.isnan(p)
    if told.sum():
        return Measured(name, n, right, calibration_of(p[told], gold[told]), "its own")
    scored = at & ~np.isnan(margin)
    ids = [said.duels[i] for i in np.flatnonzero(scored)]
    fitted = probabilities_of(margin[scored], gold[scored], ids)[0] if scored.any() else None
    if fitted is None:
        return Measured(name, n, right, None, "none: its scores tell too little here")
    return Measured(
        name,
        n,
        right,
        calibration_of(fitted, gold[scored]),
        "from its score differences, at a temperature fitted on the other half",
    )


def _row(m: Measured) -> tuple[Cell, ...]:
    if not m.n:
        return (m.name, 0, *[None] * 7, "no common pair")
    low, high = wilson(m.right, m.n)
    c = m.calibration
    figures = (None,) * 5 if c is None else (c.ece, c.ece_adaptive, c.brier, c.auroc, c.aurc)
    return (m.name, m.n, m.right / m.n, f"{low:.2f} to {high:.2f}", *figures, m.how)
