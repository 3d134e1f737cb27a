"""NeMo-RL's preference data (its `PreferenceDataset`, for DPO and reward models), as its source and guides had it in 2026.

Of two completions the one with the lower rank is preferred; equal ranks are refused there.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from pairwright.storage.exports.base import Record, Refused, Row
from pairwright.storage.exports.pairs import PairFormat, ids_of, record_schema, sides
from pairwright.storage.schemas import MESSAGES

COMPLETIONS = pa.list_(pa.struct([("rank", pa.int64()), ("completion", MESSAGES)]))


class NemoRl(PairFormat):
    """{context, completions: [{rank: 0, completion: chosen}, {rank: 1, completion: rejected}]}: conversations."""

    name = "nemo_rl"
    schema = record_schema((("context", MESSAGES), ("completions", COMPLETIONS)))

    def write(self, row: Row) -> Record:
        prompt, chosen, rejected = sides(row)
        ranked = [{"rank": rank, "completion": response} for rank, response in enumerate((chosen, rejected))]
        return {"context": prompt, "completions": ranked, **ids_of(row)}

    def read(self, record: Record) -> dict[str, Any]:
        best, *others = sorted(record["completions"], key=lambda c: c["rank"])
        if len(others) != 1 or best["rank"] == others[0]["rank"]:
            raise Refused("not_a_pair", "there are not just two completions of different rank")
        return {
            "prompt": record["context"],
            "chosen": best["completion"],
            "rejected": others[0]["completion"],
            **ids_of(record),
        }
