"""Drop so many pairs that the longer response is chosen no more often than the shorter one, however far apart they are."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pairwright.pipelines.filters.base import Filter, FilterScores, Floats, PairColumns
from pairwright.pipelines.quality.sampling import order_of


class LengthBalance(Filter):
    """Score: length of the chosen response - length of the rejected one, in tokens or characters; in characters also where an
    engine told of no tokens of one of the two.

    The pairs of one unit are cut into `bins` of about equal size by how far their lengths are apart. Within a bin the larger side
    (longer chosen, or shorter chosen) loses pairs until it is at most `share` of the bin; which ones, a hash of the pair's id
    says. Pairs of equal length stay. A bin in which only one side occurs loses all its pairs.

    A usual mend of length bias, with no paper of its own. It counts all pairs, whatever other filters say of them.
    """

    whole: ClassVar[bool] = True

    use: Literal["length_balance"] = "length_balance"
    unit: Literal["tokens", "chars"] = "tokens"
    bins: int = Field(default=10, ge=1, le=1000)
    share: float = Field(default=0.5, ge=0.5, lt=1, description="what the larger side may have of a bin")
    seed: int = 0

    def score(self, pairs: PairColumns) -> FilterScores:
        """The difference of lengths; never missing."""
        chosen, rejected = pairs.lengths(self.unit)
        d = chosen - rejected
        in_tokens = pairs.counted & (self.unit == "tokens")
        faults: list[str | None] = [None] * len(d)
        order = order_of(pairs.pair_ids, f"length_balance {self.seed}")
        for unit, here in (("tokens", in_tokens), ("chars", ~in_tokens)):
            for rows in _bins(np.where(here, np.abs(d), 0), self.bins):
                for i, sentence in self._too_many(rows, d, order, unit):
                    faults[i] = sentence
        return FilterScores.of(d, faults=faults)

    def _too_many(
        self, rows: npt.NDArray[np.int64], d: Floats, order: npt.NDArray[np.uint64], unit: str
    ) -> list[tuple[int, str]]:
        """Which pairs of a bin go, and why."""
        larger, smaller = rows[d[rows] > 0], rows[d[rows] < 0]
        which = "longer"
        if len(larger) < len(smaller):
            larger, smaller, which = smaller, larger, "shorter"
        kept = min(len(larger), int(len(smaller) * self.share / (1 - self.share) + 1e-9))
        apart = np.abs(d[rows])
        sentence = (
            f"of {len(rows)} pairs whose lengths are {apart.min():.0f} to {apart.max():.0f} {unit} apart the {which} "
            f"response is chosen in {len(larger)}: this pair is not among the {kept} of them that stay"
        )
        return [(int(i), sentence) for i in larger[np.argsort(order[larger], kind="stable")[kept:]]]

    def objections(self, values: Floats) -> list[str | None]:
        """None: the faults tell all."""
        return [None] * len(values)


def _bins(apart: Floats, bins: int) -> list[npt.NDArray[np.int64]]:
    """The places of the values above 0, cut at their quantiles; equal values are in one bin, so there may be fewer bins."""
    places = np.flatnonzero(apart > 0)
    if not len(places):
        return []
    edges = np.unique(np.quantile(apart[places], np.arange(1, bins) / bins))
    at = np.searchsorted(edges, apart[places], side="left")
    return [rows for b in range(len(edges) + 1) if len(rows := places[at == b])]
