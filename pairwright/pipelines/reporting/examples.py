"""Pairs to read side by side. Which ones is decided by margins and ids alone, so a report shows the same ones every time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pairwright.pipelines.reporting.collect import Source, raters
from pairwright.pipelines.reporting.page import Example, Pane, Section, cell

MOST = 20  # examples
EACH = 2  # of a kind
PICKS = "SELECT * FROM pairs WHERE {which} ORDER BY {order} pair_id LIMIT {limit}"
RESPONSES = "SELECT response_id, text, tokens, finish_reason FROM responses WHERE response_id IN (SELECT unnest(?::VARCHAR[]))"
PROMPTS = "SELECT prompt_id, messages, reference FROM prompts WHERE prompt_id IN (SELECT unnest(?::VARCHAR[]))"
SCORES = """
SELECT subject_id, annotator, score FROM annotations
WHERE other_id IS NULL AND score IS NOT NULL AND annotator IN (SELECT unnest(?::VARCHAR[]))
  AND subject_id IN (SELECT unnest(?::VARCHAR[]))
ORDER BY annotator
"""
Row = Mapping[str, Any]


def examples(source: Source) -> Section:
    """The largest and the smallest margins, and pairs that each filter turned down."""
    title = "Examples"
    if not source.has("pairs", "responses", "prompts"):
        return Section("examples", title, "This version holds no pairs of responses.")
    picked: list[tuple[str, Row]] = []
    for words, which, order in _kinds(source):
        rows = source.rows(PICKS.format(which=which, order=order, limit=EACH))
        picked += [(words, row) for row in rows if row["pair_id"] not in {p["pair_id"] for _, p in picked}]
    shown = as_examples(source, picked[:MOST])
    lead = "The kept pairs with the largest and the smallest margins, and of every filter the dropped pairs with the lowest ids."
    return Section("examples", title, lead, shown)


def _kinds(source: Source) -> list[tuple[str, str, str]]:
    from pairwright.storage import sql

    return [
        ("Largest margin", "keep", "margin DESC,"),
        ("Smallest margin", "keep", "margin,"),
        *((f"Dropped by {name}", f"dropped_by = {sql.literal(name)}", "") for name in source.manifest.filters),
    ]


def as_examples(source: Source, picked: Sequence[tuple[str, Row]]) -> list[Example]:
    """Rows of `pairs`, each with its title, with their texts."""
    responses = [row[side] for _, row in picked for side in ("chosen_id", "rejected_id")]
    texts = {r["response_id"]: r for r in source.rows(RESPONSES, responses)}
    prompts = {r["prompt_id"]: r for r in source.rows(PROMPTS, [row["prompt_id"] for _, row in picked])}
    scores: dict[str, list[str]] = {}
    if source.has("annotations"):
        for r in source.rows(SCORES, raters(source), responses):
            scores.setdefault(r["subject_id"], []).append(f"{r['annotator']} {cell(r['score'])}")
    return [
        Example(
            f"{title}: {row['margin']:.4g}" if title.endswith("margin") else title,
            asked(prompts.get(row["prompt_id"], {})),
            [_pane("chosen", row, texts, scores), _pane("rejected", row, texts, scores)],
            _facts(row),
        )
        for title, row in picked
    ]


def asked(prompt: Row) -> list[Pane]:
    """The turns of a prompt, and its reference if it has one; of a long conversation the last turns."""
    turns = prompt.get("messages") or []
    panes = [Pane("prompt", str(turn["role"]), str(turn["content"])) for turn in turns[-4:]]
    if len(turns) > 4:
        panes.insert(0, Pane("prompt", "before", f"{len(turns) - 4} earlier turns"))
    if prompt.get("reference"):
        panes.append(Pane("prompt", "reference", str(prompt["reference"])))
    return panes


def _pane(side: Any, row: Row, texts: Mapping[str, Row], scores: Mapping[str, list[str]]) -> Pane:
    id_ = row[f"{side}_id"]
    found = texts.get(id_, {})
    known = [f"score {cell(row[f'score_{side}'])}", *scores.get(id_, [])[:8]]
    if found.get("tokens") is not None:
        known.append(f"{found['tokens']:,} tokens")
    return Pane(side, side, found.get("text") or "(no text is stored)", " · ".join(known))


def _facts(row: Row) -> list[str]:
    facts = ["kept" if row["keep"] else f"dropped by {row['dropped_by']}: {row['reason']}", f"margin {row['margin']:.4g}"]
    scores = {name.removesuffix("_score"): value for name, value in row.items() if name.endswith("_score") and value is not None}
    facts += [f"{name} score {cell(value)}" for name, value in list(scores.items())[:10]]
    if row.get("relabelled_by"):
        facts.append(f"relabelled by {row['relabelled_by']}")
    if row.get("p_chosen") is not None:
        facts.append(f"P(chosen is better) {row['p_chosen']:.3g}")
    return [*facts, f"pair {row['pair_id']}", f"prompt {row['prompt_id']}"]
