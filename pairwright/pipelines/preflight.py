"""A trial before anything is paid for: every annotator over one made-up group, answered by a model made of hashes.

It shows what the annotators will ask, so that a template that does not render, a label that the judge's tokenizer cuts in two,
or a server that keeps its log-probabilities to itself is found before the first response is sampled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pairwright.annotators.base import Annotator, Group, Response
from pairwright.engines.pool import EnginePool
from pairwright.engines.requests import Choose, Failed, Request, needs_of, turns
from pairwright.engines.scripted import ScriptedModel
from pairwright.errors import PairwrightError
from pairwright.ids import digest

WRITTEN = "; or let the judge write its answer, with `ask: text` (`mode: text` of a checklist)"
TRIAL = Group(
    "trial",
    turns("Which planet is the largest, and how much is 2 + 2?"),
    tuple(Response(digest("trial", text), text) for text in ("Jupiter is, and it makes 4.", "The largest planet is Saturn.")),
    "4",
)


def preflight(annotators: Mapping[str, Annotator[Any]], pool: EnginePool) -> None:
    """Raise PairwrightError if an annotator cannot even ask, or if a role's model cannot answer by the labels it is asked."""
    labels: dict[tuple[str, tuple[str, ...]], str] = {}
    for name, annotator in annotators.items():
        for request in trial_requests(name, annotator):
            if isinstance(request, Choose):
                labels.setdefault((request.role, request.labels), name)
    for (role, texts), name in labels.items():
        try:
            pool.config(role).check_labels(texts)
        except PairwrightError as error:
            raise PairwrightError(f"annotator {name}, role {role!r}: {error}{WRITTEN}") from None


def trial_requests(name: str, annotator: Annotator[Any]) -> list[Request]:
    """Every request the annotator makes about the trial group, answered by a scripted model, or not at all where that cannot."""
    model, seen = ScriptedModel(), list[Request]()
    task, results = annotator.annotate(TRIAL), None
    while True:
        try:
            requests = next(task) if results is None else task.send(results)
        except StopIteration:
            return seen
        except Exception as error:
            raise PairwrightError(
                f"the annotator {name!r} raised {type(error).__name__} ({error}) on a trial group, before any model was asked: "
                "mend the method or its settings"
            ) from error
        results = [model.respond(r) if needs_of(r) <= model.provides else Failed("trial") for r in requests]
        seen.extend(requests)
