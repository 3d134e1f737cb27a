"""What a method may ask of a model, and what it gets back. Plain frozen values: no model, no file, no clock.

A request names a *role* (`policy`, `strong`, `judge`, ...), never a model. What answers depend on is the model behind the
role and the payload; both together make the request's key (`request_key`), under which the journal keeps the answer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pairwright.ids import digest

Floats = npt.NDArray[np.float32]
Speaker = Literal["assistant", "user"]
FinishReason = Literal["stop", "length"]
FRESH = "fresh_draws"  # what an engine provides that draws another response where another seed asks for one
DROPOUT = "score_dropout"  # what an engine provides whose scores can be drawn with dropout


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation. `token_ids` (of tokenizer `tokenizer`) are the exact ids a model produced for it,
    with the end-of-turn token if it produced one; a model with the same tokenizer uses them and never re-tokenises."""

    role: str
    content: str
    token_ids: tuple[int, ...] | None = None
    tokenizer: str | None = None


Conversation = tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to sample. `top_k=0` and `top_p=1` mean off; `temperature=0` means greedy. At a stop string a completion ends: its text
    is cut before it or, with `keep_stop`, ends with the whole token that completes it, so that its ids stay exact."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_tokens: int = 512
    stop: tuple[str, ...] = ()
    keep_stop: bool = False


@dataclass(frozen=True, slots=True)
class Continuation:
    """Text whose probability is asked for. With `token_ids` (of tokenizer `tokenizer`, terminator included when the model
    produced one) exactly these ids are scored by any model with that tokenizer. `finished=False`: cut by the length
    limit, so it has no terminator and none is added."""

    text: str
    token_ids: tuple[int, ...] | None = None
    tokenizer: str | None = None
    finished: bool = True


@dataclass(frozen=True, slots=True)
class Generate:
    """Ask for `n` continuations of `prompt` (after `prefix_ids`, ids of an already begun answer)."""

    role: str
    prompt: Conversation
    sampling: Sampling
    n: int = 1
    seed: int = 0
    prefix_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Score:
    """Ask for log P(continuation | context), token by token, natural log, raw softmax (no temperature).

    `speaker="assistant"`: the continuation is the next assistant turn, its terminator included if `finished` and
    `terminator`. `speaker="user"`: it is the next user turn; only its content tokens are scored, neither the role header
    nor the terminator. `want` names what else is needed per scored token: "entropy" (nats), "self_certainty"
    (KL(uniform || p), nats), "hidden_sum" (the sum over scored tokens of the last-layer state that predicts them, after
    the final norm: the S of CHES, arXiv 2410.08847).

    `draw` (0, 1, ...): with dropout, as a model with `attention_dropout` drops in this draw: equal requests have equal draws, and
    other draws are independent. None: without dropout, whatever the model.
    """

    role: str
    context: Conversation
    continuation: Continuation
    speaker: Speaker = "assistant"
    terminator: bool = True
    want: frozenset[str] = frozenset()
    draw: int | None = None


@dataclass(frozen=True, slots=True)
class Choose:
    """Ask how probable each label is as the next text of the assistant. Labels must differ in their first token."""

    role: str
    prompt: Conversation
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verify:
    """Ask whether the final answer of a solution is the reference. `cut`: the text ended by the length limit, so that only an
    answer that is marked as one counts. CPU work: the role's model is a verifier."""

    role: str
    text: str
    reference: str
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Review:
    """Ask people which of two responses to `prompt` is better. `candidates`: (id, text) of each, in the order of their ids; who
    is shown what first is up to the review sheet. `people`: how many of them must have answered."""

    role: str
    prompt: Conversation
    candidates: tuple[tuple[str, str], tuple[str, str]]
    question: str
    reference: str | None = None
    people: int = 1


Request = Generate | Score | Choose | Verify | Review


@dataclass(frozen=True, slots=True)
class Usage:
    """What one request cost. `tokens`: tokens given plus made, as if alone. `forwarded`: its share of what was computed."""

    tokens: int = 0
    forwarded: float = 0.0
    generated: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Completion:
    """One sampled continuation. `token_ids` and `logprobs` (one each, fp32, before temperature) include the terminator. Text that
    was cut before a stop string has neither: the ids would say more than the text. `ends[i]`: how many characters of `text` the
    tokens up to and including i spell, so that text can be cut where tokens end; a terminator spells none."""

    text: str
    finish_reason: FinishReason
    token_ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    tokenizer: str | None = None
    ends: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Generated:
    """The answer to `Generate`: exactly `n` completions."""

    completions: tuple[Completion, ...]
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """The answer to `Score`. Arrays are float32 of shape [T], T = number of scored tokens; `hidden_sum` has shape [D]."""

    token_ids: tuple[int, ...]
    logprobs: Floats
    entropy: Floats | None = None
    self_certainty: Floats | None = None
    hidden_sum: Floats | None = None
    usage: Usage = Usage()

    @property
    def n(self) -> int:
        """Number of scored tokens."""
        return len(self.token_ids)

    @property
    def total(self) -> float:
        """Sum of the token log-probabilities, in nats."""
        return float(self.logprobs.sum(dtype=np.float64))

    @property
    def mean(self) -> float:
        """Mean token log-probability, in nats."""
        return self.total / self.n


@dataclass(frozen=True, slots=True)
class Chosen:
    """The answer to `Choose`: `logprobs[i]` is the full-vocabulary log-probability of label i's first token."""

    logprobs: tuple[float, ...]
    usage: Usage = Usage()

    @property
    def probabilities(self) -> tuple[float, ...]:
        """Probabilities renormalised over the labels."""
        z = np.asarray(self.logprobs, dtype=np.float64)
        p = np.exp(z - z.max())
        return tuple(float(x) for x in p / p.sum())


Outcome = Literal["right", "wrong", "unparsed"]


@dataclass(frozen=True, slots=True)
class Verified:
    """The answer to `Verify`. `answer`: what was taken to be the solution's final answer, null if none was found. `reason`
    (snake_case): why the outcome is `unparsed`, e.g. no_answer, cut, reference_unparsed, time_out, verifier_crashed."""

    outcome: Outcome
    answer: str | None = None
    reason: str | None = None
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class Opinion:
    """One person's answer: the id of the better candidate, "tie", or "invalid" (it cannot be judged). `note`: in their words."""

    who: str
    choice: str
    note: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Reviewed:
    """The answer to `Review`: what each person said, sorted by name; one answer a person."""

    opinions: tuple[Opinion, ...]
    usage: Usage = Usage()


AWAITING = "awaiting_person"
TRANSIENT = frozenset({"server_error", "server_unavailable", "server_answer", "engine_error", "out_of_memory", AWAITING})
"""Reasons of failures that may pass: what failed for one of them is asked again by the next build."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A request that failed on its own: a short reason (snake_case, the same for equal causes) and a sentence."""

    reason: str
    detail: str = ""
    usage: Usage = Usage()


Result = Generated | Scored | Chosen | Verified | Reviewed | Failed


def request_key(model: str, request: Request) -> str:
    """The content hash of a request to the model with fingerprint `model`; the role's name does not enter."""
    payload = {f.name: getattr(request, f.name) for f in dataclasses.fields(request) if f.name != "role"}
    # journals older than a field stay good: where it has no effect it does not enter
    if isinstance(request, Generate) and not request.sampling.keep_stop:
        payload["sampling"] = {k: v for k, v in dataclasses.asdict(request.sampling).items() if k != "keep_stop"}
    if isinstance(request, Score) and request.draw is None:
        del payload["draw"]
    return digest(type(request).__name__, model, payload)


def needs_of(request: Request) -> frozenset[str]:
    """What an engine must be able to do to answer: the kind of request, everything in `want`, to go on from `prefix_ids`, and
    dropout for a `draw`."""
    kind = frozenset({type(request).__name__.lower()})
    if isinstance(request, Generate) and request.prefix_ids:
        return kind | {"prefix_ids"}
    if isinstance(request, Score):
        return kind | request.want | frozenset([DROPOUT] if request.draw is not None else [])
    return kind


def turns(messages: str | Iterable[Mapping[str, str]]) -> Conversation:
    """Make a conversation from a plain string (one user turn) or from a list of {role, content}."""
    if isinstance(messages, str):
        return (Turn("user", messages),)
    return tuple(Turn(m["role"], m["content"]) for m in messages)


def with_system(system: str | None, prompt: Sequence[Turn]) -> Conversation:
    """The conversation as a model sees it: with the recipe's system turn if there is one and the prompt has none."""
    if system is None or (prompt and prompt[0].role == "system"):
        return tuple(prompt)
    return (Turn("system", system), *prompt)


def check(request: Request, result: Result) -> Result:
    """Return `result` if it is a sound answer to `request`, else a `Failed` that says why it is not."""
    problem = _problem(request, result)
    return Failed(*problem, usage=getattr(result, "usage", Usage())) if problem else result


def _problem(request: Request, result: Any) -> tuple[str, str] | None:
    match request, result:
        case _, Failed():
            return None
        case Generate(), Generated():
            if len(result.completions) != request.n:
                return "wrong_count", f"the engine gave {len(result.completions)} completions for {request.n}"
            for c in result.completions:
                if any("\ud800" <= char <= "\udfff" for char in c.text):
                    return "bad_text", "a completion holds half a character (a lone surrogate)"
                if c.logprobs is not None and c.token_ids is not None and len(c.logprobs) != len(c.token_ids):
                    return "wrong_count", f"{len(c.logprobs)} log-probabilities for {len(c.token_ids)} sampled tokens"
                if c.ends is not None and (c.token_ids is None or len(c.ends) != len(c.token_ids)):
                    return "wrong_count", "a completion does not say of every sampled token where its text ends"
                if c.logprobs is not None and not np.isfinite(c.logprobs).all():
                    return "not_finite", "a sampled token's log-probability is not finite"
            return None
        case Score(), Scored():
            if not result.token_ids:
                return "empty", "there is no token to score"
            arrays = {"logprobs": result.logprobs} | {w: getattr(result, w) for w in sorted(request.want)}
            for name, array in arrays.items():
                if array is None:
                    return "not_provided", f"the engine did not return {name}"
                if name != "hidden_sum" and len(array) != result.n:
                    return "wrong_count", f"{len(array)} {name} for {result.n} tokens"
                if not np.isfinite(array).all():
                    return "not_finite", f"{name} holds a value that is not finite"
            return None
        case Choose(), Chosen():
            if len(result.logprobs) != len(request.labels):
                return "wrong_count", f"{len(result.logprobs)} log-probabilities for {len(request.labels)} labels"
            return None if np.isfinite(result.logprobs).all() else ("not_finite", "a label's log-probability is not finite")
        case Verify(), Verified():
            if (result.outcome == "unparsed") == (result.reason is None):
                return "wrong_answer", "a verifier gives a reason when it could not compare, and only then"
            return None
        case Review(), Reviewed():
            known = {"tie", "invalid", *(id for id, _ in request.candidates)}
            if len({o.who for o in result.opinions}) < max(request.people, len(result.opinions)):
                return "wrong_count", f"{len(result.opinions)} opinions where {request.people} different people were asked for"
            odd = [o.choice for o in result.opinions if o.choice not in known]
            return ("wrong_answer", f"an opinion names {odd[0]!r}, which is no candidate") if odd else None
    return "wrong_answer", f"the engine answered a {type(request).__name__} with a {type(result).__name__}"
