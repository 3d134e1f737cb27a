"""Keep pairs by how much further apart a trained policy sees them than the model it started from."""

from __future__ import annotations

from typing import Literal

import numpy as np

from pairwright.pipelines.filters.base import Band, FilterScores, PairColumns
from pairwright.pipelines.filters.stored import implicit_margins, no_sums


class ImplicitMargin(Band):
    """Score: [log pi - log pi_ref](chosen) - [log pi - log pi_ref](rejected), sums in nats, without beta; with `absolute` its
    size without the sign. Read from the sums of `annotator` (method `implicit_reward`), whatever it makes its score of.

    The literature disagrees on which pairs help, so no limits are built in; try both ends and the middle, and validate:

    - the largest: SeRA (arXiv 2410.09362), `min_quantile: 0.3`; its k was not found, the 70 % are [M]. SelectiveDPO
      (arXiv 2502.09650) advises the easiest half too, but measures by held-out loss, which takes trainings of its own.
    - the smallest, signed: what the released script of arXiv 2508.04149 does with `max_quantile: 0.1`. Signed, these are the most
      negative margins, where policy and label contradict each other: likely mislabelled pairs.
    - the smallest by size: `absolute: true` and `max_quantile: 0.1`, our reading of that paper's advice: pairs the policy cannot
      tell apart. arXiv 2406.17312 would spend labels on such pairs.
    - the middle: TIF (arXiv 2510.13212), e.g. `min_quantile: 0.2` and `max_quantile: 0.8`; the edges are ours, its own were not
      found, and it asks for the middle of a second quantity too, LossDiff, which needs a model tuned on validation data.
    """

    use: Literal["implicit_margin"] = "implicit_margin"
    annotator: str = "implicit_reward"
    absolute: bool = False

    @property
    def measure(self) -> str:
        """The subject of its sentences."""
        return "the size of the implicit margin" if self.absolute else "implicit margin"

    def methods(self) -> dict[str, tuple[str, ...]]:
        """Whose numbers it reads."""
        return {self.annotator: ("implicit_reward",)}

    def reads(self) -> tuple[str, ...]:
        """The annotator."""
        return (self.annotator,)

    def score(self, pairs: PairColumns) -> FilterScores:
        """The implicit margin; missing where a sum was not stored."""
        margins = implicit_margins(pairs, self.annotator)
        if self.absolute:
            margins = [None if m is None else float(np.abs(m)) for m in margins]
        return FilterScores.of(margins, no_sums(self.annotator))
