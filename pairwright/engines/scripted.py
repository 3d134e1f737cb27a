"""A model made of hashes: it answers everything at once, the same on every machine, and fails exactly as often as it is told.

For tests, demos and measuring Pairwright without a model. Nothing it says means anything, but it behaves like one: ids and
log-probabilities agree between sampling and scoring, a stronger model prefers other words than a weaker one, and every answer
depends on the request's content only, never on order or time.
"""

from __future__ import annotations

import dataclasses
import functools
import random
import time
from abc import abstractmethod
from collections import Counter
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from pairwright.engines.base import Engine, ModelConfig
from pairwright.engines.requests import (
    FRESH,
    Choose,
    Chosen,
    Completion,
    Conversation,
    Failed,
    Floats,
    Generate,
    Generated,
    Request,
    Result,
    Score,
    Scored,
    Turn,
    Usage,
    needs_of,
    request_key,
)
from pairwright.errors import OutOfMemory
from pairwright.ids import digest, seed_of

TOKENIZER = "scripted"
END = 0  # the id of the terminator
HIDDEN = 8  # numbers in a hidden state
_SPEED = ("window", "batch", "delay_s", "spent_file")
_SYLLABLES = [c + v for c in "bdfghklmnprstvz" for v in "aeiou"]

Rate = Annotated[float, Field(ge=0, le=1)]
Ids = npt.NDArray[np.uint64]


class Breakdowns(BaseModel):
    """What goes wrong with requests and the engine, and for which share of requests. The same requests fail in every run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    too_long: Rate = 0  # the request fails with `too_long`
    server_error: Rate = 0  # the request fails with `server_error`
    die_after: int | None = None  # the engine dies once, when it has answered so many requests
    die_twice: bool = False  # ... and again in its first step after the restart
    oom_over: int | None = None  # a batch of more requests does not fit and is halved; 0: not even one fits


class Faults(Breakdowns):
    """What goes wrong besides with a scripted model's answers, and for which share of requests (or completions)."""

    nan: Rate = 0  # one log-probability of the answer is not a number
    identical: Rate = 0  # all n completions are equal
    empty: Rate = 0  # a completion has no text
    cut: Rate = 0  # a completion ends by the length limit


class PretendModel(ModelConfig):
    """A model that is a function of the request. Two with the same settings are the same model and give the same numbers."""

    seed: int = 0
    quality: Rate = 0.5  # how strongly it prefers the words that every such model of high quality prefers here
    window: int = Field(default=64, ge=1)
    batch: int = Field(default=8, ge=1)  # requests answered in one step
    delay_s: float = Field(default=0, ge=0)  # seconds a step takes
    spent_file: str | None = None  # every step first appends the tokens it is about to spend: the file outlives the process
    faults: Breakdowns = Breakdowns()

    tokenizer: ClassVar[str]
    _deaths: int = PrivateAttr(default=0)

    @abstractmethod
    def respond(self, request: Request) -> Result:
        """The answer when nothing goes wrong; asked only what the model provides."""

    @abstractmethod
    def ids(self, text: str) -> tuple[int, ...]:
        """The tokens of `text`."""

    def fingerprint(self) -> str:
        """A hash of what answers depend on: neither speed nor how often the engine dies."""
        deaths = {"die_after", "die_twice", "oom_over"}
        return digest(self.model_dump(exclude={**dict.fromkeys(_SPEED, True), "faults": deaths}))

    def load(self) -> ScriptedEngine:
        """Loads nothing."""
        return ScriptedEngine(self)

    def label(self) -> str:
        """`<tokenizer>-<seed>`."""
        return f"{self.tokenizer}-{self.seed}"

    def next_death(self) -> int | None:
        """After how many answers the engine loaded now will die, if it will."""
        if self.faults.die_after is None or self._deaths > self.faults.die_twice:
            return None
        return 0 if self._deaths else self.faults.die_after

    def die(self) -> None:
        """Die, and remember it: the config outlives its engines."""
        self._deaths += 1
        raise RuntimeError(f"{self.label()} died as it was told to, for the {('first', 'second')[self._deaths - 1]} time")


class ScriptedModel(PretendModel):
    """A scripted model."""

    engine: Literal["scripted"] = "scripted"
    vocabulary: int = Field(default=500, ge=2, le=5000)  # different words
    words: tuple[int, int] = (4, 40)  # shortest and longest completion
    endings: tuple[str, ...] = ()  # each completion ends in one of these, e.g. r"\boxed{4}"
    faults: Faults = Faults()

    provides: ClassVar[frozenset[str]] = frozenset(
        {"generate", FRESH, "prefix_ids", "score", "choose", "hidden_sum", "entropy", "self_certainty"}
    )
    tokenizer: ClassVar[str] = TOKENIZER

    def respond(self, request: Request) -> Result:
        match request:
            case Generate():
                return _generate(self, request)
            case Score():
                return _score(self, request)
            case Choose():
                return _choose(self, request)
        raise TypeError(f"a scripted model does not answer a {type(request).__name__}")

    def ids(self, text: str) -> tuple[int, ...]:
        return word_ids(text)


class ScriptedEngine(Engine):
    """Answers up to `batch` requests a step, in seeded disorder."""

    requests_seen: ClassVar[Counter[str]] = Counter()
    """How many requests each model (by label) was given in this process; tests read and clear it."""

    def __init__(self, config: PretendModel) -> None:
        self.config = config
        self.window = config.window
        self._pending: list[tuple[str, Request]] = []
        self._disorder = random.Random(config.seed)
        self._answered, self._death = 0, config.next_death()

    def submit(self, ticket: str, request: Request) -> None:
        self.requests_seen[self.config.label()] += 1
        self._pending.append((ticket, request))

    def step(self) -> list[tuple[str, Result]]:
        if not self._pending:
            return []
        if self._death is not None and self._answered >= self._death:
            self.config.die()
        answers = self._halving([self._draw() for _ in range(min(self.config.batch, len(self._pending)))])
        if self.config.spent_file is not None:
            with Path(self.config.spent_file).open("a") as spent:
                spent.write(f"{sum(result.usage.tokens for _, result in answers)}\n")
        time.sleep(self.config.delay_s)
        self._answered += len(answers)
        return answers

    def _draw(self) -> tuple[str, Request]:
        i = self._disorder.randrange(len(self._pending))
        self._pending[i], self._pending[-1] = self._pending[-1], self._pending[i]
        return self._pending.pop()

    def _halving(self, batch: list[tuple[str, Request]]) -> list[tuple[str, Result]]:
        try:
            return self._forward(batch)
        except OutOfMemory:
            if len(batch) == 1:
                return [(batch[0][0], Failed("out_of_memory", "not even this request alone fits into memory"))]
            half = len(batch) // 2
            return self._halving(batch[:half]) + self._halving(batch[half:])

    def _forward(self, batch: list[tuple[str, Request]]) -> list[tuple[str, Result]]:
        limit = self.config.faults.oom_over
        if limit is not None and len(batch) > limit:
            raise OutOfMemory
        return [(ticket, answer(self.config, request)) for ticket, request in batch]


def answer(model: PretendModel, request: Request) -> Result:
    """What `model` answers to `request`, faults included."""
    lacking = needs_of(request) - model.provides
    if lacking:
        return Failed("not_supported", f"{model.label()} does not provide {', '.join(sorted(lacking))}")
    if _strikes(model, "too_long", request):
        return Failed("too_long", "the prompt has 9999 tokens, the model's limit is 9998")
    if _strikes(model, "server_error", request):
        return Failed("server_error", "the scripted server answered 500")
    return model.respond(request)


def word_ids(text: str) -> tuple[int, ...]:
    """One id per word, in [1, 2**31)."""
    return tuple(_word_id(word) for word in text.split())


@functools.lru_cache(maxsize=65536)
def _word_id(word: str) -> int:
    return max(1, seed_of("word", word))


def _strikes(model: PretendModel, fault: str, request: Request, index: int = 0) -> bool:
    rate: float = getattr(model.faults, fault)
    return rate > 0 and seed_of(fault, model.seed, index, request_key("", request)) / 2**31 < rate


def _mix(seed: int, ids: Ids) -> npt.NDArray[np.float64]:
    """Uniform numbers in [0, 1), one per id: the finaliser of splitmix64."""
    x = ids + np.uint64(seed * 0x9E3779B97F4A7C15 % 2**64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (x ^ (x >> np.uint64(31))).astype(np.float64) / 2.0**64


def _array(ids: tuple[int, ...]) -> Ids:
    return np.array(ids, dtype=np.uint64)


def _text(context: Conversation) -> list[tuple[str, str]]:
    return [(turn.role, turn.content) for turn in context]


def _goodness(context: Conversation, ids: Ids) -> npt.NDArray[np.float64]:
    """How well each token fits the context in the eyes of every scripted model, in [0, 1)."""
    return _mix(seed_of("good", _text(context)), ids)


def logprobs_of(model: PretendModel, context: Conversation, ids: tuple[int, ...]) -> Floats:
    """In (-6, 0), smooth in `quality`: own taste, plus quality times what is good here."""
    tokens = _array(ids)
    taste = _mix(seed_of("taste", model.seed, _text(context)), tokens)
    good = _goodness(context, tokens)
    return (-3 + 2 * (taste - 0.5) + 4 * model.quality * (good - 0.5)).astype(np.float32)


def usage_of(model: PretendModel, given: Conversation, more: int, generated: int = 0) -> Usage:
    """The cost of a request with `more` tokens given besides the conversation and `generated` made."""
    total = sum(len(model.ids(turn.content)) for turn in given) + more + generated
    return Usage(total, total, generated, model.delay_s / model.batch)


def chance_of(model: PretendModel, request: Generate) -> str:
    """All that chance may depend on, as a hash. Greedy sampling takes no seed; whether a stop string is kept changes no word."""
    sampling = dataclasses.asdict(request.sampling)
    del sampling["keep_stop"]
    seed = 0 if request.sampling.temperature == 0 else request.seed
    return digest(model.seed, _text(request.prompt), sampling, request.prefix_ids, seed)


def _broken(model: ScriptedModel, request: Request, logprobs: Floats) -> Floats:
    if _strikes(model, "nan", request):
        logprobs[len(logprobs) // 2] = np.nan
    return logprobs


@functools.lru_cache(maxsize=64)
def _lexicon(vocabulary: int) -> tuple[list[str], Ids]:
    words = [_SYLLABLES[i % 75] + _SYLLABLES[i // 75] for i in range(vocabulary)]
    return words, _array(tuple(map(_word_id, words)))


def _generate(model: ScriptedModel, request: Generate) -> Generated:
    same = request.sampling.temperature == 0 or _strikes(model, "identical", request)
    base = chance_of(model, request)
    made = tuple(_complete(model, request, f"{base}:{0 if same else i}", 0 if same else i) for i in range(request.n))
    generated = sum(len(c.token_ids or ()) for c in made)
    return Generated(made, usage_of(model, request.prompt, len(request.prefix_ids), generated))


def _complete(model: ScriptedModel, request: Generate, seed: str, index: int) -> Completion:
    rng = random.Random(seed)
    length = min(rng.randint(*model.words), request.sampling.max_tokens)
    lexicon, ids = _lexicon(model.vocabulary)
    good = _goodness(request.prompt, ids)
    words = []
    for _ in range(length):
        first, second = rng.randrange(len(lexicon)), rng.randrange(len(lexicon))
        better = rng.random() < model.quality and good[second] > good[first]
        words.append(lexicon[second if better else first])
    if model.endings:
        words += rng.choice(model.endings).split()
    cut = len(words) >= request.sampling.max_tokens or _strikes(model, "cut", request, index)
    if _strikes(model, "empty", request, index):
        words, cut = [], False
    words = [f"{' ' if i or request.prefix_ids else ''}{word}" for i, word in enumerate(words[: request.sampling.max_tokens])]
    text, ends = "".join(words), list(accumulate(map(len, words)))
    if not cut:
        ends.append(len(text))
    token_ids = word_ids(text) + (() if cut else (END,))
    logprobs = logprobs_of(model, request.prompt, token_ids)
    if index == 0:
        logprobs = _broken(model, request, logprobs)
    return Completion(text, "length" if cut else "stop", token_ids, tuple(logprobs.tolist()), model.tokenizer, tuple(ends))


def score(model: PretendModel, request: Score) -> Scored | Failed:
    """The log-probabilities of exactly the continuation's ids, without extras."""
    given = request.continuation
    assistant = request.speaker == "assistant"
    if given.token_ids is not None and given.tokenizer == model.tokenizer:
        token_ids = given.token_ids
        if not (request.terminator and assistant) and token_ids and token_ids[-1] == END:
            token_ids = token_ids[:-1]
    else:
        ends = assistant and request.terminator and given.finished
        token_ids = model.ids(given.text) + ((END,) if ends else ())
    if not token_ids or (not given.text and not given.token_ids):
        return Failed("empty_response", "there is no token to score")
    logprobs = logprobs_of(model, _scoring_context(request), token_ids)
    return Scored(token_ids, logprobs, usage=usage_of(model, request.context, len(token_ids)))


def _scoring_context(request: Score) -> Conversation:
    return request.context if request.speaker == "assistant" else (*request.context, Turn("user", ""))


def _score(model: ScriptedModel, request: Score) -> Result:
    scored = score(model, request)
    if isinstance(scored, Failed):
        return scored
    ids, context = _array(scored.token_ids), _text(_scoring_context(request))
    extra: dict[str, Any] = {}
    for name, largest in (("entropy", np.log(model.vocabulary)), ("self_certainty", 8.0)):
        if name in request.want:
            extra[name] = (largest * _mix(seed_of(name, model.seed, context), ids)).astype(np.float32)
    if "hidden_sum" in request.want:
        states = [_mix(seed_of("hidden", model.seed, d), ids) - 0.5 for d in range(HIDDEN)]
        extra["hidden_sum"] = np.stack(states).sum(axis=1).astype(np.float32)
    return dataclasses.replace(scored, logprobs=_broken(model, request, scored.logprobs), **extra)


def _choose(model: ScriptedModel, request: Choose) -> Result:
    firsts = tuple(next(iter(word_ids(label)), -1) for label in request.labels)
    if -1 in firsts or len(set(firsts)) < len(firsts):
        return Failed("labels_share_first_token", f"labels {list(request.labels)} do not differ in their first token")
    weights = np.exp(logprobs_of(model, request.prompt, firsts).astype(np.float64))
    logprobs = _broken(model, request, np.log(0.9 * weights / weights.sum()).astype(np.float32))
    return Chosen(tuple(logprobs.tolist()), usage_of(model, request.prompt, 0, 1))
