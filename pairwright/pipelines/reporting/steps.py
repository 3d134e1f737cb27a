"""Step labels: how many steps are right, where the first error stands, what values say, and solutions to read."""

from __future__ import annotations

from pairwright.pipelines.reporting import plots
from pairwright.pipelines.reporting.collect import Source
from pairwright.pipelines.reporting.examples import PROMPTS, asked
from pairwright.pipelines.reporting.histograms import histogram
from pairwright.pipelines.reporting.page import Block, Example, Figure, Pane, Section, Table, share

PLACES = 30  # steps whose labels are drawn
STEPS_SHOWN = 14  # of a solution to read
BY_PLACE = """
SELECT least(place, {last}) AS x, CASE WHEN label THEN 'right' ELSE 'wrong' END AS series
FROM (SELECT unnest(labels) AS label, generate_subscripts(labels, 1) AS place FROM stepwise)
"""
FIRST_ERRORS = """
SELECT CASE WHEN first_error IS NOT NULL THEN least(first_error + 1, {last}) END AS x, 'solutions' AS series FROM stepwise
"""
VALUES = """
SELECT score AS x, CASE WHEN label THEN 'right' ELSE 'wrong' END AS series
FROM (SELECT unnest(scores) AS score, unnest(labels) AS label FROM stepwise)
"""
FIGURES = """
SELECT count(*) AS solutions, count(first_error) AS wrong, sum(len(labels)) AS steps,
       sum(len(list_filter(labels, lambda x: x))) AS good, sum(len(tail)) AS tail, count(DISTINCT prompt_id) AS prompts,
       count(*) FILTER (verdict = 'right') AS answers_right,
       count(*) FILTER (verdict = 'right' AND first_error IS NOT NULL) AS lucky
FROM stepwise
"""


def labels(source: Source) -> Section | None:
    """The table `stepwise`; None if the version is not about steps."""
    if not source.has("stepwise"):
        return None
    f = source.row(FIGURES)
    blocks: list[Block] = []
    places = histogram(source.con, BY_PLACE.format(last=PLACES))
    if places is not None:
        svg = plots.histogram(
            places, {"right": "kept", "wrong": "dropped"}, "step (1 is the first)", "labelled steps", "labels by place"
        )
        last = f" Steps from {PLACES} on share the last bar." if places.edges[-1] > PLACES else ""
        caption = "Look for where orange begins: later steps are rarer and more often wrong." + last
        blocks.append(Figure(svg, caption, f"{f['good']:,} of {f['steps']:,} labelled steps are right, by their place."))
    first = histogram(
        source.con,
        FIRST_ERRORS.format(last=PLACES),
    )
    if first is not None:
        svg = plots.histogram(
            first, {"solutions": "dropped"}, "step of the first error (1 is the first)", "solutions", "first errors"
        )
        caption = (
            f"Look for a heap at the first step: then questions, not steps, are hard. {first.missing:,} solutions have no error."
        )
        blocks.append(Figure(svg, caption, f"Histogram of the place of the first error in {first.total:,} solutions."))
    values = histogram(source.con, VALUES)
    if values is not None:
        svg = plots.histogram(values, {"right": "kept", "wrong": "dropped"}, "score of a step", "labelled steps", "values")
        missing = f" {values.missing:,} steps have no score." if values.missing else ""
        caption = f"Look for how many steps lie between the ends: those labels are unsure.{missing}{values.beyond}"
        blocks.append(Figure(svg, caption, f"Histogram of the scores of {values.total:,} steps, right and wrong."))
    rows = [
        ("labelled solutions", f["solutions"], None),
        ("of them without an error", f["solutions"] - f["wrong"], share(f["solutions"] - f["wrong"], f["solutions"])),
        ("right answer in spite of a wrong step", f["lucky"], share(f["lucky"], f["answers_right"]) + " of right answers"),
        ("labelled steps", f["steps"], None),
        ("of them right", f["good"], share(f["good"], f["steps"])),
        ("steps after the first error, without a label", f["tail"], None),
        ("questions", f["prompts"], None),
    ]
    blocks += [Table(("what", "how many", "share"), rows, beside=True), *_solutions(source)]
    lead = "Each step is right or wrong by what solutions that go on from it come to; steps after the first error carry no label."
    return Section("steps", "Step labels", lead, blocks)


def pairs(source: Source) -> Section | None:
    """The table `step_preference`; None if the version has none."""
    if not source.has("step_preference"):
        return None
    blocks: list[Block] = []
    found = histogram(source.con, "SELECT margin AS x, 'step pairs' AS series FROM step_preference")
    if found is not None:
        svg = plots.histogram(
            found, {"step pairs": "kept"}, "margin (value of chosen − value of rejected)", "step pairs", "margins"
        )
        blocks.append(
            Figure(
                svg,
                "Look for small margins: few rollouts tell such steps apart." + found.beyond,
                f"Margins of {found.total:,} step pairs.",
            )
        )
    depths = histogram(source.con, f"SELECT least(depth, {PLACES}) AS x, 'step pairs' AS series FROM step_preference")
    if depths is not None:
        svg = plots.histogram(depths, {"step pairs": "kept"}, "steps before the pair", "step pairs", "depths")
        blocks.append(
            Figure(svg, "Look for whether all pairs stand at the beginning.", f"Depths of {depths.total:,} step pairs.")
        )
    for row in source.rows("SELECT * FROM step_preference ORDER BY pair_id LIMIT 3"):
        turns = [Pane("prompt", turn["role"], turn["content"]) for turn in row["messages"][-2:]]
        before = [Pane("prompt", "so far", row["prefix"])] if row["prefix"] else []
        sides = [
            Pane(side, side, row[side], f"value {row[f'score_{side}']:.3g} from {row[f'n_{side}']} rollouts")
            for side in ("chosen", "rejected")
        ]
        blocks.append(Example("Step pair", [*turns, *before], sides, [f"margin {row['margin']:.4g}", f"pair {row['pair_id']}"]))
    lead = "Two next steps after the same beginning, of which one led to right answers more often."
    return Section("step-pairs", "Step pairs", lead, blocks)


def _solutions(source: Source) -> list[Example]:
    """Two solutions with an error and one without, those with the lowest ids."""
    rows = source.rows("SELECT * FROM stepwise WHERE first_error IS NOT NULL ORDER BY solution_id LIMIT 2")
    rows += source.rows("SELECT * FROM stepwise WHERE first_error IS NULL ORDER BY solution_id LIMIT 1")
    prompts = (
        {r["prompt_id"]: r for r in source.rows(PROMPTS, [row["prompt_id"] for row in rows])} if source.has("prompts") else {}
    )
    made = []
    for row in rows:
        panes = [
            Pane(
                "good" if label else "bad",
                f"step {i + 1}, {'right' if label else 'wrong'}",
                text,
                "" if score is None else f"score {score:.3g}, {n} rollouts" if n else f"score {score:.3g}, implied",
            )
            for i, (text, label, score, n) in enumerate(
                zip(row["completions"], row["labels"], row["scores"], row["n"], strict=True)
            )
        ]
        panes += [Pane("tail", f"step {len(panes) + i + 1}, no label", text) for i, text in enumerate(row["tail"] or [])]
        left = len(panes) - STEPS_SHOWN
        if left > 0:
            panes = [*panes[:STEPS_SHOWN], Pane("tail", "more", f"{left} more steps are only in the dataset")]
        title = "Solution without an error" if row["first_error"] is None else f"First error at step {row['first_error'] + 1}"
        facts = [f"answer {row['answer']}: {row['verdict']}", f"solution {row['solution_id']}"]
        made.append(Example(title, asked(prompts.get(row["prompt_id"], {})), panes, facts, stacked=True))
    return made
