"""Keep the pairs of which an annotator that asks twice says the same both times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, model_validator

from pairwright.pipelines.filters.base import Filter, FilterScores, Floats, PairColumns

LEAST = {"ranks": 0.8, "views": 1.0, "orders": 0.0}
MEASURES = {
    "ranks": "agreement of both generations' rankings",
    "views": "agreement of the judge and the implicit reward",
    "orders": "the less sure order's probability",
}
METHODS = {"ranks": ("cream",), "views": ("scir",)}
LACKING = {
    "ranks": "has no consistency for the group",
    "views": "has no verdict and reward to set side by side for exactly these two",
    "orders": "has no readable answer in both orders for exactly these two",
}
APART = 0.5  # the less sure order must be on the same side of it as the other


class Consistency(Filter):
    """Score, by what is asked twice; kept from `min` on. A `min` without any effect is refused.

    of "ranks": C = (tau + 1) / 2 in [0, 1] of the group's rankings by two generations of the policy, as `cream` stored it. CREAM
        (arXiv 2410.12735) makes a label smoothing of 1 - C and drops nothing; `min` 0.8 is ours.
    of "views": 1 where the policy as a judge and its implicit reward agree on these two responses, else 0, as `scir` stored it
        (arXiv 2502.08922 trains on agreeing pairs only). There is no `min`: what does not agree fails.
    of "orders": from an annotator that is asked in both orders, such as `pairwise`, P(the better one is better) in the order that
        is less sure of it: max(min(p_ab, p_ba), 1 - max(p_ab, p_ba)). It is above 1/2 exactly where both orders prefer the same
        response, and a pair fails elsewhere whatever `min` is. The score is ours.

    That both answers are the same does not make them those of the pair: its label may come from other annotators. The filter
    `verdict` says whether the preferred response is the chosen one.
    """

    use: Literal["consistency"] = "consistency"
    annotator: str
    of: Literal["ranks", "views", "orders"]
    min: float | None = Field(default=None, ge=0, le=1, description="default: ranks 0.8; views: none; orders: above 0.5")

    @model_validator(mode="after")
    def _check_min(self) -> Consistency:
        if self.min is None:
            return self
        if self.of == "views":
            raise ValueError("`min` has no effect with `of: views`, which keeps what agrees: remove it")
        if self.of == "orders" and self.min <= APART:
            raise ValueError(
                f"`min` {self.min:g} has no effect with `of: orders`, which asks for more than {APART}: raise or remove it"
            )
        return self

    @property
    def least(self) -> float:
        """The limit that holds."""
        return LEAST[self.of] if self.min is None else self.min

    def methods(self) -> dict[str, tuple[str, ...]]:
        """Whose agreement it reads; both orders are asked by whatever compares."""
        return {self.annotator: METHODS[self.of]} if self.of in METHODS else {}

    def reads(self) -> tuple[str, ...]:
        """The annotator."""
        return (self.annotator,)

    def compares(self) -> tuple[str, ...]:
        """The annotator, unless it is about rankings."""
        return () if self.of == "ranks" else (self.annotator,)

    def score(self, pairs: PairColumns) -> FilterScores:
        """How well both answers agree; missing where they are not both there."""
        met = list(zip(pairs.chosen.ids, pairs.rejected.ids, strict=True))
        if self.of == "ranks":
            parts = pairs.parts(self.annotator)
            values = [parts.get(chosen, {}).get("consistency") for chosen, _ in met]
        else:
            known = pairs.load_comparison_parts(self.annotator)
            of_pair = self._views if self.of == "views" else self._orders
            values = [of_pair(known.get(pair) or known.get(pair[::-1]) or {}) for pair in met]
        return FilterScores.of(values, f"{self.annotator} {LACKING[self.of]}")

    def _views(self, parts: Mapping[str, float]) -> float | None:
        return parts.get("agree")

    def _orders(self, parts: Mapping[str, float]) -> float | None:
        """Equal whichever of the two is called a."""
        if not {"p_ab", "p_ba"} <= parts.keys():
            return None
        low, high = sorted((parts["p_ab"], parts["p_ba"]))
        return max(low, 1 - high)

    def objections(self, values: Floats) -> list[str | None]:
        """Why each pair fails, or None."""
        return [self._objection(float(v)) for v in values]

    def _objection(self, value: float) -> str | None:
        if self.of == "views" and value < self.least:
            return f"{self.annotator}'s judge and implicit reward prefer different responses"
        if self.of == "orders" and value <= APART:
            return f"{self.annotator} does not prefer the same response in both orders"
        return None if value >= self.least else f"{MEASURES[self.of]} {value:.4g} is below {self.least:g}"
