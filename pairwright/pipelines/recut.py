"""Re-cutting: a new version from the annotations of an old one, by other pair rules, relabelling and filters. No model is called,
and none has to be there: what was stored is all that is read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pairwright.engines.requests import Turn
from pairwright.errors import PairwrightError
from pairwright.ids import digest
from pairwright.pipelines.build import VERSION, Result
from pairwright.pipelines.cut import Stored, cut
from pairwright.pipelines.emptied import check_left
from pairwright.pipelines.mistakes import near
from pairwright.pipelines.prompts.rows import Prompt
from pairwright.pipelines.publish import Draft, Part, publish
from pairwright.pipelines.publish_pairs import PairPart
from pairwright.pipelines.recipe import Recipe, parse_recipe, read_recipe
from pairwright.pipelines.settings import override
from pairwright.pipelines.steps.cut import VERSION as STEPS_VERSION
from pairwright.pipelines.steps.cut import StoredSteps, cut_steps
from pairwright.pipelines.steps.publish import StepPart
from pairwright.storage.manifest import Manifest, StageAccount
from pairwright.storage.parquet import read_table
from pairwright.storage.versions import Dataset, Staging
from pairwright.storage.views import Shelf

CUT = ("combine", "pair", "relabel", "filters", "split")  # the parts of a recipe that say how stored annotations are cut
STEP_CUT = "steps.labels"
STORED = ("prompts", "responses", "annotations", "steps")


def with_changes(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """`recipe` with the cut of another recipe (a path to a YAML file) or with single settings such as `pair.margin=0.5`, in the
    order given. A part of the cut (`pair`, `filters`, ...) that the other recipe has replaces that of `recipe` whole; one that it
    lacks stays. Raises PairwrightError if something else than the cut would change, or a filter lacks what it needs."""
    data = json.loads(recipe.model_dump_json(exclude_unset=True))
    for change in changes:
        if _is_setting(change):
            override(data, change)
        else:
            _take_cut(data, read_recipe(Path(change)), change)
    changed = parse_recipe(data, "the recipe of this cut")
    _check_only_cut(recipe, changed)
    for f in changed.filters:
        try:
            f.check()
        except PairwrightError as error:
            raise PairwrightError(f"{error}; or cut without it: give the other `filters`, or `filters=[]`") from None
    return changed


def _is_setting(change: str) -> bool:
    """And not the path of a file; that of a version has an equals sign too."""
    key, equals, _ = change.partition("=")
    is_file = os.path.isfile(change)  # noqa: PTH113  Path.is_file raises where a setting is too long for a file's name
    return bool(equals) and "/" not in key and not is_file


def _take_cut(data: dict[str, Any], other: dict[str, Any], where: str) -> None:
    found = [key for key in CUT if key in other]
    labels = steps.get("labels") if isinstance(steps := other.get("steps"), Mapping) else None
    if not found and labels is None:
        raise PairwrightError(f"{where} says nothing about how to cut: it needs one of {', '.join(CUT)}, {STEP_CUT}")
    data |= {key: other[key] for key in found}
    if labels is not None and data.get("steps"):
        data["steps"]["labels"] = labels


def _check_only_cut(before: Recipe, after: Recipe) -> None:
    """What needs models stays as it is; where a version is kept may change."""
    old, new = (json.loads(r.model_dump_json()) for r in (before, after))
    for data in (old, new):
        for key in (*CUT, "root", "run"):
            data.pop(key, None)
        (data.get("steps") or {}).pop("labels", None)
    names = [a["name"] for a in old["annotators"]]
    for spec in new["annotators"]:
        if spec["name"] not in names:
            raise PairwrightError(
                f"the annotator {spec['name']!r} has no stored labels (there are {', '.join(names)}): "
                f"add it to the recipe and build{near(spec['name'], names)}"
            )
    for key in new:
        if old[key] != new[key]:
            raise PairwrightError(
                f"`{key}` is not a part of the cut, and nothing is asked of a model here: change it in the recipe and build, or "
                f"change only {', '.join(CUT)}, {STEP_CUT}"
            )


def stored_of(dataset: Dataset, n: int) -> tuple[Recipe, Stored]:
    """The recipe of version `n` and what it stored. All of it takes part: nothing in a version is stale."""
    recipe = recipe_of(dataset, n)
    tables = dataset.tables(n)
    annotations: dict[str, list[Path]] = {a.name: [] for a in recipe.annotators}
    for path in tables.get("annotations", []):
        for name in read_table(path, ["annotator"])["annotator"].unique().to_pylist():
            if name in annotations:
                annotations[name].append(path)
    prompts = PromptFiles(tables["prompts"])
    return recipe, Stored(prompts, tables.get("responses", []), annotations, dataset.manifest(n))


def recipe_of(dataset: Dataset, n: int) -> Recipe:
    """The recipe of version `n`."""
    recipe = parse_recipe(dataset.manifest(n).recipe, f"the recipe of version {n} of {dataset.name}")
    return recipe.model_copy(update={"dataset": dataset.name, "root": str(dataset.folder.parent)})


class PromptFiles(Mapping[str, Prompt]):
    """The prompts of a version by id, as their sources have them; read when they are asked for."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._shelf = Shelf(files, "prompt_id")
        self._at = self._shelf.ids().read_all()

    def __len__(self) -> int:
        return int(self._at.num_rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self._at["prompt_id"].to_pylist())

    def __getitem__(self, prompt_id: str) -> Prompt:
        return self.many([prompt_id])[0]

    def many(self, ids: Sequence[str]) -> list[Prompt]:
        """The prompts with these ids, in their order. Raises KeyError if one is not there."""
        wanted = pa.array(ids, pa.string())
        there = self._at.filter(pc.is_in(self._at["prompt_id"], wanted))
        for missing in set(ids).difference(there["prompt_id"].to_pylist()):
            raise KeyError(missing)
        if not ids:
            return []
        rows = self._shelf.fetch(wanted, there["at"], ["messages", "reference", "tags", "source", "count"])
        return [prompt_of(row) for row in rows.to_pylist()]


def prompt_of(row: Mapping[str, Any]) -> Prompt:
    """A row of the table `prompts`. A build cuts prompts as they are in their sources: what is no part of a prompt's id, a system
    turn of the recipe, is left off."""
    messages = tuple(Turn(m["role"], m["content"]) for m in row["messages"])
    if digest("prompt", [[turn.role, turn.content] for turn in messages[1:]]) == row["prompt_id"]:
        messages = messages[1:]
    return Prompt(row["prompt_id"], messages, row["reference"], tuple(row["tags"] or ()), row["source"] or "", row["count"])


def recut(dataset: Dataset, n: int, changes: Sequence[str] = (), force: bool = False) -> Result:
    """Cut version `n` again with `changes` and commit what comes of it as the next version; its parent is `n`.

    Nothing is made, unless by `force`, if the latest version is a cut of the same annotations by the same rules.
    """
    dataset.clean_staging()
    before, stored = stored_of(dataset, n)
    manifest = dataset.manifest(n)
    recipe = with_changes(before, changes)
    key = key_of(manifest, recipe)
    latest = dataset.latest()
    same = latest == n and recipe == before
    if not force and (same or (latest is not None and dataset.manifest(latest).build_key == key)):
        return Result(latest or n, new=False)
    parts: list[Part] = []
    if recipe.annotators:
        parts.append(PairPart(recipe, stored, cut(stored, recipe)))
    if recipe.steps is not None:
        found = stored_steps_of(dataset, n, stored)
        parts.append(StepPart(found, cut_steps(found, recipe.steps)))
    check_left(parts)
    seen = StoredPrompts(dataset, n)
    return Result(publish(Draft(dataset, recipe, seen, parts, manifest.models, {}, key, parent=n)), new=True)


def key_of(manifest: Manifest, recipe: Recipe) -> str:
    """Equal for two cuts of the same stored tables by the same rules."""
    labels = recipe.steps.labels.model_dump(mode="json") if recipe.steps else None
    kept = [[entry.path, entry.sha256] for entry in manifest.files if entry.path.partition("/")[0] in STORED]
    return digest("recut", VERSION, STEPS_VERSION, kept, recipe.cut_about() if recipe.annotators else None, labels)


def stored_steps_of(dataset: Dataset, n: int, stored: Stored) -> StoredSteps:
    """The search trees of version `n` and what a judge said of their solutions."""
    tables = dataset.tables(n)
    names = set(stored.annotations)
    judged = [
        path
        for path in tables.get("annotations", [])
        if names.isdisjoint(read_table(path, ["annotator"])["annotator"].unique().to_pylist())
    ]
    prompts = {prompt.prompt_id: prompt for prompt in stored.prompts_of(list(stored.prompts))}
    return StoredSteps(prompts, tables["steps"], judged)


@dataclass(frozen=True)
class StoredPrompts:
    """The prompts of a version, for another one."""

    dataset: Dataset
    n: int

    def account(self) -> StageAccount:
        """As the version has it."""
        return next(a for a in self.dataset.manifest(self.n).accounting if a.stage == "prompts")

    def write(self, staging: Staging) -> None:
        """Link them."""
        for path in self.dataset.tables(self.n)["prompts"]:
            staging.link("prompts", path)

    def dropped(self) -> Iterator[pa.Table]:
        """The rows that became no prompt."""
        for path in self.dataset.tables(self.n)["dropped"]:
            table = read_table(path)
            yield table.filter(pc.equal(table["stage"], "prompts"))
