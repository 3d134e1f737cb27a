"""Does more of something (length, headers, ...) go with being chosen? Section by section: in all, by source, by annotator.

The measures are the usual ones of length bias; the flags' thresholds are ours. Nothing here knows what is counted: characters,
tokens or headers of the chosen and the rejected responses, one number per pair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pairwright.pipelines.quality.calibration import logistic_slope

Floats = npt.NDArray[np.float64]
Numbers = Sequence[float] | Sequence[int] | npt.NDArray[np.float64] | npt.NDArray[np.int64]
FLAG_SHARE = 0.6  # ours
FLAG_RHO = 0.3  # ours


@dataclass(frozen=True)
class Bias:
    """What goes with being chosen, over `n` pairs. d is the amount of the chosen response less that of the rejected one.

    mean, median: of d, in units of what is counted.
    more, less: P(d > 0) and P(d < 0); the rest has d = 0.
    more_wins: how often "more of it is better" would have chosen the same, d = 0 counting one half.
    rho: Spearman's rank correlation of margin and d.
    slope: log-odds of being chosen per unit of d (logistic regression of which of the two is chosen on d, without intercept);
        slope_scaled: per standard difference, which is sqrt(mean d^2).
    flags: sentences where P(d > 0) or P(d < 0) is above 0.6 or |rho| above 0.3; the thresholds are ours.
    why: field -> why it is None.
    """

    n: int
    mean: float | None
    median: float | None
    more: float | None
    less: float | None
    more_wins: float | None
    rho: float | None
    slope: float | None
    slope_scaled: float | None
    flags: tuple[str, ...] = ()
    why: Mapping[str, str] = field(default_factory=dict)


def bias_of(chosen: Numbers, rejected: Numbers, margins: Numbers | None = None) -> Bias:
    """The bias over N pairs from their amounts and, for `rho`, their margins, [N] each.

    A margin is no second variable of the regression: where margins made the labels, they alone separate them, and there is no
    finite fit.
    """
    d = _column(chosen) - _column(rejected)
    if not len(d):
        fields = ("mean", "median", "more", "less", "more_wins", "rho", "slope", "slope_scaled")
        return Bias(0, None, None, None, None, None, None, None, None, why=dict.fromkeys(fields, "there are no pairs"))
    why: dict[str, str] = {}
    more, less = float((d > 0).mean()), float((d < 0).mean())
    scale = float(np.sqrt((d**2).mean()))
    slope = logistic_slope(d / scale, np.ones(len(d))) if scale else None
    if slope is None:
        reason = "in no pair there is a difference" if not scale else "it decides every pair that differs, so no fit is finite"
        why |= dict.fromkeys(("slope", "slope_scaled"), reason)
    rho, reason = _spearman(margins, d)
    why |= {"rho": reason} if reason else {}
    per_unit = None if slope is None else slope / scale
    wins = more + (1 - more - less) / 2
    flags = _flags(len(d), more, less, rho)
    return Bias(len(d), float(d.mean()), float(np.median(d)), more, less, wins, rho, per_unit, slope, flags, why)


def bias_by(keys: Sequence[str], chosen: Numbers, rejected: Numbers, margins: Numbers | None = None) -> dict[str, Bias]:
    """The bias of the pairs of each key (a source, a tag, a model), keys sorted; one key per pair."""
    places: dict[str, list[int]] = {}
    for i, key in enumerate(keys):
        places.setdefault(key, []).append(i)
    c, r, m = _column(chosen), _column(rejected), None if margins is None else _column(margins)
    return {key: bias_of(c[at], r[at], None if m is None else m[at]) for key, at in sorted(places.items())}


def bias_of_votes(
    votes: Sequence[float | None], chosen: Numbers, rejected: Numbers, margins: Sequence[float | None] | None = None
) -> Bias:
    """The bias of one annotator, whose own preference takes the place of the label: pairs in which it votes for the rejected
    response (0) are turned round, those it calls a tie (1/2) or does not vote on (None) are left out.

    margins: its own score differences, chosen less rejected, for `rho`; pairs that lack one have no part in any figure. Its vote
    may come from a comparison while the margin comes from fitted strengths, so a margin may speak against the vote.
    """
    vote = _optional(votes)
    margin = np.zeros(len(vote)) if margins is None else _optional(margins)
    at = np.flatnonzero(~np.isnan(vote) & (vote != 0.5) & ~np.isnan(margin))
    sign = np.where(vote[at] > 0.5, 1.0, -1.0)
    c, r = _column(chosen)[at], _column(rejected)[at]
    first, second = np.where(sign > 0, c, r), np.where(sign > 0, r, c)
    return bias_of(first, second, None if margins is None else sign * margin[at])


def _flags(n: int, more: float, less: float, rho: float | None) -> tuple[str, ...]:
    found = []
    for share, what in ((more, "more"), (less, "less")):
        if share > FLAG_SHARE:
            found.append(f"the chosen response has {what} in {share:.0%} of {n:,} pairs (flagged above {FLAG_SHARE:.0%}, ours)")
    if rho is not None and abs(rho) > FLAG_RHO:
        found.append(f"margin and difference correlate by {rho:.2f} (flagged beyond {FLAG_RHO:g} either way, ours)")
    return tuple(found)


def _spearman(margins: Numbers | None, d: Floats) -> tuple[float | None, str]:
    if margins is None:
        return None, "no margins were given"
    m = _column(margins)
    if m.shape != d.shape:
        raise ValueError(f"{len(m)} margins for {len(d)} pairs")
    if len(m) < 2:
        return None, "one pair has no ranks"
    for name, values in (("margins", m), ("differences", d)):
        if values.min() == values.max():
            return None, f"all {name} are equal"
    from scipy.stats import spearmanr

    return float(spearmanr(m, d).statistic), ""


def _column(values: Numbers) -> Floats:
    return np.asarray(values, np.float64)


def _optional(values: Sequence[float | None]) -> Floats:
    return np.array([np.nan if v is None else v for v in values], np.float64)
