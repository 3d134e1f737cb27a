"""One prompt of a version with everything that was made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pairwright.errors import PairwrightError
from pairwright.flows import screen
from pairwright.flows.tree_view import draw, legend
from pairwright.pipelines.prompts.rows import Prompt
from pairwright.pipelines.step_labels.log import StepLog, read_logs
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
        present = {row[0] for row in con.execute("SELECT view_name FROM duckdb_views()").fetchall()}
        steps = rows("SELECT * FROM steps WHERE prompt_id = ?", key) if "steps" in present else []
        if "responses" not in present:
            return {**found[0], "steps": steps}
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
    return {**found[0], "responses": responses, "pairs": pairs, "steps": steps}


def print_trees(logs: Sequence[StepLog], prompts: Mapping[str, Prompt], set_aside: Mapping[str, str]) -> None:
    """Each question with its tree, and why it was set aside if it was."""
    for log in logs:
        prompt = prompts[log.prompt_id]
        messages = [{"role": t.role, "content": t.content} for t in prompt.messages]
        _print_tree(log, messages)
        if log.prompt_id in set_aside:
            screen.out.print(f"set aside: {set_aside[log.prompt_id]}", style="yellow", highlight=False)


def print_prompt(found: dict[str, Any]) -> None:
    """Boxes for the prompt and its responses, then a line per pair."""
    screen.prompt(
        found["messages"], f"prompt {found['prompt_id']}" + (f", reference {found['reference']}" if found["reference"] else "")
    )
    for log in read_logs(found["steps"]):
        _print_tree(log, found["messages"])
    if "responses" not in found:
        return
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


def _print_tree(log: StepLog, messages: Sequence[Mapping[str, Any]]) -> None:
    question = next((m["content"] for m in reversed(messages) if m["role"] == "user"), "")
    screen.out.print(draw(log, question, screen.out.width))
    screen.out.print(legend(log), style="dim", highlight=False)
