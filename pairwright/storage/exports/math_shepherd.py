"""Math-Shepherd (arXiv 2312.08935): two texts, one with a tag after every step, one with + or - in the tag's place.

Steps are numbered "Step 1: ...", one a line. A step that brings its own right number keeps it, and is not numbered twice; `read`
gives steps back without numbers.
"""

from __future__ import annotations

import re
from typing import Any

from pairwright.storage.exports.base import (
    Format,
    Record,
    Refused,
    Row,
    bare,
    ids,
    labels_of,
    refuse_tag,
    signs_to_labels,
    steps_of,
)

TAG = "ки"
FIRST = " Step 1: "


class MathShepherd(Format):
    """{input, label, task}; `task` is null, for the data sets that the format knows are not ours."""

    name = "math_shepherd"
    columns = ("prompt", "completions", "labels", "prompt_id", "solution_id")

    def write(self, row: Row) -> Record:
        prompt, steps, labels = row["prompt"], steps_of(_unnumbered(row["completions"])), labels_of(row)
        refuse_tag(TAG, [prompt, *steps])
        if f"{prompt}{FIRST}".find(FIRST) != len(prompt):
            raise Refused("mark_in_prompt", f"the prompt holds {FIRST!r} itself")
        lines = [f"Step {i}: {step} " for i, step in enumerate(steps, 1)]
        signs = ["+" if label else "-" for label in labels]
        return {
            "input": f"{prompt} " + "\n".join(line + TAG for line in lines),
            "label": f"{prompt} " + "\n".join(line + sign for line, sign in zip(lines, signs, strict=True)),
            "task": None,
            **ids(row),
        }

    def read(self, record: Record) -> dict[str, Any]:
        pieces = record["input"].split(TAG)[:-1]
        if not pieces:
            raise Refused("no_steps", "there is no tag in the input")
        first, *others = pieces
        prompt, _, step = first.partition(FIRST)
        numbered = [step, *(other.removeprefix(f"\nStep {i}: ") for i, other in enumerate(others, 2))]
        return {
            "prompt": prompt,
            "completions": [text.removesuffix(" ") for text in numbered],
            "labels": signs_to_labels(_signs(pieces, record["label"])),
            **ids(record),
        }

    def carried(self, row: Row) -> dict[str, Any]:
        steps = bare(_unnumbered(row["completions"]))
        return {"prompt": row["prompt"], "completions": steps, "labels": list(row["labels"]), **ids(row)}


def _unnumbered(steps: list[str]) -> list[str]:
    """`steps` without "Step i:" where it stands before step i."""
    return [re.sub(rf"\A\s*Step {i}:\s*", "", step) for i, step in enumerate(steps, 1)]


def _signs(pieces: list[str], label: str) -> list[str]:
    """What `label` has where the tags stand between `pieces`. Raises Refused if the rest differs, as in some published rows."""
    signs = []
    for piece in pieces:
        if not label.startswith(piece):
            raise Refused("tag_counts", "input and label differ in more than the tags")
        signs.append(label[len(piece) : len(piece) + 1])
        label = label[len(piece) + 1 :]
    if label.strip():
        raise Refused("tag_counts", "input has fewer tags than label has signs")
    return signs
