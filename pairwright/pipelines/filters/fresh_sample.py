"""Keep the pairs whose chosen response beats what the policy says by itself now."""

from __future__ import annotations

from typing import Literal

from pairwright.pipelines.filters.base import Filter, FilterScores, Floats, PairColumns


class FreshSample(Filter):
    """Score: the rater's score of the chosen response - the mean of its scores of fresh samples; kept above `threshold`.

    fDPO (arXiv 2404.13846) does this before training and after every epoch with one sample of the policy as it is then, and
    removes a pair for good; threshold 0 is its own. Here it is done once, with the checkpoint and the mean that `annotator`
    (method `fresh_sample`) stands for. A new checkpoint is another model, and so another label.
    """

    use: Literal["fresh_sample"] = "fresh_sample"
    annotator: str = "fresh_sample"
    threshold: float = 0.0

    def methods(self) -> dict[str, tuple[str, ...]]:
        """Whose numbers it reads."""
        return {self.annotator: ("fresh_sample",)}

    def reads(self) -> tuple[str, ...]:
        """The annotator."""
        return (self.annotator,)

    def score(self, pairs: PairColumns) -> FilterScores:
        """How far the chosen response is above; missing where the annotator has no numbers for it."""
        parts = pairs.parts(self.annotator)
        found = (parts.get(id, {}) for id in pairs.chosen.ids)
        ahead = [p["own"] - p["fresh_mean"] if {"own", "fresh_mean"} <= p.keys() else None for p in found]
        return FilterScores.of(ahead, f"{self.annotator} stored no own and fresh_mean of the chosen response")

    def objections(self, values: Floats) -> list[str | None]:
        """Why each pair fails, or None."""
        return [
            None if v > self.threshold else f"chosen - mean fresh sample is {v:.4g}, not over {self.threshold:g}" for v in values
        ]
