"""OpenRLHF's preference data (its `RewardDataset`, for DPO and reward models), seen with version 0.11.2.

With a prompt key the prompt is rendered with the cue for an answer; without one it is found in `chosen`, with other results. So
the prompt has a key of its own. `margin` is read by reward models that train with a margin, and is 0 there where it is null.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pyarrow as pa

from pairwright.storage.exports.base import Record, Refused, Row
from pairwright.storage.exports.pairs import PAIR_IDS, PairFormat, ids_of, record_schema, sides
from pairwright.storage.exports.trl_preference import CONVERSATIONAL


class OpenRlhf(PairFormat):
    """{prompt, chosen, rejected, margin}: conversations. The margin of a pair that a rule turned around is below 0 and would ask
    for the wrong order again: it is written as null."""

    name = "openrlhf"
    columns = ("prompt", "chosen", "rejected", "margin", *PAIR_IDS)
    schema = record_schema((*CONVERSATIONAL, ("margin", pa.float64())))

    def write(self, row: Row) -> Record:
        prompt, chosen, rejected = sides(row)
        if row["margin"] is not None and not math.isfinite(row["margin"]):
            raise Refused("margin_missing", "the margin of the pair is not finite")
        return {"prompt": prompt, "chosen": chosen, "rejected": rejected, "margin": _margin(row), **ids_of(row)}

    def carried(self, row: Row) -> dict[str, Any]:
        return {**super().carried(row), "margin": _margin(row)}

    def read(self, record: Record) -> dict[str, Any]:
        return {name: record.get(name) for name in self.columns}

    def hint(self, path: Path) -> str:
        keys = " ".join(f"--data.{name}_key {name}" for name in ("prompt", "chosen", "rejected"))
        return f"OpenRLHF: --data.dataset {path} {keys} --data.apply_chat_template"


def _margin(row: Row) -> float | None:
    return None if row["margin"] is None or row["margin"] < 0 else row["margin"]
