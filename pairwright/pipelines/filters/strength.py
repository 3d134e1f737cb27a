"""Keep pairs by how strongly several annotators, such as reward models of different seeds, agree with the label."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from pairwright.pipelines.combining.numbers import NO_SPREAD, mean_and_sd
from pairwright.pipelines.filters.base import Band, FilterScores, PairColumns


class Strength(Band):
    """Score: the mean (or the deviation, ddof 0) over annotators of their margins, score of chosen - score of rejected.

    Preference strength of "Secrets of RLHF II" (arXiv 2401.06080), there over ten reward models that differ in their seed: a
    negative mean is mostly a wrong label, one near 0 a coin's toss; a large deviation means that they disagree. On HH about a
    quarter of all means were negative. The paper flips the lowest fifth rather than drops it, and softens the next. No limits are
    built in, since they hold for one data set only: `min: 0` drops by sign, `min_quantile: 0.2` the lowest fifth.

    standardise: "dataset" divides each annotator's margins by their deviation (ddof 0) over all pairs that have them, without
        moving the mean: the sign matters. "none" is for annotators of one scale.

    An annotator that compares has its Bradley-Terry strengths as scores. Missing where one of the annotators lacks a score, or
    gives all pairs one margin, so that it cannot be divided by its deviation.
    """

    whole: ClassVar[bool] = True

    use: Literal["strength"] = "strength"
    annotators: tuple[str, ...] = Field(min_length=2)
    statistic: Literal["mean", "sd"] = "mean"
    standardise: Literal["dataset", "none"] = "dataset"

    @model_validator(mode="after")
    def _check_annotators(self) -> Strength:
        if len(set(self.annotators)) < len(self.annotators):
            raise ValueError("an annotator is listed twice: list each once")
        return self

    @property
    def measure(self) -> str:
        """The subject of its sentences."""
        return "preference strength" if self.statistic == "mean" else "disagreement on preference strength"

    def reads(self) -> tuple[str, ...]:
        """Its annotators."""
        return self.annotators

    def score(self, pairs: PairColumns) -> FilterScores:
        """Mean or deviation of the annotators' margins."""
        columns = {name: pairs.margins(name) for name in self.annotators}
        reasons: list[str | None] = [
            next((f"{name} lacks a score of one of the two responses" for name, m in columns.items() if m[i] is None), None)
            for i in range(len(pairs))
        ]
        values = np.zeros(len(pairs))
        units = {name: self._unit(margins) for name, margins in columns.items()}
        flat = next((name for name, unit in units.items() if unit == 0), None)
        for i, reason in enumerate(reasons):
            if reason is None and flat is not None:
                reasons[i] = f"{flat} gives all pairs one margin"
            elif reason is None:
                mean, sd = mean_and_sd([m / units[name] for name, margins in columns.items() if (m := margins[i]) is not None])
                values[i] = mean if self.statistic == "mean" else sd
        return FilterScores(np.ma.MaskedArray(values, mask=[r is not None for r in reasons]), reasons)

    def _unit(self, margins: list[float | None]) -> float:
        """What an annotator's margins are divided by; 0 if they do not differ."""
        known = [m for m in margins if m is not None]
        if self.standardise == "none" or not known:
            return 1.0
        mean, sd = mean_and_sd(known)
        return sd if sd > NO_SPREAD * max(1.0, abs(mean)) and math.isfinite(sd) else 0.0
