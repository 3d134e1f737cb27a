"""The settings of combining: which annotators' scores make the score that pairs are built from, and by which rule."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Rule = Literal["single", "weighted", "log_sigmoid", "mean", "median", "min", "lower", "par", "direction", "heron", "votes"]
Share = Annotated[float, Field(ge=0, le=1)]
ENSEMBLES = ("mean", "median", "min", "lower")
USED_BY: dict[str, tuple[str, ...]] = {  # a setting -> the rules that read it; those not named here are read by all
    "weight": ("weighted", "direction"),
    "reference_quantile": ("log_sigmoid", "par"),
    "references": ("log_sigmoid", "par"),
    "slope": ("par",),
    "margin": ("heron",),
    "tie_band": ("votes",),
    "standardise": ENSEMBLES,
    "k": ("lower",),
    "penalty": ("lower",),
    "ddof": ("lower",),
    "theta": ("direction",),
    "order": ("direction", "heron"),
    "prior": ("votes",),
}


class Settings(BaseModel):
    """Settings that are fixed once made; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def without_effect(self, rule: str) -> str | None:
        """The first setting that was changed though `rule` does not read it."""
        for name, rules in USED_BY.items():
            field = type(self).model_fields.get(name)
            if field is not None and rule not in rules and getattr(self, name) != field.default:
                return name
        return None


class ScoreTerm(Settings):
    """What one annotator contributes.

    `length_alpha` is taken off per character before anything else (s - alpha * characters, DICE, arXiv 2406.09760); "auto"
    means the one alpha that evens out the lengths of the whole dataset, which the caller fits and hands to `combine`.

    weight: for "weighted" and "direction".
    reference_quantile: for "log_sigmoid" and "par", what counts as the annotator's reference: that quantile of its scores within
        the group ("par" takes several); 0.85 is [M]: recalled from the paper of "log_sigmoid", not confirmed in a source.
    references: given numbers instead of quantiles, in units of the score, e.g. the rewards of reference replies.
    slope: for "par", k.
    margin: for "heron", m: differences of at most m deviations leave the decision to the next annotator.
    tie_band: for "votes", score differences of at most this are ties. An annotator that compares votes by its verdicts instead.
    """

    weight: float = 1.0
    length_alpha: float | Literal["auto"] = 0.0
    reference_quantile: Share | tuple[Share, ...] = 0.85
    references: tuple[float, ...] = ()
    slope: float = Field(default=1.0, gt=0)
    margin: float = Field(default=0.0, ge=0)
    tie_band: float = Field(default=0.0, ge=0)

    @property
    def quantiles(self) -> tuple[float, ...]:
        """`reference_quantile` as a tuple."""
        return self.reference_quantile if isinstance(self.reference_quantile, tuple) else (self.reference_quantile,)


class CombineConfig(Settings):
    """Which annotators' scores make the score that pairs are built from, and how.

    `scores` maps an annotator's name to its term; a bare number stands for its weight, a bare name for a single term, a list of
    names for terms without settings.
    Rules, for response i with (debiased) scores r_k,i of annotator k:

    - "single": r_i as it is. The rule when one annotator is listed and none is named.
    - "weighted": sum_k weight_k * z_k,i; z standardises over the group's responses that have the score (ddof 0; all zeros where
      the scores are equal). The rule when several annotators are listed and none is named.
    - "log_sigmoid": sum_k log sigmoid(r_k,i - ref_k), a soft "good in all k" (arXiv 2402.00742). ref_k is the group's own
      `reference_quantile` (linear interpolation); the per-prompt quantile is [M], see `ScoreTerm`. Scores must be logits.
    - "mean", "median", "min", "lower": over the k of z_k,i, or with `standardise: none` of r_k,i. "lower" is mean - k * sd, or
      with `penalty: variance` mean - k * variance (UWO; Coste et al. with k 0.5 for best-of-n). They differ in the deviation's
      ddof: 0 for best-of-n, 1 in PPO; here `ddof`, 0 by default. Mean - sd is [M] for "Helping or Herding" (arXiv 2312.09244).
    - "par": the mean over k and over annotator k's M references of sigmoid(slope_k (r_k,i - ref_k,m)), in (0, 1): how often it
      beats them (PAR, arXiv 2502.18770). Comparable across prompts where the references are.
    - "direction": sum_k w_k r_k,i, nothing standardised; all scores must be on one scale. w are the `weight`s, at least 0 with
      the sum 1 (MODPO, arXiv 2310.03708), or from the angle `theta` in degrees (DPA, arXiv 2402.18571): (cos, sin) for the two
      annotators of `order`.
    - "heron": annotators in `order` of importance; two responses are told apart by the first annotator whose scores differ by
      more than its `margin` times its deviation (HERON, arXiv 2309.02632). The score is Copeland's: pairs won - pairs lost. With
      margins above 0 "better than" is not transitive (A and B too near in the first, B and C as well, A and C not), so this order
      need not contain every decision. Report `combining.heron.depths`: most pairs should be decided by the first two.
      HERON takes the deviation over all values of a factor; here it is that around the groups' means, as pairs lie within groups.
    - "votes": Bradley-Terry strengths (nats, mean 0) from the annotators' votes on all pairs of the group: an annotator that
      compares votes by its stored verdicts, any other by its score difference; a tie is half a vote each, what is missing no
      vote. `prior` is added to each side of every pair.
    """

    scores: dict[str, ScoreTerm] = Field(min_length=1)
    rule: Rule = "single"
    standardise: Literal["group", "none"] = "group"
    k: float = Field(default=1.0, ge=0)
    penalty: Literal["sd", "variance"] = "sd"
    ddof: Literal[0, 1] = 0
    theta: float | None = Field(default=None, ge=-90, le=90)
    order: tuple[str, ...] = ()
    prior: float = Field(default=0.5, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _spell_out(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        scores = data.get("scores")
        if isinstance(scores, str):
            scores = {scores: {}}
        if isinstance(scores, list) and all(isinstance(name, str) for name in scores):
            scores = {name: {} for name in scores}
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
            if setting := term.without_effect(self.rule):
                rules = " or ".join(map(repr, USED_BY[setting]))
                raise ValueError(f"`{setting}` of {name!r} has no effect with rule {self.rule!r}: remove it or use {rules}")
            if self.rule == "log_sigmoid" and len(term.references or term.quantiles) != 1:
                raise ValueError(f"rule 'log_sigmoid' takes one reference, {name!r} has several or none: give one or use 'par'")
            if self.rule == "par" and not (term.references or term.quantiles):
                raise ValueError(f"rule 'par' needs a reference: give {name!r} `references` or a `reference_quantile`")
        if setting := self.without_effect(self.rule):
            rules = " or ".join(map(repr, USED_BY[setting]))
            raise ValueError(f"`{setting}` has no effect with rule {self.rule!r}: remove it or use {rules}")
        if self.rule == "lower" and len(self.scores) < 2:
            raise ValueError("rule 'lower' needs the scores of two annotators or more to differ: list them or use 'single'")
        if (self.rule == "heron" or self.theta is not None) and sorted(self.order) != sorted(self.scores):
            raise ValueError(f"`order` must name {', '.join(self.scores)}, each once, the most important first")
        if self.rule == "direction":
            self._check_direction()
        return self

    def _check_direction(self) -> None:
        weights = [term.weight for term in self.scores.values()]
        if self.theta is None:
            if min(weights) < 0 or abs(math.fsum(weights) - 1) > 1e-6:
                raise ValueError("the weights of rule 'direction' are at least 0 and their sum is 1: mend them, or give `theta`")
            if self.order:
                raise ValueError("`order` has no effect on given weights: remove it, or give `theta` instead of weights")
        elif len(self.scores) != 2 or any(w != 1.0 for w in weights):
            raise ValueError("`theta` weighs exactly two annotators: list two, without weights")

    @property
    def automatic(self) -> list[str]:
        """The annotators whose `length_alpha` is "auto", by name; `combine` wants an alpha for each."""
        return sorted(name for name, term in self.scores.items() if term.length_alpha == "auto")

    def alphas(self, fitted: Mapping[str, float]) -> dict[str, float]:
        """What is taken off per character, by annotator; `fitted` has those of `automatic`."""
        given = {name: term.length_alpha for name, term in self.scores.items()}
        return {name: fitted[name] if alpha == "auto" else alpha for name, alpha in given.items()}

    @property
    def spread_of(self) -> list[str]:
        """The annotators whose spread over the data set matters, by name; `combine` wants one for each."""
        return sorted(name for name, term in self.scores.items() if term.margin > 0)

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each annotator."""
        if self.theta is not None:
            return dict(zip(self.order, direction(self.theta), strict=True))
        return {name: term.weight for name, term in self.scores.items()}


def direction(theta: float) -> tuple[float, float]:
    """(cos, sin) of `theta` in degrees; what DPA (arXiv 2402.18571) tells a model is 100 times that, rounded."""
    return math.cos(math.radians(theta)), math.sin(math.radians(theta))
