"""What every search shares: its settings, what a rollout is, and how a search is stopped."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

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
        """What may follow a prefix of so many tokens: at most `limit` tokens, up to and with a stop string."""
        most = max(1, self.max_tokens - prefix)
        return Sampling(self.temperature, self.top_p, self.top_k, min(most, limit or most), stop, keep_stop=bool(stop))


class Budget(Part):
    """The most one question may cost; what is unfinished then is named `budget_<which>` and gets no label. Seconds are those its
    share of the engines took, as the journal has them, so a resumed search stops where the first one would have."""

    rollouts: int = Field(1000, ge=1, description="completions asked for: rollouts and single steps alike")
    tokens: int | None = Field(None, ge=1)
    seconds: float | None = Field(None, gt=0)
    errors: int = Field(3, ge=1, description="requests that failed; then the question is given up")


class QuestionFilter(Part):
    """Root rollouts come first. A question whose share of right ones is outside (min_rate, max_rate) is set aside as `all_wrong`,
    `too_hard`, `too_easy` or `all_right`: what is always or never solved says nothing about steps."""

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


@dataclass(frozen=True, slots=True)
class Rollout:
    """One sampled end of a solution, from a prefix on. `piece`: its text cut into steps; without ids if nothing was said.
    `prior`: mean log-probability of its tokens. `reason`: why it could not be compared (cut, no_answer, time_out, ...)."""

    piece: Piece
    finish: str
    verdict: Outcome
    answer: str | None
    reason: str | None
    prior: float | None


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
