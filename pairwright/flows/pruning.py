"""The commands `prune` and `pin`: which old versions go, and which never do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pairwright.flows.datasets import DatasetArg, Json, Root, dataset_at

Last = Annotated[int, typer.Option("--keep-last", min=0, help="keep so many of the newest versions")]
Within = Annotated[str | None, typer.Option("--keep-within", help="keep what was made within this time: 12h, 30d, 2w")]
Every = Annotated[str | None, typer.Option("--keep-every", help="keep the newest of each period: daily, weekly, 30d")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="say what would go; remove nothing")]


def prune(
    dataset: DatasetArg,
    keep_last: Last = 0,
    keep_within: Within = None,
    keep_every: Every = None,
    root: Root = Path("data"),
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Remove old versions by rule. The latest and pinned ones stay, and so does all stored work: a build pays nothing again."""
    from datetime import UTC, datetime

    from pairwright.flows import screen
    from pairwright.pipelines.retention import Keep, duration, prune

    keep = Keep(keep_last, *(duration(text) if text else None for text in (keep_within, keep_every)))
    found = dataset_at(dataset, root)
    pruned = prune(found, keep, datetime.now(UTC), dry_run)
    if as_json:
        fates = [
            {"version": f.version, "created": f.created, "bytes": f.bytes, "kept_by": f.kept_by or None} for f in pruned.fates
        ]
        print(json.dumps({"versions": fates, "removed": pruned.gone, "freed_bytes": pruned.freed, "dry_run": dry_run}, indent=2))
        return
    goes = "would go" if dry_run else "removed"
    rows = [(f.version, f.created[:16], _size(f.bytes), f"kept: {f.kept_by}" if f.kept_by else goes) for f in pruned.fates]
    screen.table(f"{found.folder}", ("version", "created", "size", "fate"), rows)
    count, freed = len(pruned.gone), _size(pruned.freed)
    print(f"\n{count} version{'' if count == 1 else 's'} {goes}, {freed} {'would be ' if dry_run else ''}freed", end="")
    print(" (files shared with kept versions or stored work stay)" if count else "")


def pin(
    dataset: DatasetArg,
    version: Annotated[int, typer.Argument(help="the version that is to stay")],
    note: Annotated[str, typer.Option(help="why")] = "",
    off: Annotated[bool, typer.Option("--off", help="take the pin off again")] = False,
    root: Root = Path("data"),
) -> None:
    """Keep a version whatever `prune` is told."""
    dataset_at(dataset, root).pin(version, None if off else note)
    print(f"version {version} is {'no longer ' if off else ''}pinned")


def _size(count: int) -> str:
    """1536 -> '1.5 KiB'."""
    power = min(max(count.bit_length() - 1, 0) // 10, 4)
    return f"{count / 1024**power:.{1 if power else 0}f} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"
