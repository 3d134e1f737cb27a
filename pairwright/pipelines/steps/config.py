"""What a recipe says about step labels: how to search, who judges, and which view of the counts is the label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from pairwright.annotators.steps.base import SearchSettings
from pairwright.annotators.steps.judge import JudgeConfig
from pairwright.annotators.steps.omega_prm import OmegaConfig
from pairwright.annotators.steps.search import Search
from pairwright.annotators.steps.searches import AnySearch, search_of
from pairwright.errors import PairwrightError
from pairwright.pipelines.step_labels.config import LabelConfig

SEARCHED = {*SearchSettings.model_fields, "search"}  # what trees depend on; the rest is read from them afterwards


class StepsConfig(SearchSettings):
    """The part `steps` of a recipe."""

    search: AnySearch = OmegaConfig()
    judge: JudgeConfig | None = Field(None, description="consensus: keep a solution only if a judge finds the same first error")
    labels: LabelConfig = LabelConfig()

    @model_validator(mode="before")
    @classmethod
    def _spell_out(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and isinstance(data.get("search"), str):
            return {**data, "search": {"use": data["search"]}}
        return data

    @model_validator(mode="after")
    def _check(self) -> StepsConfig:
        method = self.method()
        if method.by_steps and self.segment.by == "pieces":
            raise PairwrightError(
                f"`steps.search: {self.search.use}` makes one step at a time, and `segment.by: pieces` can only cut what is "
                "finished: use delimiter, tags or tokens"
            )
        repeated = self.search.repeats()
        if repeated is not None and self.sampling.temperature == 0:
            raise PairwrightError(
                f"`steps.sampling.temperature: 0` makes all {repeated[1]} of `steps.search.{repeated[0]}` the same completion, "
                f"which would be counted as many: raise the temperature or set `{repeated[0]}` to 1"
            )
        if mismatch := self.labels.mismatch(self.search.use):
            raise PairwrightError(mismatch)
        prover = self.labels.prover
        if prover is not None and prover not in (getattr(self.search, "provers", ()) or ()):
            raise PairwrightError(
                f"`steps.labels.prover: {prover}` needs rollouts of that role: set `steps.search: {{use: monte_carlo, "
                f"provers: [{prover}]}}`"
            )
        return self

    def method(self) -> Search[Any]:
        """The search with its settings."""
        return search_of(self.search)

    def role_needs(self) -> dict[str, dict[str, frozenset[str]]]:
        """Who needs what of which role."""
        needs = {role: {f"search {self.search.use}": wants} for role, wants in self.method().roles(self.completer).items()}
        if self.judge is not None:
            for role, wants in self.judge.roles().items():
                needs.setdefault(role, {})["the judge of steps"] = wants
        return needs
