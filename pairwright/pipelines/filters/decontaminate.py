"""Drop pairs that hold what a model will be tested on."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Any, Literal

from pydantic import Field, model_validator

from pairwright.errors import PairwrightError
from pairwright.pipelines.filters.base import Filter, FilterScores, Floats, PairColumns
from pairwright.pipelines.hygiene.contamination import NGRAM, THRESHOLD, EvalIndex
from pairwright.pipelines.hygiene.evals import EvalFile
from pairwright.pipelines.hygiene.turns import user_turns


class Decontaminate(Filter):
    """Score: the greatest share of an evaluation's item that the pair's prompt covers with word 8-grams, in [0, 1]; fails above
    `threshold`, not at it. The prompt is its user turns, one by one and together. `EvalIndex` gives the measure and its source.

    evals: files of items, as JSONL, JSON, CSV or Parquet, with the `fields` that hold what a prompt would hold (question and
        passage, say). Relative paths start at the folder of the recipe, those of a single setting at the working folder.
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
        if not isinstance(data, Mapping) or isinstance(data.get("evals", []), list | tuple):
            return data
        if not isinstance(data["evals"], str | Mapping):
            raise ValueError("`evals` names a file of evaluation items, or a list of such files")
        return {**data, "evals": [data["evals"]]}

    @cached_property
    def index(self) -> EvalIndex:
        """The items of all files; read when first asked for."""
        return _index(self.evals, tuple(found for file in self.evals for found in file.digests()), self.ngram)

    def check(self) -> None:
        """Raise PairwrightError if a file is not there or of another shape."""
        try:
            for file in self.evals:
                file.files()
        except PairwrightError as error:
            raise PairwrightError(f"the filter {self.name!r}: {error}, as in `filters.{self.name}.evals=PATH`") from None
        try:
            _ = self.index
        except PairwrightError as error:
            raise PairwrightError(f"the filter {self.name!r}: {error}") from None

    def about(self) -> dict[str, Any]:
        """Its settings and what is in its files, wherever they lie."""
        return {**super().about(), "evals": [(file.digests(), file.fields) for file in self.evals]}

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


@lru_cache(maxsize=4)
def _index(evals: tuple[EvalFile, ...], digests: tuple[tuple[str, str], ...], ngram: int) -> EvalIndex:
    """The index of files that hold this, so that the cuts of a sweep share it."""
    return EvalIndex([item for file in evals for item in file.items()], ngram)
