"""`pairwright review`: the sheet on which people answer, and their answers back into the build."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pairwright.pipelines.build import Build
    from pairwright.pipelines.review.export import Exported
    from pairwright.pipelines.review.take import Taken

SHOWN = 50  # refused rows

app = typer.Typer(help="Ask people: write a review sheet, take in its answers.", no_args_is_help=True, rich_markup_mode=None)

RecipePath = Annotated[Path, typer.Argument(help="the recipe (YAML)", metavar="RECIPE")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="a setting by dot-path, e.g. sample.n=8", metavar="KEY=VALUE")]
Json = Annotated[bool, typer.Option("--json", help="print JSON for a program to read")]


@app.command("export")
def export_command(
    recipe: RecipePath,
    out: Annotated[Path, typer.Argument(help="the file to write", metavar="OUT")],
    format: Annotated[str, typer.Option(help="html (a page to answer on), jsonl, argilla")] = "html",
    people: Annotated[str | None, typer.Option(help="whose sheet, if the recipe asks several people: their `name`")] = None,
    settings: Settings = None,
    force: Annotated[bool, typer.Option("--force", help="overwrite a file that is there")] = False,
    as_json: Json = False,
) -> None:
    """Write the questions that wait for people to a file they can answer on. No model is asked."""
    export_reviews(_build(recipe, settings), out, format, people, force, as_json)


@app.command("import")
def import_command(
    recipe: RecipePath,
    files: Annotated[list[Path], typer.Argument(help="files with answers", metavar="FILE...")],
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Take in what people answered; the next build uses it. Rows that cannot count are listed, and the others count."""
    if import_reviews(_build(recipe, settings), files, as_json).refused:
        raise typer.Exit(1)


def export_reviews(
    build: Build, path: Path, format: str = "html", people: str | None = None, force: bool = False, as_json: bool = False
) -> Exported:
    """Write what waits for people to `path`, and say what that is."""
    from pairwright.flows import screen
    from pairwright.pipelines.review.export import export

    found = export(build, path, format, people, force)
    if as_json:
        _json(dataclasses.asdict(found))
        return found
    if found.questions:
        where = " and ".join(map(str, found.paths))
        line = f"{found.questions:,} questions about {found.prompts:,} prompts for {found.people} in {where}"
        screen.out.print(line, highlight=False, markup=False, soft_wrap=True)
        if found.partial:
            screen.out.print(f"{found.partial:,} of them have some answers, but not enough people's", highlight=False)
    else:
        screen.out.print("no question waits for people: nothing is written", highlight=False)
    if found.held:
        screen.out.print(f"{found.held:,} labels lack something else first: build again, then export again", style="yellow")
    return found


def import_reviews(build: Build, files: list[Path], as_json: bool = False) -> Taken:
    """Take in the answers of `files`, and say what became of each row."""
    from pairwright.flows import screen
    from pairwright.pipelines.review.take import take

    taken = take(build, files)
    if as_json:
        _json(dataclasses.asdict(taken))
        return taken
    rows = [
        ("new answers", taken.new),
        ("known already", taken.again),
        ("rows without an answer", taken.empty),
        ("rows refused", len(taken.refused)),
        ("questions answered now", taken.completed),
        ("questions with too few people yet", taken.partial),
        ("questions that still wait", taken.waiting),
    ]
    screen.table("", ("what", "count"), rows)
    if taken.refused:
        refused = [(f"{r.place.file}:{r.place.line}", r.reason, r.detail) for r in taken.refused]
        screen.table("\nrefused", ("where", "reason", "what is wrong"), refused[:SHOWN])
        if len(refused) > SHOWN:
            screen.out.print(f"and {len(refused) - SHOWN:,} more: --json lists them all", highlight=False)
    if taken.completed:
        screen.out.print("build again to use them", highlight=False)
    return taken


def _build(recipe: Path, settings: list[str] | None) -> Build:
    from pairwright.pipelines.build import Build
    from pairwright.pipelines.recipe import load_recipe

    return Build(load_recipe(recipe, settings or []), recipe.resolve().parent)


def _json(value: Any) -> None:
    print(json.dumps(value, indent=2, default=str))
