"""A world of words in which every search can be checked by hand: one word is one token and one step.

A solution is `g1 g2 b3 b4 =wrong`: words, the last of which is its answer; `=none` answers nothing. What is rolled out from a
prefix is said by a function, so a test knows every count beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

from pairwright.annotators.steps.base import Budget, QuestionFilter, Rollout, SearchSettings
from pairwright.annotators.steps.moves import Moves
from pairwright.annotators.steps.segment import Cut, Delimiter
from pairwright.annotators.steps.tree import ROOT, Piece, Question, Tree
from pairwright.engines.requests import (
    Completion,
    Failed,
    Generate,
    Generated,
    Outcome,
    Request,
    Result,
    Usage,
    Verified,
    Verify,
    check,
    turns,
)

END = 1
_IDS: dict[str, int] = {}
Rule = Callable[[tuple[str, ...], str, int], str]
"""(the words so far, the role, which of the rollouts) -> how it goes on."""


def ids_of(words: Sequence[str]) -> tuple[int, ...]:
    """One id a word."""
    return tuple(_IDS.setdefault(word, len(_IDS) + 2) for word in words)


def words_of(ids: Sequence[int]) -> tuple[str, ...]:
    """The words of ids."""
    known = list(_IDS)
    return tuple(known[i - 2] for i in ids)


def piece(said: str) -> Piece:
    """A solution, or what follows a prefix: each word a step."""
    words, cuts, text = said.split(), [], ""
    for i, word in enumerate(words):
        text += word + ("\n\n" if i < len(words) - 1 else "")
        cuts.append(Cut(i + 1, len(text)))
    return Piece(ids_of(words), text, tuple(cuts))


def verdict(said: str) -> Outcome:
    """What a solution comes to."""
    return {"=right": "right", "=none": "unparsed"}.get(said.split()[-1] if said.split() else "", "wrong")


def rollout(said: str) -> Rollout:
    """A finished end of a solution."""
    found = verdict(said)
    return Rollout(piece(said), "stop", found, None, "no_answer" if found == "unparsed" else None, -1.0)


def solution(length: int, error: int) -> str:
    """A wrong solution of `length` steps (its answer included), the first wrong one being `error`, counted from 1."""
    return " ".join([f"g{i}" if i < error else f"b{i}" for i in range(1, length)] + ["=wrong"])


def certain(prefix: tuple[str, ...], role: str, i: int) -> str:
    """A world without luck: a prefix is completed rightly if, and only if, it holds no error."""
    return f"x{i} =wrong" if any(word[0] in "b=" for word in prefix) else f"fine{i} =right"


class World:
    """Answers requests by a rule and remembers who rolled out how often from where."""

    def __init__(self, rule: Rule = certain, roots: Sequence[str] = (), fails: Callable[[Request], bool] = lambda _: False):
        self.rule, self.roots, self.fails = rule, roots, fails
        self.rolled: list[tuple[str, int, int]] = []  # (role, words of the prefix, rollouts)
        self.prefixes: list[tuple[str, ...]] = []

    def answer(self, request: Request) -> Result:
        """The result of a request."""
        if self.fails(request):
            return Failed("server_error", "no luck", Usage(1))
        match request:
            case Verify(text=text, reference=reference):
                outcome = verdict(reference if "boxed" in text else text)
                reason = "reference_unparsed" if verdict(reference) == "unparsed" else "no_answer"
                return Verified(outcome, None, reason if outcome == "unparsed" else None)
            case Generate():
                return self._generate(request)
        raise AssertionError(request)

    def rollouts(self, role: str = "policy", below_root: bool = True) -> int:
        """How many rollouts were made, those from the question itself left out unless they are asked for."""
        return sum(n for who, words, n in self.rolled if who == role and (words or not below_root))

    def run(self, task: Generator[Sequence[Request], Sequence[Result], Any]) -> Any:
        """Answer a generator until it returns."""
        results: Sequence[Result] | None = None
        try:
            while True:
                requests = next(task) if results is None else task.send(results)
                results = [self.answer(r) for r in requests]
                assert all(check(r, a) is a for r, a in zip(requests, results, strict=True))
        except StopIteration as stop:
            return stop.value

    def _generate(self, request: Generate) -> Generated:
        prefix = words_of(request.prefix_ids)
        self.rolled.append((request.role, len(prefix), request.n))
        self.prefixes.append(prefix)
        said = [self._say(prefix, request.role, i) for i in range(request.n)]
        made = tuple(_completion(text) for text in said)
        return Generated(made, Usage(sum(len(c.token_ids or ()) for c in made), seconds=0.5))

    def _say(self, prefix: tuple[str, ...], role: str, i: int) -> str:
        return self.roots[i] if role == "policy" and not prefix and i < len(self.roots) else self.rule(prefix, role, i)


def _completion(said: str) -> Completion:
    made = piece(said)
    ids, ends = (*made.ids, END), (*(cut.char for cut in made.cuts), len(made.text))
    return Completion(made.text, "stop", ids, tuple(-1.0 for _ in ids), "words", ends)


def settings(roots: int = 2, budget: int = 10_000, **more: Any) -> SearchSettings:
    """One word, one step; `roots` rollouts from the question."""
    limits = Budget(rollouts=budget, **{k: more.pop(k) for k in ("tokens", "seconds", "errors") if k in more})
    chosen = QuestionFilter(rollouts=roots, **{k: more.pop(k) for k in ("min_rate", "max_rate", "mixed") if k in more})
    return SearchSettings(segment=Delimiter(min_step_tokens=1), questions=chosen, budget=limits, **more)


def question(reference: str | None = "=right", prompt_id: str = "p") -> Question:
    """A question whose right answer is `=right`."""
    return Question(prompt_id, turns("What is it?"), reference)


def moves_with_roots(roots: Sequence[Rollout], chosen: SearchSettings | None = None) -> Moves:
    """A tree whose root was estimated with these rollouts."""
    moves = Moves(question(), chosen or settings())
    moves.tree.count(ROOT, moves.settings.completer).add(r.verdict for r in roots)
    return moves


def leaf_of(tree: Tree, said: str) -> int:
    """The node in which a solution ends."""
    ids = ids_of(said.split())
    (leaf,) = [node for node in range(len(tree)) if tree.prefix(node) == ids]
    return leaf


def located(tree: Tree, leaf: int, role: str = "policy") -> tuple[int, int] | None:
    """(step, edge): the step, counted from 1, at which a path first is no good any more, and how many steps that edge has."""
    for node in tree.path(leaf)[1:]:
        count = tree.counts[node].get(role)
        bad = count.correct == 0 if count is not None and count.n else tree.verdict[node] == "wrong"
        if bad:
            return len(tree.prefix(node)), len(tree.piece[node].cuts)
    return None


def wrong_leaves(tree: Tree) -> list[int]:
    """The ends of wrong solutions that can carry a label."""
    return [n for n in range(len(tree)) if tree.terminal[n] and tree.verdict[n] == "wrong" and tree.reason[n] is None]


def truth(tree: Tree, leaf: int) -> int:
    """The first wrong step of a solution, counted from 1."""
    words = words_of(tree.prefix(leaf))
    return next(i for i, word in enumerate(words, start=1) if word[0] in "bx=")
