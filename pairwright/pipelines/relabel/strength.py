"""Turn around or soften the labels that several annotators, such as reward models of different seeds, speak against."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from pairwright.pipelines.combining.numbers import sigmoid
from pairwright.pipelines.filters.base import FilterScores, Floats, PairColumns
from pairwright.pipelines.filters.strength import Strength as StrengthFilter
from pairwright.pipelines.relabel.base import Relabel, Treatment

LEAST = 1e-6  # how far a soft label stays away from 1/2 and from 1
Share = Field(default=None, gt=0, lt=1)


class Strength(Relabel):
    """By the mean of the annotators' margins, the score of the filter `strength`, flip, soften or leave a pair ("Secrets of RLHF
    II", arXiv 2401.06080).

    flip_below, flip_quantile: the pairs whose mean is below the value, below that quantile of all means, or with both, below
        both. A mean of 0 or more is never flipped (ours), so a pair that was turned around is not turned back.
    soften_below, soften_quantile: the same for a soft label, of those that were not flipped: the band next to them.
    soften_top: the share of pairs with the highest means that gets a soft label too.
    soft: "epsilon" labels 1 - `epsilon`; "sigmoid" labels sigmoid(mean), just above 1/2 where the mean is not above 0.
    soften_flipped: give flipped pairs a soft label as well, of their mean after the flip.

    The paper: the lowest fifth of HH is mostly mislabelled and flipped, the next fifth is ambiguous, the highest tenth makes a
    model overfit: `flip_quantile: 0.2`, `soften_quantile: 0.4`, `soften_top: 0.1`. Its smoothing was not found: 0.1 is ours.
    Its reward models were trained on the very pairs they judge; annotators that were not see noise that such models memorise.
    """

    whole: ClassVar[bool] = True

    use: Literal["strength"] = "strength"
    annotators: tuple[str, ...] = Field(min_length=2)
    standardise: Literal["dataset", "none"] = "dataset"
    flip_below: float | None = Field(default=None, le=0)
    flip_quantile: float | None = Share
    soften_below: float | None = None
    soften_quantile: float | None = Share
    soften_top: float | None = Share
    soft: Literal["epsilon", "sigmoid"] = "epsilon"
    epsilon: float = Field(default=0.1, gt=0, lt=0.5)
    soften_flipped: bool = False

    @model_validator(mode="after")
    def _check(self) -> Strength:
        if len(set(self.annotators)) < len(self.annotators):
            raise ValueError("an annotator is listed twice: list each once")
        limits = ("flip_below", "flip_quantile", "soften_below", "soften_quantile", "soften_top")
        if all(getattr(self, name) is None for name in limits):
            raise ValueError(f"it changes nothing: give at least one of {', '.join(f'`{name}`' for name in limits)}")
        for by in ("below", "quantile"):
            flip, soften = getattr(self, f"flip_{by}"), getattr(self, f"soften_{by}")
            if flip is not None and soften is not None and soften <= flip:
                raise ValueError(f"`soften_{by}` {soften:g} softens nothing: the pairs below `flip_{by}` {flip:g} are flipped")
        if self.soften_top is not None and self.soften_quantile is not None and self.soften_top + self.soften_quantile > 1:
            raise ValueError(
                f"`soften_top` {self.soften_top:g} and `soften_quantile` {self.soften_quantile:g} overlap: lower one"
            )
        if self.soft == "sigmoid" and self.epsilon != type(self).model_fields["epsilon"].default:
            raise ValueError("`epsilon` has no effect with `soft: sigmoid`: remove one of them")
        if self.soften_flipped and self.flip_below is None and self.flip_quantile is None:
            raise ValueError("`soften_flipped` has no effect where nothing is flipped: give `flip_below` or `flip_quantile`")
        return self

    @cached_property
    def _filter(self) -> StrengthFilter:
        return StrengthFilter(annotators=self.annotators, standardise=self.standardise, min=0)

    def reads(self) -> tuple[str, ...]:
        """Its annotators."""
        return self.annotators

    def flips(self) -> bool:
        """Only below a limit that is given."""
        return self.flip_below is not None or self.flip_quantile is not None

    def score(self, pairs: PairColumns) -> FilterScores:
        """The mean of the annotators' margins."""
        return self._filter.score(pairs)

    def treat(self, values: Floats) -> Treatment:
        """What pairs with these means get."""
        flip = _below(values, self.flip_below, self.flip_quantile) & (values < 0)
        soften = _below(values, self.soften_below, self.soften_quantile) & ~flip
        if self.soften_top is not None and len(values):
            soften |= ~flip & (values > np.quantile(values, 1 - self.soften_top))
        if self.soften_flipped:
            soften |= flip
        soft = [self._soft(abs(v) if f else float(v)) if s else np.nan for v, f, s in zip(values, flip, soften, strict=True)]
        return Treatment(flip, np.array(soft, dtype=np.float64))

    def _soft(self, mean: float) -> float:
        """P(the chosen response is better) of a pair with this mean."""
        if self.soft == "epsilon":
            return 1 - self.epsilon
        return min(max(sigmoid(mean), 0.5 + LEAST), 1 - LEAST)


def _below(values: Floats, limit: float | None, q: float | None) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which values are below all limits that are given; none where none is given."""
    if (limit is None and q is None) or not len(values):
        return np.zeros(len(values), dtype=bool)
    least = [x for x in (limit, None if q is None else float(np.quantile(values, q))) if x is not None]
    return np.asarray(values < min(least))
