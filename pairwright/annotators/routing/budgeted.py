"""A judge for most, a better one where it pays: who is asked depends on the chance that the cheap judge is right.

Expected gain per cost of asking the strong judge: value = (p_strong - p_cheap) / (cost_strong - cost_cheap). With one p_strong
and one cost gap for all items, value above a cut is the same as p_cheap below a tau. HyPER's idea (arXiv 2410.19133) without
its 200 trainings: p_cheap is a logistic model over cheap features, fitted by `pipelines.calibration`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator

from pairwright.annotators.base import Group, Response
from pairwright.annotators.comparing import Comparer, ComparerConfig, Comparing, Comparison, passing, sigmoid
from pairwright.annotators.density_ratio import about_domain
from pairwright.annotators.members import Member, about_members, roles_of
from pairwright.annotators.routing.cascade import settled, trail
from pairwright.annotators.routing.features import FEATURES, features


class BudgetedConfig(ComparerConfig):
    """Settings of `Budgeted`.

    cheap, strong: the two judges.
    weights, bias: P(cheap agrees with the gold label) = sigmoid(bias + sum of weight * feature); the features of
    `routing.features`. tau: the strong judge is asked where that probability is below this.
    """

    cheap: Member
    strong: Member
    weights: dict[str, float]
    bias: float
    tau: float = Field(ge=0, le=1)

    @field_validator("weights")
    @classmethod
    def _known(cls, weights: dict[str, float]) -> dict[str, float]:
        if unknown := sorted(set(weights) - set(FEATURES)):
            raise ValueError(f"there is no feature {unknown[0]!r}: there are {', '.join(FEATURES)}")
        return weights


class Budgeted(Comparer[BudgetedConfig]):
    """Asks the cheap judge, and the strong one instead of it where the cheap one is probably wrong, said nothing readable,
    failed, or lacks a feature that the model weighs. Where the strong judge is asked, its word stands, whatever it is. If the
    cheap judge failed for a reason that may pass, there is no verdict, for that reason, until it has been asked again.

    parts: those of a cascade (stage 0 cheap, 1 strong), and agrees: P(cheap agrees), absent where it cannot be told.
    """

    Config = BudgetedConfig

    def roles(self) -> dict[str, frozenset[str]]:
        return roles_of([self.config.cheap, self.config.strong])

    def about(self) -> dict[str, Any]:
        by_domain = about_domain("keywords") if any(name.startswith("domain_") for name in self.config.weights) else {}
        return {**super().about(), **about_members([self.config.cheap, self.config.strong]), **by_domain}

    def compare(self, group: Group, a: Response, b: Response) -> Comparing:
        cheap = yield from self.config.cheap.compare(group, a, b)
        if waits := passing([cheap]):
            return Comparison(None, reason=waits.reason, parts=trail([cheap]), raw=waits.raw)
        agrees = None if cheap.p is None else agreement(self.config.weights, self.config.bias, features(group, a, b, cheap))
        more = {} if agrees is None else {"agrees": agrees}
        if agrees is not None and agrees >= self.config.tau:
            return settled([cheap], more)
        strong = yield from self.config.strong.compare(group, a, b)
        return settled([cheap, strong], more)


def agreement(weights: Mapping[str, float], bias: float, found: Mapping[str, float]) -> float | None:
    """P(cheap agrees) by the logistic model; None if a feature it weighs is not in `found`."""
    if any(name not in found for name in weights):
        return None
    z = bias + sum(weight * found[name] for name, weight in weights.items())
    return sigmoid(z)
