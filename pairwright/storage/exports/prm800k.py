"""PRM800K (Let's Verify Step by Step, arXiv 2305.20050): one solution a record, each step with its rating -1, 0, 1 or null.

An error that ends a record is, as in the published rows, a step of which nothing was chosen (`chosen_completion` null).
There are no alternatives to a step: `step_preference` holds those. Who reads the neutral rating 0 must say what it means, for
sources disagree: TRL's script and Step-DPO take it for bad, openr's converter for good, HRM drops it (step labels 1.6).
"""

from __future__ import annotations

from typing import Any, Literal

from pairwright.storage.exports.base import Format, Record, Refused, Row, bare, ids, shares_of, steps_of

Neutral = Literal["good", "bad", "unknown"]
RATINGS = {True: 1, False: -1, None: None}


class Prm800k(Format):
    """`neutral_below`: a right step from which a smaller share of rollouts was right is rated 0; none is by default, and none
    whose label rests on no rollouts. `neutral`: what 0 is read as."""

    name = "prm800k"
    columns = (
        *("prompt", "completions", "labels", "n", "correct", "tail", "answer", "reference", "method"),
        *("prompt_id", "solution_id"),
    )

    def __init__(self, neutral_below: float | None = None, neutral: Neutral = "good") -> None:
        self.neutral_below = neutral_below
        self._labels = {1: True, -1: False, None: None, 0: {"good": True, "bad": False, "unknown": None}[neutral]}

    def write(self, row: Row) -> Record:
        steps, ratings = steps_of(row["completions"]), self._ratings(row)
        return {
            "labeler": row["method"],
            "timestamp": None,
            "generation": None,
            "is_quality_control_question": False,
            "is_initial_screening_question": False,
            "question": {
                "problem": row["prompt"],
                "ground_truth_solution": None,
                "ground_truth_answer": row["reference"],
                "pre_generated_steps": steps + bare(row["tail"]),
                "pre_generated_answer": row["answer"],
                "pre_generated_verifier_score": None,
            },
            "label": {
                "steps": [_step(*rated, ends=i == len(steps)) for i, rated in enumerate(zip(steps, ratings, strict=True), 1)],
                "total_time": None,
                "finish_reason": "found_error" if -1 in ratings else "solution",
            },
            **ids(row),
        }

    def read(self, record: Record) -> dict[str, Any]:
        question, chosen = record["question"], _chosen(record)
        texts, given = [c["text"] for c in chosen], question["pre_generated_steps"]
        return {
            "prompt": question["problem"],
            "completions": texts,
            "labels": [self._labels[c["rating"]] for c in chosen],
            "tail": given[len(texts) :] if given[: len(texts)] == texts else [],
            "answer": question["pre_generated_answer"],
            "reference": question["ground_truth_answer"],
            "method": record["labeler"],
            **ids(record),
        }

    def carried(self, row: Row) -> dict[str, Any]:
        return {
            "prompt": row["prompt"],
            "completions": bare(row["completions"]),
            "labels": [self._labels[rating] for rating in self._ratings(row)],
            "tail": bare(row["tail"]),
            **{name: row[name] for name in ("answer", "reference", "method")},
            **ids(row),
        }

    def _ratings(self, row: Row) -> list[int | None]:
        if len(row["labels"]) != len(row["completions"]):
            raise Refused("wrong_count", f"{len(row['labels'])} labels for {len(row['completions'])} steps")
        ratings = [RATINGS[label] for label in row["labels"]]
        if self.neutral_below is None:
            return ratings
        low = [share is not None and share < self.neutral_below for share in shares_of(row)]
        return [0 if rating == 1 and below else rating for rating, below in zip(ratings, low, strict=True)]


def _step(text: str, rating: int | None, ends: bool) -> Record:
    return {
        "completions": [{"text": text, "rating": rating, "flagged": False}],
        "human_completion": None,
        "chosen_completion": None if ends and rating == -1 else 0,
    }


def _chosen(record: Record) -> list[Record]:
    """The completions the solution went on with: of a foreign record some may be written by a person. Where an error was found,
    the last step has none, and its only completion, or that of the solution that was rated, is the error. Raises Refused."""
    label = record["label"]
    found = []
    for i, step in enumerate(label["steps"], 1):
        index = step["chosen_completion"]
        chosen = step["human_completion"] if index is None else step["completions"][index]
        if chosen is None and i == len(label["steps"]) and label.get("finish_reason") == "found_error":
            chosen = _error(step["completions"], record["question"]["pre_generated_steps"][i - 1 : i])
        if chosen is None:
            raise Refused("no_choice", f"step {i} of the record has no chosen completion")
        found.append(dict(chosen))
    return found


def _error(completions: list[Record], given: list[str]) -> Record | None:
    if len(completions) == 1:
        return completions[0]
    return next((c for c in completions if [c["text"]] == given), None)
