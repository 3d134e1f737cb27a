"""From the scored responses of one group to its pairs, or to the one named reason why it gives none."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pairwright.annotators.displacement import Variant
from pairwright.ids import digest, seed_of
from pairwright.pipelines.combine import mean_and_sd, quantile

Dropped = Literal[
    "fewer_than_two_responses",
    "all_identical",
    "no_score",
    "all_scores_equal",
    "below_floor",
    "no_pair_above_margin",
    "no_finite_margin",
    "no_pair_within_length_ratio",
    "no_displacement",
    "no_pair_within_ches",
]
Ches = Callable[[str, str], float | None]  # of a chosen and a rejected response, by id


@dataclass(frozen=True, slots=True)
class Candidate:
    """A response that may enter a pair. Either it has a finite score or `reason` says why not."""

    response_id: str
    text: str
    score: float | None
    reason: str | None
    tokens: int | None
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


class ChesBudget(BaseModel):
    """How much likelihood displacement a pair may risk: CHES (arXiv 2410.08847, see the filter `ches`) of at most `max`, or of at
    most its `quantile` over all pairs that the other settings admit, of all groups. Without either: the median, which is ours."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    annotator: str = "displacement"
    variant: Variant = "ln"
    max: float | None = None
    quantile: float = Field(default=0.5, ge=0, le=1)

    @model_validator(mode="after")
    def _check(self) -> ChesBudget:
        if self.max is not None and self.quantile != type(self).model_fields["quantile"].default:
            raise ValueError("`max` and `quantile` both set the budget: give one of them")
        return self


class PairConfig(BaseModel):
    """Which two responses of a group become a pair.

    With `ches` every ordered pair is looked at: of those within the budget the one with the greatest margin is taken, then the
    next, up to `per_prompt`; the chosen response need not be the best one. It is for data on which the best and the worst are
    too alike inside the model. Ours: the paper filters pairs and does not choose them. Without `ches`, as follows.

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
    max_length_ratio: float | None = Field(
        default=None, ge=1, description="tokens of the longer over tokens of the shorter; characters where nobody counted tokens"
    )
    ches: ChesBudget | None = Field(default=None, description="take the best margin among pairs within a displacement budget")
    drop_cut: bool = Field(default=True, description="leave out responses cut by the length limit")

    @model_validator(mode="after")
    def _check(self) -> PairConfig:
        given = [name for name in ("percentile", "rejected_at") if getattr(self, name) != type(self).model_fields[name].default]
        if given and self.rule != "best_percentile":
            raise ValueError(f"`{given[0]}` has no effect with rule {self.rule!r}: remove it or use 'best_percentile'")
        if self.ches is not None and self.rule != "best_worst":
            raise ValueError(f"`ches` chooses among all pairs, so rule {self.rule!r} has no effect: remove one of the two")
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


def pairs_of(
    candidates: Sequence[Candidate], rule: PairConfig, key: str, ches: Ches | None = None, budget: float = math.inf
) -> PairOutcome:
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
    7. `no_finite_margin`: those that do lie farther below it than a float64 can say;
    8. `no_pair_within_length_ratio`: some are left, but none of them within `max_length_ratio` of the best response's tokens
       (a response with fewer than one token is within none).

    With `rule.ches`, `ches` gives a pair's CHES and `budget` the most it may be. Then 5 to 8 are about all pairs, and there
    follow 9. `no_displacement`: of none of them CHES is known; 10. `no_pair_within_ches`: none is within the budget.
    """
    usable, able, left_out = ranked(candidates, rule, key)

    def dropped(reason: Dropped) -> PairOutcome:
        return PairOutcome([], reason, left_out)

    if len(usable) < 2:
        return dropped("fewer_than_two_responses")
    if len(set(usable.values())) < 2:
        return dropped("all_identical")
    if len(able) < 2:
        return dropped("no_score")
    best, others = able[0], able[1:]
    if _score(best) == _score(others[-1]):
        return dropped("all_scores_equal")
    if rule.ches is not None:
        assert ches is not None
        taken = _within_budget(able, rule, ches, budget)
        return dropped(taken) if isinstance(taken, str) else PairOutcome(taken, None, left_out)
    if rule.chosen_floor is not None and _score(best) < rule.chosen_floor:
        return dropped("below_floor")
    below = [c for c in others if _score(best) - _score(c) > rule.margin]
    if not below:
        return dropped("no_pair_above_margin")
    if not (below := [c for c in below if math.isfinite(_score(best) - _score(c))]):
        return dropped("no_finite_margin")
    within = [c for c in below if rule.max_length_ratio is None or _length_ratio(best, c) <= rule.max_length_ratio]
    if not within:
        return dropped("no_pair_within_length_ratio")
    scores = [_score(c) for c in able]
    return PairOutcome([_pair(best, c) for c in _in_order(within, scores, rule, key)[: rule.per_prompt]], None, left_out)


class Ranked(NamedTuple):
    """The responses of a group. texts: normalised, of those that are neither empty nor cut, by id. ranked: those that may enter a
    pair, best first. left_out: id -> why not."""

    texts: dict[str, str]
    ranked: list[Candidate]
    left_out: dict[str, str]


def ranked(candidates: Sequence[Candidate], rule: PairConfig, key: str = "") -> Ranked:
    """Which of a group's responses may enter a pair."""
    left_out: dict[str, str] = {}
    usable: dict[str, str] = {}
    found: list[Candidate] = []
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
                found.append(c)
    return Ranked(usable, found, left_out)


def admissible(ranked: Sequence[Candidate], rule: PairConfig) -> list[tuple[Candidate, Candidate]] | Dropped:
    """All (chosen, rejected) of different texts that the margin, the floor and the length ratio admit, or what admits none."""
    found = [(c, r) for i, c in enumerate(ranked) for r in ranked[i + 1 :] if _score(c) > _score(r)]
    if not (found := [(c, r) for c, r in found if rule.chosen_floor is None or _score(c) >= rule.chosen_floor]):
        return "below_floor"
    if not (found := [(c, r) for c, r in found if _score(c) - _score(r) > rule.margin]):
        return "no_pair_above_margin"
    if not (found := [(c, r) for c, r in found if math.isfinite(_score(c) - _score(r))]):
        return "no_finite_margin"
    found = [(c, r) for c, r in found if rule.max_length_ratio is None or _length_ratio(c, r) <= rule.max_length_ratio]
    return found or "no_pair_within_length_ratio"


def _within_budget(ranked: Sequence[Candidate], rule: PairConfig, ches: Ches, budget: float) -> list[Pair] | Dropped:
    found = admissible(ranked, rule)
    if isinstance(found, str):
        return found
    known = [(c, r, value) for c, r in found if (value := ches(c.response_id, r.response_id)) is not None]
    if not known:
        return "no_displacement"
    pairs = [_pair(c, r) for c, r, value in known if value <= budget]
    pairs.sort(key=lambda p: (-p.margin, p.chosen_id, p.rejected_id))
    return pairs[: rule.per_prompt] or "no_pair_within_ches"


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
    """In tokens; in characters where an engine told of no tokens."""
    told = a.tokens is not None and b.tokens is not None
    shorter, longer = sorted(((a.tokens or 0), (b.tokens or 0)) if told else (a.chars, b.chars))
    return longer / shorter if shorter >= 1 else float("inf")


def _score(candidate: Candidate) -> float:
    """The score; of a candidate without one, what sorts it last."""
    return float("-inf") if candidate.score is None else candidate.score
