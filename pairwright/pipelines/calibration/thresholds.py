"""From how high a confidence on a judge's word may be taken, with a guarantee.

Fixed-sequence testing with an exact binomial bound, from "Trust or Escalate" (arXiv 2407.18370): for
thresholds from high to low, n items are at or above it and k of them are wrong; as long as the upper bound U(k, n) of the error
rate is at most alpha, the next lower threshold is tried; the last one that passed is taken. Then P(error rate above the
threshold > alpha) is at most delta over the draw of the calibration items, provided alpha and delta were chosen before looking
at them.

Three departures from the published code. Where even the first threshold fails, nothing qualifies (it returns that threshold all
the same, without a guarantee). Thresholds are the observed confidences, not 5,000 even steps, so that judges who are nearly
always sure can still be told apart. And the sequence begins where the test can be passed (`first_size`), not always at 30 items:
with alpha 0.1 and delta 0.033 even 30 right answers out of 30 do not pass, and nothing would ever qualify.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
LARGEST = 10_000  # items at which every sequence begins at the latest


class Threshold(NamedTuple):
    """Of `n` items with a confidence of at least `value`, `errors` are wrong; `bound`: the error rate's upper bound."""

    value: float
    n: int
    errors: int
    bound: float


def upper_bound(errors: npt.ArrayLike, n: npt.ArrayLike, delta: float) -> Doubles:
    """U = sup {r : P(Bin(n, r) <= errors) >= delta} = BetaInv(1 - delta; errors + 1, n - errors), and 1 where all are wrong
    (Clopper and Pearson's one-sided bound). Arrays are taken item by item. Goldens, delta 0.1: U(3, 50) = .128756, U(10, 100) =
    .149883."""
    from scipy.special import betaincinv

    k, total = np.asarray(errors, np.float64), np.asarray(n, np.float64)
    all_wrong = k >= total
    bound = betaincinv(k + 1, np.where(all_wrong, 1.0, total - k), 1 - delta)
    return np.asarray(np.where(all_wrong, 1.0, bound), np.float64)


def fixed_sequence(
    confidence: Sequence[float], correct: Sequence[bool], alpha: float, delta: float, min_n: int = 30
) -> Threshold | None:
    """The lowest confidence down to which errors stay at most `alpha` with probability 1 - `delta`; None if there is none.

    confidence, correct: [N], one of each item the judge said something about. min_n: thresholds that fewer items reach are not
    tried, nor those below `first_size`, unless there are no more items than that.
    """
    conf, right = np.asarray(confidence, np.float64), np.asarray(correct, bool)
    order = np.argsort(-conf, kind="stable")
    conf, wrong = conf[order], np.cumsum(~right[order])
    ends = (
        np.flatnonzero(np.append(conf[1:] != conf[:-1], True)) if len(conf) else np.array([], int)
    )  # last item of each confidence
    ends = ends[ends + 1 >= max(min_n, min(first_size(alpha, delta), len(conf)))]
    bounds = upper_bound(wrong[ends], ends + 1, delta)
    failed = np.flatnonzero(bounds > alpha)
    passed = failed[0] if len(failed) else len(ends)
    if passed == 0:
        return None
    at = ends[passed - 1]
    return Threshold(float(conf[at]), int(at + 1), int(wrong[at]), float(bounds[passed - 1]))


@cache
def first_size(alpha: float, delta: float) -> int:
    """The fewest items of which a share alpha / 2 may be wrong with the bound still at most `alpha`. Ours; it depends on nothing
    observed, so the guarantee stands. Beginning with fewer items, one unlucky error would end the sequence."""
    sizes = np.arange(1, LARGEST)
    passes = upper_bound(np.floor(sizes * alpha / 2), sizes, delta) <= alpha
    return int(sizes[passes.argmax()]) if passes.any() else LARGEST
