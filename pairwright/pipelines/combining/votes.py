"""Strengths of a group's responses from several annotators' votes on its pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from pairwright.annotators.bradley_terry import bradley_terry

Votes = Mapping[tuple[int, int], float]  # (i, j), each pair once -> 1 where i was found better, 0 where j, 1/2 a tie
DIGITS = 9  # the fit ends within 1e-10, and noise below must not break a tie


def votes_of_scores(scores: Sequence[float | None], tie_band: float) -> dict[tuple[int, int], float]:
    """The votes of one that gives scores: the higher wins, differences of at most `tie_band` are ties."""
    votes = {}
    for i, j in combinations(range(len(scores)), 2):
        one, other = scores[i], scores[j]
        if one is not None and other is not None:
            votes[i, j] = 0.5 if abs(one - other) <= tie_band else float(one > other)
    return votes


def strengths(all_votes: Sequence[Votes], size: int, prior: float) -> list[float | None]:
    """Bradley-Terry strengths (nats, mean 0) of `size` responses, None for one that nobody voted on."""
    wins = [[0.0] * size for _ in range(size)]
    for (i, j), vote in [item for votes in all_votes for item in votes.items()]:
        wins[i][j] += vote
        wins[j][i] += 1 - vote
    present = [i for i in range(size) if any(wins[i]) or any(row[i] for row in wins)]
    if not present:
        return [None] * size
    fit = bradley_terry([[wins[i][j] for j in present] for i in present], prior)
    found = {i: round(float(s), DIGITS) + 0.0 for i, s in zip(present, fit.strength, strict=True)}
    return [found.get(i) for i in range(size)]
