"""Publishing: the tables of a version, its row accounting stage by stage, and one commit."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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

    def dropped(self) -> Iterable[Mapping[str, Any]]:
        """Every row that fell out before the last table, with its stage and reason."""

    def cost(self) -> Mapping[str, dict[str, float]]:
        """Per stage: tokens and engine seconds behind the rows of this version."""


@dataclass(frozen=True)
class Draft:
    """Everything a version is made from. `prompts`: as the policy saw them. `models`: role -> label and fingerprint; `spent`:
    stage -> what this build paid."""

    dataset: Dataset
    recipe: Recipe
    prompts: PromptSet
    parts: Sequence[Part]
    models: dict[str, dict[str, Any]]
    spent: dict[str, dict[str, float]]
    build_key: str


def publish(draft: Draft) -> int:
    """Commit a version with everything that led to it; returns its number."""
    account = draft.prompts.account
    accounts = [
        StageAccount(stage="prompts", unit="row", rows_in=account.rows_in, rows_out=account.rows_out, dropped=account.dropped)
    ]
    accounts += [a for part in draft.parts for a in part.accounts()]
    if not any(part.rows() for part in draft.parts):
        raise PairwrightError(_nothing_left(accounts))
    parent = draft.dataset.latest()
    with draft.dataset.stage() as staging:
        staging.write("prompts", prompts_table(draft.prompts), PROMPTS)
        prompt_files = sorted((staging.folder / "prompts").glob("*.parquet"))
        accounts += [a for part in draft.parts for a in part.write(staging, prompt_files)]
        staging.write("dropped", pa.Table.from_pylist(list(_dropped(draft)), schema=DROPPED), DROPPED)
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
        )
        return staging.commit(manifest)


def _dropped(draft: Draft) -> Iterator[Mapping[str, Any]]:
    for id_, reason, detail in draft.prompts.dropped:
        yield {"stage": "prompts", "unit": "row", "id": id_, "reason": reason, "detail": detail}
    for part in draft.parts:
        yield from part.dropped()


def put(
    staging: Staging,
    table: str,
    files: Sequence[Path],
    schema: pa.Schema,
    key: str,
    keys: Collection[str],
    name: str | None = None,
) -> None:
    """Add finished files to a table: linked where all of their rows belong to this version (under this annotator's name), else
    the rows that do are written anew."""
    wanted = pa.array(list(keys), pa.string())
    for path in files:
        head = read_table(path, [key] if name is None else [key, "annotator"])
        inside = pc.is_in(head[key], wanted)
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
    wanted, found = pa.array(list(keys), pa.string()), Counter[str | None]()
    for path in files:
        table = read_table(path, [key, "reason"] if compared is None else [key, "reason", "other_id"])
        table = table.filter(pc.is_in(table[key], wanted))
        if compared is not None:
            table = table.filter(pc.equal(pc.is_valid(table["other_id"]), compared))
        for item in table["reason"].value_counts().to_pylist():
            found[item["values"]] += item["counts"]
    return found


def named(reasons: Counter[str | None]) -> dict[str, int]:
    return {str(reason): count for reason, count in sorted(reasons.items(), key=str)}


def summed(files: Iterable[Path], key: str, keys: Collection[str]) -> dict[str, float]:
    total, wanted = {"tokens": 0.0, "seconds": 0.0}, pa.array(list(keys), pa.string())
    for path in files:
        table = read_table(path, [key, *total])
        table = table.filter(pc.is_in(table[key], wanted))
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
