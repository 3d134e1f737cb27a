"""Chat for Qwen's process reward models (The Lessons of Developing PRMs, arXiv 2501.07301): `<extra_0>` closes every step.

The conversation before the answer is the one the policy saw; no system turn is added.
"""

from __future__ import annotations

from typing import Any

from pairwright.storage.exports.base import Format, Record, Refused, Row, bare, ids, labels_of, refuse_tag, steps_of

TAG = "<extra_0>"


class QwenPrm(Format):
    """{messages, labels: [0 or 1]}: label i belongs to the i-th tag of the last turn."""

    name = "qwen_prm"
    columns = ("messages", "completions", "labels", "prompt_id", "solution_id")

    def write(self, row: Row) -> Record:
        steps, messages = steps_of(row["completions"]), [dict(m) for m in row["messages"]]
        refuse_tag(TAG, [*steps, *(m["content"] for m in messages)])
        answer = {"role": "assistant", "content": "".join(step + TAG for step in steps)}
        return {"messages": [*messages, answer], "labels": [int(label) for label in labels_of(row)], **ids(row)}

    def read(self, record: Record) -> dict[str, Any]:
        *messages, answer = record["messages"]
        steps = answer["content"].split(TAG)[:-1]
        if len(steps) != len(record["labels"]):
            raise Refused("tag_counts", f"{len(steps)} tags for {len(record['labels'])} labels")
        return {
            "messages": messages,
            "completions": steps,
            "labels": [bool(label) for label in record["labels"]],
            **ids(record),
        }

    def carried(self, row: Row) -> dict[str, Any]:
        return {
            "messages": [dict(m) for m in row["messages"]],
            "completions": bare(row["completions"]),
            "labels": list(row["labels"]),
            **ids(row),
        }
