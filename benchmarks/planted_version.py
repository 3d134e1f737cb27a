"""Planted pairs as a version on disk, with what raters say of them; no model is asked.

The raters err apart from the label (see `planted_pairs` for what quality, polish and length are), but for `polish`, which all of
them take for quality, and for "length", where `wordy` errs as the label does. `careful`, `careless` and the two twins score q +
polish / 2 + noise (of deviation 0.5, 1.5, 1 and 1; four fifths of the variance of the twins' noise is one and the same); `wordy`
q / 2 + polish / 2 + 0.7 * length + noise of 0.7. `judge` compares: the log-odds of each order are 1.5 * the difference of (q +
polish / 2 + noise of 1), + 1 for what is shown first, + noise of 0.3. `mc_dropout` is a rater with noise 0.8 that draws ten times
around its opinion, with a deviation of about 0.5 (log-normal, 0.5) that is half as much again where qualities are equal: *that
this spread knows of doubt is put in*. The policy of `implicit_reward` was trained on other pairs (6 nats per unit of q + polish /
2 + noise of 1); its reference's sum is -1.1 nats a word, and noise of 6. The hidden states of `displacement` know nothing of
quality.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from planted_pairs import Floats, Planted, apart, deviations, opinions

from pairwright.annotators.base import group_id
from pairwright.annotators.comparing import both_orders, verdict_of
from pairwright.annotators.displacement import DOT
from pairwright.annotators.mc_dropout import DRAW
from pairwright.pipelines.filters.uncertainty import expit
from pairwright.pipelines.recipe import Recipe, parse_recipe
from pairwright.storage.manifest import Manifest, StageAccount
from pairwright.storage.schemas import ANNOTATIONS, DROPPED, PROMPTS, RESPONSES, pairs_schema
from pairwright.storage.versions import Dataset

RATERS = ("careful", "careless", "twin_a", "twin_b", "wordy")
METHODS = {"label": "density_ratio", **dict.fromkeys(RATERS, "graded"), "judge": "pairwise"}
MEASURES = ("mc_dropout", "implicit_reward", "displacement")
ANNOTATORS = (*METHODS, *MEASURES)
DRAWS, DIMENSIONS = 10, 8
PRIOR = 0.5  # of a comparer's strengths
Parts = list[dict[str, Any]]


def recipe(root: Path) -> Recipe:
    """The annotators above; pairs are made of `label` alone."""
    roles = ("policy", "strong", "weak", "judge", "scorer", "reference")
    return parse_recipe(
        {
            "dataset": "planted",
            "root": str(root),
            "prompts": {"source": "builtin"},
            "models": {role: {"engine": "scripted", "seed": i} for i, role in enumerate(roles)},
            "sample": {"n": 2},
            "annotators": [*({"use": use, "name": name} for name, use in METHODS.items()), *MEASURES],
            "combine": "label",
        },
        "the recipe of planted pairs",
    )


def written(root: Path, pairs: Planted, seed: int) -> Dataset:
    """The dataset "planted" below `root`; its version 1 has the responses and annotations, and leaves pairs to a cut."""
    dataset, n, rng = Dataset(root, "planted"), len(pairs), np.random.default_rng([seed, 1])
    groups = [group_id(p, two, None, ()) for p, two in zip(pairs.prompts, pairs.ids, strict=True)]
    with dataset.stage() as staging:
        prompts = [
            {"prompt_id": p, "messages": [{"role": "user", "content": text}], "tags": [], "source": "planted", "count": 1}
            for p, text in zip(pairs.prompts, pairs.prompt_texts, strict=True)
        ]
        staging.write("prompts", pa.Table.from_pylist(prompts, schema=PROMPTS), PROMPTS)
        staging.write("responses", _responses(pairs), RESPONSES)
        about: dict[str, Any] = {"prompt_id": pairs.prompts, "group_id": groups}
        twice = {"subject_id": _flat(pairs.ids)} | {key: np.repeat(column, 2) for key, column in about.items()}
        for name, columns in said(pairs, rng).items():
            rows = _annotations(name, {**(about if "other_id" in columns else twice), **columns})
            staging.write("annotations", rows, ANNOTATIONS)
        for table, schema in (("pairs", pairs_schema([])), ("dropped", DROPPED)):
            staging.write(table, schema.empty_table(), schema)
        stages = [("prompts", "row", n), ("sample", "response", 2 * n), ("group", "prompt", n)]
        stages += [(f"annotate {name}", "response", 2 * n) for name in ANNOTATORS]
        accounts = [StageAccount(stage=s, unit=u, rows_in=k, rows_out=k) for s, u, k in stages]
        staging.commit(Manifest(dataset="planted", recipe=recipe(root).model_dump(mode="json"), accounting=accounts))
    return dataset


def said(pairs: Planted, rng: np.random.Generator) -> dict[str, dict[str, Any]]:
    """annotator -> its columns of the table of annotations, of all responses, or where there is `other_id` of all pairs."""
    words = pairs.words.astype(np.float64)
    length = deviations(words)

    def noise() -> Floats:
        return opinions(rng, pairs.alike, pairs.origin)

    seen, family = pairs.quality + pairs.polish / 2, noise()
    twins = [seen + np.sqrt(0.8) * family + np.sqrt(0.2) * noise() for _ in range(2)]
    scores = {
        "label": seen.mean(axis=1, keepdims=True) + pairs.margin[:, None] * np.array([0.5, -0.5]),
        "careful": seen + 0.5 * noise(),
        "careless": seen + 1.5 * noise(),
        "twin_a": twins[0],
        "twin_b": twins[1],
        "wordy": pairs.quality / 2 + pairs.polish / 2 + 0.7 * length + 0.7 * noise(),
    }
    found: dict[str, dict[str, Any]] = {name: {"score": _flat(values)} for name, values in scores.items()}
    judged, strengths = _judged(pairs, 1.5 * apart(seen + noise()), rng)
    found |= {"judge": judged, "judge, of a response": {"score": _flat(strengths)}}
    spread = 0.5 * np.exp(0.5 * rng.normal(size=seen.shape)) * (1 + np.exp(-2 * abs(apart(pairs.quality))) / 2)[:, None]
    draws = (seen + 0.8 * noise())[..., None] + spread[..., None] * rng.normal(size=(*seen.shape, DRAWS))
    names = [f"{DRAW}{t}" for t in range(DRAWS)]
    found["mc_dropout"] = {"score": _flat(draws.mean(axis=2)), "parts": _parts(names, draws.reshape(-1, DRAWS))}
    reward, reference = 6 * (seen + noise()), -1.1 * words + 6 * noise()
    sums = np.stack([reward + reference, reference], axis=-1).reshape(-1, 2)
    found["implicit_reward"] = {"score": _flat(reward), "parts": _parts(["policy_sum", "reference_sum"], sums)}
    found["displacement"] = {"score": np.zeros(2 * len(pairs)), "parts": _displaced(pairs, words, noise, rng)}
    return found


def _judged(pairs: Planted, odds: Floats, rng: np.random.Generator) -> tuple[dict[str, Any], Floats]:
    """The comparisons, told of the response with the smaller id, and strengths [N, 2]: with one comparison and a prior of 1/2 on
    either side they are log((p + 1/2) / (3/2 - p)) apart."""
    as_first, as_second = (expit(odds + place + 0.3 * rng.normal(size=len(odds))) for place in (1.0, -1.0))
    columns: dict[str, list[Any]] = {name: [] for name in ("subject_id", "other_id", "label", "score", "confidence", "parts")}
    for (better, worse), first, second in zip(pairs.ids, as_first.tolist(), as_second.tolist(), strict=True):
        orders = both_orders(first, second) if better < worse else both_orders(1 - second, 1 - first)
        p = sum(orders.values()) / 2
        parts = [{"name": name, "value": value} for name, value in orders.items()]
        row = (min(better, worse), max(better, worse), verdict_of(p), p, max(p, 1 - p), parts)
        for column, value in zip(columns.values(), row, strict=True):
            column.append(value)
    p = (as_first + as_second) / 2
    return columns, np.log((p + PRIOR) / (1 - p + PRIOR))[:, None] * np.array([0.5, -0.5])


def _displaced(pairs: Planted, words: Floats, noise: Callable[[], Floats], rng: np.random.Generator) -> list[Parts]:
    """Dot products of sums of states: around a point of the prompt, every response has its own mean."""
    centre = 3 * rng.normal(size=(len(pairs), 1, DIMENSIONS))
    sums = (centre + np.stack([noise() for _ in range(DIMENSIONS)], axis=-1)) * words[..., None]
    dots = np.einsum("nid,njd->nij", sums, sums)
    return [
        [{"name": "n", "value": words[i, k]}, *({"name": f"{DOT}{two[j]}", "value": dots[i, k, j]} for j in (0, 1))]
        for i, two in enumerate(pairs.ids)
        for k in (0, 1)
    ]


def _parts(names: Sequence[str], values: Floats) -> list[Parts]:
    return [[{"name": name, "value": v} for name, v in zip(names, row, strict=True)] for row in values.tolist()]


def _responses(pairs: Planted) -> pa.Table:
    n = 2 * len(pairs)
    made = {
        "response_id": _flat(pairs.ids),
        "prompt_id": np.repeat(pairs.prompts, 2),
        "index": [0, 1] * len(pairs),
        "text": _flat(pairs.texts),
        "finish_reason": ["stop"] * n,
        "model": ["policy"] * n,
        "sampling": ["{}"] * n,
        "seed": range(n),
        "tokens": _flat(pairs.words),
        "seconds": [0.0] * n,
    }
    return _filled(made, RESPONSES, n)


def _annotations(name: str, columns: Mapping[str, Any]) -> pa.Table:
    """Rows of `name`; "judge, of a response" is the judge's too."""
    name, n = name.partition(",")[0], len(columns["subject_id"])
    use = METHODS.get(name, name)
    fixed = {"annotator": [name] * n, "method": [use] * n, "fingerprint": ["f"] * n, "valid": [True] * n}
    return _filled({**fixed, "tokens": [0] * n, "seconds": [0.0] * n, **columns}, ANNOTATIONS, n)


def _filled(columns: Mapping[str, Any], schema: pa.Schema, n: int) -> pa.Table:
    arrays = [pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(n, f.type) for f in schema]
    return pa.table(arrays, schema=schema)


def _flat(two: Iterable[Any]) -> list[Any]:
    """Of the first pair the better response's, the worse one's, and so on."""
    return [value for row in (two.tolist() if isinstance(two, np.ndarray) else two) for value in row]
