"""How far annotators agree two by two, as matrices for a heatmap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
LABELS = 3  # the rejected, a tie, the chosen
Matrix = tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True)
class Agreement:
    """Row i and column j speak of annotators `names[i]` and `names[j]`; every matrix is symmetric.

    n: pairs both vote on (on the diagonal: one votes on). share: of those, with the same vote, a tie being a vote of its own.
    kappa: Cohen's kappa, agreement beyond chance. why: (name, name), in both orders -> why share or kappa is None.
    """

    names: tuple[str, ...]
    n: tuple[tuple[int, ...], ...]
    share: Matrix
    kappa: Matrix
    why: Mapping[tuple[str, str], str] = field(default_factory=dict)


def agreement_of(votes: Mapping[str, Sequence[float | None]]) -> Agreement:
    """From `votes[annotator]`, one per pair and all in one order of pairs: 1 the chosen, 0 the rejected, 1/2 a tie, None no vote.

    For kappa each pair is told both ways. Which of its two responses is the chosen one is no chance: were it told one way, two
    annotators that find most chosen responses better would agree little beyond chance, however well they agree. The numbers
    are those of `consensus.agreement.cohen_kappa` over these rows, counted in a table of 3 x 3.
    """
    names = tuple(votes)
    codes = {name: _codes(column) for name, column in votes.items()}
    found = {(a, b): _met(codes[a], codes[b]) for a in names for b in names}
    return Agreement(
        names,
        tuple(tuple(found[a, b][0] for b in names) for a in names),
        tuple(tuple(found[a, b][1] for b in names) for a in names),
        tuple(tuple(found[a, b][2] for b in names) for a in names),
        {pair: why for pair, (n, share, kappa) in found.items() if (why := _why(n, kappa))},
    )


def _codes(votes: Sequence[float | None]) -> Ints:
    """0, 1, 2 for the votes 0, 1/2, 1, and -1 for none."""
    codes = np.array([-0.5 if v is None else v for v in votes], np.float64) * 2
    if not np.isin(codes, (-1, 0, 1, 2)).all():
        raise ValueError("a vote is 1, 0, 1/2 or None")
    return codes.astype(np.int64)


def _met(one: Ints, other: Ints) -> tuple[int, float | None, float | None]:
    both = (one >= 0) & (other >= 0)
    n = int(both.sum())
    if not n:
        return 0, None, None
    table = np.bincount(one[both] * LABELS + other[both], minlength=LABELS**2).reshape(LABELS, LABELS) / n
    share = float(np.trace(table))
    either_way = (table + table[::-1, ::-1]) / 2
    chance = float(either_way.sum(axis=0) @ either_way.sum(axis=1))
    return n, share, (share - chance) / (1 - chance) if chance < 1 else None


def _why(n: int, kappa: float | None) -> str:
    if not n:
        return "they vote on no common pair"
    return "" if kappa is not None else "both call every pair a tie, so they agree by chance"
