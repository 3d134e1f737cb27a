"""Drop pairs that hold what a model will be tested on."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, model_validator

from pairwright.pipelines.filters.base import Filter, FilterScores, Floats, PairColumns
from pairwright.pipelines.hygiene.contamination import NGRAM, THRESHOLD, EvalIndex
from pairwright.pipelines.hygiene.evals import EvalFile
from pairwright.pipelines.hygiene.turns import user_turns


class Decontaminate(Filter):
    """Score: the greatest share of an evaluation's item that the pair's prompt covers with word 8-grams, in [0, 1]; fails above
    `threshold`, not at it. The prompt is its user turns, one by one and together. `EvalIndex` gives the measure and its source.

    evals: files of items, as JSONL, JSON, CSV or Parquet, with the `fields` that hold what a prompt would hold (question and
        passage, say). Relative paths start at the working folder.
    responses: also look into the chosen response, which may hold a test's answer: give the file once more for that field.
    """

    use: Literal["decontaminate"] = "decontaminate"
    evals: tuple[EvalFile, ...] = Field(min_length=1)
    ngram: int = Field(default=NGRAM, ge=2)
    threshold: float = Field(default=THRESHOLD, ge=0, lt=1)
    responses: bool = False

    @model_validator(mode="before")
    @classmethod
    def _one_is_a_list(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and isinstance(data.get("evals"), str | Mapping):
            return {**data, "evals": [data["evals"]]}
        return data

    @cached_property
    def index(self) -> EvalIndex:
        """The items of all files; read when first asked for."""
        return EvalIndex([item for file in self.evals for item in file.items()], self.ngram)

    def about(self) -> dict[str, Any]:
        """Its settings and what is in its files."""
        return {**super().about(), "sha256": [file.digests() for file in self.evals]}

    def score(self, pairs: PairColumns) -> FilterScores:
        """The greatest score of any item; the fault names it. Never missing."""
        texts = [(i, "prompt", text) for i, prompt in enumerate(pairs.prompts) for text in user_turns(prompt)]
        if self.responses:
            texts += [(i, "chosen response", text) for i, text in enumerate(pairs.chosen.texts)]
        values, faults = [0.0] * len(pairs), list[str | None]([None] * len(pairs))
        for (i, what, _), scores in zip(texts, self.index.scores([text for _, _, text in texts]), strict=True):
            item, score = max(scores.items(), key=lambda found: found[1], default=(0, 0.0))
            if score > values[i]:
                values[i] = score
                if score > self.threshold:
                    faults[i] = (
                        f"the {what} covers {score:.3g} of the item {self.index.items[item].place}, above {self.threshold:g}"
                    )
        return FilterScores.of(values, faults=faults)

    def objections(self, values: Floats) -> list[str | None]:
        """None: the faults name the items."""
        return [None] * len(values)
