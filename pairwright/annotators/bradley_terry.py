"""Strengths from comparisons: the Bradley-Terry model with a prior, and how sure its strengths are.

P(i beats j) = e^(s_i) / (e^(s_i) + e^(s_j)); s in nats, their mean is 0. Fitted by minorise-maximise: with p_i = e^(s_i),
p_i <- W_i / sum_j n_ij / (p_i + p_j), W_i being i's wins and n_ij the comparisons of i and j.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
STEPS, CLOSE = 10_000, 1e-10  # at most so many steps; a step that changes no log-strength by more ends the fit
DECIMALS = 9  # of a strength; what lies below is noise, and would set apart items that are level


class Strengths(NamedTuple):
    """`strength[i]`: log-strength in nats, mean 0, rounded to 9 decimals. `sd[i]`: its standard deviation, from the
    observed information."""

    strength: Doubles
    sd: Doubles


def bradley_terry(wins_NN: npt.ArrayLike, prior: float = 0.5) -> Strengths:
    """Fit to `wins_NN[i][j]`, how often i beat j (a tie is half a win for each; fractions are welcome).

    `prior`: wins added to each side of *every* pair, so that who never wins or never loses keeps a finite strength, and
    items that nobody compared stay together. Without it (0) every item must have won and lost, or ValueError is raised.
    """
    wins = np.array(wins_NN, np.float64)
    n = len(wins)
    if wins.shape != (n, n) or not np.isfinite(wins).all() or (wins < 0).any() or prior < 0:
        raise ValueError(f"wins must be a square table of counts of at least 0, not of shape {wins.shape}")
    np.fill_diagonal(wins, 0.0)
    wins += prior * (1 - np.eye(n))
    won, lost, met = wins.sum(1), wins.sum(0), wins + wins.T
    if n < 2:
        return Strengths(np.zeros(n), np.zeros(n))
    if not (won > 0).all() or not (lost > 0).all():
        raise ValueError("without a prior every item must have won and lost at least once: give a prior above 0")
    p = np.ones(n)
    for _ in range(STEPS):
        new = won / (met / (p[:, None] + p[None, :])).sum(1)
        new /= np.exp(np.log(new).mean())
        change = np.abs(np.log(new / p)).max()
        p = new
        if change < CLOSE:
            break
    return Strengths(np.round(np.log(p), DECIMALS) + 0.0, _deviations(p, met))  # + 0.0: no -0.0


def _deviations(p: Doubles, met: Doubles) -> Doubles:
    """Square roots of the diagonal of the inverse information on the space where strengths sum to 0."""
    share = p[:, None] / (p[:, None] + p[None, :])
    information = -met * share * share.T
    np.fill_diagonal(information, 0.0)
    np.fill_diagonal(information, -information.sum(1))
    return np.asarray(np.sqrt(np.clip(np.diag(np.linalg.pinv(information)), 0.0, None)))
