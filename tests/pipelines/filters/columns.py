"""Pairs with what annotators said of them."""

from __future__ import annotations

import numpy as np

from pairwright.pipelines.filters import PairColumns, Side
from pairwright.pipelines.filters.base import Comparisons


def columns(n, scores=None, compared=None) -> PairColumns:
    """Pairs (c0, r0), (c1, r1), ... `scores[annotator]`: margins, which are the chosen's score, None for none.
    `compared[annotator]`: votes, None for no verdict, "rated" where it did not
    compare."""

    def side(letter):
        zeros = np.zeros(n)
        return Side([f"{letter}{i}" for i in range(n)], zeros, zeros.astype(int), zeros.astype(int), [None] * n, lambda: [""] * n)

    def load_scores(name):
        margins = (scores or {})[name]
        return {f"r{i}": 0.0 for i in range(n)} | {f"c{i}": m for i, m in enumerate(margins) if m is not None}

    def load_comparisons(name):
        said = dict(enumerate((compared or {}).get(name, [])))
        votes = {(f"c{i}", f"r{i}"): v for i, v in said.items() if isinstance(v, float)}
        among = {f"{letter}{i}" for i, v in said.items() if v != "rated" for letter in "cr"}
        return Comparisons(votes | {(b, a): 1 - v for (a, b), v in votes.items()}, among)

    return PairColumns([f"p{i}" for i in range(n)], side("c"), side("r"), lambda _: {}, load_scores, load_comparisons)
