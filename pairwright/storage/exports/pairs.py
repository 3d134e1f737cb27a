"""What formats of whole responses share: published pairs and labelled responses, their ids and what none can carry.

Every record holds the ids of its row under keys that the consumer ignores; so each can be traced to who judged it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import pyarrow as pa

from pairwright.storage.exports.base import Format, Record, Refused, Row
from pairwright.storage.schemas import MESSAGES

Messages = list[dict[str, str]]

PAIR_IDS = ("pair_id", "prompt_id", "chosen_id", "rejected_id")
RESPONSE_IDS = ("prompt_id", "response_id")
TURN = MESSAGES.value_type


class PairFormat(Format):
    """A way to write `preference` rows. A subclass that carries more adds to `columns`."""

    table = "preference"
    unit = "pair"
    columns: ClassVar[tuple[str, ...]] = ("prompt", "chosen", "rejected", *PAIR_IDS)

    def carried(self, row: Row) -> dict[str, Any]:
        return {name: row[name] for name in self.columns}


class ResponseFormat(Format):
    """A way to write `unpaired` rows: a response with a label, true where it was chosen."""

    table = "unpaired"
    unit = "response"
    columns: ClassVar[tuple[str, ...]] = ("prompt", "completion", "label", *RESPONSE_IDS)

    def carried(self, row: Row) -> dict[str, Any]:
        return {name: row[name] for name in self.columns}


def record_schema(fields: Iterable[tuple[str, pa.DataType]], ids: Sequence[str] = PAIR_IDS) -> pa.Schema:
    """`fields`, then a string for each of `ids`."""
    return pa.schema([*fields, *((name, pa.string()) for name in ids)])


def ids_of(row: Row | Record, ids: Sequence[str] = PAIR_IDS) -> dict[str, Any]:
    """Where a record comes from; None where a foreign record does not say."""
    return {name: row.get(name) for name in ids}


def sides(row: Row) -> tuple[Messages, Messages, Messages]:
    """Prompt, chosen and rejected of a pair. Raises Refused if one is empty or the responses say the same."""
    prompt, chosen, rejected = (
        _turns(row["prompt"], "prompt"),
        _turns(row["chosen"], "chosen"),
        _turns(row["rejected"], "rejected"),
    )
    if chosen == rejected:
        raise Refused("chosen_is_rejected", "both responses are the same text")
    return prompt, chosen, rejected


def labelled(row: Row) -> tuple[Messages, Messages, bool]:
    """Prompt, completion and label of a response. Raises Refused if one is missing."""
    if row["label"] is None:
        raise Refused("label_missing", "the response has no label")
    return _turns(row["prompt"], "prompt"), _turns(row["completion"], "completion"), row["label"]


def reply(messages: Messages) -> dict[str, str]:
    """The one turn of a response. Raises Refused if there are more or another than the assistant speaks."""
    if [turn["role"] for turn in messages] != ["assistant"]:
        raise Refused("several_turns", f"a response has {len(messages)} turns, where the format takes one of the assistant's")
    return messages[0]


def refuse_unless_alternating(prompt: Messages) -> None:
    """Raise Refused unless user and assistant take turns, the user first and last; a system turn may come before."""
    roles = [turn["role"] for turn in prompt]
    spoken = roles[roles[:1] == ["system"] :]
    if spoken != [("user", "assistant")[i % 2] for i in range(len(spoken))] or len(spoken) % 2 == 0:
        raise Refused("turn_order", f"the turns of the prompt are {', '.join(roles)}: user and assistant must alternate")


def _turns(messages: Sequence[Any] | None, what: str) -> Messages:
    if not messages:
        raise Refused(f"no_{what}", f"the {what} has no turn")
    if any(turn["role"] is None or turn["content"] is None for turn in messages):
        raise Refused("no_content", f"a turn of the {what} has no role or no content")
    return [{"role": turn["role"], "content": turn["content"]} for turn in messages]
