"""Dawid and Skene's model (1979): the true label of each item and the confusion of each annotator, without any true label known.

Item t has the true label k with probability pi_k; annotator w then says l with probability E_w[k, l], independently of the
others. Fitted by EM from the shares of votes, so the labels keep the majority's meaning.

What it cannot do. With two annotators, or without items that three have labelled, disagreement can be laid on either: not
identifiable (`identifiable`); weigh by accuracies on labelled data instead. If most annotators are mostly wrong, it agrees with
them. Annotators that make the same mistakes (models of one family) are taken as independent confirmations, and posteriors come
out too sure: count a family as one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
STEPS, CLOSE = 100, 1e-5  # at most so many steps; a step that raises the log-likelihood by less ends the fit
VOTES = 3  # on one item


class Estimate(NamedTuple):
    """T items, W annotators, K labels. An item without votes has the prior as its posterior."""

    posterior: Floats
    """[T, K]: P(true label | votes)."""
    prior: Floats
    """[K]."""
    confusion: Floats
    """[W, K, K]: P(w says l | the true label is k)."""
    log_likelihood: float
    steps: int

    @property
    def accuracy(self) -> Floats:
        """[W]: P(w says the true label)."""
        return np.asarray(np.einsum("k,wkk->w", self.prior, self.confusion))


def identifiable(votes_WTK: npt.ArrayLike) -> bool:
    """Do three annotators meet on some item?"""
    voted_WT = np.asarray(votes_WTK, np.float64).sum(axis=2) > 0
    return bool((voted_WT.sum(axis=0) >= VOTES).any())


def dawid_skene(votes_WTK: npt.ArrayLike, one_coin: bool = False, smoothing: float = 0.01) -> Estimate:
    """Fit to `votes_WTK[w][t][k]`, how often annotator w gave item t the label k: mostly 0 or 1, all 0 where w did not label t;
    half a vote for each of two labels is welcome.

    `smoothing`: counts above 0 added to every cell of every confusion, so that none is 0. `one_coin`: annotator w is right with
    one probability whatever the true label, and errs evenly over the others; it needs fewer items. Raises ValueError if the votes
    are no such table or `identifiable` says no.
    """
    votes = np.asarray(votes_WTK, np.float64)
    if votes.ndim != 3 or votes.shape[2] < 2 or not np.isfinite(votes).all() or (votes < 0).any() or smoothing <= 0:
        raise ValueError(
            f"votes must be counts of at least 0 by annotator, item and label (shape {votes.shape}), smoothing above 0"
        )
    if not identifiable(votes):
        raise ValueError(
            f"Dawid-Skene needs items that {VOTES} annotators have labelled: add annotators, or weigh them by accuracy"
        )
    voted = votes.sum(axis=0)
    some = voted.sum(axis=1) > 0
    posterior = np.full(voted.shape, 1 / voted.shape[1])
    posterior[some] = voted[some] / voted[some].sum(axis=1, keepdims=True)
    before, steps = -np.inf, 0
    while True:
        prior = posterior[some].mean(axis=0)
        confusion = (_coins if one_coin else _confusions)(votes, posterior, smoothing)
        with np.errstate(divide="ignore"):  # a label that nobody gives has the prior 0
            joint = np.log(prior) + np.einsum("wtl,wkl->tk", votes, np.log(confusion))
        top = joint.max(axis=1, keepdims=True)
        evidence = top[:, 0] + np.log(np.exp(joint - top).sum(axis=1))
        posterior = np.exp(joint - evidence[:, None])
        now, steps = float(evidence[some].sum()), steps + 1
        if now - before < CLOSE or steps == STEPS:
            return Estimate(posterior, prior, confusion, now, steps)
        before = now


def _confusions(votes: Floats, posterior: Floats, smoothing: float) -> Floats:
    counts = np.einsum("tk,wtl->wkl", posterior, votes) + smoothing
    return np.asarray(counts / counts.sum(axis=2, keepdims=True))


def _coins(votes: Floats, posterior: Floats, smoothing: float) -> Floats:
    labels = votes.shape[2]
    right = np.einsum("tk,wtk->w", posterior, votes) + smoothing
    accuracy = right / (votes.sum(axis=(1, 2)) + labels * smoothing)
    wrong = (1 - accuracy) / (labels - 1)
    same = np.eye(labels)
    return np.asarray(accuracy[:, None, None] * same + wrong[:, None, None] * (1 - same))
