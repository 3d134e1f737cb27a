"""Two public sets of human labels, as rows of the common layout."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from pairwright.pipelines.prompts.rows import BadRow, Row

KNOWN_FILES = ("testset-v1.json", "hhh_alignment.jsonl")
"""Their usual names, by which their folders are known."""

PEOPLE = ("annotator1", "annotator2", "annotator3")
_SPEAKER = re.compile(r"\n\n(Human|Assistant):\s*")


def is_pandalm(row: Row) -> bool:
    """Is this a row of PandaLM's test set?"""
    return {"instruction", "response1", "response2", *PEOPLE} <= set(row)


def is_hhh(row: Row) -> bool:
    """Is this a row of the HHH alignment data?"""
    return set(row) == {"category", "prompt", "chosen", "rejected"}


def pandalm(row: Row) -> dict[str, Any]:
    """PandaLM's test set (WeOpenML/PandaLM): three people, each 0 (tie), 1 or 2. The label is what at least two of them say;
    where all three differ the row has none. Space around replies is taken off, and a truth value for a reply is its word."""
    if not is_pandalm(row):
        raise BadRow(
            "bad_row", f"is no row of PandaLM's test set: it needs instruction, response1, response2, {', '.join(PEOPLE)}"
        )
    for person in PEOPLE:
        if row[person] not in (0, 1, 2):
            raise BadRow("bad_label", f"has {row[person]!r} as {person}, which is not 0, 1 or 2")
    vote, most = Counter(int(row[person]) for person in PEOPLE).most_common(1)[0]
    parts = [str(row["instruction"] or ""), str(row.get("input") or "")]
    made: dict[str, Any] = {
        "id": f"pandalm-{row['idx']}" if row.get("idx") is not None else None,
        "prompt": "\n\n".join(part for part in parts if part.strip()),
        "responses": [str(row["response1"]).strip(), str(row["response2"]).strip()],
    }
    return made | ({"label": ("tie", "a", "b")[vote]} if most > 1 else {"undecided": True})


def hhh(row: Row) -> dict[str, Any]:
    """The HHH alignment data (Anthropic, in BIG-bench): one better and one worse reply in a category; a conversation stands
    in one text, its turns marked Human and Assistant."""
    if not is_hhh(row) or not all(isinstance(row[key], str) for key in row):
        raise BadRow("bad_row", "is no row of the HHH data: it needs category, prompt, chosen and rejected, all texts")
    first, *rest = _SPEAKER.split(row["prompt"])
    said = [("Human", first), *zip(rest[::2], rest[1::2], strict=True)]
    messages = [{"role": "user" if who == "Human" else "assistant", "content": text.strip()} for who, text in said]
    return {"prompt": messages, "chosen": row["chosen"], "rejected": row["rejected"], "subset": row["category"]}
