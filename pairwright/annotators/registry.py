"""Find annotators by name: the built-in ones, and those of installed packages (entry points `pairwright.annotators`)."""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable, Iterable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pairwright.annotators.base import Annotator
from pairwright.errors import PairwrightError

GROUP = "pairwright.annotators"
OURS = "pairwright"

BUILT_IN = {
    "density_ratio": "pairwright.annotators.density_ratio:DensityRatio",
    "correctness": "pairwright.annotators.correctness:Correctness",
    "fresh_sample": "pairwright.annotators.fresh_sample:FreshSample",
    "follow_up": "pairwright.annotators.follow_up:FollowUp",
    "contrastive_prompt": "pairwright.annotators.contrastive_prompt:ContrastivePrompt",
    "displacement": "pairwright.annotators.displacement:Displacement",
    "implicit_reward": "pairwright.annotators.implicit_reward:ImplicitReward",
    "cream": "pairwright.annotators.consistency:Cream",
    "scir": "pairwright.annotators.consistency:Scir",
    "mc_dropout": "pairwright.annotators.mc_dropout:McDropout",
    "pairwise": "pairwright.annotators.judges.pairwise:Pairwise",
    "graded": "pairwright.annotators.judges.graded:Graded",
    "yes_no": "pairwright.annotators.judges.yes_no:YesNo",
    "additive": "pairwright.annotators.judges.additive:Additive",
    "attributes": "pairwright.annotators.judges.attributes:Attributes",
    "checklist": "pairwright.annotators.judges.checklist:Checklist",
    "principle": "pairwright.annotators.judges.principle:Principle",
    "reasoning": "pairwright.annotators.judges.reasoning:Reasoning",
    "jury": "pairwright.annotators.judges.jury:Jury",
    "debate": "pairwright.annotators.judges.debate:Debate",
    "person": "pairwright.annotators.judges.person:Person",
    "domain_router": "pairwright.annotators.routing.domain:DomainRouter",
    "cascade": "pairwright.annotators.routing.cascade:Cascade",
    "budgeted": "pairwright.annotators.routing.budgeted:Budgeted",
}
"""The same as in pyproject.toml, and read instead of it: the metadata of an editable install may be old or absent."""


def available() -> dict[str, str]:
    """Every annotator's name and the distribution it comes from, sorted by name. Imports none of them."""
    return {name: " and ".join(_distribution(e) for e in found) for name, found in sorted(_found().items())}


def load(name: str) -> type[Annotator[Any]]:
    """Import the annotator `name`. Raises PairwrightError if there is none, if two packages claim the name, if it cannot be
    imported, or if it is no annotator."""
    found = _found()
    if name not in found:
        near = difflib.get_close_matches(name, found, n=1)
        guess = f"did you mean {near[0]!r}? There are" if near else "there are"
        raise PairwrightError(
            f"no annotator is called {name!r}: {guess} {', '.join(sorted(found))}; others come with the packages that offer them"
        )
    if len(found[name]) > 1:
        raise PairwrightError(
            f"the annotator name {name!r} is claimed by {' and '.join(_described(e) for e in found[name])}: "
            "uninstall all but one of them"
        )
    [entry] = found[name]
    where = f"annotator {name!r} of {_described(entry)} ({entry.value})"
    mend = f"mend it, upgrade it with `pip install --upgrade {_distribution(entry)}`, or uninstall it"
    try:
        loaded = entry.load()
    except Exception as error:
        raise PairwrightError(f"{where} cannot be imported: {type(error).__name__}: {error}; {mend}") from error
    if not (isinstance(loaded, type) and issubclass(loaded, Annotator)):
        raise PairwrightError(f"{where} is not a subclass of {Annotator.__module__}.Annotator; {mend}")
    if inspect.isabstract(loaded):
        lacking = ", ".join(sorted(loaded.__abstractmethods__))
        raise PairwrightError(f"{where} does not define {lacking}; {mend}")
    return loaded


def _found() -> dict[str, list[EntryPoint]]:
    found = {name: [EntryPoint(name, value, GROUP)] for name, value in BUILT_IN.items()}
    for entry in _installed(tuple(sys.path), entry_points):
        found.setdefault(entry.name, []).append(entry)
    return found


@cache
def _installed(where: tuple[str, ...], look: Callable[..., Iterable[EntryPoint]]) -> list[EntryPoint]:
    """Those of other packages. Looking at every installed package takes 40 ms, and a recipe names annotators many times."""
    return [entry for entry in look(group=GROUP) if _distribution(entry) != OURS]


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else OURS


def _described(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else OURS
