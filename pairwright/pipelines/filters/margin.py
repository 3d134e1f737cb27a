"""Keep pairs by how far apart their scores are."""

from __future__ import annotations

from typing import Literal

from pairwright.pipelines.filters.base import Band, FilterScores, PairColumns


class Margin(Band):
    """Score: score of chosen - score of rejected, in units of the combined score. Below 0 for a pair that relabelling turned
    around: any `min` from 0 on drops all of these.

    The field disagrees on which end helps: SeRA (arXiv 2410.09362) keeps the largest margins, arXiv 2508.04149 the smallest. So
    there is no default: give `min`, `max` or quantiles.
    """

    use: Literal["margin"] = "margin"

    @property
    def measure(self) -> str:
        """The subject of its sentences."""
        return "margin"

    def score(self, pairs: PairColumns) -> FilterScores:
        """The margin; never missing."""
        return FilterScores.of(pairs.margin)
