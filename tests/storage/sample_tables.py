"""Small tables that belong together, for the storage tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from pairwright.ids import digest
from pairwright.storage.manifest import Manifest
from pairwright.storage.parquet import write_table
from pairwright.storage.schemas import ANNOTATIONS, PREFERENCE, PROMPTS, RESPONSES, UNPAIRED, pairs_schema
from pairwright.storage.versions import Dataset
from pairwright.storage.views import preference, unpaired

PAIRS = pairs_schema(["length"])


def table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=schema)


def prompt_row(i: int) -> dict[str, Any]:
    message = {"role": "user", "content": f"Question {i}: what's “{i}” | twice?"}
    return {
        "prompt_id": digest("prompt", i),
        "messages": [message],
        "reference": None,
        "tags": ["sum"],
        "source": "s",
        "count": 1,
    }


def response_row(i: int, k: int) -> dict[str, Any]:
    return {
        "response_id": digest("response", i, k),
        "prompt_id": digest("prompt", i),
        "index": k,
        "text": f"Answer {k} to {i}.\n",
        "token_ids": [i, k],
        "token_logprobs": [-0.5, -0.25],
        "model": "policy",
        "finish_reason": "stop",
        "sampling": "{}",
        "seed": i,
        "tokens": 2,
        "seconds": 0.5,
    }


def annotation_row(i: int, k: int, score: float) -> dict[str, Any]:
    return {
        "prompt_id": digest("prompt", i),
        "subject_id": digest("response", i, k),
        "annotator": "ratio",
        "method": "density_ratio",
        "fingerprint": "f1",
        "score": score,
        "valid": True,
        "parts": [{"name": "strong", "value": score}],
    }


def pair_row(i: int, chosen: int = 0, rejected: int = 1, dropped_by: str | None = None) -> dict[str, Any]:
    ids = digest("response", i, chosen), digest("response", i, rejected)
    return {
        "pair_id": digest("pair", *ids),
        "prompt_id": digest("prompt", i),
        "chosen_id": ids[0],
        "rejected_id": ids[1],
        "score_chosen": 1.0,
        "score_rejected": 0.25,
        "margin": 0.75,
        "keep": dropped_by is None,
        "dropped_by": dropped_by,
        "reason": None if dropped_by is None else f"{dropped_by} said no",
        "length_score": 0.5,
    }


def kept(rows: list[dict[str, Any]]) -> pa.Table:
    return table([row for row in rows if row["keep"]], PAIRS)


def prompts(n: int) -> pa.Table:
    return table([prompt_row(i) for i in range(n)], PROMPTS)


def responses(n: int, each: int = 3) -> pa.Table:
    return table([response_row(i, k) for i in range(n) for k in range(each)], RESPONSES)


def commit(dataset: Dataset, n: int = 4, pairs: list[dict[str, Any]] | None = None, **manifest: Any) -> int:
    """Commit a whole version with `n` prompts, three responses each, and one pair a prompt unless `pairs` are given."""
    pairs = [pair_row(i) for i in range(n)] if pairs is None else pairs
    with dataset.stage() as staging:
        staging.write("prompts", prompts(n), PROMPTS)
        staging.write("responses", responses(n), RESPONSES)
        annotations = [annotation_row(i, k, 1.0 / (k + 1)) for i in range(n) for k in range(3)]
        staging.write("annotations", table(annotations, ANNOTATIONS), ANNOTATIONS)
        staging.write("pairs", table(pairs, PAIRS), PAIRS)
        where = [sorted((staging.folder / name).glob("*.parquet")) for name in ("prompts", "responses")]
        staging.write("preference", preference(*where, kept(pairs)), PREFERENCE)
        staging.write("unpaired", unpaired(*where, kept(pairs))[0], UNPAIRED)
        return staging.commit(Manifest(dataset=dataset.name, filters=["length"], **manifest))


def written(folder: Path, name: str, rows: pa.Table) -> list[Path]:
    """`rows` as one Parquet file."""
    path = folder / f"{name}.parquet"
    write_table(path, rows, rows.schema)
    return [path]
