"""Writing what people are asked to a file they can answer on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pairwright.engines.journal import Journal
from pairwright.errors import PairwrightError
from pairwright.files import write_text
from pairwright.pipelines.build import Build
from pairwright.pipelines.review.collect import collect, people_of
from pairwright.pipelines.review.records import argilla_records, argilla_settings, jsonl
from pairwright.pipelines.review.sheet import sheet
from pairwright.pipelines.review.take import read_pending

Format = Literal["html", "jsonl", "argilla"]


@dataclass(frozen=True)
class Exported:
    """What was written. `partial`: questions some people have answered already; `held`: labels that lack something else first."""

    paths: tuple[Path, ...]
    people: str
    questions: int
    prompts: int
    partial: int
    held: int


def export(build: Build, path: Path, format: str = "html", people: str | None = None, force: bool = False) -> Exported:
    """Write the questions that wait for `people` (their `name` in the recipe; needed if several are asked) to `path`: nothing is
    written if there are none. With "argilla" a second file `<path>.settings.json` describes the dataset."""
    if format not in get_args(Format):
        raise PairwrightError(f"there is no review format {format!r}: choose {', '.join(get_args(Format))}")
    if path.exists() and not force:
        raise PairwrightError(f"{path} is there already: choose another name, or say --force to overwrite it")
    asked = people_of(build)
    journal = Journal(build.work / "journal")
    waiting = collect(build, journal)
    journal.close()
    names = sorted({asked[item.sheet].name for item in waiting.items.values()})
    if people is None and len(names) > 1:
        raise PairwrightError(f"questions wait for {' and '.join(names)}: say which sheet to write with --people")
    if people is not None and people not in {config.name for config in asked.values()}:
        known = ", ".join(sorted(config.name for config in asked.values()))
        raise PairwrightError(f"this build asks no people called {people!r}: it asks {known}")
    mine = [item for item in waiting.items.values() if people in (None, asked[item.sheet].name)]
    sheets = {item.sheet for item in mine}
    if len(sheets) > 1:
        raise PairwrightError(f"two models with `engine: people` are called {names[0]!r}: give each its own `name`")
    if not mine:
        return Exported((), people or "", 0, 0, 0, waiting.held)
    config = asked[mine[0].sheet]
    paths = [path]
    if format == "html":
        write_text(path, sheet(build.recipe.dataset, mine, config))
    elif format == "jsonl":
        write_text(path, jsonl(mine, config))
    else:
        paths.append(path.with_name(path.name + ".settings.json"))
        write_text(path, argilla_records(mine))
        write_text(paths[1], argilla_settings(mine, config))
    pending = read_pending(build.work / "review" / "pending.json")
    prompts = len({item.prompt_id for item in mine})
    partial = sum(item.id in pending for item in mine)
    return Exported(tuple(paths), config.name, len(mine), prompts, partial, waiting.held)
