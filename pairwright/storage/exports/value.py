"""Training data of ReST-MCTS*'s value model (arXiv 2406.03816): a question with the steps so far, and their value.

One record a step. The steps so far are one text, and are read back as one; whitespace at its end is not carried.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pairwright.storage.exports.base import Format, Record, Refused, Row, ids, scores_of, steps_of

HEAD, BREAK = "Problem: ", "\nSolution:\n"


class Value(Format):
    """{prompt_answer, label: float}: `label` is the score of the last step, in the unit of the view that was asked for."""

    name = "value"
    unit = "step"
    columns = ("prompt", "completions", "scores", "prompt_id", "solution_id")

    def units(self, row: Row) -> Iterable[Row]:
        """The row cut after each of its steps."""
        for end in range(1, len(row["completions"]) + 1):
            yield {**row, "completions": row["completions"][:end], "scores": row["scores"][:end]}

    def write(self, row: Row) -> Record:
        steps_of(row["completions"])
        score = scores_of(row)[-1]
        if score is None:
            raise Refused("score_missing", "the step has no score")
        if f"{row['prompt']}{BREAK}".find(BREAK) != len(row["prompt"]):
            raise Refused("mark_in_prompt", f"the prompt holds {BREAK!r} itself")
        return {"prompt_answer": f"{HEAD}{row['prompt']}{BREAK}{_so_far(row)}", "label": score, **ids(row)}

    def read(self, record: Record) -> dict[str, Any]:
        prompt, _, steps = record["prompt_answer"].removeprefix(HEAD).partition(BREAK)
        return {"prompt": prompt, "completions": [steps], "scores": [record["label"]], **ids(record)}

    def carried(self, row: Row) -> dict[str, Any]:
        return {"prompt": row["prompt"], "completions": [_so_far(row)], "scores": [row["scores"][-1]], **ids(row)}


def _so_far(row: Row) -> str:
    return "".join(row["completions"]).rstrip()
