"""Responses and annotations as random tables on disk, for cuts without a build, with all in them that a cut must survive."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from pairwright.annotators.base import group_id
from pairwright.engines.requests import Turn
from pairwright.ids import digest
from pairwright.pipelines.cut import Cut, Stored, cut
from pairwright.pipelines.prompts.rows import Prompt
from pairwright.pipelines.recipe import Recipe, parse_recipe
from pairwright.storage.manifest import Manifest
from pairwright.storage.parquet import write_table
from pairwright.storage.schemas import ANNOTATIONS, RESPONSES
from tests.recipes import settings

ANNOTATORS = [
    {"use": "density_ratio", "name": "a"},
    {"use": "density_ratio", "name": "b"},
    {"use": "pairwise", "name": "jury"},
    "displacement",
    "implicit_reward",
]
NAMES = ["a", "b", "jury", "displacement", "implicit_reward"]
TEXTS = ["Yes.", "No.", "no.", "It depends on whom you ask.", "Yes, mostly, yes.", "Nobody knows.", "é", " ", ""]
Row = dict[str, Any]


def recipe(**changes: Any) -> Recipe:
    """A recipe with the annotators whose rows are made here."""
    models = {role: {"engine": "scripted"} for role in ("policy", "strong", "weak", "judge", "reference")}
    return parse_recipe(settings(Path(), annotators=ANNOTATORS, models=models) | {"combine": "a"} | changes, "the test's recipe")


@dataclass
class Tables:
    """Prompts that take part, and rows: a group's responses stand one after the other."""

    prompts: dict[str, Prompt] = field(default_factory=dict)
    responses: list[Row] = field(default_factory=list)
    annotations: dict[str, list[Row]] = field(default_factory=lambda: {name: [] for name in NAMES})

    def group(self, prompt: Prompt, responses: Sequence[Row], random: random.Random, known: bool = True) -> None:
        """Add a group whose annotators say what `random` makes them say."""
        if known:
            self.prompts[prompt.prompt_id] = prompt
        self.responses += responses
        good = [r for r in responses if r["reason"] is None]
        if good:
            self.annotate(prompt, good, random)

    def annotate(self, prompt: Prompt, good: Sequence[Row], random: random.Random) -> None:
        """What all annotators say of a group; some of it is missing for a reason."""
        ids = [r["response_id"] for r in good]
        about = {"prompt_id": prompt.prompt_id, "group_id": group_id(prompt.prompt_id, ids, prompt.reference, prompt.tags)}
        states = {i: [random.randint(-3, 3) for _ in range(3)] for i in ids}
        for i in ids:
            for name in ("a", "b", "jury"):
                missing = random.random() < 0.1
                self._add(name, about, i, None if missing else random.randint(-6, 6) / 4, "too_long" if missing else None)
            dots = {f"dot:{j}": float(sum(x * y for x, y in zip(states[i], states[j], strict=True))) for j in ids}
            shown = random.random() < 0.9
            parts = {"n": float(random.randint(1, 4)), **dots} if shown else {}
            self._add("displacement", about, i, 0.0 if shown else None, None if shown else "cut_response", parts=parts)
            sums = {"policy_sum": -random.randint(1, 40) / 2, "reference_sum": -random.randint(1, 40) / 2}
            self._add("implicit_reward", about, i, 0.0, None, parts=sums)
        for at, i in enumerate(ids):
            for j in ids[:at]:
                label = random.choice(["a", "b", "tie", "invalid"])
                p = {"a": 0.75, "b": 0.25, "tie": 0.5, "invalid": None}[label]
                reason, parts = ("unreadable", {}) if p is None else (None, {"p_ab": p, "p_ba": random.randint(1, 7) / 8})
                self._add("jury", about, i, p, reason, other=j, label=label, parts=parts)

    def _add(
        self,
        name: str,
        about: Row,
        subject: str,
        score: float | None,
        reason: str | None,
        other: str | None = None,
        label: str | None = None,
        parts: Mapping[str, float] | None = None,
    ) -> None:
        self.annotations[name].append(
            about
            | {"subject_id": subject, "other_id": other, "annotator": name, "method": name, "fingerprint": name, "score": score}
            | {"label": label, "valid": reason is None, "reason": reason}
            | {"parts": [{"name": n, "value": v} for n, v in (parts or {}).items()]}
        )


def prompt_of(name: str, **about: Any) -> Prompt:
    """The prompt of this name."""
    return Prompt(digest("prompt", name), (Turn("user", f"What of {name}?"),), **about)


def response(prompt: Prompt, index: int, text: str, reason: str | None = None, finish: str = "stop", tokens: int = 4) -> Row:
    """A row of `responses`."""
    return {
        "response_id": digest("response", prompt.prompt_id, index),
        "prompt_id": prompt.prompt_id,
        "index": index,
        "text": None if reason else text,
        "finish_reason": None if reason else finish,
        "model": "policy",
        "reason": reason,
        "tokens": tokens,
        "seconds": 0.5,
    }


def some(seed: int, groups: int = 12, most: int = 6) -> Tables:
    """Groups of up to `most` responses: failed and cut ones, empty and identical texts, prompts without a response."""
    chance, made = random.Random(seed), Tables()
    for g in range(groups):
        prompt = prompt_of(f"{seed}-{g}", reference=chance.choice([None, "42"]), tags=("sum",) * chance.randint(0, 1))
        made.group(prompt, [_any_response(prompt, k, chance) for k in range(chance.randint(1, most))], chance)
    return made


def _any_response(prompt: Prompt, index: int, chance: random.Random) -> Row:
    text = chance.choice([*TEXTS, *(f"Answer {chance.randint(0, 10**6)}." for _ in TEXTS)])
    reason = "server_error" if chance.random() < 0.15 else None
    return response(prompt, index, text, reason, chance.choice(["stop"] * 5 + ["length"]), chance.randint(0, 9))


def with_stale(tables: Tables, seed: int) -> Tables:
    """The same, with what a build leaves on its shelves: groups of prompts that left the recipe in between, and annotations of
    groups whose reference was another."""
    chance, made = random.Random(seed), Tables(tables.prompts, [], {k: list(v) for k, v in tables.annotations.items()})
    for n, rows in enumerate(groups_of(tables)):
        made.responses += rows
        left = prompt_of(f"left {seed} {n}")
        made.group(left, [_any_response(left, k, chance) for k in range(3)], chance, known=False)
        good = [r for r in rows if r["reason"] is None]
        if good and chance.random() < 0.5:
            made.annotate(replace(tables.prompts[rows[0]["prompt_id"]], reference="once it was this"), good, chance)
    return made


def groups_of(tables: Tables) -> list[list[Row]]:
    """The rows of `responses`, group by group."""
    found: dict[str, list[Row]] = {}
    for row in tables.responses:
        found.setdefault(row["prompt_id"], []).append(row)
    return list(found.values())


def written(folder: Path, name: str, rows: Sequence[Row], schema: pa.Schema, cuts: Iterable[int], row_group: int) -> list[Path]:
    """`rows` in files that end at `cuts`."""
    edges, paths = [0, *sorted(cuts), len(rows)], list[Path]()
    folder.mkdir(parents=True, exist_ok=True)
    for low, high in itertools.pairwise(edges):
        paths.append(folder / f"{name}-{len(paths)}.parquet")
        write_table(paths[-1], pa.Table.from_pylist(list(rows[low:high]), schema=schema), schema, row_group)
    return paths


def shelved(
    folder: Path,
    tables: Tables,
    shuffle: int | None = None,
    slab_rows: int = 20_000,
    row_group: int = 20_000,
    settled: bool = False,
) -> Stored:
    """`tables` on disk. `shuffle`: groups, annotations and files in a random order, files and row groups ending anywhere, a
    group's responses too; `settled`: as what a version holds."""
    chance = random.Random(shuffle)
    groups = groups_of(tables)
    if shuffle is not None:
        chance.shuffle(groups)
        for rows in groups:
            chance.shuffle(rows)
    responses = [row for rows in groups for row in rows]

    def cuts(rows: Sequence[Row]) -> list[int]:
        return [] if shuffle is None else [chance.randint(0, len(rows)) for _ in range(chance.randint(0, 5))]

    def annotated(name: str, rows: list[Row]) -> list[Path]:
        rows = rows if shuffle is None else chance.sample(rows, len(rows))
        files = written(folder / name, "some", rows, ANNOTATIONS, cuts(rows), row_group)
        return chance.sample(files, len(files))

    return Stored(
        tables.prompts,
        written(folder / "responses", "some", responses, RESPONSES, cuts(responses), row_group),
        {name: annotated(name, rows) for name, rows in tables.annotations.items()},
        Manifest(dataset="made") if settled else None,
        slab_rows,
    )


def outcome(stored: Stored, recipe: Recipe) -> tuple[Any, ...]:
    """All that a cut comes to, in an order of its own."""
    return told(cut(stored, recipe))


def told(made: Cut) -> tuple[Any, ...]:
    """All that `made` says, in an order of its own."""
    pairs = sorted(made.pairs.to_pylist(), key=lambda row: str(row["pair_id"]))
    reasons = {unit: dict(found) for unit, found in made.reasons.items()}
    counts = (made.groups, made.paired, made.rows, made.kept_rows, reasons, made.dropped_by)
    return pairs, sorted(made.dropped.items()), sorted(made.left_out.items()), counts
