"""What a build would do again, and why: nothing is loaded, nothing is written in the dataset's folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pairwright.errors import PairwrightError
from pairwright.ids import digest
from pairwright.pipelines import annotate
from pairwright.pipelines.build import Build
from pairwright.pipelines.sample import ROLE
from pairwright.pipelines.step_labels.consensus import must_judge
from pairwright.pipelines.step_labels.stepwise import labelled
from pairwright.pipelines.steps.search import logs, question
from pairwright.pipelines.store import Shelf, differences
from pairwright.storage.manifest import Manifest
from pairwright.storage.parquet import is_sound
from pairwright.storage.versions import Dataset

NO_EFFECT = ("root", "run", "dataset")  # parts of the recipe that change nothing in what a version holds
PLACES = {"sample": ("prompt", "sample"), "search": ("question", "steps"), "judge": ("solution", "steps")}  # unit, settings
SHOWN = 3  # changes spelled out in `why`


@dataclass(frozen=True, slots=True)
class StagePlan:
    """What a stage has to do: `missing` of `total` units, and why. `changes`: what differs from the nearest earlier settings."""

    stage: str
    unit: str
    total: int
    done: int
    missing: int
    why: str
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FunnelRow:
    """One stage of a version: rows in = rows out + the sum of `dropped`, whose reasons come with the most frequent first."""

    stage: str
    unit: str
    rows_in: int
    rows_out: int
    dropped: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Todo:
    """The prompts (of an annotator: those whose groups) that are on the shelf, and those that are not. `unsampled`: how many of
    the latter wait for responses."""

    done: list[str]
    left: list[str]
    unsampled: int = 0


def explain(build: Build) -> list[StagePlan]:
    """For sampling, each annotator and the cut: how much is left, and which setting is to blame.

    Raises PairwrightError if a role's model is not there. May write in the cache of model files, as every use of a model does.
    """
    labels = _labels(build)
    todo = left_to_do(build)
    siblings = [shelf.fingerprint for shelf in build.shelves.values()]
    plans = []
    for stage, shelf in build.shelves.items():
        unit, place = PLACES.get(stage) or ("group", f"annotators.{stage.removeprefix('annotate ')}")
        plans.append(_stage(stage, unit, shelf, todo[stage], place, siblings, labels))
    return [*plans, _cut(build, labels)]


def funnel(dataset: Dataset, version: int | None = None) -> list[FunnelRow]:
    """Where the rows of a version (default: the latest) went, stage by stage."""
    n = dataset.latest() if version is None else version
    if n is None:
        raise PairwrightError(f"dataset {dataset.name} in {dataset.folder.parent} has no version yet: build one first")
    return [
        FunnelRow(a.stage, a.unit, a.rows_in, a.rows_out, tuple(sorted(a.dropped.items(), key=lambda i: (-i[1], i[0]))))
        for a in dataset.manifest(n).accounting
    ]


def left_to_do(build: Build) -> dict[str, Todo]:
    """What is done and what is left, by stage as in `Build.shelves`. A prompt without responses counts as one group to come, a
    question without a tree as one solution to be judged."""
    todo: dict[str, Todo] = {}
    if build.recipe.annotators:
        sampled = stored_keys(build.samples)
        unsampled = [i for i in build.by_id if i not in sampled]
        todo["sample"] = Todo([i for i in build.by_id if i in sampled], unsampled, len(unsampled))
        groups = [(g.prompt_id, g.id) for g in annotate.groups(finished(build.samples), build.by_id, build.recipe.sample)]
        for name, shelf in build.annotations.items():
            keys = stored_keys(shelf)
            left = [prompt for prompt, group in groups if group not in keys] + unsampled
            todo[f"annotate {name}"] = Todo([prompt for prompt, group in groups if group in keys], left, len(unsampled))
    if build.recipe.steps is not None:
        grown = stored_keys(build.searches)
        searched = {i: question(prompt).id in grown for i, prompt in build.by_id.items()}
        unsearched = [i for i, done in searched.items() if not done]
        todo["search"] = Todo([i for i, done in searched.items() if done], unsearched, len(unsearched))
    if "judge" in build.shelves:
        judged = stored_keys(build.judgements)
        solutions = [
            s for log in logs(finished(build.searches), build.by_id) for s in must_judge(labelled(log, build.steps.labels)[0])
        ]
        left = [s.solution_id for s in solutions if s.solution_id not in judged] + unsearched
        todo["judge"] = Todo([s.solution_id for s in solutions if s.solution_id in judged], left, len(unsearched))
    return todo


def finished(shelf: Shelf) -> list[Path]:
    """The shelf's sound files; unlike `Shelf.files` it leaves a damaged one where it is."""
    return [path for path in sorted(shelf.folder.glob("*.parquet")) if is_sound(path)]


def stored_keys(shelf: Shelf) -> set[str]:
    """The keys that are done."""
    return {key for path in finished(shelf) for key in pq.read_table(path, columns=[shelf.key])[shelf.key].to_pylist()}


def _stage(
    stage: str, unit: str, shelf: Shelf, todo: Todo, place: str, siblings: Sequence[str], labels: Mapping[str, str]
) -> StagePlan:
    changes: tuple[str, ...] = ()
    if not todo.left:
        why = "everything is stored"
    elif finished(shelf):
        new = len(todo.left) - todo.unsampled
        follows = {"group": "prompt without responses yet", "solution": "question without a tree yet"}.get(unit)
        parts = [_count(new, f"new {unit}")] if new else []
        parts += [_count(todo.unsampled, follows or f"new {unit}")] if todo.unsampled else []
        why = " and ".join(parts)
    else:
        earlier = [about for about in shelf.others() if digest(about) not in siblings]
        found = [tuple(_changes(about, shelf.about, place, labels)) for about in earlier]
        changes = min(found, key=len, default=())
        why = shown(changes) if changes else "nothing is stored yet"
    done, left = len(todo.done), len(todo.left)
    return StagePlan(stage, unit, done + left, done, left, why, changes)


def shown(changes: Sequence[str]) -> str:
    """The first changes in one line."""
    more = f"; and {_count(len(changes) - SHOWN, 'more change')}" if len(changes) > SHOWN else ""
    return "; ".join(changes[:SHOWN]) + more


def _changes(old: Mapping[str, Any], new: Mapping[str, Any], place: str, labels: Mapping[str, str]) -> Iterator[str]:
    """What differs between two shelves' settings, under the names the recipe has for them."""
    yield from _model_changes(_models(old), _models(new), labels)
    yield from differences(old.get("settings", old.get("sample")), new.get("settings", new.get("sample")), place)
    yield from differences(old.get("version"), new.get("version"), f"version of the method behind {place}")


def _models(about: Mapping[str, Any]) -> dict[str, str]:
    return about["models"] if "models" in about else {ROLE: about.get("model", "")}


def _model_changes(old: Mapping[str, str], new: Mapping[str, str], labels: Mapping[str, str]) -> Iterator[str]:
    for role in sorted({*old, *new}):
        if role not in old or role not in new:
            yield f"the role {role} is {'no longer' if role in old else 'newly'} asked"
        elif old[role] != new[role]:
            before, after = labels.get(old[role], "an earlier model"), labels.get(new[role], "another one")
            other = f"{before} -> {after}" if before != after else f"{after} with other weights or settings"
            yield f"the model of {role} has changed: {other}"


def _labels(build: Build) -> dict[str, str]:
    """Names of the models this recipe or an earlier version used, by fingerprint."""
    manifests = [build.dataset.manifest(n) for n in build.dataset.versions()]
    known = {m["fingerprint"]: m["label"] for manifest in manifests for m in manifest.models.values()}
    return known | {build.pool.model(role): config.label() for role, config in build.recipe.models.items()}


def _cut(build: Build, labels: Mapping[str, str]) -> StagePlan:
    """Would a new version be made, and what changed against the latest one?"""
    latest = build.dataset.latest()
    if latest is None:
        return StagePlan("cut", "version", 1, 0, 1, "there is no version yet: version 1 will be made")
    manifest = build.dataset.manifest(latest)
    if manifest.build_key == build.key:
        return StagePlan("cut", "version", 1, 1, 0, f"version {latest} is already what this recipe comes to")
    changes = tuple(_version_changes(build, manifest, labels))
    why = shown(changes) or "a method or Pairwright itself has changed"
    return StagePlan("cut", "version", 1, 0, 1, f"version {latest + 1} will be made: {why}", changes)


def _version_changes(build: Build, manifest: Manifest, labels: Mapping[str, str]) -> Iterator[str]:
    from pairwright.storage.diff import recipe_changes

    now = json.loads(build.recipe.model_dump_json())
    settings = [{k: v for k, v in recipe.items() if k not in NO_EFFECT} for recipe in (manifest.recipe, now)]
    found = recipe_changes(*settings)
    yield from differences({path: old for path, (old, _) in found.items()}, {path: new for path, (_, new) in found.items()})
    spelt_out = {path.split(".")[1] for path in found if path.startswith("models.")}
    old = {role: m["fingerprint"] for role, m in manifest.models.items() if role not in spelt_out}
    yield from _model_changes(old, {role: build.pool.model(role) for role in old}, labels)
    files = build.dataset.tables(manifest.version)["prompts"]
    before = {i for path in files for i in pq.read_table(path, columns=["prompt_id"])["prompt_id"].to_pylist()}
    counts = {"added": len(build.by_id.keys() - before), "removed": len(before - build.by_id.keys())}
    yield from (f"{_count(n, 'prompt')} {what}" for what, n in counts.items() if n)


def _count(n: int, what: str) -> str:
    noun, _, rest = what.partition(" without ")
    return f"{n:,} {noun}{'' if n == 1 else 's'}{f' without {rest}' if rest else ''}"
