"""A recipe that asks people, and what they answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pairwright.annotators.base import Annotating, Annotation, Annotator, AnnotatorConfig, Group
from pairwright.annotators.judges.person import Person
from pairwright.engines.journal import Journal
from pairwright.engines.requests import Choose, Failed
from pairwright.pipelines.build import Build
from pairwright.pipelines.review.collect import Item, collect
from tests.recipes import settings

PERSON = "pairwright.annotators.judges.person:Person"


def people_settings(root: Path, **changes: Any) -> dict[str, Any]:
    """Four prompts, three responses each, every two of which people compare: twelve questions."""
    models = {"policy": {"engine": "scripted"}, "human": {"engine": "people", "instructions": "Prefer what is true."}}
    given = {"prompts": {"source": "builtin", "limit": 4}, "models": models, "sample": {"n": 3, "max_tokens": 40}}
    return settings(root, **(given | {"annotators": ["person"]} | changes))


def questions(build: Build) -> dict[str, Item]:
    """What waits for people."""
    return collect(build, Journal(build.work / "journal")).items


def longer(item: Item) -> str:
    """The id of the longer response, and of two equally long ones the one whose text comes first."""
    return min(item.review.candidates, key=lambda c: (-len(c[1]), c[1]))[0]


def shorter(item: Item) -> str:
    """The id of the other response."""
    return next(id for id, _ in item.review.candidates if id != longer(item))


def row(item: Item, who: str, choice: str, **more: Any) -> dict[str, Any]:
    """A row as a sheet saves it."""
    return {"sheet": item.sheet, "item": item.id, "who": who, "choice": choice, "note": "", "seconds": 2.0} | more


class Escalating(Annotator[AnnotatorConfig]):
    """Asks a judge, and people where the judge fails."""

    def roles(self) -> dict[str, frozenset[str]]:
        return {"judge": frozenset({"choose"}), "human": frozenset({"review"})}

    def annotate(self, group: Group) -> Annotating:
        (said,) = yield [Choose("judge", group.prompt, ("A", "B"))]
        if isinstance(said, Failed):
            return (yield from Person.configured().annotate(group))
        return [Annotation(r.id, float(i)) for i, r in enumerate(group.responses)]
