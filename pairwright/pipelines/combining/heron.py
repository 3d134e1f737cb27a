"""HERON (arXiv 2309.02632): annotators in order of importance; the first that can tell two responses apart decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations


def decision(levels: Sequence[Sequence[float]], margins: Sequence[float], i: int, j: int) -> tuple[int, int | None]:
    """Which of responses i and j is better (1: i, -1: j, 0: neither), and the level (from 0) that decides, None if none does.

    `levels[l]`: the scores of annotator l, [K]; it decides where they differ by more than `margins[l]`, in units of the score.
    """
    for level, (scores, margin) in enumerate(zip(levels, margins, strict=True)):
        if abs(scores[i] - scores[j]) > margin:
            return (1 if scores[i] > scores[j] else -1), level
    return 0, None


def copeland(levels: Sequence[Sequence[float]], margins: Sequence[float]) -> list[float]:
    """Pairs won - pairs lost, for each of the K responses."""
    scores = [0.0] * len(levels[0])
    for i, j in combinations(range(len(scores)), 2):
        better, _ = decision(levels, margins, i, j)
        scores[i] += better
        scores[j] -= better
    return scores


def depths(levels: Sequence[Sequence[float]], margins: Sequence[float]) -> Counter[int | None]:
    """How many pairs of the K responses each level decides; None counts those that none does. Add the counters of all groups."""
    return Counter(decision(levels, margins, i, j)[1] for i, j in combinations(range(len(levels[0])), 2))
