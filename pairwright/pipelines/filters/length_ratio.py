"""Drop pairs whose responses differ much in length, so that length alone cannot be what is learnt."""

from __future__ import annotations

from typing import ClassVar, Literal

from pairwright.pipelines.filters.base import Band, FilterScores, PairColumns


class LengthRatio(Band):
    """Score: length of the longer response over length of the shorter one, so at least 1; in tokens, or in characters where an
    engine told of no tokens of one of the two. Missing if either is empty."""

    version: ClassVar[int] = 2

    use: Literal["length_ratio"] = "length_ratio"

    @property
    def measure(self) -> str:
        """The subject of its sentences."""
        return "length ratio"

    def score(self, pairs: PairColumns) -> FilterScores:
        """longer / shorter."""
        both = zip(*(side.tolist() for side in pairs.lengths()), strict=True)
        return FilterScores.of([max(c, r) / min(c, r) if min(c, r) >= 1 else None for c, r in both], "a response is empty")
