"""Which questions to people a build waits for. Annotators run again on what the journal holds; nothing is asked or written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pairwright.engines.journal import Journal
from pairwright.engines.people import PeopleModel
from pairwright.engines.requests import AWAITING, Failed, Request, Result, Review, request_key
from pairwright.errors import PairwrightError
from pairwright.pipelines import annotate
from pairwright.pipelines.build import Build
from pairwright.pipelines.explain import finished, stored_keys

FAILED = Failed("failed", "the build that made this label got no answer")


@dataclass(frozen=True)
class Item:
    """One question to people. `id`: the key under which the journal will keep the answer; `sheet`: the fingerprint of the people
    who are asked, instructions included."""

    id: str
    sheet: str
    prompt_id: str
    review: Review


@dataclass
class Waiting:
    """`items`: the questions without an answer, by id, those about one prompt together. `groups`: labels (an annotator's of a
    group) that wait for one of them. `held`: labels that lack something else first: a model's answer, or a sound method."""

    items: dict[str, Item] = field(default_factory=dict)
    groups: int = 0
    held: int = 0


def people_of(build: Build) -> dict[str, PeopleModel]:
    """The people the build's annotators ask, by fingerprint. Raises PairwrightError if there are none."""
    roles = {role for annotator in build.annotators.values() for role in annotator.roles()}
    found = {build.pool.model(role): build.pool.config(role) for role in sorted(roles)}
    people = {model: config for model, config in found.items() if isinstance(config, PeopleModel)}
    if not people:
        raise PairwrightError(
            f"no annotator of {build.recipe.dataset} asks people: add one such as `person` under `annotators`, and a model with "
            "`engine: people` for its role under `models`"
        )
    return people


def collect(build: Build, journal: Journal) -> Waiting:
    """The questions that annotators ask people about the groups they have no full answer for, as far as the journal leads.

    A question that only follows from the answer to another one (a later round of a knockout) is found when that answer is there.
    The journal keeps no failures; of a label that a build has made, what the journal lacks failed, and does so again here.
    """
    people, found = people_of(build), Waiting()
    for name in _asking(build, people):
        shelf, annotator = build.annotations[name], build.annotators[name]
        awaiting = set(shelf.failed(frozenset({AWAITING})))
        settled = stored_keys(shelf) - awaiting
        for group in annotate.groups(finished(build.samples), build.by_id, build.recipe.sample):
            if group.id in settled:
                continue
            failed = FAILED if group.id in awaiting and len(journal) else None

            def answer(request: Request, failed: Failed | None = failed) -> Result | None:
                model = build.pool.model(request.role)
                return journal.get(request_key(model, request)) or (None if model in people else failed)

            try:
                lacking = unanswered(annotator.annotate(group), answer)
            except Exception:  # the build says what is wrong with the method
                found.held += 1
                continue
            reviews = [r for r in lacking if isinstance(r, Review) and build.pool.model(r.role) in people]
            found.groups += bool(reviews)
            found.held += bool(lacking) and not reviews
            for r in reviews:
                model = build.pool.model(r.role)
                item = Item(request_key(model, r), model, group.prompt_id, r)
                found.items[item.id] = item
    found.items = dict(sorted(found.items.items(), key=lambda pair: (pair[1].prompt_id, pair[0])))
    return found


def _asking(build: Build, people: Collection[str]) -> list[str]:
    """The annotators that ask people; of equal ones, which share a shelf and ask the same, one."""
    names = [n for n, a in build.annotators.items() if any(build.pool.model(role) in people for role in a.roles())]
    return list({build.annotations[name].fingerprint: name for name in names}.values())


def unanswered(
    task: Generator[Sequence[Request], Sequence[Result], Any], answer: Callable[[Request], Result | None]
) -> list[Request]:
    """The requests at which `task` stops because they have no answer; none if it comes to its end."""
    results: list[Result] | None = None
    try:
        while True:
            requests = next(task) if results is None else task.send(results)
            known = [answer(request) for request in requests]
            results = [result for result in known if result is not None]
            if len(results) < len(known):
                return [request for request, result in zip(requests, known, strict=True) if result is None]
    except StopIteration:
        return []
