"""Keep the pairs that several sources of margins together find the surest (the selection of BeeS)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from pairwright.pipelines.combining.numbers import quantile, sigmoid
from pairwright.pipelines.filters.base import Band, FilterScores, PairColumns

EPS = 1e-6  # a source that is sure of one pair must not outvote all others for good
QUANTILES = (0.01, 0.99)


def scaled(margin: float, low: float, high: float) -> float:
    """(clip(margin, low, high) - low) / (high - low)."""
    return (min(max(margin, low), high) - low) / (high - low)


def fused(probabilities: Sequence[float]) -> float:
    """prod p / (prod p + prod (1 - p)), each p held within (`EPS`, 1 - `EPS`)."""
    held = [min(max(p, EPS), 1 - EPS) for p in probabilities]
    return sigmoid(math.fsum(math.log(p / (1 - p)) for p in held))


class FusedMargin(Band):
    """Score: prod_s p_s / (prod_s p_s + prod_s (1 - p_s)) over sources s, p_s being the source's margin (score of chosen - score
    of rejected), clipped to [L, U] and stretched to [0, 1] (BeeS, "Less is more", arXiv 2502.14560).

    The paper's sources are an external reward model and the implicit reward of a small trained policy, and it keeps the top 2 to
    10 %; with no limit given, `min_quantile` 0.9. Its L and U were not found: ours are the 1st and 99th percentile of the
    source's margins over all pairs; `clip` sets them by source, as [L, U] in units of its score. A p is held off 0 and 1, which
    would decide alone. Missing where a source has no margin, or the same for all pairs.
    """

    whole: ClassVar[bool] = True
    default_limits: ClassVar[Mapping[str, float]] = {"min_quantile": 0.9}

    use: Literal["fused_margin"] = "fused_margin"
    annotators: tuple[str, ...] = Field(min_length=2)
    clip: dict[str, tuple[float, float]] = Field(default={})

    @model_validator(mode="after")
    def _check_sources(self) -> FusedMargin:
        if len(set(self.annotators)) < len(self.annotators):
            raise ValueError("an annotator is listed twice: list each once")
        for name, (low, high) in self.clip.items():
            if name not in self.annotators:
                raise ValueError(f"`clip` speaks of {name!r}, which is not among its annotators {', '.join(self.annotators)}")
            if low >= high:
                raise ValueError(f"`clip` of {name!r} is [lower, upper], and {low:g} is not below {high:g}")
        return self

    @property
    def measure(self) -> str:
        """The subject of its sentences."""
        return "fused margin"

    def reads(self) -> tuple[str, ...]:
        """Its annotators."""
        return self.annotators

    def score(self, pairs: PairColumns) -> FilterScores:
        """The fused margin."""
        columns = {name: pairs.margins(name) for name in self.annotators}
        ends = {name: self._ends(name, [m for m in margins if m is not None]) for name, margins in columns.items()}
        flat = next((name for name, (low, high) in ends.items() if low >= high), None)
        if flat is not None:
            return FilterScores.of([None] * len(pairs), f"{flat} gives all pairs one margin, or none")
        rows = zip(*columns.values(), strict=True)
        return FilterScores.of([self._fused(row, ends) for row in rows], f"one of {', '.join(columns)} lacks a score")

    def _ends(self, name: str, margins: list[float]) -> tuple[float, float]:
        """L and U."""
        if name in self.clip or not margins:
            return self.clip.get(name, (0.0, 0.0))
        low, high = (quantile(margins, q) for q in QUANTILES)
        return low, high

    def _fused(self, row: Sequence[float | None], ends: Mapping[str, tuple[float, float]]) -> float | None:
        known = [scaled(m, *ends[name]) for name, m in zip(self.annotators, row, strict=True) if m is not None]
        return fused(known) if len(known) == len(row) else None
