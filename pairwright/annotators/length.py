"""Take the advantage of length out of scores (DICE): s - alpha * characters, one alpha for a whole dataset.

Source: arXiv 2406.09760. The paper writes alpha * |y|; its code counts characters, which is what is done here (an alpha
per token would be about four times larger). Pure functions: no model is asked.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Numbers = Sequence[float] | npt.NDArray[np.float64]

GRID = 1000
"""Alpha is one of 0, 1/GRID, ..., 1, as in the code of DICE."""


def debias(scores: Numbers, chars: Numbers, alpha: float) -> npt.NDArray[np.float64]:
    """scores - alpha * chars, both of shape [K]; alpha in score units per character."""
    s, c = np.asarray(scores, np.float64), np.asarray(chars, np.float64)
    if s.shape != c.shape:
        raise ValueError(f"{s.shape} scores for {c.shape} lengths")
    return s - alpha * c


def fit_alpha(groups: Sequence[tuple[Numbers, Numbers]]) -> float:
    """The smallest alpha on the grid for which the best response is, over all groups, least longer than the worst.

    `groups` holds (scores, chars) of each prompt's responses, [K] each, K may differ; leave out responses without a score.
    Minimised: |mean over groups of (chars of the argmax - chars of the argmin)| after `debias`.

    As alpha grows, the argmax of s - alpha * c never gets longer and the argmin never shorter, so the gap only falls. Its
    place of zero is therefore found by bisection: the answer of a full sweep over the grid in about 20 of its 1001
    steps. (DICE's code walks up the grid and stops where the gap gets no better; the gap has level stretches, on which
    such a walk can stop too early.) Of equally scored responses the shorter counts as best, and as worst.
    """
    paired = [(s, c) for s, c in groups if len(s) > 1]
    if not paired:
        return 0.0
    scores, chars = _padded(paired)
    rows = np.arange(len(paired))

    def gap(step: int) -> float:
        """Mean characters by which the chosen exceed the rejected at alpha = step / GRID."""
        shift = chars * (step / GRID)
        chosen = np.where(np.isnan(scores), -np.inf, scores - shift).argmax(axis=1)
        rejected = np.where(np.isnan(scores), np.inf, scores - shift).argmin(axis=1)
        return float((chars[rows, chosen] - chars[rows, rejected]).mean())

    def first_at_most(limit: float) -> int:
        return bisect_left(range(GRID), -limit, key=lambda step: -gap(step))

    below = first_at_most(0.0)
    above = first_at_most(gap(below - 1)) if below else 0
    best = above if abs(gap(above)) <= abs(gap(below)) else below
    return best / GRID


def _padded(groups: Sequence[tuple[Numbers, Numbers]]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Scores (NaN where there is none) and chars, both [groups, max K], shorter responses first so that they win ties."""
    sizes = np.array([len(s) for s, _ in groups])
    if sizes.tolist() != [len(c) for _, c in groups]:
        raise ValueError("a group has another number of lengths than of scores")
    scores = np.concatenate([np.asarray(s, np.float64) for s, _ in groups])
    chars = np.concatenate([np.asarray(c, np.float64) for _, c in groups])
    if not np.isfinite(scores).all():
        raise ValueError("a score is not finite: leave out responses without a score")
    row = np.repeat(np.arange(len(groups)), sizes)
    order = np.lexsort((chars, row))
    column = np.arange(len(row)) - np.repeat(sizes.cumsum() - sizes, sizes)
    padded_scores = np.full((len(groups), int(sizes.max())), np.nan)
    padded_chars = np.zeros_like(padded_scores)
    padded_scores[row, column], padded_chars[row, column] = scores[order], chars[order]
    return padded_scores, padded_chars
