"""RLHFlow's process reward data (RLHF-Reward-Modeling, math-rm): a conversation in which each step is answered by + or -.

The question and the first step share a turn. The column `prompt`, which is ours, says where the one ends; of a record without it
`read` cannot tell, and gives an empty prompt.
"""

from __future__ import annotations

from typing import Any

from pairwright.storage.exports.base import Format, Record, Row, bare, ids, labels_of, signs_to_labels, steps_of


class Rlhflow(Format):
    """{conversations: [user: question and step 1, assistant: + or -, user: step 2, ...], prompt}."""

    name = "rlhflow"
    columns = ("prompt", "completions", "labels", "prompt_id", "solution_id")

    def write(self, row: Row) -> Record:
        first, *others = steps_of(row["completions"])
        conversation = []
        for said, label in zip([f"{row['prompt']} {first}", *others], labels_of(row), strict=True):
            conversation.append({"role": "user", "content": said})
            conversation.append({"role": "assistant", "content": "+" if label else "-"})
        return {"conversations": conversation, "prompt": row["prompt"], **ids(row)}

    def read(self, record: Record) -> dict[str, Any]:
        said = [turn["content"] for turn in record["conversations"]]
        prompt, steps = record.get("prompt", ""), said[::2]
        if "prompt" in record:
            steps[0] = steps[0].removeprefix(f"{prompt} ")
        return {"prompt": prompt, "completions": steps, "labels": signs_to_labels(said[1::2]), **ids(record)}

    def carried(self, row: Row) -> dict[str, Any]:
        return {"prompt": row["prompt"], "completions": bare(row["completions"]), "labels": list(row["labels"]), **ids(row)}
