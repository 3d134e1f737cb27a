"""The command `diff`: what changed between two versions, and which cause each changed pair has."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pairwright.flows.datasets import DatasetArg, Json, Root, dataset_at

if TYPE_CHECKING:
    from pairwright.storage.diff import Diff

EXAMPLES = 3  # of each cause, unless all are asked for

Before = Annotated[int, typer.Argument(help="the older version")]
After = Annotated[int, typer.Argument(help="the newer version")]
All = Annotated[bool, typer.Option("--all", help=f"every changed pair, not {EXAMPLES} of each cause")]


def diff(
    dataset: DatasetArg, before: Before, after: After, root: Root = Path("data"), every: All = False, as_json: Json = False
) -> None:
    """Say what changed between two versions: settings, rows, and for every pair that differs, why."""
    from pairwright.storage.diff import diff as compared

    found = compared(dataset_at(dataset, root), before, after, None if every else EXAMPLES)
    if as_json:
        plain = {f.name: getattr(found, f.name) for f in dataclasses.fields(found)}
        print(json.dumps(plain | {"changes": found.changes.to_pylist()}, indent=2, default=dataclasses.asdict))
    else:
        _print(found, every)


def _print(found: Diff, every: bool) -> None:
    from pairwright.flows import screen
    from pairwright.storage.diff import meaning

    versions = f"version {found.before}", f"version {found.after}"
    settings = [(path, _said(a), _said(b)) for path, (a, b) in found.recipe.items()]
    screen.table("settings" if settings else "settings: all equal", ("setting", *versions), settings)
    deltas = {name: getattr(found, name) for name in ("prompts", "responses", "annotators", "pairs")}
    trees = {"steps of search trees": found.steps, "labelled solutions": found.solutions}
    deltas |= {name: delta for name, delta in trees.items() if delta.added or delta.removed}
    screen.table("\nrows", ("what", "added", "removed"), [(name, d.added, d.removed) for name, d in deltas.items()])
    if not found.causes:
        print("\nevery pair is the same in both versions")
        return
    kept = tuple(f"kept in {n}" for n in (found.before, found.after))
    causes = [(c.cause, c.changes, c.prompts, c.kept_before, c.kept_after, meaning(c.cause)) for c in found.causes]
    screen.table("\npairs that differ", ("cause", "changes", "prompts", *kept, "meaning"), causes)
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in found.changes.to_pylist():
        rows.setdefault(row["cause"], []).append(row)
    for cause in found.causes:
        shown = rows.get(cause.cause, [])
        more = f", {len(shown)} of {cause.changes:,} (--all for all)" if not every and len(shown) < cause.changes else ""
        screen.out.print(f"\n{cause.cause}{more}", style="bold", highlight=False, markup=False)
        for row in shown:
            before, after = row["before"] or "no pair", row["after"] or "no pair"
            why = f" ({row['why']})" if row["why"] else ""
            line = f"  {row['change']} in prompt {row['prompt_id'][:8]}: {before} -> {after}{why}"
            screen.out.print(line, highlight=False, markup=False, soft_wrap=True)


def _said(value: Any) -> str:
    return "" if value is None else json.dumps(value, ensure_ascii=False)
