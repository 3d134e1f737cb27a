"""What a build under Prefect leaves to look at: where the rows went, and a page about the version."""

from __future__ import annotations

import re
from pathlib import Path

from pairwright.pipelines.build import Build, Result
from pairwright.storage.manifest import Manifest


def show(build: Build, result: Result) -> None:
    """Two artifacts per dataset, a new state of them with every build."""
    from prefect.artifacts import create_markdown_artifact, create_table_artifact

    key = "pairwright-" + re.sub("[^a-z0-9]+", "-", build.recipe.dataset.lower()).strip("-")
    manifest = build.dataset.manifest(result.version)
    rows = [
        {
            "stage": a.stage,
            "unit": a.unit,
            "rows in": a.rows_in,
            "rows out": a.rows_out,
            "dropped": ", ".join(f"{reason}: {count}" for reason, count in a.dropped.items()),
        }
        for a in manifest.accounting
    ]
    title = f"{manifest.dataset}, version {manifest.version}"
    create_table_artifact(rows, f"{key}-rows", f"Where the rows of {title} went")
    page = _page(manifest, build.dataset.path(result.version), result.new)
    create_markdown_artifact(page, f"{key}-version", f"What {title} is, what it cost and how to load it")


def _page(manifest: Manifest, folder: Path, new: bool) -> str:
    tables = ", ".join(f"{manifest.rows(table):,} {table}" for table in manifest.tables())
    roles = "\n".join(f"| {role} | {model.get('label', '')} |" for role, model in manifest.models.items())
    costs = "\n".join(
        f"| {stage} | {', '.join(f'{k} {v:,g}' for k, v in cost.items())} |" for stage, cost in manifest.cost.items()
    )
    return f"""\
# {manifest.dataset}, version {manifest.version}

{"Made by this build" if new else "Nothing was new, so no version was made; this is the latest"}. Rows: {tables}.

| role | model |
|---|---|
{roles}

| stage | cost |
|---|---|
{costs}

```python
from datasets import load_dataset

train = load_dataset("{folder}", "preference", split="train")
```

Same rows and decisions: `{manifest.logical_hash}`. Same numbers and texts too: `{manifest.exact_hash}`.
"""
