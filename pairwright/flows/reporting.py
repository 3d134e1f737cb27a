"""The commands `report` and `compare`: a version, or what changed between two, as a page to look at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pairwright.errors import PairwrightError
from pairwright.flows.datasets import DatasetArg, Json, Root, dataset_at

if TYPE_CHECKING:
    from pairwright.pipelines.reporting.compare import Comparison
    from pairwright.storage.versions import Dataset

Version = Annotated[int | None, typer.Option(help="default: the latest")]
Out = Annotated[Path | None, typer.Option(help="the HTML file to write; default: DATASET-vN.html here")]
CompareOut = Annotated[Path | None, typer.Option(help="write an HTML page too")]
Against = Annotated[
    str | None, typer.Option(help="measure annotators against this one; default: against people, where they labelled")
]
Force = Annotated[bool, typer.Option("--force", help="overwrite a file that is there")]
SIDE = "a dataset's folder, or its name below --root, and a version, as in DATASET@2; without it the latest"
Before = Annotated[str, typer.Argument(help=SIDE, metavar="A")]
After = Annotated[str, typer.Argument(help=SIDE, metavar="B")]


def report(
    dataset: DatasetArg,
    version: Version = None,
    out: Out = None,
    against: Against = None,
    root: Root = Path("data"),
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write a page about a version: what fell out and why, margins, bias, agreement, examples, cost. It needs no network."""
    from pairwright.flows import screen
    from pairwright.flows.datasets import latest_of
    from pairwright.pipelines.reporting.report import check_free, write
    from pairwright.pipelines.reporting.report import report as reported

    found = dataset_at(dataset, root)
    n = latest_of(found) if version is None else version
    path = out or Path(f"{found.name}-v{n}.html")
    check_free(path, force)
    page = reported(found, n, against)
    write(page, path, force)
    if as_json:
        numbers = [vars(number) for number in page.numbers]
        print(json.dumps({"path": str(path), "version": n, "numbers": numbers, "remarks": list(page.remarks)}, indent=2))
        return
    screen.table(f"{found.name} version {n}", ("what", "figure", "more"), [(x.label, x.value, x.note) for x in page.numbers])
    for remark in page.remarks:
        print(f"  {remark}")
    print(f"\nwrote {path} ({path.stat().st_size / 2**20:.1f} MiB): open it in a browser")


def compare(
    before: Before,
    after: After,
    out: CompareOut = None,
    root: Root = Path("data"),
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Say what changed between two versions, of one dataset or of two: settings, rows, and the fate of every pair."""
    from pairwright.pipelines.reporting.compare import compare as compared
    from pairwright.pipelines.reporting.report import check_free, write

    if out is not None:
        check_free(out, force)
    found, page = compared(_side(before, root), _side(after, root))
    if out is not None:
        write(page, out, force)
    if as_json:
        fates = [vars(fate) for fate in found.fates]
        plain = {"versions": found.names, "settings": found.settings, "rows": found.rows, "pairs": fates}
        print(json.dumps(plain | ({"path": str(out)} if out else {}), indent=2, default=str))
        return
    _print(found)
    if out is not None:
        print(f"\nwrote {out} ({out.stat().st_size / 2**20:.1f} MiB): open it in a browser")


def _side(text: str, root: Path) -> tuple[Dataset, int | None]:
    """A dataset and a version from DATASET or DATASET@N."""
    name, at, number = text.rpartition("@")
    if not at or Path(text).is_dir():
        return dataset_at(text, root), None
    if not name or not number.isdecimal():
        raise PairwrightError(f"{text!r} names no version: write the dataset, or the dataset and a number, as in demo@2")
    return dataset_at(name, root), int(number)


def _print(found: Comparison) -> None:
    from pairwright.flows import screen

    names = found.names
    settings = [(path, _said(a), _said(b)) for path, (a, b) in found.settings.items()]
    screen.table("settings" if settings else "settings: all equal", ("setting", *names), settings)
    screen.table("\nrows", ("table", *names), [(table, a, b) for table, (a, b) in found.rows.items()])
    if found.fates:
        fates = [(f.fate, f.why, f.n, f.said or "") for f in found.fates]
        screen.table("\nkept pairs", ("fate", "why", "pairs", "for example"), fates)


def _said(value: object) -> str:
    return "" if value is None else str(value)
