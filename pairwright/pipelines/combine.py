"""One score per response from the scores of one or several annotators. One group at a time, plain numbers in and out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pairwright.annotators.length import debias

NO_SPREAD = 1e-6  # relative: a smaller spread is rounding, not an opinion, and must not be blown up to full size
Rule = Literal["single", "weighted", "log_sigmoid"]
USED_BY = {"weight": "weighted", "reference_quantile": "log_sigmoid"}  # the settings of a term that only one rule reads


class ScoreTerm(BaseModel):
    """What one annotator contributes.

    `length_alpha` is taken off per character before anything else (s - alpha * characters, DICE, arXiv 2406.09760); "auto"
    means the one alpha that evens out the lengths of the whole dataset, which the caller fits and hands to `combine`.
    `weight` belongs to "weighted". `reference_quantile` belongs to "log_sigmoid": the quantile of the annotator's scores within
    the group that serves as its reference; the value 0.85 is [M]: recalled from the paper, not confirmed in a source.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    weight: float = 1.0
    length_alpha: float | Literal["auto"] = 0.0
    reference_quantile: float = Field(default=0.85, ge=0, le=1)


class CombineConfig(BaseModel):
    """Which annotators' scores make the score that pairs are built from, and how.

    `scores` maps an annotator's name to its term; a bare number stands for its weight, a bare name for a single term.
    Rules, for response i with (debiased) scores r_k,i of annotator k:

    - "single": r_i as it is. The rule when one annotator is listed and none is named.
    - "weighted": sum_k weight_k * z_k,i; z standardises over the group's responses that have the score (ddof 0; all zeros where
      the scores are equal). The rule when several annotators are listed and none is named.
    - "log_sigmoid": sum_k log sigmoid(r_k,i - ref_k), a soft "good in all k" (arXiv 2402.00742). ref_k is the group's own
      `reference_quantile` (linear interpolation); the per-prompt quantile is [M], see `ScoreTerm`. Scores must be logits.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    scores: dict[str, ScoreTerm] = Field(min_length=1)
    rule: Rule = "single"

    @model_validator(mode="before")
    @classmethod
    def _spell_out(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        scores = data.get("scores")
        if isinstance(scores, str):
            scores = {scores: {}}
        if isinstance(scores, Mapping):
            scores = {name: {"weight": term} if isinstance(term, int | float) else term for name, term in scores.items()}
            return {"rule": "single" if len(scores) == 1 else "weighted", **data, "scores": scores}
        return data

    @model_validator(mode="after")
    def _check(self) -> CombineConfig:
        if self.rule == "single" and len(self.scores) != 1:
            raise ValueError(
                f"rule 'single' takes one annotator, {len(self.scores)} are listed: use 'weighted' or 'log_sigmoid', or list one"
            )
        for name, term in self.scores.items():
            for setting, rule in USED_BY.items():
                if rule != self.rule and getattr(term, setting) != ScoreTerm.model_fields[setting].default:
                    raise ValueError(f"`{setting}` of {name!r} has no effect with rule {self.rule!r}: remove it or use {rule!r}")
        return self

    @property
    def automatic(self) -> list[str]:
        """The annotators whose `length_alpha` is "auto", by name; `combine` wants an alpha for each."""
        return sorted(name for name, term in self.scores.items() if term.length_alpha == "auto")


class Combined(NamedTuple):
    """One entry per response: its combined score, or None and the reason `<annotator>:<reason>`."""

    scores: list[float | None]
    reasons: list[str | None]


def combine(
    scores: Mapping[str, Sequence[float | None]],
    reasons: Mapping[str, Sequence[str | None]],
    rule: CombineConfig,
    chars: Sequence[int],
    alphas: Mapping[str, float] | None = None,
) -> Combined:
    """Combine the scores of one group's K responses.

    `scores[name]` and `reasons[name]` (why a score is missing) have length K in one order of responses, as has `chars` (their
    lengths in characters). `alphas` gives the fitted alpha of every name in `rule.automatic`. A response that lacks any needed
    score gets none; its reason is that of the first annotator, by name, that lacks it. Names are taken in sorted order and
    sums are exactly rounded, so neither the order of the recipe nor the order of responses changes a value.
    """
    terms: list[list[float]] = [[] for _ in chars]
    why: list[str | None] = [None for _ in chars]
    for name in sorted(rule.scores):
        term = rule.scores[name]
        present: list[int] = []
        values: list[float] = []
        for i, (score, reason) in enumerate(zip(scores[name], reasons[name], strict=True)):
            if score is None:
                why[i] = why[i] or f"{name}:{reason or 'no_annotation'}"
            else:
                present.append(i)
                values.append(score)
        if len(scores[name]) != len(chars):
            raise ValueError(f"{len(scores[name])} scores of {name!r} for {len(chars)} responses")
        alpha = (alphas or {})[name] if term.length_alpha == "auto" else term.length_alpha
        if alpha:
            values = [float(s) for s in debias(values, [chars[i] for i in present], alpha)]
        for i, value in zip(present, _transformed(values, rule.rule, term), strict=True):
            terms[i].append(value)
    return Combined([None if reason else math.fsum(parts) for parts, reason in zip(terms, why, strict=True)], why)


def _transformed(values: list[float], rule: Rule, term: ScoreTerm) -> list[float]:
    if rule == "single" or not values:
        return values
    if rule == "weighted":
        return [term.weight * z for z in standardised(values)]
    reference = quantile(values, term.reference_quantile)
    return [log_sigmoid(v - reference) for v in values]


def log_sigmoid(x: float) -> float:
    """log(1 / (1 + exp(-x))), stable for any x."""
    return min(x, 0.0) - math.log1p(math.exp(-abs(x)))


def mean_and_sd(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation (ddof 0) of at least one value; the deviation is exactly 0 iff all values are equal."""
    low, high = min(values), max(values)
    if low == high:
        return low, 0.0
    mean = math.fsum(values) / len(values)
    scale = max(high - mean, mean - low)
    return mean, scale * math.sqrt(math.fsum(((v - mean) / scale) ** 2 for v in values) / len(values))


def standardised(values: Sequence[float]) -> list[float]:
    """(v - mean) / sd with ddof 0; all zeros where the values are equal but for the noise of fp32 (`NO_SPREAD`)."""
    mean, sd = mean_and_sd(values)
    return [(v - mean) / sd if sd > NO_SPREAD * max(1.0, abs(mean)) else 0.0 for v in values]


def quantile(values: Sequence[float], q: float) -> float:
    """The q-quantile (0 <= q <= 1) of at least one value, with linear interpolation (numpy's default)."""
    ordered = sorted(values)
    at = q * (len(ordered) - 1)
    below = ordered[int(at)]
    above = ordered[min(int(at) + 1, len(ordered) - 1)]
    return below + (above - below) * (at - int(at))
