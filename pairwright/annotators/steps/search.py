"""What a search is: a config, the roles it asks, and one generator that grows a question's tree by moves.

A search never touches a model, a file or a clock. The runner keeps thousands of questions in flight, and each goes on as soon
as its own results are in. What a question asks depends on its own results alone, so the order in which others finish changes
nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from pairwright.annotators.steps.base import VERIFIER, Asking, Part, Rollout, SearchSettings, Stopped
from pairwright.annotators.steps.moves import VERIFIER_FAILED, Moves
from pairwright.annotators.steps.tree import LOW_TRUST, ROOT, Question, Tree
from pairwright.engines.requests import Failed, Request, Result, Verified, Verify

ABOUT_THE_TEXT = frozenset({"no_answer", "cut", "answer_unparsed", "verifier_error"})
"""Why a verifier may find no answer in a text that is not its kind of solution, which says nothing about the reference."""
NOT_COMPARED = frozenset({"no_answer", "cut", "answer_too_long", "answer_unparsed", "reference_unparsed"}) | VERIFIER_FAILED
SET_ASIDE = NOT_COMPARED | {
    "no_reference",
    "reference_unequal_to_itself",
    "all_right",
    "all_wrong",
    "too_easy",
    "too_hard",
}
"""The reasons of questions that were not searched."""
STOPPED = frozenset({"budget_rollouts", "budget_tokens", "budget_seconds", "tokenizers_differ", "no_token_ids"})
"""The reasons of searches that stopped by themselves; any other is that of a request which failed."""
Searching = Generator[Sequence[Request], Sequence[Result], Tree]


class SearchConfig(Part):
    """Settings of one search; subclasses add `use: Literal[...]`, by which the recipe tells them apart."""

    def repeats(self) -> tuple[str, int] | None:
        """The first setting that asks for several completions of one prefix, which must differ, and how many those are."""
        value = getattr(self, "value", None)
        asked = {name: getattr(self, name, 1) for name in ("k", "children", "branch")} | {"value.k": getattr(value, "k", 1)}
        return next(((name, n) for name, n in asked.items() if n > 1), None)


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
    """Grow the tree of one question. Its root's `reason` says why it was set aside (`SET_ASIDE`) or where the search was stopped
    (`STOPPED`, or what failed), if so. A root rollout that can carry no label (cut, no answer, empty) stands in it by name,
    whatever the search did with the others; and an end that what goes on from it disputes is named `disputed_end`."""
    moves, roots = Moves(question, settings), list[Rollout]()
    tree = moves.tree
    try:
        tree.reason[ROOT] = yield from unusable(question)
        if tree.reason[ROOT] is not None:
            return tree
        roots = yield from moves.estimate(ROOT, settings.questions.rollouts)
        wanted = settings.questions.mixed
        if search.needs_mixed if wanted is None else wanted:
            tree.reason[ROOT] = _set_aside(tree, settings, roots)
        if tree.reason[ROOT] is None:
            yield from search.run(moves, roots)
    except Stopped as stopped:
        tree.reason[ROOT] = stopped.reason
    for rollout in roots:
        if rollout.piece.ids and not rollout.settled:
            moves.end(ROOT, rollout, reason=None if rollout.says else "empty_step")
    for end in tree.disputed(settings.completer):
        tree.reason[end] = "disputed_end"
    return tree


def unusable(question: Question) -> Generator[Sequence[Request], Sequence[Result], str | None]:
    """Nothing is rolled out for a reference that no answer could equal, itself included. A verifier that does not say which
    answer it read in a boxed reference, or that raises on it, may want another kind of text, which decides nothing."""
    if question.reference is None or not question.reference.strip():
        return "no_reference"
    (result,) = yield [Verify(VERIFIER, f"\\boxed{{{question.reference}}}", question.reference)]
    if not isinstance(result, Verified):
        return result.reason if isinstance(result, Failed) else "wrong_answer"
    if result.outcome == "unparsed":
        return None if result.reason in ABOUT_THE_TEXT else result.reason
    return "reference_unequal_to_itself" if result.outcome == "wrong" and result.answer is not None else None


def _set_aside(tree: Tree, settings: SearchSettings, roots: Sequence[Rollout]) -> str | None:
    count, wanted = tree.count(ROOT, settings.completer), settings.questions
    if count.correct == 0:
        why = Counter(r.reason for r in roots if r.verdict == "unparsed")
        return why.most_common(1)[0][0] if count.unparsed > LOW_TRUST * count.n else "all_wrong"
    if count.correct == count.n:
        return "all_right"
    if count.rate <= wanted.min_rate:
        return "too_hard"
    return "too_easy" if count.rate >= wanted.max_rate else None


def distinct(rollouts: Iterable[Rollout]) -> list[Rollout]:
    """Those that say something, equal texts once, in order. All of them are counted; each text is searched once."""
    found: dict[str, Rollout] = {}
    for rollout in rollouts:
        if rollout.says:
            found.setdefault(rollout.piece.text, rollout)
    return list(found.values())
