"""What every search shares: its settings, what a rollout is, and how a search is stopped."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pairwright.annotators.steps.segment import AnySegmenter, Delimiter
from pairwright.annotators.steps.tree import Piece
from pairwright.engines.requests import Outcome, Request, Result, Sampling

Asking = Generator[Sequence[Request], Sequence[Result], Any]
"""A part of a search: yields requests, is sent their results in the same order."""
VERIFIER = "verifier"


class Part(BaseModel):
    """Settings of a search; everything here enters its fingerprint."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class RolloutSampling(Part):
    """How solutions and rollouts are sampled."""

    temperature: float = Field(0.7, ge=0)
    top_p: float = Field(0.95, gt=0, le=1)
    top_k: int = Field(0, ge=0, description="0: off")
    max_tokens: int = Field(512, ge=1, description="of a whole solution, its prefix included")

    def left(self, prefix: int, limit: int | None = None, stop: tuple[str, ...] = ()) -> Sampling:
        """What may follow a prefix of so many tokens: at most `limit` tokens, up to and with a stop string. Ask only where the
        prefix leaves room for one."""
        most = self.max_tokens - prefix
        if most < 1:
            raise ValueError(f"a prefix of {prefix} tokens leaves no room within {self.max_tokens}")
        return Sampling(self.temperature, self.top_p, self.top_k, min(most, limit or most), stop, keep_stop=bool(stop))


class Budget(Part):
    """The most one question may cost; what is unfinished then is named `budget_<which>` and gets no label.

    Tokens and seconds are those of answers, as the journal has them, so a resumed search stops where the first one would have.
    Seconds are its share of the models' time; verification is left out, for equal answers are compared once, at the cost of
    whoever asks first. What failed costs nothing here: the journal keeps no failures. So a resumed search counts `errors` anew,
    and is given up at the same place only if the same requests fail again; one that was given up for a reason which may pass
    (a server that was down) is searched again by the next build.
    """

    rollouts: int = Field(1000, ge=1, description="completions asked for: rollouts and single steps alike")
    tokens: int | None = Field(None, ge=1)
    seconds: float | None = Field(None, gt=0, description="of models, without verification")
    errors: int = Field(3, ge=1, description="requests that failed in one run; then the question is given up")


class QuestionFilter(Part):
    """Root rollouts come first. A question whose share of right ones is outside (min_rate, max_rate) is set aside as `all_wrong`,
    `too_hard`, `too_easy` or `all_right`: what is always or never solved says nothing about steps. If none was right and too many
    could not be compared, what mostly kept them from it is the reason (cut, no_answer, verifier_crashed, ...)."""

    rollouts: int = Field(8, ge=1)
    min_rate: float = Field(0.0, ge=0, lt=1, description="set aside questions solved at most this often")
    max_rate: float = Field(1.0, gt=0, le=1, description="set aside questions solved at least this often")
    mixed: bool | None = Field(None, description="set any aside? default: whenever the search learns nothing from them")


class SearchSettings(Part):
    """What every search needs."""

    segment: AnySegmenter = Delimiter()
    sampling: RolloutSampling = RolloutSampling()
    questions: QuestionFilter = QuestionFilter()
    budget: Budget = Budget()
    completer: str = Field("policy", description="the role that rolls out")
    system: str | None = Field(None, description="a system turn put before every question that has none")
    seed: int = 0

    @model_validator(mode="after")
    def _draws_differ(self) -> SearchSettings:
        if self.sampling.temperature == 0 and self.questions.rollouts > 1:
            raise ValueError(
                f"`sampling.temperature: 0` makes all {self.questions.rollouts} of `questions.rollouts` the same solution, which "
                "would be counted as many: raise the temperature or set `rollouts` to 1"
            )
        return self


@dataclass(frozen=True, slots=True)
class Rollout:
    """One sampled end of a solution, from a prefix on. `piece`: its text cut into steps; if nothing was said, its terminator
    alone. `prior`: mean log-probability of its tokens. `reason`: why it could not be compared (cut, no_answer, time_out, ...)."""

    piece: Piece
    finish: str
    verdict: Outcome
    answer: str | None
    reason: str | None
    prior: float | None

    @property
    def says(self) -> bool:
        """Is there any text that is not blank?"""
        return bool(self.piece.text.strip())

    @property
    def settled(self) -> bool:
        """Did it end by itself, with an answer that could be compared? Only then may its solution be labelled."""
        return self.says and self.finish == "stop" and self.verdict != "unparsed"


class Stopped(Exception):
    """The question's budget is spent, or too much failed; the search leaves what it has."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def together(*needs: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """What each role must provide, taken together."""
    roles: dict[str, frozenset[str]] = {}
    for role, wanted in (item for need in needs for item in need.items()):
        roles[role] = roles.get(role, frozenset()) | wanted
    return roles


def guarded(task: Asking) -> Generator[Sequence[Request], Sequence[Result], Stopped | None]:
    """Run a part of a search; the Stopped it raised, or None. For parts that run side by side."""
    try:
        yield from task
    except Stopped as stopped:
        return stopped
    return None
