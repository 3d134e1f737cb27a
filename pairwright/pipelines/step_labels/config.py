"""Which view of the stored counts is the label. Nothing here is paid for: another view is another cut of the same trees."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pairwright.pipelines.step_labels.pairs import PairRule

View = Literal["hard", "soft", "value", "advantage", "implicit", "rest"]
ONLY_WITH = {"prover": "advantage", "best_of": "advantage", "alpha": "advantage", "rest_mode": "rest"}


class LabelConfig(BaseModel):
    """How solutions are labelled. Hard labels are always there; `scores` says what stands beside them."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    scores: View | Literal["auto"] = Field("auto", description="auto: soft; hard where a judge has filtered the solutions")
    threshold: int = Field(0, ge=0, description="a step is good if more rollouts than this were right")
    truncate: bool = Field(True, description="steps after the first error carry no label and go to `tail`")
    prover: str | None = Field(None, description="the role whose rollouts give advantages; default: the completer")
    best_of: int = Field(1, ge=1, description="K: the prover is the best of K of its rollouts, Q = 1 - (1 - Q)^K")
    alpha: float = Field(0, ge=0, description="above 0 the score is the effective reward Q + alpha A, else A alone")
    compress: float = Field(0, ge=0, le=1, description="HNC: probability that a node with four children has one merged into it")
    seed: int = 0
    rest_mode: Literal["full", "simple"] = "full"
    pairs: PairRule = PairRule()

    @model_validator(mode="after")
    def _check(self) -> LabelConfig:
        for name, view in ONLY_WITH.items():
            if self.scores != view and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"`{name}` has no effect with `scores: {self.scores}`: remove it or use `scores: {view}`")
        if self.compress and self.scores in ("advantage", "implicit"):
            raise ValueError(
                f"`compress` gives merged steps the score of the later one, and `{self.scores}` is a difference: use one"
            )
        return self

    def view(self, method: str, filtered: bool) -> View:
        """The view of a tree that `method` searched. `filtered`: a judge removes solutions. Lessons (arXiv 2501.07301): before
        filtering soft and hard are equally good, after it hard is far better. An implicit search has rewards and no counts."""
        if self.scores != "auto":
            return self.scores
        return "implicit" if method == "implicit" else "hard" if filtered else "soft"

    def mismatch(self, method: str) -> str | None:
        """Why no tree that `method` searched can have these scores, as a sentence for the user; None if it can."""
        if self.scores != "implicit" or method == "implicit":
            return None
        return f"`steps.labels.scores: implicit` needs `steps.search: implicit`, and the search is {method}: change one of them"
