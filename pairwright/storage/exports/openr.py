"""openr's flat records: prefixes of a solution, each with the share of right rollouts from it.

The share comes from the counts, whatever view the scores are. A prefix whose label rests on no rollouts is not listed, so that
what lies between two listed ones is read back as one step. Texts are carried as they are, whitespace included.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from pairwright.storage.exports.base import Format, Record, Refused, Row, ids, shares_of, steps_of


class Openr(Format):
    """{question_id, question, final_answer, reasoning_steps: [{solution_prefix, mc_value}]}; `final_answer` is the reference."""

    name = "openr"
    columns = ("prompt", "completions", "n", "correct", "reference", "prompt_id", "solution_id")

    def write(self, row: Row) -> Record:
        return {
            "question_id": row["prompt_id"],
            "question": row["prompt"],
            "final_answer": row["reference"],
            "reasoning_steps": [{"solution_prefix": text, "mc_value": value} for text, value in _prefixes(row)],
            "solution_id": row["solution_id"],
        }

    def read(self, record: Record) -> dict[str, Any]:
        prefixes = [(step["solution_prefix"], step["mc_value"]) for step in record["reasoning_steps"]]
        return _steps(prefixes) | {
            "prompt": record["question"],
            "reference": record["final_answer"],
            "prompt_id": record["question_id"],
            "solution_id": record.get("solution_id"),
        }

    def carried(self, row: Row) -> dict[str, Any]:
        return _steps(_prefixes(row)) | {name: row[name] for name in ("prompt", "reference")} | ids(row)


def _prefixes(row: Row) -> list[tuple[str, float]]:
    steps_of(row["completions"])
    pairs = zip(accumulate(row["completions"]), shares_of(row), strict=True)
    found = [(text, share) for text, share in pairs if share is not None]
    if not found:
        raise Refused("no_counts", "no step was rolled out from")
    return found


def _steps(prefixes: list[tuple[str, float]]) -> dict[str, Any]:
    """The steps between prefixes. Raises Refused if one does not go on from the one before."""
    texts = [text for text, _ in prefixes]
    before = ["", *texts[:-1]]
    if not all(text.startswith(start) for start, text in zip(before, texts, strict=True)):
        raise Refused("not_nested", "a prefix does not begin with the one before it")
    steps = [text[len(start) :] for start, text in zip(before, texts, strict=True)]
    return {"completions": steps, "scores": [score for _, score in prefixes]}
