"""Counting values into bins inside DuckDB: what comes out is as large as the plot, however many rows there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import duckdb

Floats = npt.NDArray[np.float64]
FEW, MANY = 12, 40  # bins
TAIL = 0.005  # the share of values at each end that may lie beyond the plot

RANGE = """
SELECT count(x), count(*) - count(x), min(x), max(x), quantile_cont(x, {tail}), quantile_cont(x, 1 - {tail}),
       bool_and(x = round(x))
FROM ({source})
"""
COUNTS = """
SELECT series, least(greatest(floor((x - {low}) / {width}), 0), {last})::INTEGER AS bin, count(*)
FROM ({source}) WHERE x IS NOT NULL GROUP BY ALL
"""


@dataclass(frozen=True)
class Histogram:
    """counts[series][i]: rows from edges[i] on and below edges[i + 1]. `below`, `above`: how many of them lie beyond the first or
    last edge and are counted in the first or last bin. `missing`: rows without a value."""

    edges: Floats
    counts: dict[str, Floats]
    total: int
    missing: int
    below: int
    above: int

    @property
    def beyond(self) -> str:
        """A sentence about values beyond the ends, or nothing."""
        far = [f"{n:,} {word}" for n, word in ((self.below, "below"), (self.above, "above")) if n]
        return f" The end bars also count {' and '.join(far)} the range shown." if far else ""


def histogram(con: duckdb.DuckDBPyConnection, source: str, include: Sequence[float] = ()) -> Histogram | None:
    """The histogram of the query `source`, which gives `x` (null: missing) and `series`; None if no row has a value.

    The range leaves out the most extreme `TAIL` at each end unless that is one value in 200 or less, and holds the values
    `include`. There are 2 sqrt(n) bins, from 12 to 40, but few different whole numbers get a bin each.
    """
    total, missing, least, most, low, high, whole = _one(con, RANGE.format(source=source, tail=TAIL))
    if not total:
        return None
    low, high = min([low, *include]), max([high, *include])
    if most - least <= (high - low) * 1.25:
        low, high = min(low, least), max(high, most)
    bins = min(MANY, max(FEW, round(2 * total**0.5)))
    if whole and high - low < MANY:
        low, high = np.floor(low) - 0.5, np.ceil(high) + 0.5
        bins = round(high - low)
    elif high <= low:
        reach = max(0.5, abs(low) * 0.01)
        low, high = low - reach, high + reach
    else:
        high += (high - low) * 1e-9  # the greatest value lies in the last bin
    width = (high - low) / bins
    counts: dict[str, Floats] = {}
    query = COUNTS.format(source=source, low=repr(float(low)), width=repr(float(width)), last=bins - 1)
    for series, at, n in con.execute(query).fetchall():
        counts.setdefault(str(series), np.zeros(bins))[at] = n
    below, above = _one(
        con, f"SELECT count(*) FILTER (x < {float(low)!r}), count(*) FILTER (x > {float(high)!r}) FROM ({source})"
    )
    return Histogram(low + width * np.arange(bins + 1), counts, total, missing, below, above)


def _one(con: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    found: tuple[Any, ...] = con.execute(query).fetchall()[0]
    return found
