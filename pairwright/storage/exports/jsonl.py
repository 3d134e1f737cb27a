"""Published rows as they are, every column: for who reads JSON and no Parquet."""

from __future__ import annotations

import math
from typing import Any

from pairwright.storage.exports.base import Format, Record, Refused, Row
from pairwright.storage.schemas import PREFERENCE, UNPAIRED


class Jsonl(Format):
    """The columns of `preference` by their names, soft labels among them."""

    name = "jsonl"
    table = "preference"
    unit = "pair"
    columns = tuple(PREFERENCE.names)
    everything = True

    def write(self, row: Row) -> Record:
        if odd := [name for name, value in row.items() if isinstance(value, float) and not math.isfinite(value)]:
            raise Refused("not_finite", f"{odd[0]} is not a finite number, which JSON cannot hold")
        return dict(row)

    def read(self, record: Record) -> dict[str, Any]:
        return dict(record)

    def carried(self, row: Row) -> dict[str, Any]:
        return dict(row)


class JsonlUnpaired(Jsonl):
    """The columns of `unpaired` by their names."""

    name = "jsonl_unpaired"
    table = "unpaired"
    unit = "response"
    columns = tuple(UNPAIRED.names)
