"""TRL's stepwise supervision: `prompt`, `completions`, `labels`.

Its PRM trainer (`trl.experimental.prm` in TRL up to 1.13; gone since 1.14) ends every step with a separator of its own and labels
the separator's last token, so that a step must not bring one. It reads labels by `int()`: hard ones only.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from pairwright.storage.exports.base import Format, Record, Row, bare, ids, labels_of, steps_of
from pairwright.storage.schemas import STEPWISE


class TrlStepwise(Format):
    """{prompt, completions: [str], labels: [bool]}, equally long."""

    name = "trl_stepwise"
    columns = ("prompt", "completions", "labels", "prompt_id", "solution_id")
    schema = pa.schema([STEPWISE.field(name) for name in columns])

    def write(self, row: Row) -> Record:
        return {"prompt": row["prompt"], "completions": steps_of(row["completions"]), "labels": labels_of(row), **ids(row)}

    def read(self, record: Record) -> dict[str, Any]:
        return {**{name: record[name] for name in ("prompt", "completions", "labels")}, **ids(record)}

    def carried(self, row: Row) -> dict[str, Any]:
        return {"prompt": row["prompt"], "completions": bare(row["completions"]), "labels": list(row["labels"]), **ids(row)}
