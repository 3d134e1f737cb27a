"""Drop the pairs whose implicit margin lies far from where most lie (the filter of beta-DPO)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from pairwright.errors import PairwrightError
from pairwright.pipelines.combining.numbers import NO_SPREAD, mean_and_sd
from pairwright.pipelines.filters.base import Filter, FilterScores, Floats, PairColumns
from pairwright.pipelines.filters.stored import implicit_margins, no_sums

MAD_TO_SD = 1.4826  # the deviation of a normal distribution in units of its median absolute deviation


def weight(margins: Floats, centre: float, deviation: float) -> Floats:
    """exp(-1/2 ((A - M) / S)^2) of implicit margins A, shape [N]: 1 at the centre M, and the less the farther off."""
    return np.asarray(np.exp(-0.5 * ((margins - centre) / deviation) ** 2))


class Outlier(Filter):
    """Score: the implicit margin A, [log pi - log pi_ref](chosen) - [log pi - log pi_ref](rejected) in nats, without beta, from
    the sums of `annotator` (method `implicit_reward`). Dropped is the share `rho` of all pairs whose `weight` is lowest.

    beta-DPO (arXiv 2407.08639) draws all but that share of each batch by the weights, with running means for M and S that start
    at 0, so that its first batches are far off. Here it is done once over the data set and without chance: the lowest weights
    are the greatest distances |A - M| / S, and pairs that are equally far share one fate. rho 0.2 is the paper's.

    centre: "mean" takes mean and deviation (ddof 0) of all pairs; "median" the median and 1.4826 * MAD, which outliers do not
        move (ours).
    """

    use: Literal["outlier"] = "outlier"
    annotator: str = "implicit_reward"
    rho: float = Field(default=0.2, gt=0, lt=1)
    centre: Literal["mean", "median"] = "mean"

    def methods(self) -> dict[str, tuple[str, ...]]:
        """Whose numbers it reads."""
        return {self.annotator: ("implicit_reward",)}

    def reads(self) -> tuple[str, ...]:
        """The annotator."""
        return (self.annotator,)

    def score(self, pairs: PairColumns) -> FilterScores:
        """The implicit margin; missing where a sum was not stored."""
        return FilterScores.of(implicit_margins(pairs, self.annotator), no_sums(self.annotator))

    def objections(self, values: Floats) -> list[str | None]:
        """Why each pair is too far off, or None. Raises PairwrightError if there is no MAD to measure by."""
        if not len(values):
            return []
        at, deviation = self._centre(values)
        if deviation <= NO_SPREAD * max(1.0, abs(at)):
            if self.centre == "mean":
                return [None] * len(values)
            raise PairwrightError(
                f"the filter {self.name!r} has no deviation to measure by, for half of all implicit margins or more are equal: "
                "use `centre: mean`"
            )
        distance = abs(values - at) / deviation
        limit = float(np.quantile(distance, 1 - self.rho))
        w = weight(values, at, deviation)
        return [
            f"implicit margin {values[i]:.4g} is {distance[i]:.3g} deviations off the centre {at:.4g} (weight {w[i]:.2g}), "
            f"one of the farthest {self.rho:g}"
            if distance[i] > limit
            else None
            for i in range(len(values))
        ]

    def _centre(self, margins: Floats) -> tuple[float, float]:
        """M and S."""
        if self.centre == "mean":
            return mean_and_sd(margins.tolist())
        middle = float(np.median(margins))
        return middle, MAD_TO_SD * float(np.median(abs(margins - middle)))
