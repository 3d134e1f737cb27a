"""What texts are like: does being longer, or formatted, go with being chosen, and how varied are they?"""

from __future__ import annotations

from pairwright.pipelines.quality.bias import FLAG_RHO, FLAG_SHARE, Bias, bias_by, bias_of, bias_of_votes
from pairwright.pipelines.quality.diversity import Diversity, diversity_of
from pairwright.pipelines.quality.format_bias import format_bias_of
from pairwright.pipelines.reporting import plots, votes
from pairwright.pipelines.reporting.collect import Source, numbers, raters
from pairwright.pipelines.reporting.histograms import histogram
from pairwright.pipelines.reporting.page import Block, Cell, Figure, Section, Table, Words
from pairwright.pipelines.reporting.scores import POINTS, sampled

PAIRS = 50_000  # whose lengths are looked at
TEXTS = 4_000  # pairs whose texts are read
VARIED = 1_000  # texts of which it is said how varied they are
SOURCES = 20
COLUMNS = (
    "pairs",
    "how many",
    "mean",
    "median",
    "chosen has more",
    "“more wins” is right",
    "rank correlation with margin",
    "log-odds per unit",
    "flagged",
)
FLAGGED = Words(
    f"Flagged: more than {FLAG_SHARE:.0%} of pairs one way, or a rank correlation beyond {FLAG_RHO:g}; the thresholds are ours."
)
LENGTHS = """
SELECT p.pair_id, p.keep, p.margin, coalesce(q.source, '') AS source, coalesce(c.tokens, 0) AS c, coalesce(r.tokens, 0) AS r
FROM pairs p
JOIN responses c ON c.response_id = p.chosen_id AND c.prompt_id = p.prompt_id
JOIN responses r ON r.response_id = p.rejected_id AND r.prompt_id = p.prompt_id
LEFT JOIN prompts q ON q.prompt_id = p.prompt_id
WHERE {some} ORDER BY p.pair_id
"""
BOTH_TEXTS = """
SELECT p.pair_id AS id, p.margin, c.text AS c, r.text AS r
FROM (SELECT * FROM pairs WHERE keep AND {some} ORDER BY pair_id LIMIT {size}) p
JOIN responses c ON c.response_id = p.chosen_id AND c.prompt_id = p.prompt_id
JOIN responses r ON r.response_id = p.rejected_id AND r.prompt_id = p.prompt_id
ORDER BY p.pair_id
"""
ANY_TEXTS = """
SELECT response_id AS id, text FROM responses WHERE text IS NOT NULL AND {some} ORDER BY response_id LIMIT {size}
"""
PAIRS_BY_LENGTH = """
SELECT p.margin, c.tokens - r.tokens AS longer
FROM pairs p
JOIN responses c ON c.response_id = p.chosen_id AND c.prompt_id = p.prompt_id
JOIN responses r ON r.response_id = p.rejected_id AND r.prompt_id = p.prompt_id
WHERE {some} ORDER BY p.pair_id LIMIT {points}
"""
DIFFERENCES = """
SELECT c.tokens - r.tokens AS x, CASE WHEN p.keep THEN 'kept' ELSE 'dropped' END AS series
FROM pairs p
JOIN responses c ON c.response_id = p.chosen_id AND c.prompt_id = p.prompt_id
JOIN responses r ON r.response_id = p.rejected_id AND r.prompt_id = p.prompt_id
"""


def length_bias(source: Source) -> Bias | None:
    """Of the kept pairs, in tokens; None if there are none."""
    found = source.columns(LENGTHS.format(some=f"keep AND {_some_pairs(source)}"))
    return bias_of(found["c"], found["r"], found["margin"]) if found["c"] else None


def bias(source: Source) -> Section:
    """Length and format of chosen and rejected."""
    title = "Length and format"
    if not source.has("pairs", "responses"):
        return Section("bias", title, "This version holds no pairs of responses.")
    found = source.columns(LENGTHS.format(some=_some_pairs(source)))
    kept = [i for i, keep in enumerate(found["keep"]) if keep]
    sources, c, r, m = ([found[name][i] for i in kept] for name in ("source", "c", "r", "margin"))
    rows = [row("kept", bias_of(c, r, m)), row("kept and dropped", bias_of(found["c"], found["r"], found["margin"]))]
    if len(set(sources)) > 1:
        by = sorted(bias_by(sources, c, r, m).items(), key=lambda item: (-item[1].n, item[0]))
        rows += [row(f"kept, from {name or 'no source'}", b) for name, b in by[:SOURCES]]
    names = raters(source) if source.has("annotations") else []
    said = votes.of_pairs(source, names, PAIRS)
    if said.duels == found["pair_id"]:
        rows += [
            row(f"as {name} would label", bias_of_votes(said.votes[name], found["c"], found["r"], said.margins[name]))
            for name in names
        ]
    blocks: list[Block] = []
    shape = histogram(source.con, DIFFERENCES)
    if shape is not None:
        svg = plots.histogram(
            shape, {"kept": "kept", "dropped": "dropped"}, "chosen − rejected (tokens)", "pairs", "length", {"equally long": 0.0}
        )
        caption = "Look for a heap right of the dashed line: there the longer one was chosen." + shape.beyond
        blocks.append(Figure(svg, caption, f"Histogram of the difference of lengths in tokens over {shape.total:,} pairs."))
    blocks.append(_pairs_by_length(source))
    blocks.append(
        Table(
            COLUMNS,
            rows,
            f"Length in tokens: chosen − rejected, over {_sampled(len(found['c']), source.manifest.rows('pairs'))} pairs",
        )
    )
    some = source.some("pair_id", source.manifest.rows("pairs"), 20 * TEXTS)
    read = source.columns(BOTH_TEXTS.format(some=some, size=TEXTS))
    if read["id"]:
        formats = format_bias_of(read["c"], read["r"], read["margin"])
        rows = [row(kind, b) for kind, b in formats.items()]
        columns = ("markdown", *COLUMNS[1:])
        blocks.append(
            Table(columns, rows, f"Markdown of chosen − rejected, in {_sampled(len(read['id']), len(kept))} kept pairs")
        )
    blocks.append(FLAGGED)
    lead = "Does being longer, or having more headers, lists, bold or code, go with being chosen? Then this is what is taught."
    return Section("bias", title, lead, blocks)


def diversity(source: Source) -> Section:
    """How varied responses are, and the chosen and the rejected among them."""
    title = "Diversity"
    if not source.has("responses"):
        return Section("diversity", title, "This version holds no responses.")
    some = source.some("response_id", source.manifest.rows("responses"), 2 * VARIED)
    found = source.columns(ANY_TEXTS.format(some=some, size=VARIED))
    measured = [("responses", diversity_of(found["text"], found["id"]))]
    if source.has("pairs"):
        some = source.some("pair_id", source.manifest.rows("pairs"), 20 * VARIED)
        read = source.columns(BOTH_TEXTS.format(some=some, size=VARIED))
        if read["id"]:
            measured += [(name, diversity_of(read[key], read["id"])) for name, key in (("chosen", "c"), ("rejected", "r"))]
    columns = (
        "texts",
        "how many",
        "tokens",
        "distinct-1",
        "distinct-2",
        "distinct-3",
        "n-gram diversity",
        "gzip ratio",
        "self-BLEU",
        "Vendi",
        "texts compared",
    )
    caption = "Compare rows of about equal tokens only: every figure depends on how much text there is"
    table = Table(columns, [_varied(name, d) for name, d in measured], caption)
    lead = (
        "High distinct-n, n-gram diversity and Vendi (texts in effect) mean varied texts; a high gzip ratio and self-BLEU mean "
        "repetition."
    )
    return Section("diversity", title, lead, [table])


def _pairs_by_length(source: Source) -> Figure:
    total = source.manifest.rows("pairs")
    some = source.some("p.pair_id", total, 2 * POINTS)
    points = source.columns(PAIRS_BY_LENGTH.format(some=some, points=POINTS))
    x, y = numbers(points["longer"]), numbers(points["margin"])
    svg = plots.scatter(x, y, "chosen − rejected (tokens)", "margin", "pairs", zero=True)
    caption = "Look for points right of zero: there the longer one was chosen. " + sampled(len(x), total, "pairs")
    return Figure(svg, caption, f"Margins of {len(x):,} pairs against the difference of lengths in tokens.")


def _some_pairs(source: Source) -> str:
    return source.some("pair_id", source.manifest.rows("pairs"), PAIRS)


def row(name: str, b: Bias) -> tuple[Cell, ...]:
    """The cells of `COLUMNS`."""
    return (name, b.n, b.mean, b.median, b.more, b.more_wins, b.rho, b.slope, "yes" if b.flags else None)


def _varied(name: str, d: Diversity) -> tuple[Cell, ...]:
    return (
        name,
        d.texts,
        d.tokens,
        *(d.distinct.get(n) for n in (1, 2, 3)),
        d.ngram_diversity,
        d.compression,
        d.self_bleu,
        d.vendi,
        d.compared,
    )


def _sampled(n: int, total: int) -> str:
    return f"all {n:,}" if n == total else f"a sample of {n:,} of {total:,}"
