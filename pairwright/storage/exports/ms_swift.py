"""ms-swift's preference data (DPO, ORPO, SimPO, reward models), seen with the preprocessors and template inputs of version 4.6.

`rejected_response` takes the place of all that follows the last turn of the user's, so a prompt must end with one. `margin` is
left out, for its reward trainer subtracts it wherever it finds it.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from pairwright.storage.exports.base import Record, Refused, Row
from pairwright.storage.exports.pairs import PairFormat, ids_of, record_schema, reply, sides
from pairwright.storage.schemas import MESSAGES


class MsSwift(PairFormat):
    """{messages: conversation that ends with the chosen response, rejected_response: text}."""

    name = "ms_swift"
    schema = record_schema((("messages", MESSAGES), ("rejected_response", pa.string())))

    def write(self, row: Row) -> Record:
        prompt, chosen, rejected = sides(row)
        if prompt[-1]["role"] != "user":
            raise Refused("turn_order", f"the prompt ends with a turn of role {prompt[-1]['role']!r}, not the user's")
        reply(chosen)
        return {"messages": prompt + chosen, "rejected_response": reply(rejected)["content"], **ids_of(row)}

    def read(self, record: Record) -> dict[str, Any]:
        *prompt, chosen = record["messages"]
        rejected = {"role": "assistant", "content": record["rejected_response"]}
        return {"prompt": prompt, "chosen": [chosen], "rejected": [rejected], **ids_of(record)}
