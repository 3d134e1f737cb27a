"""From the scored responses of one group to its pairs, or to the one named reason why it gives none."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pairwright.ids import digest, seed_of
from pairwright.pipelines.combine import mean_and_sd, quantile

Dropped = Literal[
    "fewer_than_two_responses",
    "all_identical",
    "no_score",
    "all_scores_equal",
    "below_floor",
    "no_pair_above_margin",
    "no_pair_within_length_ratio",
]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A response that may enter a pair. Either it has a finite score or `reason` says why not."""

    response_id: str
    text: str
    score: float | None
    reason: str | None
    tokens: int
    chars: int
    finish_reason: str | None = None

    def __post_init__(self) -> None:
        if (self.score is None) == (self.reason is None):
            raise ValueError(f"candidate {self.response_id} has a score or a reason why it has none")
        if self.score is not None and not abs(self.score) < float("inf"):
            raise ValueError(f"score {self.score} of candidate {self.response_id} is not a finite number")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two different texts of one group, the first with the higher score. `margin` = score_chosen - score_rejected > 0."""

    chosen_id: str
    rejected_id: str
    score_chosen: float
    score_rejected: float
    margin: float


@dataclass(frozen=True, slots=True)
class PairOutcome:
    """What became of a group: pairs, or `dropped`, the one reason why there are none. `left_out` maps the ids of responses that
    could not enter any pair to their reasons."""

    pairs: list[Pair]
    dropped: Dropped | None = None
    left_out: dict[str, str] = field(default_factory=dict)


class PairConfig(BaseModel):
    """Which two responses of a group become a pair.

    The chosen one is always the response with the highest score. A rule is an order of the others; those above the margin and
    within the length ratio are taken as rejected in that order until there are `per_prompt` pairs, all with the same chosen:

    - "best_worst": lowest score first, so the 2nd pair has the second lowest as rejected, and so on.
    - "best_random": in an order drawn at random from the prompt's id, so each next pair has another random response.
    - "best_percentile": nearest to an anchor score first, so the 2nd pair has the second nearest. The anchor is `rejected_at`
      standard deviations (ddof 0) from the mean of the group's scores, or, if `percentile` is given, that percentile of them
      (0 to 100, linear interpolation). -2 deviations, the default, is the sweet spot of arXiv 2502.16825; with fewer than
      about 30 responses it mostly lies below the lowest score and then picks what "best_worst" picks.

    Ties go to the lowest response id.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    rule: Literal["best_worst", "best_random", "best_percentile"] = "best_worst"
    rejected_at: float = -2.0
    percentile: float | None = Field(default=None, ge=0, le=100)
    per_prompt: int = Field(default=1, ge=1, description="pairs per prompt at most")
    margin: float = Field(default=0.0, ge=0, description="the score difference must be greater than this")
    chosen_floor: float | None = Field(default=None, description="the chosen score must be at least this")
    max_length_ratio: float | None = Field(default=None, ge=1, description="tokens of the longer over tokens of the shorter")
    drop_cut: bool = Field(default=True, description="leave out responses cut by the length limit")

    @model_validator(mode="after")
    def _check(self) -> PairConfig:
        given = [name for name in ("percentile", "rejected_at") if getattr(self, name) != type(self).model_fields[name].default]
        if given and self.rule != "best_percentile":
            raise ValueError(f"`{given[0]}` has no effect with rule {self.rule!r}: remove it or use 'best_percentile'")
        if len(given) == 2:
            raise ValueError("`percentile` and `rejected_at` both say where the rejected response lies: give one of them")
        return self


def pair_id(prompt_id: str, chosen_id: str, rejected_id: str) -> str:
    """The id of a pair."""
    return digest("pair", prompt_id, chosen_id, rejected_id)


def normalised(text: str) -> str:
    """`text` in Unicode NFC without blanks at line ends and around it: texts equal in this form count as identical. Indentation,
    superscripts and the like can make one answer right and another wrong, so they count."""
    return "\n".join(line.rstrip() for line in unicodedata.normalize("NFC", text).strip().splitlines())


def unusable(text: str, finish_reason: str | None, rule: PairConfig) -> str | None:
    """Why a response can enter no pair, whatever its scores: `empty` (nothing visible) or `cut`; None if it can."""
    if not any(unicodedata.category(char) != "Cf" for char in text.strip()):
        return "empty"
    return "cut" if rule.drop_cut and finish_reason == "length" else None


def pairs_of(candidates: Sequence[Candidate], rule: PairConfig, key: str) -> PairOutcome:
    """Pair one group's candidates; random choices depend on `key` (the prompt's id), nothing on the order of `candidates`.

    Left out, first cause first: `empty` (no text), `cut` (by the length limit), the missing score's own reason, `identical` (the
    same normalised text as one with a higher score, or an equal score and a lower id).
    A group without a pair is dropped for the first of these that holds:

    1. `fewer_than_two_responses` that are neither empty nor cut;
    2. `all_identical`: those all have one text, scored or not;
    3. `no_score`: fewer than two different texts have a score;
    4. `all_scores_equal`;
    5. `below_floor`: the best score is below `chosen_floor`;
    6. `no_pair_above_margin`: no score lies more than `margin` below the best;
    7. `no_pair_within_length_ratio`: some do, but none of them within `max_length_ratio` of the best response's tokens
       (a response with fewer than one token is within none).
    """
    left_out: dict[str, str] = {}
    usable: dict[str, str] = {}
    ranked: list[Candidate] = []
    distinct: set[str] = set()
    for c in sorted(candidates, key=lambda c: (-_score(c), c.response_id)):
        if c.response_id in left_out or c.response_id in usable:
            raise ValueError(f"response {c.response_id} is twice in the group {key}")
        text = normalised(c.text)
        if barrier := unusable(c.text, c.finish_reason, rule):
            left_out[c.response_id] = barrier
        else:
            usable[c.response_id] = text
            if c.reason is not None:
                left_out[c.response_id] = c.reason
            elif text in distinct:
                left_out[c.response_id] = "identical"
            else:
                distinct.add(text)
                ranked.append(c)

    def dropped(reason: Dropped) -> PairOutcome:
        return PairOutcome([], reason, left_out)

    if len(usable) < 2:
        return dropped("fewer_than_two_responses")
    if len(set(usable.values())) < 2:
        return dropped("all_identical")
    if len(ranked) < 2:
        return dropped("no_score")
    best, others = ranked[0], ranked[1:]
    if _score(best) == _score(others[-1]):
        return dropped("all_scores_equal")
    if rule.chosen_floor is not None and _score(best) < rule.chosen_floor:
        return dropped("below_floor")
    below = [c for c in others if _score(best) - _score(c) > rule.margin]
    if not below:
        return dropped("no_pair_above_margin")
    within = [c for c in below if rule.max_length_ratio is None or _length_ratio(best, c) <= rule.max_length_ratio]
    if not within:
        return dropped("no_pair_within_length_ratio")
    scores = [_score(c) for c in ranked]
    return PairOutcome([_pair(best, c) for c in _in_order(within, scores, rule, key)[: rule.per_prompt]], None, left_out)


def anchor(scores: Sequence[float], rule: PairConfig) -> float:
    """Where "best_percentile" looks for the rejected response among a group's `scores`, in units of the score."""
    if rule.percentile is not None:
        return quantile(scores, rule.percentile / 100)
    mean, sd = mean_and_sd(scores)
    return mean + rule.rejected_at * sd


def _in_order(others: Sequence[Candidate], scores: Sequence[float], rule: PairConfig, key: str) -> list[Candidate]:
    """`others` in the order in which `rule` takes them as rejected; `scores` are those of the whole group."""
    if rule.rule == "best_worst":
        return sorted(others, key=lambda c: (_score(c), c.response_id))
    if rule.rule == "best_random":
        return sorted(others, key=lambda c: (seed_of("rejected", key, c.response_id), c.response_id))
    at = anchor(scores, rule)
    return sorted(others, key=lambda c: (abs(_score(c) - at), c.response_id))


def _pair(chosen: Candidate, rejected: Candidate) -> Pair:
    high, low = _score(chosen), _score(rejected)
    return Pair(chosen.response_id, rejected.response_id, high, low, high - low)


def _length_ratio(a: Candidate, b: Candidate) -> float:
    shorter, longer = sorted((a.tokens, b.tokens))
    return longer / shorter if shorter >= 1 else float("inf")


def _score(candidate: Candidate) -> float:
    """The score; of a candidate without one, what sorts it last."""
    return float("-inf") if candidate.score is None else candidate.score
