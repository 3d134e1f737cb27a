"""A dataset of made-up responses and annotations, written without a model: for measurements of what needs none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from pairwright.annotators.base import group_id
from pairwright.ids import digest
from pairwright.pipelines.recipe import Recipe, parse_recipe
from pairwright.storage.manifest import Manifest, StageAccount
from pairwright.storage.schemas import ANNOTATIONS, DROPPED, PROMPTS, RESPONSES, pairs_schema
from pairwright.storage.versions import Dataset

WORDS = [f"{a}{b}" for a in "bdfgklmnprst" for b in ("ado", "ite", "urn", "ell", "oma", "isk", "and")]
RATING = ("density_ratio", "follow_up", "implicit_reward", "contrastive_prompt")
CHUNK = 4000  # prompts made at a time


def recipe(root: Path, each: int) -> Recipe:
    """Four annotators that rate and one that measures displacement."""
    scripted = {"engine": "scripted"}
    roles = ("policy", "strong", "weak", "scorer", "reference")
    return parse_recipe(
        {
            "dataset": "synthetic",
            "root": str(root),
            "prompts": {"source": "builtin"},
            "models": {role: scripted | {"seed": i} for i, role in enumerate(roles)},
            "sample": {"n": each},
            "annotators": [*RATING, "displacement"],
            "combine": {"scores": {"density_ratio": {}, "follow_up": {}}},
        },
        "the synthetic recipe",
    )


def make(root: Path, prompts: int, each: int = 8) -> Dataset:
    """`prompts` prompts with `each` responses, all rated by every annotator; the pairs are left to a re-cut."""
    dataset, settings = Dataset(root, "synthetic"), recipe(root, each)
    rng = np.random.default_rng(0)
    with dataset.stage() as staging:
        for start in range(0, prompts, CHUNK):
            ids = [digest("prompt", i) for i in range(start, min(start + CHUNK, prompts))]
            staging.write("prompts", _prompts(ids, start), PROMPTS)
            rows = _responses(ids, each, rng)
            staging.write("responses", rows, RESPONSES)
            groups = [
                group_id(p, rows["response_id"][i * each : (i + 1) * each].to_pylist(), None, ()) for i, p in enumerate(ids)
            ]
            for name in (*RATING, "displacement"):
                staging.write("annotations", _annotations(name, rows, groups, each, rng), ANNOTATIONS)
        for name, schema in (("pairs", pairs_schema([])), ("dropped", DROPPED)):
            staging.write(name, schema.empty_table(), schema)
        stages = [("prompts", "row", prompts), ("sample", "response", prompts * each), ("group", "prompt", prompts)]
        stages += [(f"annotate {name}", "response", prompts * each) for name in (*RATING, "displacement")]
        accounts = [StageAccount(stage=s, unit=u, rows_in=n, rows_out=n) for s, u, n in stages]
        known = settings.model_dump(mode="json")
        staging.commit(Manifest(dataset="synthetic", recipe=known, accounting=accounts))
    return dataset


def _prompts(ids: list[str], start: int) -> pa.Table:
    rows = [
        {
            "prompt_id": p,
            "messages": [{"role": "user", "content": f"Question {start + i}?"}],
            "tags": [],
            "source": "s",
            "count": 1,
        }
        for i, p in enumerate(ids)
    ]
    return pa.Table.from_pylist(rows, schema=PROMPTS)


def _responses(ids: list[str], each: int, rng: np.random.Generator) -> pa.Table:
    n = len(ids) * each
    tokens = rng.integers(20, 120, n)
    words = np.array(WORDS)[rng.integers(0, len(WORDS), int(tokens.sum()))]
    ends = np.cumsum(tokens)
    texts = [" ".join(words[end - k : end]) for end, k in zip(ends.tolist(), tokens.tolist(), strict=True)]
    made = {
        "response_id": [digest("response", p, k) for p in ids for k in range(each)],
        "prompt_id": [p for p in ids for _ in range(each)],
        "index": np.tile(np.arange(each), len(ids)),
        "text": texts,
        "finish_reason": np.where(rng.random(n) < 0.02, "length", "stop"),
        "model": ["policy"] * n,
        "sampling": ["{}"] * n,
        "seed": np.arange(n),
        "tokens": tokens,
        "seconds": np.full(n, 0.1),
    }
    return _filled(made, RESPONSES, n)


def _annotations(name: str, rows: pa.Table, groups: list[str], each: int, rng: np.random.Generator) -> pa.Table:
    n = rows.num_rows
    missing = rng.random(n) < 0.01
    made = {
        "prompt_id": rows["prompt_id"],
        "group_id": [g for g in groups for _ in range(each)],
        "subject_id": rows["response_id"],
        "annotator": [name] * n,
        "method": [name] * n,
        "fingerprint": ["f"] * n,
        "score": pa.array(rng.normal(size=n), mask=missing),
        "valid": ~missing,
        "reason": pa.array(["cut_response"] * n, mask=~missing),
        "tokens": rows["tokens"],
        "seconds": np.full(n, 0.1),
    }
    if name == "displacement":
        made["parts"] = _parts(rows["response_id"].to_pylist(), rows["tokens"].to_pylist(), each, rng)
    return _filled(made, ANNOTATIONS, n)


def _parts(ids: list[str], tokens: list[int], each: int, rng: np.random.Generator) -> list[list[dict[str, object]]]:
    dots = rng.normal(100, 10, (len(ids), each))
    found = []
    for i, (n, row) in enumerate(zip(tokens, dots.tolist(), strict=True)):
        group = ids[i - i % each : i - i % each + each]
        known = [{"name": f"dot:{other}", "value": value * n} for other, value in zip(group, row, strict=True)]
        found.append([{"name": "n", "value": float(n)}, *known])
    return found


def _filled(columns: dict[str, object], schema: pa.Schema, n: int) -> pa.Table:
    arrays = [columns.get(f.name, pa.nulls(n, f.type)) for f in schema]
    return pa.table(
        [a if isinstance(a, pa.ChunkedArray) else pa.array(a, f.type) for a, f in zip(arrays, schema, strict=True)], schema=schema
    )
