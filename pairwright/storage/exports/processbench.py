"""ProcessBench (arXiv 2412.06559): all steps of a solution, and the index of the first wrong one (-1: none)."""

from __future__ import annotations

from typing import Any

from pairwright.storage.exports.base import Format, Record, Refused, Row, bare, ids, steps_of


class ProcessBench(Format):
    """{id, generator, problem, steps, final_answer_correct, label}. `id` is the solution's with the number of steps, for there
    may be a coarser view of the same solution (HNC).

    `read` gives `completions` up to and with the first error, as a truncated row has them; what follows is `tail`.
    """

    name = "processbench"
    columns = ("prompt", "completions", "tail", "first_error", "verdict", "model", "prompt_id", "solution_id")

    def write(self, row: Row) -> Record:
        if row["verdict"] not in ("right", "wrong"):
            raise Refused("no_verdict", "the final answer was not compared")
        if row["first_error"] is not None and not 0 <= row["first_error"] < len(row["completions"]):
            raise Refused("wrong_count", f"the first error is step {row['first_error']} of {len(row['completions'])}")
        steps = steps_of([*row["completions"], *row["tail"]])
        return {
            "id": f"{row['solution_id']}-{len(steps)}",
            "generator": row["model"],
            "problem": row["prompt"],
            "steps": steps,
            "final_answer_correct": row["verdict"] == "right",
            "label": -1 if row["first_error"] is None else row["first_error"],
            **ids(row),
        }

    def read(self, record: Record) -> dict[str, Any]:
        return _split(record["steps"], None if record["label"] == -1 else record["label"]) | {
            "prompt": record["problem"],
            "verdict": "right" if record["final_answer_correct"] else "wrong",
            "model": record["generator"],
            "prompt_id": record.get("prompt_id"),
            "solution_id": record.get("solution_id", record["id"]),
        }

    def carried(self, row: Row) -> dict[str, Any]:
        steps = bare([*row["completions"], *row["tail"]])
        kept = ("prompt", "verdict", "model", "prompt_id", "solution_id")
        return _split(steps, row["first_error"]) | {name: row[name] for name in kept}


def _split(steps: list[str], first_error: int | None) -> dict[str, Any]:
    end = len(steps) if first_error is None else first_error + 1
    return {"completions": steps[:end], "tail": steps[end:], "first_error": first_error}
