"""Drop the pairs that training would have to turn furthest around: the model it starts from prefers the rejected response."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pairwright.pipelines.filters.base import Band, FilterScores, PairColumns
from pairwright.pipelines.filters.stored import part_margins

SUMS = ("reference_sum", "weak_sum")


def reference_sum(parts: Mapping[str, float]) -> float:
    """log pi_ref of a response in nats, as `implicit_reward` or `density_ratio` stored it. KeyError: neither did."""
    return parts[SUMS[0]] if SUMS[0] in parts else parts[SUMS[1]]


class Difficulty(Band):
    """Score: c = log pi_ref(rejected) - log pi_ref(chosen), sums in nats, of the model training starts from (arXiv 2405.19534).

    It is how far the implicit margin times beta must rise before the trained policy ranks the pair right: DPO does so exactly
    where its loss on the pair is at most -log sigmoid(beta * c). The paper finds that under a tenth of the pairs a model ranks
    wrong at first are turned at the best validation loss; so a large c is mostly training spent in vain. It names no limit, and
    none is built in. Not even the ideal DPO policy turns a pair with c >= log(a / (1 - a)) / beta, a being the share of people
    who prefer the chosen response: 69.07 for beta 0.1 and a = 0.999.

    `annotator` is one whose method is `implicit_reward` (its reference is the model) or `density_ratio` (its weak model is).
    """

    use: Literal["difficulty"] = "difficulty"
    annotator: str = "implicit_reward"

    @property
    def measure(self) -> str:
        """The subject of its sentences."""
        return "ranking difficulty"

    def methods(self) -> dict[str, tuple[str, ...]]:
        """Whose numbers it reads."""
        return {self.annotator: ("implicit_reward", "density_ratio")}

    def reads(self) -> tuple[str, ...]:
        """The annotator."""
        return (self.annotator,)

    def score(self, pairs: PairColumns) -> FilterScores:
        """The difficulty; missing where the sum of a response was not stored."""
        margins = part_margins(pairs, self.annotator, reference_sum)
        return FilterScores.of(
            [None if m is None else -m for m in margins],
            f"{self.annotator} stored neither {' nor '.join(SUMS)} of one of the two responses",
        )
