"""Drop the pairs whose training would most likely push the chosen response's probability down (likelihood displacement)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pairwright.annotators.displacement import Variant, ches_between
from pairwright.pipelines.filters.base import Band, FilterScores, PairColumns


class Ches(Band):
    """Score: CHES, the centred hidden embedding similarity of chosen and rejected (arXiv 2410.08847); higher = worse.

    "raw": <S+, S-> - |S+|^2, S being the sum of last-layer states over the n tokens of a response. "ln", the default, does the
    same with the means S / n, since the raw score goes with length. Both are read from the stored parts `n` and
    `dot:<response id>` of the annotator called `annotator` (method `displacement`), which should have asked the very model
    that will be trained.

    The paper keeps the lowest-scoring 5 to 15 % of refusal data, and has not tried it on instructions in general. With no limit
    given we drop the highest tenth, `max_quantile` 0.9; that number is ours, not the paper's.
    """

    default_limits: ClassVar[Mapping[str, float]] = {"max_quantile": 0.9}

    use: Literal["ches"] = "ches"
    annotator: str = "displacement"
    variant: Variant = "ln"

    @property
    def measure(self) -> str:
        """The subject of its sentences."""
        return "ln-CHES" if self.variant == "ln" else "CHES"

    def requires(self) -> dict[str, str]:
        """The displacement annotations it reads."""
        return {self.annotator: "displacement"}

    def score(self, pairs: PairColumns) -> FilterScores:
        """CHES or ln-CHES; missing where the annotator has no numbers for one of the responses."""
        parts = pairs.parts(self.annotator)
        scores = [ches_between(parts, c, r, self.variant) for c, r in zip(pairs.chosen.ids, pairs.rejected.ids, strict=True)]
        return FilterScores.of(scores, f"{self.annotator} stored no n and dot:<id> of one of the two responses")
