"""What routing buys: agreement with the gold labels against the share of items that the strong judge is asked about.

PGR, APGR and CPT are RouteLLM's measures (lm-sys/RouteLLM).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pairwright.pipelines.calibration.judged import Judged

UNKNOWN = -1.0  # sorts before every probability


class Point(NamedTuple):
    """One cut: items with P(cheap agrees) < tau go to the strong judge, a `share` of all.

    agreement: share of all items whose verdict is right (no verdict is not right). tokens, seconds, money: mean cost of an item;
    the cheap judge is always asked.
    """

    tau: float
    share: float
    agreement: float
    tokens: float
    seconds: float
    money: float


def curve(agrees: Sequence[float | None], cheap: Sequence[Judged], strong: Sequence[Judged]) -> list[Point]:
    """A point for every cut that makes a difference, shares ascending from the least possible to 1.

    agrees: P(cheap agrees) of each item, None where it cannot be told; such items always go to the strong judge. The three are
    aligned.
    """
    p = np.array([UNKNOWN if x is None else x for x in agrees], np.float64)
    order = np.argsort(p, kind="stable")
    values, n = p[order], len(p)
    right = _totals([bool(x.correct) for x in cheap], [bool(y.correct) for y in strong], order)
    costs = []
    for name in ("cost_tokens", "cost_seconds", "cost_money"):
        one = [getattr(x, name) for x in cheap]
        both = [x + getattr(y, name) for x, y in zip(one, strong, strict=True)]
        costs.append(_totals(one, both, order))
    cuts = [k for k in range(n) if values[k] != UNKNOWN and (k == 0 or values[k] != values[k - 1])]
    taus = [*((k, float(values[k])) for k in cuts), (n, 1.0)]
    return [Point(tau, k / n, right[k] / n, *(total[k] / n for total in costs)) for k, tau in taus]


def _totals(cheap: Sequence[float], strong: Sequence[float], order: np.ndarray) -> list[float]:
    """The sum over all items if the first k of `order` are the strong judge's and the others the cheap one's; k = 0..n."""
    c, s = np.asarray(cheap, np.float64)[order], np.asarray(strong, np.float64)[order]
    return [float(x) for x in c.sum() + np.concatenate([[0.0], np.cumsum(s - c)])]


def pgr(performance: float, weak: float, strong: float) -> float | None:
    """Performance gap recovered: 0 at the weak judge's performance, 1 at the strong one's; None if the two are equal."""
    return None if strong == weak else (performance - weak) / (strong - weak)


def apgr(shares: Sequence[float], performances: Sequence[float]) -> float | None:
    """Average PGR over the strong share from 0 to 1 (trapezoids). The curve must begin at 0 and end at 1; a random router has
    0.5. Golden: shares 0, .25, .5, .75, 1 and performances .5, .62, .7, .76, .8 give .608333."""
    if list(shares) != sorted(shares) or not shares or (shares[0], shares[-1]) != (0, 1):
        raise ValueError("the shares of a curve ascend from 0 to 1")
    x, y = np.asarray(shares, np.float64), np.asarray(performances, np.float64)
    area = float((np.diff(x) * (y[1:] + y[:-1]) / 2).sum())
    return pgr(area, float(y[0]), float(y[-1]))


def cpt(shares: Sequence[float], performances: Sequence[float], q: float) -> float | None:
    """Call-performance threshold: the smallest strong share on the curve whose PGR is at least `q`; None if there is none."""
    for share, performance in zip(shares, performances, strict=True):
        recovered = pgr(performance, performances[0], performances[-1])
        if recovered is not None and recovered >= q:
            return float(share)
    return None
