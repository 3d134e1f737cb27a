"""Drive annotators by hand: no model, no runner."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Sequence

import numpy as np
import pytest

from pairwright.annotators.base import Annotation, Group, Response
from pairwright.engines.requests import Request, Result, Score, Scored, check, turns
from pairwright.ids import digest, seed_of


@pytest.fixture(scope="session")
def drive() -> Callable[[Generator, Callable[[Request], Result]], list[Annotation]]:
    """Run a generator to its end: every request it yields is answered by `answer`, whose answers must be sound."""

    def run(generator: Generator, answer: Callable[[Request], Result]) -> list[Annotation]:
        def sound(request: Request) -> Result:
            result = answer(request)
            assert check(request, result) is result
            return result

        try:
            requests = next(generator)
            while True:
                requests = generator.send([sound(r) for r in requests])
        except StopIteration as end:
            return end.value

    return run


@pytest.fixture(scope="session")
def make_group() -> Callable[..., Group]:
    """A group with one response per text; ids follow from the texts, so the order of texts does not change them."""

    def make(texts: Sequence[str], prompt: object = "Why is the sky blue?", prompt_id: str = "p", **about: object) -> Group:
        return Group(prompt_id, turns(prompt), tuple(Response(digest(t), t, **about) for t in texts))

    return make


@pytest.fixture(scope="session")
def scored() -> Callable[..., Scored]:
    """A `Scored` with these log-probabilities; token ids are 0, 1, ... unless given."""

    def make(logprobs: Sequence[float], ids: Sequence[int] | None = None, hidden: Sequence[float] | None = None) -> Scored:
        return Scored(
            tuple(range(len(logprobs)) if ids is None else ids),
            np.array(logprobs, np.float32),
            hidden_sum=None if hidden is None else np.array(hidden, np.float32),
        )

    return make


@pytest.fixture(scope="session")
def fake_model() -> Callable[[str, Score], Scored]:
    """A model that is a name: log-probabilities (one per word and one for the terminator) and states made of hashes."""

    def answer(model: str, request: Score) -> Scored:
        words = request.continuation.text.split()
        if request.terminator and request.speaker == "assistant":
            words.append("<end>")
        values = random.Random(seed_of(model, request.context, request.continuation.text))
        logprobs = np.array([-5 * values.random() for _ in words], np.float32)
        hidden = np.array([values.gauss(0, 1) for _ in range(8)], np.float32)
        return Scored(tuple(seed_of(w) % 1000 for w in words), logprobs, hidden_sum=hidden)

    return answer
