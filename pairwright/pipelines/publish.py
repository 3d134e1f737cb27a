"""Publishing: the tables of a version, its row accounting stage by stage, and one commit."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pairwright.errors import PairwrightError
from pairwright.pipelines.cut import Cut, Stored
from pairwright.pipelines.prompts.sources import PromptSet, prompts_table
from pairwright.pipelines.recipe import Recipe
from pairwright.pipelines.sample import shown
from pairwright.storage import views
from pairwright.storage.manifest import Manifest, StageAccount
from pairwright.storage.parquet import read_table
from pairwright.storage.schemas import ANNOTATIONS, DROPPED, PREFERENCE, PROMPTS, RESPONSES, UNPAIRED, pairs_schema
from pairwright.storage.versions import Dataset, Staging


@dataclass(frozen=True)
class Draft:
    """Everything a version is made from. `models`: role -> label and fingerprint; `spent`: stage -> what this build paid."""

    dataset: Dataset
    recipe: Recipe
    prompts: PromptSet
    stored: Stored
    made: Cut
    models: dict[str, dict[str, Any]]
    spent: dict[str, dict[str, float]]
    build_key: str


def publish(draft: Draft) -> int:
    """Commit a version with everything that led to it; returns its number."""
    stored, made, recipe, dataset = draft.stored, draft.made, draft.recipe, draft.dataset
    accounts = [*_accounts(draft), *_cut_accounts(made)]
    if not made.kept.num_rows:
        raise PairwrightError(_nothing_left(accounts))
    parent = dataset.latest()
    with dataset.stage() as staging:
        seen = [replace(p, messages=shown(recipe.sample, p.messages)) for p in draft.prompts.prompts]
        prompts = prompts_table(replace(draft.prompts, prompts=seen))  # as the policy saw them: a system turn is part of them
        staging.write("prompts", prompts, PROMPTS)
        _put(staging, "responses", stored.responses, RESPONSES, "prompt_id", stored.prompts)
        for name, files in stored.annotations.items():
            _put(staging, "annotations", files, ANNOTATIONS, "group_id", stored.groups, name)
        staging.write("pairs", made.pairs, pairs_schema([f.name for f in recipe.filters]))
        staging.write("dropped", pa.Table.from_pylist(list(_dropped(draft)), schema=DROPPED), DROPPED)
        prompt_files = sorted((staging.folder / "prompts").glob("*.parquet"))
        published = staging.write("preference", views.preference(prompt_files, stored.responses, made.kept), PREFERENCE)
        rows, torn = views.unpaired(prompt_files, stored.responses, made.kept)
        labelled = staging.write("unpaired", rows, UNPAIRED)
        accounts.append(StageAccount(stage="publish preference", unit="pair", rows_in=made.kept.num_rows, rows_out=published))
        accounts.append(
            StageAccount(
                stage="publish unpaired",
                unit="response",
                rows_in=len({*made.kept["chosen_id"].to_pylist(), *made.kept["rejected_id"].to_pylist()}),
                rows_out=labelled,
                dropped={views.BOTH: torn} if torn else {},
            )
        )
        manifest = Manifest(
            dataset=recipe.dataset,
            recipe=json.loads(recipe.model_dump_json()),
            models=draft.models,
            parents=[] if parent is None else [parent],
            accounting=accounts,
            cost=_cost(draft),
            filters=[f.name for f in recipe.filters],
            build_key=draft.build_key,
        )
        return staging.commit(manifest)


def _put(
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


def _accounts(draft: Draft) -> Iterator[StageAccount]:
    """Rows in and out of every stage up to annotating; responses of stale prompts do not take part."""
    account, stored = draft.prompts.account, draft.stored
    yield StageAccount(stage="prompts", unit="row", rows_in=account.rows_in, rows_out=account.rows_out, dropped=account.dropped)
    reasons = _reasons(stored.responses, "prompt_id", stored.prompts)
    asked = len(stored.prompts) * draft.recipe.sample.n
    made = reasons.pop(None, 0)
    yield StageAccount(stage="sample", unit="response", rows_in=asked, rows_out=made, dropped=_named(reasons))
    prompts = len(stored.prompts)
    without = {"no_response": prompts - draft.made.groups} if prompts > draft.made.groups else {}
    yield StageAccount(stage="group", unit="prompt", rows_in=prompts, rows_out=draft.made.groups, dropped=without)
    for name, files in stored.annotations.items():
        single = _reasons(files, "group_id", stored.groups, compared=False)
        compared = _reasons(files, "group_id", stored.groups, compared=True)
        if single or not compared:
            rows_in = made if not compared else sum(single.values())
            valid = single.pop(None, 0)
            yield StageAccount(stage=f"annotate {name}", unit="response", rows_in=rows_in, rows_out=valid, dropped=_named(single))
        if compared:
            rows_in, valid = sum(compared.values()), compared.pop(None, 0)
            yield StageAccount(
                stage=f"annotate {name}", unit="comparison", rows_in=rows_in, rows_out=valid, dropped=_named(compared)
            )


def _cut_accounts(made: Cut) -> Iterator[StageAccount]:
    dropped = dict(Counter(made.dropped.values()))
    yield StageAccount(
        stage="pair", unit="group", rows_in=made.groups, rows_out=made.groups - sum(dropped.values()), dropped=dropped
    )
    left_out = dict(Counter(made.left_out.values()))
    total = made.paired + len(made.left_out)
    yield StageAccount(stage="pair", unit="response", rows_in=total, rows_out=made.paired, dropped=left_out)
    yield StageAccount(
        stage="filter", unit="pair", rows_in=made.pairs.num_rows, rows_out=made.kept.num_rows, dropped=made.dropped_by
    )


def _reasons(files: Iterable[Path], key: str, keys: Collection[str], compared: bool | None = None) -> Counter[str | None]:
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


def _named(reasons: Counter[str | None]) -> dict[str, int]:
    return {str(reason): count for reason, count in sorted(reasons.items(), key=str)}


def _dropped(draft: Draft) -> Iterator[dict[str, Any]]:
    """Every row that fell out before pairs, with its stage and reason; pairs carry theirs themselves."""
    for id_, reason, detail in draft.prompts.dropped:
        yield {"stage": "prompts", "unit": "row", "id": id_, "reason": reason, "detail": detail}
    for path in draft.stored.responses:
        table = read_table(path, ["response_id", "prompt_id", "reason"])
        for row in table.filter(pc.is_valid(table["reason"])).to_pylist():
            if row["prompt_id"] in draft.stored.prompts:
                yield {"stage": "sample", "unit": "response", "id": row["response_id"], "reason": row["reason"], "detail": None}
    for response_id, reason in draft.made.left_out.items():
        yield {"stage": "pair", "unit": "response", "id": response_id, "reason": reason, "detail": None}
    for prompt_id, reason in draft.made.dropped.items():
        yield {"stage": "pair", "unit": "group", "id": prompt_id, "reason": reason, "detail": None}


def _cost(draft: Draft) -> dict[str, dict[str, float]]:
    """Per stage: tokens and engine seconds behind the rows of this version, and what this very build ran and paid."""
    stored = draft.stored
    labels = {f"annotate {name}": _sum(files, "group_id", stored.groups) for name, files in stored.annotations.items()}
    paid = {f"this build: {stage}": stats for stage, stats in draft.spent.items()}
    return {"sample": _sum(stored.responses, "prompt_id", stored.prompts), **labels, **paid}


def _sum(files: Iterable[Path], key: str, keys: Collection[str]) -> dict[str, float]:
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
        return "no pair is left: no version is written; the stored work is kept: loosen `pair` or `filters` and build again"
    why = ", ".join(f"{reason} {count}" for reason, count in sorted(worst.dropped.items(), key=lambda i: -i[1]))
    return (
        f"no pair is left: the stage {worst.stage!r} dropped all {worst.rows_in} {worst.unit}s ({why}); no version is written, "
        "the stored work is kept: loosen that stage in the recipe and build again"
    )
