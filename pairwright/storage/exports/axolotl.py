"""axolotl's `chat_template.default` for DPO, seen with the strategy of version 0.19.

It renders each response after a made-up user turn and cuts the text at the first place where the response occurs. One that is
empty, or a piece of what the template writes before it, is cut at the wrong place. Those that surely are, being within the
made-up turn or the name of a role, are refused. A template that writes more before the first turn (a system prompt, a date) may
still hold a response of a letter or a word: if yours are so short, look at what axolotl made of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from pairwright.storage.exports.base import Record, Refused, Row
from pairwright.storage.exports.pairs import TURN, PairFormat, ids_of, record_schema, reply, sides
from pairwright.storage.schemas import MESSAGES

ROLES = frozenset({"system", "user", "assistant", "tool"})
BEFORE = ("[[dummy_message]]", "user", "assistant")


class Axolotl(PairFormat):
    """{messages, chosen: turn, rejected: turn}, read with the YAML of `hint`."""

    name = "axolotl"
    schema = record_schema((("messages", MESSAGES), ("chosen", TURN), ("rejected", TURN)))

    def write(self, row: Row) -> Record:
        prompt, chosen, rejected = sides(row)
        for text in (reply(chosen)["content"], reply(rejected)["content"]):
            if any(text in before for before in BEFORE):
                raise Refused("found_too_early", f"the response {text!r} occurs in what is rendered before it")
        if unknown := {turn["role"] for turn in prompt} - ROLES:
            raise Refused("unknown_role", f"the prompt has a turn of role {min(unknown)!r}")
        return {"messages": prompt, "chosen": chosen[0], "rejected": rejected[0], **ids_of(row)}

    def read(self, record: Record) -> dict[str, Any]:
        responses = {side: [record[side]] for side in ("chosen", "rejected")}
        return {"prompt": record["messages"], **responses, **ids_of(record)}

    def hint(self, path: Path) -> str:
        data = {"path": str(path), "ds_type": _kind(path), "split": "train", "type": "chat_template.default"}
        return f"axolotl:\n{yaml.safe_dump({'rl': 'dpo', 'datasets': [data]}, sort_keys=False, allow_unicode=True)}"


def _kind(path: Path) -> str:
    return "parquet" if path.suffix == ".parquet" else "json"
