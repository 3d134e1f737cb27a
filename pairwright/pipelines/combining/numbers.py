"""Sums, spreads and quantiles whose value does not depend on the order of the numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

NO_SPREAD = 1e-6  # relative: a smaller spread is rounding, not an opinion, and must not be blown up to full size


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)), stable for any x."""
    return 0.5 * (1 + math.tanh(0.5 * x))


def log_sigmoid(x: float) -> float:
    """log(1 / (1 + exp(-x))), stable for any x."""
    return min(x, 0.0) - math.log1p(math.exp(-abs(x)))


def mean_and_sd(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation (ddof 0) of at least one value; the deviation is exactly 0 iff all values are equal."""
    low, high = min(values), max(values)
    if low == high:
        return low, 0.0
    mean = math.fsum(values) / len(values)
    scale = max(high - mean, mean - low)
    return mean, scale * math.sqrt(math.fsum(((v - mean) / scale) ** 2 for v in values) / len(values))


def standardised(values: Sequence[float]) -> list[float]:
    """(v - mean) / sd with ddof 0; all zeros where the values are equal but for the noise of fp32 (`NO_SPREAD`)."""
    mean, sd = mean_and_sd(values)
    return [(v - mean) / sd if sd > NO_SPREAD * max(1.0, abs(mean)) else 0.0 for v in values]


def spread_within(groups: Sequence[Sequence[float]]) -> float:
    """The standard deviation of values around the mean of their group, over all groups (ddof 0); 0 without values."""
    squares = [len(values) * mean_and_sd(values)[1] ** 2 for values in groups if values]
    return math.sqrt(math.fsum(squares) / sum(map(len, groups))) if squares else 0.0


def quantile(values: Sequence[float], q: float) -> float:
    """The q-quantile (0 <= q <= 1) of at least one value, with linear interpolation (numpy's default)."""
    ordered = sorted(values)
    at = q * (len(ordered) - 1)
    below = ordered[int(at)]
    above = ordered[min(int(at) + 1, len(ordered) - 1)]
    return below + (above - below) * (at - int(at))
