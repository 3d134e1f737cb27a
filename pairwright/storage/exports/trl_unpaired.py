"""TRL's unpaired preference data, for KTO (arXiv 2402.01306); seen with TRL 1.16."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from pairwright.storage.exports.base import Record, Row
from pairwright.storage.exports.pairs import RESPONSE_IDS, ResponseFormat, ids_of, labelled, record_schema
from pairwright.storage.schemas import MESSAGES


class TrlUnpaired(ResponseFormat):
    """{prompt, completion, label}: conversations; whether labels are relative the version's card says."""

    name = "trl_unpaired"
    schema = record_schema((("prompt", MESSAGES), ("completion", MESSAGES), ("label", pa.bool_())), RESPONSE_IDS)

    def write(self, row: Row) -> Record:
        prompt, completion, label = labelled(row)
        return {"prompt": prompt, "completion": completion, "label": label, **ids_of(row, RESPONSE_IDS)}

    def read(self, record: Record) -> dict[str, Any]:
        return {name: record.get(name) for name in self.columns}
