"""One prompt of a version with everything that was made of it."""

from __future__ import annotations

from typing import Any

from pairwright.errors import PairwrightError
from pairwright.flows import screen
from pairwright.storage.catalog import connect
from pairwright.storage.versions import Dataset


def one_prompt(dataset: Dataset, prompt: str | None, version: int | None) -> dict[str, Any]:
    """The prompt whose id begins with `prompt` (default: the first), its responses with their annotations, and its pairs."""
    with connect(dataset, version) as con:

        def rows(sql: str, *values: Any) -> list[dict[str, Any]]:
            found = con.execute(sql, list(values))
            names = [c[0] for c in found.description or []]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

        found = rows("SELECT * FROM prompts WHERE starts_with(prompt_id, ?) ORDER BY prompt_id LIMIT 2", prompt or "")
        if not found:
            raise PairwrightError(
                f"no prompt of {dataset.name} has an id that begins with {prompt!r}: `pairwright query` lists them"
            )
        if prompt and len(found) > 1:
            raise PairwrightError(f"more than one prompt id begins with {prompt!r}: give more of it")
        key = found[0]["prompt_id"]
        responses = rows(
            'SELECT response_id, "index", text, finish_reason, reason, tokens, model FROM responses '
            'WHERE prompt_id = ? ORDER BY "index"',
            key,
        )
        labels = rows(
            "SELECT subject_id, other_id, annotator, score, label, reason FROM annotations "
            "WHERE prompt_id = ? ORDER BY annotator",
            key,
        )
        pairs = rows("SELECT * FROM pairs WHERE prompt_id = ? ORDER BY margin DESC", key)
    for response in responses:
        response["annotations"] = [label for label in labels if label["subject_id"] == response["response_id"]]
    return {**found[0], "responses": responses, "pairs": pairs}


def print_prompt(found: dict[str, Any]) -> None:
    """Boxes for the prompt and its responses, then a line per pair."""
    screen.prompt(
        found["messages"], f"prompt {found['prompt_id']}" + (f", reference {found['reference']}" if found["reference"] else "")
    )
    chosen = {p["chosen_id"] for p in found["pairs"] if p["keep"]}
    rejected = {p["rejected_id"] for p in found["pairs"] if p["keep"]}
    for r in found["responses"]:
        scores = "  ".join(
            f"{a['annotator']} {a['reason'] if a['reason'] else a['label'] if a['score'] is None else format(a['score'], '.4g')}"
            for a in r["annotations"]
        )
        place = "chosen" if r["response_id"] in chosen else "rejected" if r["response_id"] in rejected else None
        title = f"response {r['index']}, {r['tokens']} tokens, {r['finish_reason'] or r['reason']}" + (
            f", {place}" if place else ""
        )
        screen.response(r["text"], title, scores, None if place is None else place == "chosen")
    index = {r["response_id"]: r["index"] for r in found["responses"]}
    for p in found["pairs"]:
        verdict = "kept" if p["keep"] else f"dropped by {p['dropped_by']}: {p['reason']}"
        line = f"pair {p['pair_id']}: {index[p['chosen_id']]} over {index[p['rejected_id']]}, margin {p['margin']:.4g}, {verdict}"
        screen.out.print(line, highlight=False)
    if not found["pairs"]:
        screen.out.print("this prompt gives no pair; `select * from dropped` says why", highlight=False)
