"""What the order in which two responses are shown does to a judge, from the parts its comparisons stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class OrderBias:
    """One annotator's comparisons, of which `both` were answered in both orders and `shown` is the number of answers.

    swap_consistency: share of `both` with one winner, or a tie, in both orders. Over all answers, first_position: how often the
    response shown first wins, a tie counting one half; position_bias: mean P(the one shown first is better) - 1/2. why: field ->
    why it is None.
    """

    both: int
    shown: int
    swap_consistency: float | None
    first_position: float | None
    position_bias: float | None
    why: Mapping[str, str] = field(default_factory=dict)


def order_bias_of(p_ab: Sequence[float | None], p_ba: Sequence[float | None]) -> OrderBias:
    """From P(a is better) with a shown first and with b shown first, None where that order gave nothing, [N] each.

    The figures are those of `evaluation.measures.orders`.
    """
    first = _column(p_ab), 1 - _column(p_ba)  # P(the one shown first is better)
    answers = np.concatenate([f[~np.isnan(f)] for f in first])
    if not len(answers):
        reason = "no comparison stored what it found in each order"
        return OrderBias(0, 0, None, None, None, dict.fromkeys(("swap_consistency", "first_position", "position_bias"), reason))
    met = ~np.isnan(first[0]) & ~np.isnan(first[1])
    winners = [np.sign(f[met] - 0.5) for f in first]
    same = winners[0] == -winners[1]
    return OrderBias(
        len(same),
        len(answers),
        float(same.mean()) if len(same) else None,
        float((np.sign(answers - 0.5).mean() + 1) / 2),
        float(answers.mean() - 0.5),
        {} if len(same) else {"swap_consistency": "no comparison was answered in both orders"},
    )


def order_bias_of_parts(parts: Iterable[Mapping[str, float]]) -> OrderBias:
    """The same from the stored `parts` of comparisons (rows of `annotations` with an `other_id`), with `p_ab` and `p_ba`."""
    rows = list(parts)
    return order_bias_of([row.get("p_ab") for row in rows], [row.get("p_ba") for row in rows])


def _column(values: Sequence[float | None]) -> Floats:
    return np.array([np.nan if v is None else v for v in values], np.float64)
