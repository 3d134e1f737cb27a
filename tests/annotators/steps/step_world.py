"""A world in which solutions are made step by step: a token is a word with the space after it, `says` tells how a text goes on.

The engine's part is played exactly: stop strings end a completion with their whole token, limits cut it, a terminator spells
nothing. A solution's answer is the last `=right` or `=wrong` in it; one that was cut must say `boxed` to have any.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Generator, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from pairwright.annotators.steps.base import Budget, QuestionFilter, RolloutSampling, SearchSettings
from pairwright.annotators.steps.search import Search, grow
from pairwright.annotators.steps.segment import Delimiter
from pairwright.annotators.steps.tree import Question, Tree
from pairwright.engines.requests import (
    Choose,
    Chosen,
    Completion,
    Failed,
    Generate,
    Generated,
    Request,
    Result,
    Score,
    Scored,
    Usage,
    Verified,
    Verify,
    check,
    turns,
)
from pairwright.ids import seed_of

END = 1
_IDS: dict[str, int] = {}


def ids_of(text: str) -> tuple[int, ...]:
    """One id a word, the space after it included."""
    return tuple(_IDS.setdefault(word, len(_IDS) + 2) for word in re.findall(r"\S+\s*|\s+", text))


def text_of(ids: Sequence[int]) -> str:
    """What ids spell."""
    known = list(_IDS)
    return "".join(known[i - 2] for i in ids if i != END)


def question(prompt_id: str = "p") -> Question:
    """A question whose right answer is `=right`."""
    return Question(prompt_id, turns("What is it?"), "=right")


def settings(roots: int = 2, max_tokens: int = 512, **more: Any) -> SearchSettings:
    """Two newlines end a step, however short; nothing is set aside unless the test says so."""
    limits = {k: more.pop(k) for k in ("rollouts", "tokens", "seconds", "errors") if k in more}
    defaults = {"segment": Delimiter(min_step_tokens=1), "questions": QuestionFilter(rollouts=roots, mixed=False)}
    return SearchSettings(**defaults | {"budget": Budget(**limits), "sampling": RolloutSampling(max_tokens=max_tokens)} | more)


class StepWorld:
    """`says(text, i, request)`: the whole rest of a solution. `judge(text)`: P(Yes). `lp(role, token)`: a log-probability."""

    def __init__(
        self,
        says: Callable[[str, int, Generate], str],
        judge: Callable[[str], float] = lambda _: 0.5,
        fails: Callable[[int, Request], bool] = lambda n, request: False,
        lp: Callable[[str, int], float] = lambda role, token: -1.0,
        context: int = 10_000,
        tokenizer: str = "words",
    ) -> None:
        self.says, self.judge, self.fails, self.lp, self.context = says, judge, fails, lp, context
        self.tokenizer = tokenizer
        self.seen: list[Request] = []

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

    def grow(self, search: Search[Any], chosen: SearchSettings | None = None) -> Tree:
        """The tree of the one question."""
        return self.run(grow(question(), chosen or settings(), search))

    def of(self, kind: type[Any]) -> list[Any]:
        """The requests of one kind that were seen."""
        return [r for r in self.seen if isinstance(r, kind)]

    def expanded(self) -> list[str]:
        """The texts whose next step was asked for, in order."""
        return [text_of(r.prefix_ids) for r in self.of(Generate) if r.sampling.stop]

    def answer(self, request: Request) -> Result:
        """The result of a request."""
        self.seen.append(request)
        if self.fails(len(self.seen), request):
            return Failed("server_error", "no luck", Usage(1))
        match request:
            case Verify():
                return verdict(request.text, request.cut)
            case Generate():
                made = tuple(self._completion(request, i) for i in range(request.n))
                return Generated(made, Usage(sum(len(c.token_ids or ()) for c in made), seconds=0.5))
            case Choose():
                p = min(max(self.judge(request.prompt[-1].content), 1e-9), 1 - 1e-9)
                return Chosen((math.log(p), math.log(1 - p)), Usage(3))
            case Score():
                ids = request.continuation.token_ids or ()
                return Scored(ids, np.array([self.lp(request.role, i) for i in ids], np.float32), usage=Usage(len(ids)))

    def _completion(self, request: Generate, i: int) -> Completion:
        ids = (*ids_of(self.says(text_of(request.prefix_ids), i, request)), END)
        text, stops = "", request.sampling.stop
        room = min(request.sampling.max_tokens, self.context - len(request.prefix_ids))
        for n, token in enumerate(ids[:room], 1):
            text += text_of((token,))
            if token == END or any(stop in text for stop in stops):
                return self._made(text, ids[:n], "stop")
        return self._made(text, ids[:room], "length")

    def _made(self, text: str, ids: tuple[int, ...], finish: Any) -> Completion:
        ends = tuple(accumulate(len(text_of((i,))) for i in ids))
        return Completion(text, finish, ids, tuple(self.lp("policy", i) for i in ids), self.tokenizer, ends)


def verdict(text: str, cut: bool = False) -> Verified:
    """What a solution comes to."""
    said = re.findall(r"=(right|wrong)", text)
    if not said:
        return Verified("unparsed", None, "no_answer")
    if cut and "boxed" not in text:
        return Verified("unparsed", None, "cut")
    return Verified(said[-1], said[-1])


def chances(seed: int, words: int = 3, ends: float = 0.3, right: float = 0.5) -> Callable[[str, int, Generate], str]:
    """A world drawn from a seed: a few possible next steps after every text, or an end, which may say nothing."""

    def says(text: str, i: int, request: Generate) -> str:
        draw = i if request.sampling.temperature else "greedy"
        rng = random.Random(seed_of("world", seed, text, request.seed if request.sampling.temperature else 0, draw))
        rest = ""
        while True:
            if (text or rest) and rng.random() < ends:
                answered = "=" in text[-9:] and rng.random() < 0.5
                answer = "=right" if rng.random() < right else "=wrong"
                return rest if answered else rest + rng.choice(["", "so ", "so\n\n"]) + answer + rng.choice(["", "", "\n\n"])
            if rng.random() < 0.05 or len(rest) > 200:
                return rest
            rest += f"{'- ' if rng.random() < 0.2 else ''}s{rng.randrange(words)}\n\n"

    return says
