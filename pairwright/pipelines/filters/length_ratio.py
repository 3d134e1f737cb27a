"""Drop pairs whose responses differ much in length, so that length alone cannot be what is learnt."""

from __future__ import annotations

from typing import Literal

from pairwright.pipelines.filters.base import Band, FilterScores, PairColumns


class LengthRatio(Band):
    """Score: tokens of the longer response over tokens of the shorter one, so at least 1; missing if either has no token."""

    use: Literal["length_ratio"] = "length_ratio"

    @property
    def measure(self) -> str:
        """The subject of its sentences."""
        return "length ratio"

    def score(self, pairs: PairColumns) -> FilterScores:
        """longer / shorter, in tokens."""
        both = zip(pairs.chosen.tokens.tolist(), pairs.rejected.tokens.tolist(), strict=True)
        return FilterScores.of([max(c, r) / min(c, r) if min(c, r) >= 1 else None for c, r in both], "a response has no token")
