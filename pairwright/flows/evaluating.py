"""The command `evaluate`: annotators against labelled data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

RecipePath = Annotated[Path, typer.Argument(help="the recipe whose annotators and models are used", metavar="RECIPE")]
Data = Annotated[Path, typer.Argument(help="labelled responses: JSONL, JSON or Parquet, or a known data set's folder")]
Overrides = Annotated[list[str] | None, typer.Argument(help="settings by dot-path", metavar="[KEY=VALUE]...")]
Out = Annotated[Path | None, typer.Option(help="where answers and results go; default: _evaluate in the dataset's folder")]
Format = Annotated[str, typer.Option("--format", help="auto, rows, pandalm or hhh")]
Limit = Annotated[int | None, typer.Option(min=1, help="at most so many items, drawn by their ids")]
Names = Annotated[list[str] | None, typer.Option("--annotator", help="only this annotator; may be given again")]
Json = Annotated[bool, typer.Option("--json", help="print JSON for a program to read")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="read the data and say what would be asked; ask nothing")]


def evaluate(
    recipe: RecipePath,
    data: Data,
    overrides: Overrides = None,
    out: Out = None,
    format: Format = "auto",
    limit: Limit = None,
    annotator: Names = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Measure a recipe's annotators against labels that people gave. Run it again after a crash: it goes on where it stopped."""
    from pairwright.flows import screen
    from pairwright.pipelines.evaluation.forecast import forecast
    from pairwright.pipelines.evaluation.labelled import read_labelled
    from pairwright.pipelines.evaluation.report import markdown, report, write
    from pairwright.pipelines.evaluation.run import plan_of, run
    from pairwright.pipelines.recipe import load_recipe

    settings = load_recipe(recipe, overrides or [])
    labelled = read_labelled(data, format)
    items = labelled.drawn(limit)
    plan, left_out = plan_of(settings, items, annotator or [])
    folder = out or Path(settings.root) / settings.dataset / "_evaluate" / labelled.file.split(".")[0]
    for name in left_out:
        screen.err.print(f"note: {name} does not say which response is better: left out", style="yellow", highlight=False)
    if dry_run:
        columns, rows = forecast(plan)
        if as_json:
            print(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], indent=2))
        else:
            screen.table(f"{len(items)} of {len(labelled.items)} items of {labelled.file}", columns, rows)
        return
    progress = screen.BarProgress()
    with progress.shown():
        evaluated = run(plan, folder, progress)
    found = report(labelled, evaluated, len(items))
    write(folder, found, evaluated.rows)
    print(json.dumps(found, indent=2) if as_json else markdown(found) + f"\n{folder}: items.jsonl, report.json, report.md")
