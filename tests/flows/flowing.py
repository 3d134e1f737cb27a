"""A small recipe for the tests of builds under Prefect, and what a server knows of them."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from pairwright.pipelines.build import Build
from pairwright.pipelines.recipe import load_recipe
from pairwright.storage.manifest import Manifest
from pairwright.storage.versions import Dataset

MODELS: dict[str, Any] = {
    "policy": {"engine": "scripted"},
    "strong": {"engine": "scripted", "seed": 1, "quality": 0.9},
    "weak": {"engine": "scripted", "seed": 2, "quality": 0.1},
}


def add_prompts(folder: Path, numbers: range) -> None:
    with (folder / "prompts.jsonl").open("a") as file:
        file.writelines(json.dumps({"prompt": f"What is {i} + {i}?"}) + "\n" for i in numbers)


def write_recipe(folder: Path, **changes: Any) -> Path:
    settings = {
        "dataset": "Sums_1",
        "root": str(folder / "data"),
        "prompts": {"source": "jsonl", "path": "prompts.jsonl"},
        "models": MODELS,
        "annotators": ["density_ratio"],
        **changes,
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def manifest(folder: Path) -> Manifest:
    dataset = Dataset(folder / "data", "Sums_1")
    return dataset.manifest(dataset.latest() or 0)


def without_prefect(recipe: Path, elsewhere: Path) -> Manifest:
    """What `Build.run` makes of the same recipe in another root."""
    Build(load_recipe(recipe, [f"root={elsewhere / 'data'}"]), recipe.parent).run()
    return manifest(elsewhere)


def last_run(flows: ModuleType) -> tuple[Any, dict[str, Any]]:
    """The flow run begun last, and its task runs by name, as the server knows them."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
    from prefect.client.schemas.sorting import FlowRunSort

    with get_client(sync_client=True) as client:
        run = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)[0]
        tasks = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id])))
    return run, {
        task.name.partition("-")[0] if task.name.startswith(("prepare", "publish")) else task.name: task for task in tasks
    }
