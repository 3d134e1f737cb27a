"""Drop pairs whose two texts are nearly the same: which one is better is then mostly noise."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cpdist

from pairwright.pipelines.filters.base import Filter, FilterScores, Floats, PairColumns
from pairwright.pipelines.hygiene.shingles import spaced


class NearIdentical(Filter):
    """Score: 1 - edit distance / characters of the longer text (Levenshtein, in [0, 1], 1 = identical), after Unicode NFC with
    white space folded. Fails from `threshold` on."""

    version: ClassVar[int] = 2

    use: Literal["near_identical"] = "near_identical"
    threshold: float = Field(default=0.95, gt=0, le=1)

    def score(self, pairs: PairColumns) -> FilterScores:
        """The similarity; never missing."""
        if not len(pairs):
            return FilterScores.of(np.zeros(0))
        chosen, rejected = ([spaced(text) for text in side.texts] for side in (pairs.chosen, pairs.rejected))
        return FilterScores.of(cpdist(chosen, rejected, scorer=Levenshtein.normalized_similarity, dtype=np.float64, workers=-1))

    def objections(self, values: Floats) -> list[str | None]:
        """Why each pair is too alike, or None."""
        return [
            f"chosen and rejected are {v:.4g} alike, not under {self.threshold:g}" if v >= self.threshold else None
            for v in values
        ]
