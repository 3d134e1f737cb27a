"""`pairwright recut`: other pairs from the same stored annotations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pairwright.flows.datasets import DatasetArg, Json, Root, dataset_at, latest_of

Changes = Annotated[
    list[str] | None,
    typer.Argument(help="settings of the cut by dot-path, e.g. pair.margin=0.5", metavar="[KEY=VALUE]..."),
]
With = Annotated[
    list[str] | None,
    typer.Option("--with", help="a recipe whose `pair`, `filters`, ... replace those of the version; what it lacks stays"),
]


def recut(
    dataset: DatasetArg,
    changes: Changes = None,
    others: With = None,
    version: Annotated[int | None, typer.Option(help="whose annotations; default: the latest version's")] = None,
    root: Root = Path("data"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would change; cut nothing")] = False,
    force: Annotated[bool, typer.Option("--force", help="make a version even if it would equal the latest")] = False,
    as_json: Json = False,
) -> None:
    """Make a new version from stored annotations by other pair rules, relabelling and filters. No model is needed or asked."""
    from pairwright.flows import screen
    from pairwright.pipelines import recut as cutting
    from pairwright.pipelines.cut import cut
    from pairwright.storage.diff import recipe_changes

    found = dataset_at(dataset, root)
    n = latest_of(found) if version is None else version
    wanted = [*(others or []), *(changes or [])]
    if dry_run:
        before = cutting.recipe_of(found, n)
        after = cutting.with_changes(before, wanted)
        differs = recipe_changes(*(json.loads(r.model_dump_json()) for r in (before, after)))
        rows = [(key, str(a), str(b)) for key, (a, b) in differs.items()]
        screen.table(f"version {n} of {found.name} would be cut again", ("setting", f"version {n}", "then"), rows)
        if after.annotators:
            made = cut(cutting.stored_of(found, n)[1], after)
            now = found.manifest(n).rows("preference")
            print(f"\n{made.kept_rows:,} of {made.rows:,} pairs would be kept (version {n}: {now:,})")
        print("nothing was changed; no model is needed")
        return
    with screen.working(f"cutting version {n} of {found.name} again"):
        result = cutting.recut(found, n, wanted, force)
    manifest, path = found.manifest(result.version), found.path(result.version)
    if as_json:
        known = {"version": result.version, "new": result.new, "path": str(path), "logical_hash": manifest.logical_hash}
        print(json.dumps(known, indent=2))
    elif result.new:
        screen.built(manifest, path)
    else:
        print(f"nothing to do: {path} is already what these settings come to (--force makes a new version anyway)")
