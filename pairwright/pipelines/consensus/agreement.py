"""How far annotators agree beyond chance. Rules of thumb: at least .8 is reliable, .667 to .8 tentative; resample units for
intervals.

`ratings` are rows of units and columns of annotators, None where one gave no label; labels may be anything that can be compared.
Each coefficient is 1 for full agreement and 0 for as much as by chance, and None where it is not defined: mostly because
everybody gives one and the same label, so that agreement by chance is full. Then tell `observed` and `gwet_ac1`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Label = Any
Ratings = Sequence[Sequence[Label | None]]
Level = Literal["nominal", "ordinal", "interval", "ratio"]


def cohen_kappa(
    one: Sequence[Label | None], other: Sequence[Label | None], weights: Literal["linear", "quadratic"] | None = None
) -> float | None:
    """Cohen's kappa of two annotators over the units that both labelled. With weights, labels are numbers in order, and one
    further apart counts for more."""
    both = [(a, b) for a, b in zip(one, other, strict=True) if a is not None and b is not None]
    if len({label for pair in both for label in pair}) < 2:
        return None
    from sklearn.metrics import cohen_kappa_score

    return float(cohen_kappa_score(*zip(*both, strict=True), weights=weights))


def observed(ratings: Ratings) -> float | None:
    """The mean over units of the share of pairs of annotators that give it the same label; units with one label do not count."""
    counts = _counts(ratings)[0]
    return float(_pairwise(counts).mean()) if len(counts) else None


def fleiss_kappa(ratings: Ratings) -> float | None:
    """Fleiss' kappa: chance is drawing labels as often as all annotators together give them. Every unit must have been labelled
    by equally many (at least two), or ValueError is raised: use `krippendorff_alpha` then."""
    counts = _complete(ratings)
    share = counts.sum(axis=0) / counts.sum()
    return _beyond(float(_pairwise(counts).mean()), float((share**2).sum()))


def randolph_kappa(ratings: Ratings, labels: int | None = None) -> float | None:
    """Randolph's kappa: as Fleiss', but by chance every one of `labels` (default: those that occur) is equally likely."""
    counts = _complete(ratings)
    return _beyond(float(_pairwise(counts).mean()), 1 / (labels or counts.shape[1]))


def gwet_ac1(ratings: Ratings, labels: int | None = None) -> float | None:
    """Gwet's AC1, which stays sound where one label is far more frequent than the others. Chance is sum_k pi_k (1 - pi_k) / (K -
    1) with pi_k the mean over units of the share of annotators that give k, K = `labels` (default: those that occur, two at
    least)."""
    counts, every = _counts(ratings)
    if not len(counts):
        return None
    share = (every / every.sum(axis=1, keepdims=True)).mean(axis=0)
    chance = float((share * (1 - share)).sum()) / (max(labels or counts.shape[1], 2) - 1)
    return _beyond(float(_pairwise(counts).mean()), chance)


def krippendorff_alpha(ratings: Ratings, level: Level = "nominal") -> float | None:
    """1 - D_o / D_e from the coincidence matrix, to which a unit with m >= 2 labels adds 1 / (m - 1) per ordered pair of them.

    `level` says what a difference of labels means: "nominal" any is 1; else labels are numbers, "ordinal" counts how many labels
    lie between, "interval" is (c - k)^2, "ratio" ((c - k) / (c + k))^2 for numbers of at least 0.
    """
    counts, _, values = _table(ratings)
    if len(counts) == 0 or len(values) < 2:
        return None
    m = counts.sum(axis=1, keepdims=True)
    coincidence = (counts / (m - 1)).T @ counts - np.diag((counts / (m - 1)).sum(axis=0))
    n = coincidence.sum(axis=0)
    distance = DISTANCES[level](
        np.array(values, np.float64) if level != "nominal" else np.arange(len(values), dtype=np.float64), n
    )
    by_chance = float((np.outer(n, n) * distance).sum()) / (n.sum() - 1)
    return 1 - float((coincidence * distance).sum()) / by_chance if by_chance > 0 else None


def _nominal(values: Floats, _: Floats) -> Floats:
    return np.asarray(1 - np.eye(len(values)))


def _ordinal(values: Floats, n: Floats) -> Floats:
    rank = np.cumsum(n) - n / 2
    return np.asarray((rank[:, None] - rank[None, :]) ** 2)


def _interval(values: Floats, _: Floats) -> Floats:
    return np.asarray((values[:, None] - values[None, :]) ** 2)


def _ratio(values: Floats, _: Floats) -> Floats:
    total = values[:, None] + values[None, :]
    return np.asarray(((values[:, None] - values[None, :]) / np.where(total == 0, 1, total)) ** 2)


DISTANCES: dict[Level, Callable[[Floats, Floats], Floats]] = {
    "nominal": _nominal,
    "ordinal": _ordinal,
    "interval": _interval,
    "ratio": _ratio,
}


def _table(ratings: Ratings) -> tuple[Floats, Floats, list[Label]]:
    """Counts by unit and label, of units with two labels or more and of those with any, and the labels, sorted."""
    values = sorted({label for row in ratings for label in row if label is not None})
    place = {label: k for k, label in enumerate(values)}
    counts = np.zeros((len(ratings), len(values)))
    for unit, row in enumerate(ratings):
        for label in row:
            if label is not None:
                counts[unit, place[label]] += 1
    given = counts.sum(axis=1)
    return counts[given >= 2], counts[given >= 1], values


def _counts(ratings: Ratings) -> tuple[Floats, Floats]:
    return _table(ratings)[:2]


def _complete(ratings: Ratings) -> Floats:
    counts = _counts(ratings)[0]
    if len(counts) < len(ratings) or len(set(counts.sum(axis=1))) != 1:
        raise ValueError(
            "every unit must have equally many labels, at least two: use krippendorff_alpha, which does not need that"
        )
    return counts


def _pairwise(counts: Floats) -> Floats:
    """For each unit the share of pairs of its labels that are equal."""
    n = counts.sum(axis=1)
    return np.asarray((counts * (counts - 1)).sum(axis=1) / (n * (n - 1)))


def _beyond(found: float, chance: float) -> float | None:
    return (found - chance) / (1 - chance) if chance < 1 else None
