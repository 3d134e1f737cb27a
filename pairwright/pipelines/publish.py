"""Publishing: the tables of a version, its row accounting stage by stage, and one commit."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from pairwright.errors import PairwrightError
from pairwright.pipelines.prompts.sources import PromptSet, prompts_table
from pairwright.pipelines.recipe import Recipe
from pairwright.storage.manifest import Manifest, StageAccount
from pairwright.storage.parquet import read_table
from pairwright.storage.schemas import DROPPED, PROMPTS
from pairwright.storage.versions import Dataset, Staging


class Part(Protocol):
    """What a version holds besides prompts: pairs of responses, or step labels."""

    def accounts(self) -> Iterable[StageAccount]:
        """Rows in and out of every stage up to publishing."""

    def rows(self) -> int:
        """How many rows a trainer would get."""

    def write(self, staging: Staging, prompts: Sequence[Path]) -> Iterable[StageAccount]:
        """Stage the tables; what publishing itself dropped."""

    def dropped(self) -> Iterable[pa.Table]:
        """Every row that fell out before the last table, with its stage and reason: tables of the schema DROPPED."""

    def notes(self) -> Iterable[str]:
        """What the manifest should say besides the counts, a sentence each."""

    def cost(self) -> Mapping[str, dict[str, float]]:
        """Per stage: tokens and engine seconds behind the rows of this version."""


class Prompts(Protocol):
    """The prompts of a version, as the policy saw them."""

    def account(self) -> StageAccount:
        """Where the rows of their sources went."""

    def write(self, staging: Staging) -> None:
        """Stage the table `prompts`."""

    def dropped(self) -> Iterable[pa.Table]:
        """Every row that became no prompt."""


@dataclass(frozen=True)
class ReadPrompts:
    """Prompts that were read from their sources."""

    found: PromptSet

    def account(self) -> StageAccount:
        a = self.found.account
        return StageAccount(stage="prompts", unit="row", rows_in=a.rows_in, rows_out=a.rows_out, dropped=a.dropped)

    def write(self, staging: Staging) -> None:
        staging.write("prompts", prompts_table(self.found), PROMPTS)

    def dropped(self) -> Iterator[pa.Table]:
        yield dropped_table("prompts", "row", self.found.dropped)


@dataclass(frozen=True)
class Draft:
    """Everything a version is made from. `models`: role -> label and fingerprint; `spent`: stage -> what this build paid;
    `parent`: the version it is made from, if it is not simply the next one."""

    dataset: Dataset
    recipe: Recipe
    prompts: Prompts
    parts: Sequence[Part]
    models: dict[str, dict[str, Any]]
    spent: dict[str, dict[str, float]]
    build_key: str
    parent: int | None = None


def publish(draft: Draft) -> int:
    """Commit a version with everything that led to it; returns its number."""
    accounts = [draft.prompts.account()]
    accounts += [a for part in draft.parts for a in part.accounts()]
    if not any(part.rows() for part in draft.parts):
        raise PairwrightError(_nothing_left(accounts))
    parent = draft.dataset.latest() if draft.parent is None else draft.parent
    with draft.dataset.stage() as staging:
        draft.prompts.write(staging)
        prompt_files = sorted((staging.folder / "prompts").glob("*.parquet"))
        accounts += [a for part in draft.parts for a in part.write(staging, prompt_files)]
        staging.write("dropped", chain(draft.prompts.dropped(), *(part.dropped() for part in draft.parts)), DROPPED)
        manifest = Manifest(
            dataset=draft.recipe.dataset,
            recipe=json.loads(draft.recipe.model_dump_json()),
            models=draft.models,
            parents=[] if parent is None else [parent],
            accounting=accounts,
            cost={stage: cost for part in draft.parts for stage, cost in part.cost().items()}
            | {f"this build: {stage}": stats for stage, stats in draft.spent.items()},
            filters=[f.name for f in draft.recipe.filters],
            build_key=draft.build_key,
            notes=[note for part in draft.parts for note in part.notes()],
        )
        return staging.commit(manifest)


def dropped_table(stage: str, unit: str, rows: Iterable[tuple[str, str, str | None]]) -> pa.Table:
    """Rows of `dropped`, each an id, a reason and a detail."""
    found = [{"stage": stage, "unit": unit, "id": i, "reason": reason, "detail": detail} for i, reason, detail in rows]
    return pa.Table.from_pylist(found, schema=DROPPED)


def put(
    staging: Staging,
    table: str,
    files: Sequence[Path],
    schema: pa.Schema,
    key: str,
    keys: Collection[str] | None,
    name: str | None = None,
) -> None:
    """Add finished files to a table: linked where all of their rows belong to this version (under this annotator's name), else
    the rows that do are written anew. Without `keys` all rows do."""
    if keys is None:
        for path in files:
            staging.link(table, path)
        return
    for path in files:
        head = read_table(path, [key] if name is None else [key, "annotator"])
        inside = among(head[key], keys)
        named = name is None or head["annotator"].unique().to_pylist() == [name]
        if named and pc.all(inside).as_py():
            staging.link(table, path)
        elif pc.any(inside).as_py():
            rows = read_table(path, schema.names).filter(inside)
            if name is not None:
                at = rows.schema.get_field_index("annotator")
                rows = rows.set_column(at, "annotator", pa.array([name] * rows.num_rows, pa.string()))
            staging.write(table, rows, schema)


def reasons(files: Iterable[Path], key: str, keys: Collection[str], compared: bool | None = None) -> Counter[str | None]:
    """How many rows of `keys` have which reason; None counts the good ones. `compared`: only rows that compare two responses, or
    only rows that do not."""
    found = Counter[str | None]()
    for path in files:
        table = read_table(path, [key, "reason"] if compared is None else [key, "reason", "other_id"])
        table = table.filter(among(table[key], keys))
        if compared is not None:
            table = table.filter(pc.equal(pc.is_valid(table["other_id"]), compared))
        for item in table["reason"].value_counts().to_pylist():
            found[item["values"]] += item["counts"]
    return found


def among(column: pa.ChunkedArray, keys: Collection[str]) -> pa.ChunkedArray:
    """Which values are among `keys`, in a time that does not grow with these."""
    return pc.is_in(column, pa.array([value for value in pc.unique(column).to_pylist() if value in keys], pa.string()))


def named(reasons: Counter[str | None]) -> dict[str, int]:
    return {str(reason): count for reason, count in sorted(reasons.items(), key=str)}


def summed(files: Iterable[Path], key: str, keys: Collection[str]) -> dict[str, float]:
    total = {"tokens": 0.0, "seconds": 0.0}
    for path in files:
        table = read_table(path, [key, *total])
        table = table.filter(among(table[key], keys))
        for name in total:
            total[name] += float(pc.sum(table[name]).as_py() or 0)
    return {name: round(value, 3) for name, value in total.items()}


def _nothing_left(accounts: Sequence[StageAccount]) -> str:
    worst = next((a for a in accounts if a.rows_in and not a.rows_out and a.dropped), None)
    if worst is None:
        return "nothing is left to publish, so no version is written; the stored work is kept: loosen the recipe and build again"
    why = ", ".join(f"{reason} {count}" for reason, count in sorted(worst.dropped.items(), key=lambda i: -i[1]))
    return (
        f"nothing is left to publish: the stage {worst.stage!r} dropped all {worst.rows_in} {worst.unit}s ({why}); no version is "
        "written, the stored work is kept: loosen that stage in the recipe and build again"
    )
