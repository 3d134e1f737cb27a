"""What a search is: a config, the roles it asks, and one generator that grows a question's tree by moves.

A search never touches a model, a file or a clock. The runner keeps thousands of questions in flight, and each goes on as soon
as its own results are in. What a question asks depends on its own results alone, so the order in which others finish changes
nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from pairwright.annotators.steps.base import VERIFIER, Asking, Part, Rollout, SearchSettings, Stopped
from pairwright.annotators.steps.moves import Moves
from pairwright.annotators.steps.tree import ROOT, Question, Tree
from pairwright.engines.requests import Failed, Request, Result, Verified, Verify

ABOUT_THE_TEXT = frozenset({"no_answer", "cut", "answer_unparsed"})
"""Why a verifier may find no answer in a text that is not its kind of solution, which says nothing about the reference."""
Searching = Generator[Sequence[Request], Sequence[Result], Tree]


class SearchConfig(Part):
    """Settings of one search; subclasses add `use: Literal[...]`, by which the recipe tells them apart."""


C = TypeVar("C", bound=SearchConfig)


class Search(ABC, Generic[C]):
    """A method. Raise `version` when the same settings would grow other trees."""

    Config: ClassVar[type[SearchConfig]] = SearchConfig
    version: ClassVar[int] = 1
    by_steps: ClassVar[bool] = False
    """Does it generate step by step? Then steps must end where an engine can stop."""
    needs_mixed: ClassVar[bool] = True
    """Does a question that is always or never solved teach it nothing?"""

    def __init__(self, config: C) -> None:
        self.config = config

    def roles(self, completer: str) -> dict[str, frozenset[str]]:
        """The roles this search asks, each with what its engine must provide."""
        return {completer: frozenset({"generate", "prefix_ids"}), VERIFIER: frozenset({"verify"})}

    @abstractmethod
    def run(self, moves: Moves, roots: Sequence[Rollout]) -> Asking:
        """Grow `moves.tree`, whose root was estimated with the rollouts `roots`. May let Stopped through when a move raises it;
        what it leaves unfinished must then carry a reason."""

    @classmethod
    def configured(cls, settings: Mapping[str, Any] | None = None) -> Search[Any]:
        """Make the search from plain settings."""
        return cls(cls.Config.model_validate(dict(settings or {})))  # type: ignore[arg-type]


def grow(question: Question, settings: SearchSettings, search: Search[Any]) -> Searching:
    """Grow the tree of one question. Its root's `reason` says why it was set aside or where the search was stopped, if so:
    no_reference, reference_unparsed, all_right, all_wrong, too_easy, too_hard, budget_*, or what failed."""
    moves = Moves(question, settings)
    tree = moves.tree
    try:
        tree.reason[ROOT] = yield from unusable(question)
        if tree.reason[ROOT] is not None:
            return tree
        roots: list[Rollout] = yield from moves.estimate(ROOT, settings.questions.rollouts)
        wanted = settings.questions.mixed
        if search.needs_mixed if wanted is None else wanted:
            tree.reason[ROOT] = _set_aside(tree, settings)
        if tree.reason[ROOT] is None:
            yield from search.run(moves, roots)
    except Stopped as stopped:
        tree.reason[ROOT] = stopped.reason
    return tree


def unusable(question: Question) -> Generator[Sequence[Request], Sequence[Result], str | None]:
    """Nothing is rolled out for a reference that no answer could equal, itself included."""
    if question.reference is None or not question.reference.strip():
        return "no_reference"
    (result,) = yield [Verify(VERIFIER, f"\\boxed{{{question.reference}}}", question.reference)]
    if not isinstance(result, Verified):
        return result.reason if isinstance(result, Failed) else "wrong_answer"
    return "reference_unparsed" if result.outcome == "unparsed" and result.reason not in ABOUT_THE_TEXT else None


def _set_aside(tree: Tree, settings: SearchSettings) -> str | None:
    count, wanted = tree.count(ROOT, settings.completer), settings.questions
    if count.correct == 0:
        return "all_wrong"
    if count.correct == count.n:
        return "all_right"
    if count.rate <= wanted.min_rate:
        return "too_hard"
    return "too_easy" if count.rate >= wanted.max_rate else None


def distinct(rollouts: Iterable[Rollout]) -> list[Rollout]:
    """Those that say something, equal texts once, in order. All of them are counted; each text is searched once."""
    found: dict[str, Rollout] = {}
    for rollout in rollouts:
        if rollout.piece.cuts:
            found.setdefault(rollout.piece.text, rollout)
    return list(found.values())
