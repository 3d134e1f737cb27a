"""What relabelling is: a number per pair, and from all of them which pairs are turned around and which labels are softened."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from pairwright.pipelines.filters.base import FilterScores, Floats, PairColumns


@dataclass(frozen=True)
class Treatment:
    """What N pairs get. flip: chosen and rejected change places. p_chosen: P(the response that is the chosen one *afterwards* is
    better), in (1/2, 1); NaN: the label stays hard. A trainer's label smoothing is 1 - p_chosen."""

    flip: npt.NDArray[np.bool_]
    p_chosen: Floats

    def __post_init__(self) -> None:
        soft = self.p_chosen[~np.isnan(self.p_chosen)]
        if self.flip.shape != self.p_chosen.shape or ((soft <= 0.5) | (soft >= 1)).any():
            raise ValueError("a treatment has one flip and one p_chosen per pair, and p_chosen lies between 1/2 and 1")


class Relabel(BaseModel, ABC):
    """A rule and its settings in one. Rules run in the order of the recipe, each on the pairs as the one before left them; the
    filters come after. A pair without a score is left as it is.

    Raise `version` when the same settings would give other treatments.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    version: ClassVar[int] = 1
    whole: ClassVar[bool] = False
    """As of filters: does a pair's score depend on the other pairs?"""

    use: str
    name: str = Field(default="", pattern=re.compile(r"^[A-Za-z_][A-Za-z0-9_]*\Z"))

    @model_validator(mode="before")
    @classmethod
    def _default_name(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and data.get("name") is None:
            return {**data, "name": cls.model_fields["use"].default}
        return data

    def about(self) -> dict[str, Any]:
        """What its treatments depend on besides the pairs."""
        return {"version": self.version, **self.model_dump(mode="json")}

    def reads(self) -> tuple[str, ...]:
        """The annotators that the recipe must have because this rule reads their labels."""
        return ()

    def flips(self) -> bool:
        """Can it turn a pair around?"""
        return True

    @abstractmethod
    def score(self, pairs: PairColumns) -> FilterScores:
        """One number per pair, masked with a reason where there is none."""

    @abstractmethod
    def treat(self, values: Floats) -> Treatment:
        """What the pairs with these scores get; `values` are all scores of the dataset that are there."""
