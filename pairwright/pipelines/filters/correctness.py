"""Keep the pairs in which the chosen response answers right and the rejected one wrong, where there is a reference."""

from __future__ import annotations

from typing import Literal

from pairwright.pipelines.filters.base import Filter, FilterScores, Floats, PairColumns

SAID = {
    (1.0, 1.0): "both responses are right",
    (0.0, 0.0): "both responses are wrong",
    (0.0, 1.0): "the chosen response is wrong and the rejected one right",
    (0.0, None): "the chosen response is wrong",
    (None, 1.0): "the rejected response is right",
}


class Correctness(Filter):
    """Score: correctness of the chosen - correctness of the rejected response, each 1 or 0: kept at 1, never two of a kind.

    Read from the scores of `annotator` (method `correctness`). Missing where one of the two could not be compared; a prompt
    without a reference has no score at all, so keep such prompts with `on_missing: keep`. That keeps no pair of which one half is
    known to be on the wrong side. Pairs of right and wrong answers are those of Iterative RPO (arXiv 2404.19733; the number is
    [M]).
    """

    use: Literal["correctness"] = "correctness"
    annotator: str = "correctness"

    def requires(self) -> dict[str, str]:
        """The annotations it reads."""
        return {self.annotator: "correctness"}

    def score(self, pairs: PairColumns) -> FilterScores:
        """1, 0 or -1."""
        scores = pairs.load_scores(self.annotator)
        both = [(scores.get(c), scores.get(r)) for c, r in zip(pairs.chosen.ids, pairs.rejected.ids, strict=True)]
        return FilterScores.of(
            [None if c is None or r is None else c - r for c, r in both],
            f"{self.annotator} could not tell whether both responses are right",
            [SAID.get((c, r)) for c, r in both],
        )

    def objections(self, values: Floats) -> list[str | None]:
        """None: what is wrong with a pair is told by both scores, not by their difference."""
        return [None] * len(values)
