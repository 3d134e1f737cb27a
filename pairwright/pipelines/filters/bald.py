"""BALD: how much of a doubt comes from members (draws with dropout, models) that contradict each other; and UPO's sampling by it.

Sources: BALD arXiv 1112.5745; for preference pairs UPO, arXiv 2409.11212, whose released code was read.
"""

from __future__ import annotations

import numpy as np

from pairwright.pipelines.filters.base import Floats


def binary_entropy(p: Floats) -> Floats:
    """-p ln p - (1 - p) ln(1 - p) in nats, in [0, ln 2]; of any shape. (UPO's code adds 1e-10 inside the logarithm.)"""
    both = np.stack([p, 1 - p])
    return np.asarray(-(both * np.log(np.where(both > 0, both, 1.0))).sum(axis=0))


def bald(p: Floats) -> Floats:
    """H(mean_t p_t) - mean_t H(p_t) in nats, in [0, ln 2]. p [N, T]: P(the chosen response is better) by each of T members; gives
    [N]. It is 0 where all members say the same, even if that is 1/2, and ln 2 where half are sure of one side and half of the
    other."""
    return np.asarray(np.maximum(binary_entropy(p.mean(axis=1)) - binary_entropy(p).mean(axis=1), 0.0))


def easy_probabilities(values: Floats) -> Floats:
    """How likely UPO's "easy" sampling takes each pair next, in proportion to max(0, 1 - BALD) [N]. As 1 - BALD lies between 0.31
    and 1, this is nearly uniform, and the filter `uncertainty` offers a quantile instead."""
    return _shares(1 - values)


def hard_probabilities(values: Floats) -> Floats:
    """The same for "hard": in proportion to max(0, BALD) [N]."""
    return _shares(values)


def _shares(weights: Floats) -> Floats:
    held = np.maximum(weights, 0.0)
    if held.sum() == 0:
        raise ValueError("no pair has any weight: all would be drawn with probability 0")
    return np.asarray(held / held.sum())
