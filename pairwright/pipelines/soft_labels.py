"""Soft labels for pairs: what a loss needs of a vote that was not unanimous, or of a label that is not quite believed.

Pure functions of plain numbers, for trainers and for queries over stored annotations. h is the DPO logit of a pair in nats, beta
included: beta * ((log pi - log pi_ref)(chosen) - (log pi - log pi_ref)(rejected)).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pairwright.pipelines.combining.numbers import log_sigmoid, quantile


def vote_share(won: float, votes: float) -> float:
    """The share of `votes` that the first response won, clipped to [1/(2h+2), 1 - 1/(2h+2)] for h votes, so that unanimity has a
    finite logit. A tie is half a vote. The clip is ours; iREPO's (arXiv 2405.15230) is not known, as it has no code."""
    if votes <= 0 or not 0 <= won <= votes:
        raise ValueError(f"{won} of {votes} votes is not a share: give at least one vote")
    least = 1 / (2 * votes + 2)
    return min(max(won / votes, least), 1 - least)


def target_logit(p: float, beta: float) -> float:
    """log(p / (1 - p)) / beta: the log-ratio difference that iREPO's squared loss draws a pair to (arXiv 2405.15230; the scale
    1/beta is [M], known from secondary notes). p in (0, 1) is P(the first is better), e.g. from `vote_share` or a Bradley-Terry
    fit."""
    if not 0 < p < 1 or beta <= 0:
        raise ValueError(f"p = {p} must lie within (0, 1) and beta = {beta} above 0: clip p with `vote_share`")
    return math.log(p / (1 - p)) / beta


def smoothed_loss(h: float, smoothing: float) -> float:
    """-(1 - s) log sigmoid(h) - s log sigmoid(-h) for label smoothing s in [0, 1] (0: the label is right, 1: it is turned round).

    SPA (arXiv 2406.04412) sets s by `spa_smoothing`, CREAM (arXiv 2410.12735) to 1 - C, C being the consistency; at 1/2 nothing
    is learnt from where h = 0.
    """
    if not 0 <= smoothing <= 1:
        raise ValueError(f"the label smoothing {smoothing} does not lie within [0, 1]")
    return -(1 - smoothing) * log_sigmoid(h) - smoothing * log_sigmoid(-h)


def spa_smoothing(margins: Sequence[float], alpha: float = 0.1, unsure: float = 0.1) -> list[float]:
    """One label smoothing per pair: `alpha` for pairs whose margin h is not above the `unsure` quantile of all, else 0.

    SPA's code compares each margin with a quantile of batch means, which works for tiny batches only; this is the quantile of
    the margins themselves.
    """
    if not margins:
        return []
    gap = quantile(margins, unsure)
    return [alpha if m <= gap else 0.0 for m in margins]


def margin_loss(h: float, margin: float) -> float:
    """-log sigmoid(h - margin): a pair must be apart by its strength before its loss is small (Secrets of RLHF II, arXiv
    2401.06080, where the margin is the mean of several reward models' margins and h their difference of rewards; [M])."""
    return -log_sigmoid(h - margin)
