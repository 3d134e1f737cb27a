"""Keep the pairs whose two responses an annotator itself compared, and of which it prefers the chosen one."""

from __future__ import annotations

from typing import Literal

from pairwright.pipelines.filters.base import Filter, FilterScores, Floats, PairColumns

TIE = 0.5


class Verdict(Filter):
    """Score: P(the chosen response is better) as `annotator` found when it compared the two, a tie being 1/2; kept above that.

    Pairs come from scores, and a comparing annotator's scores are strengths fitted to all comparisons of a group: a pair may go
    against the annotator's verdict on exactly these two, or have none, since `pivot` and `knockout` leave most pairs out. What
    holds of single verdicts, as the bound of a calibrated `cascade` does, holds of a pair only if it is such a verdict.

    Missing where the two were never compared, or no verdict came of it (invalid, abstained, failed).
    """

    use: Literal["verdict"] = "verdict"
    annotator: str

    def reads(self) -> tuple[str, ...]:
        """The annotator."""
        return (self.annotator,)

    def compares(self) -> tuple[str, ...]:
        """The annotator."""
        return (self.annotator,)

    def score(self, pairs: PairColumns) -> FilterScores:
        """The stored probability, 1/2 of a tie; of a verdict that was stored without one, 1 or 0."""
        known = pairs.load_comparisons(self.annotator)
        met = zip(pairs.chosen.ids, pairs.rejected.ids, strict=True)
        found = ((known.verdicts.get(two), known.probabilities.get(two)) for two in met)
        return FilterScores.of(
            [vote if vote == TIE or p is None else p for vote, p in found],
            f"{self.annotator} has no verdict on exactly these two",
        )

    def objections(self, values: Floats) -> list[str | None]:
        """Why each pair fails, or None."""
        return [self._objection(float(p)) for p in values]

    def _objection(self, p: float) -> str | None:
        if p > TIE:
            return None
        if p == TIE:
            return f"{self.annotator} finds the two equally good"
        return f"{self.annotator} prefers the rejected response (P that the chosen is better: {p:.3g})"
