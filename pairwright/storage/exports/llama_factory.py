"""LLaMA-Factory's sharegpt formatting for pairs and for KTO, seen with its converters of version 0.9.5.

It reads data sets by their name in `dataset_info.json`, which is written beside the file; other entries there are kept. It leaves
out prompts whose turns do not alternate, with a warning in its log; they are refused here, and counted.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from pairwright.errors import PairwrightError
from pairwright.storage.exports.base import Format, Record, Refused, Row
from pairwright.storage.exports.pairs import (
    RESPONSE_IDS,
    TURN,
    PairFormat,
    ResponseFormat,
    ids_of,
    labelled,
    record_schema,
    refuse_unless_alternating,
    reply,
    sides,
)
from pairwright.storage.schemas import MESSAGES

INFO = "dataset_info.json"
TAGS = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant", "system_tag": "system"}


class _Listed(Format):
    """A format whose files are listed in `dataset_info.json`, by their names without suffix."""

    entry: dict[str, Any]

    def beside(self, path: Path) -> dict[str, str]:
        entry = {"file_name": path.name, "formatting": "sharegpt", **self.entry, "tags": TAGS}
        found = _entries(path.parent / INFO)
        if found.setdefault(path.stem, entry).get("file_name") != path.name:
            raise PairwrightError(f"{path.parent / INFO} has another data set {path.stem!r}: choose another file name")
        return {INFO: json.dumps({**found, path.stem: entry}, indent=2, ensure_ascii=False) + "\n"}

    def hint(self, path: Path) -> str:
        return f"LLaMA-Factory: dataset: {path.stem}, dataset_dir: {path.parent}"


class LlamaFactory(_Listed, PairFormat):
    """{messages, chosen: turn, rejected: turn}, `ranking: true`."""

    name = "llama_factory"
    schema = record_schema((("messages", MESSAGES), ("chosen", TURN), ("rejected", TURN)))
    entry = {"ranking": True, "columns": {"messages": "messages", "chosen": "chosen", "rejected": "rejected"}}  # noqa: RUF012

    def write(self, row: Row) -> Record:
        prompt, chosen, rejected = sides(row)
        refuse_unless_alternating(prompt)
        return {"messages": prompt, "chosen": reply(chosen), "rejected": reply(rejected), **ids_of(row)}

    def read(self, record: Record) -> dict[str, Any]:
        responses = {side: [record[side]] for side in ("chosen", "rejected")}
        return {"prompt": record["messages"], **responses, **ids_of(record)}


class LlamaFactoryKto(_Listed, ResponseFormat):
    """{messages, label}: the last turn is the response. An empty one would be taken for the marker of the other label."""

    name = "llama_factory_kto"
    schema = record_schema((("messages", MESSAGES), ("label", pa.bool_())), RESPONSE_IDS)
    entry = {"columns": {"messages": "messages", "kto_tag": "label"}}  # noqa: RUF012

    def write(self, row: Row) -> Record:
        prompt, completion, label = labelled(row)
        refuse_unless_alternating(prompt)
        if not reply(completion)["content"]:
            raise Refused("empty_response", "the response says nothing")
        return {"messages": prompt + completion, "label": label, **ids_of(row, RESPONSE_IDS)}

    def read(self, record: Record) -> dict[str, Any]:
        *prompt, response = record["messages"]
        return {"prompt": prompt, "completion": [response], "label": record["label"], **ids_of(record, RESPONSE_IDS)}


def _entries(path: Path) -> dict[str, Any]:
    """What `dataset_info.json` lists so far."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(entry, dict) for entry in found.values()):
        raise PairwrightError(f"{path} is not a JSON object of data sets: mend it, or export to another folder")
    return found
