"""TRL's preference data (its "Dataset formats" page), seen with TRL 1.16: DPO, reward modelling and all that read pairs.

Keys that its trainers do not know are ignored; so the ids ride along. `margin` is not ignored: the reward trainer subtracts it
from the difference of the two rewards wherever it finds it, so only `trl_reward` has it.
"""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa

from pairwright.storage.exports.base import Record, Refused, Row
from pairwright.storage.exports.pairs import PAIR_IDS, Messages, PairFormat, ids_of, record_schema, reply, sides
from pairwright.storage.schemas import MESSAGES

CONVERSATIONAL = (("prompt", MESSAGES), ("chosen", MESSAGES), ("rejected", MESSAGES))


class TrlPreference(PairFormat):
    """{prompt, chosen, rejected}: conversations with an explicit prompt, the form that TRL recommends."""

    name = "trl_preference"
    schema = record_schema(CONVERSATIONAL)

    def write(self, row: Row) -> Record:
        prompt, chosen, rejected = sides(row)
        return {"prompt": prompt, "chosen": chosen, "rejected": rejected, **ids_of(row)}

    def read(self, record: Record) -> dict[str, Any]:
        return {name: record.get(name) for name in self.columns}


class TrlReward(TrlPreference):
    """{prompt, chosen, rejected, margin}: `margin` is the difference of the combined scores, in their unit. A pair that a rule
    turned around has one below 0, which would ask for the wrong order again, and TRL reads no null: it is refused. (The loss is
    that of Llama 2, arXiv 2307.09288, eq. 2, whose margins are a few steps of how much better people found a response.)"""

    name = "trl_reward"
    columns = ("prompt", "chosen", "rejected", "margin", *PAIR_IDS)
    schema = record_schema((*CONVERSATIONAL, ("margin", pa.float64())))

    def write(self, row: Row) -> Record:
        if row["margin"] is None or not math.isfinite(row["margin"]):
            raise Refused("margin_missing", "the pair has no finite margin")
        if row["margin"] < 0:
            raise Refused("turned_pair", "a rule turned the pair around, so its margin is below 0: use trl_preference")
        return {**super().write(row), "margin": row["margin"]}


class TrlPreferenceText(PairFormat):
    """{prompt, chosen, rejected}: plain text of single-turn pairs, for models without a chat template.

    TRL puts nothing between prompt and response and appends EOS.
    """

    name = "trl_preference_text"
    schema = record_schema((name, pa.string()) for name in ("prompt", "chosen", "rejected"))

    def write(self, row: Row) -> Record:
        prompt, chosen, rejected = sides(row)
        if [turn["role"] for turn in prompt] != ["user"]:
            raise Refused("not_single_turn", "the prompt is more than one turn of the user's: use trl_preference")
        texts = {"prompt": prompt[0], "chosen": reply(chosen), "rejected": reply(rejected)}
        return {**{name: turn["content"] for name, turn in texts.items()}, **ids_of(row)}

    def read(self, record: Record) -> dict[str, Any]:
        roles = {"prompt": "user", "chosen": "assistant", "rejected": "assistant"}
        return {name: [{"role": role, "content": record[name]}] for name, role in roles.items()} | ids_of(record)


class TrlImplicit(PairFormat):
    """{chosen, rejected}: whole conversations; the prompt is what they share, as TRL's `extract_prompt` finds it."""

    name = "trl_implicit"
    schema = record_schema((("chosen", MESSAGES), ("rejected", MESSAGES)))

    def write(self, row: Row) -> Record:
        prompt, chosen, rejected = sides(row)
        if chosen[0] == rejected[0]:
            raise Refused("shared_turn", "both responses begin with the same turn, which would be taken for the prompt's")
        return {"chosen": prompt + chosen, "rejected": prompt + rejected, **ids_of(row)}

    def read(self, record: Record) -> dict[str, Any]:
        at = _shared(record["chosen"], record["rejected"])
        return {
            "prompt": record["chosen"][:at],
            "chosen": record["chosen"][at:],
            "rejected": record["rejected"][at:],
            **ids_of(record),
        }


def _shared(one: Messages, other: Messages) -> int:
    """How many turns two conversations have in common."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
