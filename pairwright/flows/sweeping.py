"""The command `sweep`: what other pair rules, relabelling and filters would make of what a version stored."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pairwright.errors import PairwrightError
from pairwright.flows.datasets import DatasetArg, Json, Root, dataset_at, latest_of

if TYPE_CHECKING:
    from pairwright.pipelines.sweep import Point, Row

MOST = 500  # points that are tried without being asked twice
HEADS = {
    "pairs": "pairs",
    "kept": "kept",
    "share": "share",
    "margin_mean": "margin",
    "margin_median": "median",
    "longer": "longer chosen",
    "turned": "turned",
    "soft": "soft",
    "ches_mean": "ln-CHES",
    "ches_q90": "q 0.9",
    "bald": "BALD",
    "agreement": "agreement",
    "n": "n",
    "interval": "95 %",
    "note": "note",
}

Axes = Annotated[
    list[str], typer.Argument(help="a setting and the values to try, e.g. pair.margin=[0,0.5,1]", metavar="KEY=[V,...]...")
]
With = Annotated[
    list[str] | None, typer.Option("--with", help="a change for every point: a recipe file, or a setting; may be given again")
]
Against = Annotated[str | None, typer.Option(help="an annotator, such as people: how often does it prefer the chosen response?")]
Version = Annotated[int | None, typer.Option(help="a version of the dataset; default: the latest")]
Csv = Annotated[Path | None, typer.Option("--csv", help="write all figures to this file")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="list the points; cut nothing")]
Force = Annotated[bool, typer.Option("--force", help=f"also with more than {MOST} points")]


def sweep(
    dataset: DatasetArg,
    axes: Axes,
    base: With = None,
    against: Against = None,
    version: Version = None,
    root: Root = Path("data"),
    csv_file: Csv = None,
    dry_run: DryRun = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Try a grid of pair rules, relabelling and filters over a version's annotations: no model is asked, no version is made."""
    from pairwright.flows import screen
    from pairwright.pipelines.recut import stored_of
    from pairwright.pipelines.sweep import circular, grid, points_of
    from pairwright.pipelines.sweep import sweep as swept

    found = dataset_at(dataset, root)
    n = latest_of(found) if version is None else version
    if (count := len(grid(axes))) > MOST and not force:
        raise PairwrightError(f"the grid has {count:,} points, more than {MOST}: give fewer values, or say --force")
    recipe, stored = stored_of(found, n)
    points = points_of(recipe, axes, base or [])
    if dry_run:
        _print_points(points, as_json)
        return
    progress = screen.BarProgress()
    if against is not None:
        for reader in sorted({name for p in points if p.recipe for name in circular(p.recipe, against)}):
            progress.note(f"{reader} reads {against} itself, so that agreement with it proves nothing there")
    with progress.shown():
        rows = swept(stored, recipe, points, against, progress)
    if csv_file is not None:
        _write_csv(csv_file, rows)
    if as_json:
        print(json.dumps([dataclasses.asdict(row) for row in rows], indent=2))
        return
    _print(f"{found.name} version {n}", rows)
    if csv_file is not None:
        print(f"\nwrote {csv_file}")


def _print_points(points: Sequence[Point], as_json: bool) -> None:
    from pairwright.flows import screen

    if as_json:
        print(json.dumps([{"settings": p.settings, "refused": p.refused} for p in points], indent=2))
        return
    keys, notes = list(points[0].settings), _numbered([p.refused for p in points])
    rows = [(*(said(p.settings[k]) for k in keys), notes.get(p.refused, "would be cut")) for p in points]
    screen.table(f"{len(points)} points", (*keys, "what"), rows)
    _print_notes(notes)


def _print(title: str, rows: Sequence[Row]) -> None:
    """The figures that any row has; '*' marks the cut that the version has now."""
    from pairwright.flows import screen

    keys, notes = list(rows[-1].settings), _numbered([row.note for row in rows])
    figures = [_figures(row) | {"note": notes.get(row.note)} for row in rows]
    heads = [name for name in HEADS if any(f[name] is not None for f in figures)]
    lines = [
        (
            "*" if row.now else "",
            *(said(row.settings[k]) if k in row.settings else "as it is" for k in keys),
            *(f[name] for name in heads),
        )
        for row, f in zip(rows, figures, strict=True)
    ]
    screen.table(title, ("", *map(_short, keys), *(HEADS[name] for name in heads)), lines)
    print()
    _print_notes(notes)
    print("* the cut that the version has; no request was sent and nothing was written")


def _numbered(sentences: Sequence[str | None]) -> dict[str | None, str]:
    """What stands in the table for each different sentence."""
    return {s: f"note {i}" for i, s in enumerate(dict.fromkeys(s for s in sentences if s is not None), 1)}


def _print_notes(notes: Mapping[str | None, str]) -> None:
    for sentence, name in notes.items():
        print(f"{name}: {sentence}")


def _figures(row: Row) -> dict[str, Any]:
    interval = None if row.low is None or row.high is None else f"{row.low:.3f} to {row.high:.3f}"
    return {**{f.name: getattr(row, f.name) for f in dataclasses.fields(row)}, "interval": interval}


def _short(key: str) -> str:
    """A setting as the head of a column: its last two steps."""
    return ".".join(key.split(".")[-2:])


def said(value: Any) -> str:
    """A value as a cell: `[{use: margin, min: 1}, {use: ches}]` becomes "margin(min=1), ches"."""
    if isinstance(value, list):
        return ", ".join(map(said, value)) or "none"
    if isinstance(value, Mapping):
        inside = ", ".join(f"{k}={said(v)}" for k, v in value.items() if k != "use")
        return f"{value.get('use', '')}({inside})" if inside else str(value.get("use", "none"))
    return value if isinstance(value, str) else json.dumps(value)


def _write_csv(path: Path, rows: Sequence[Row]) -> None:
    from pairwright.files import write_text

    keys = list(rows[-1].settings)
    names = [f.name for f in dataclasses.fields(rows[0]) if f.name != "settings"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*keys, *names])
    for row in rows:
        settings = [json.dumps(row.settings[k]) if k in row.settings else "" for k in keys]
        writer.writerow([*settings, *(getattr(row, name) for name in names)])
    write_text(path, text.getvalue())
