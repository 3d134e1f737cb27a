"""Keep pairs by how unsure their label is: how far draws with dropout, several annotators or the votes of a jury are apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from pairwright.annotators.mc_dropout import DRAW
from pairwright.pipelines.consensus.votes import agree
from pairwright.pipelines.filters.bald import bald, binary_entropy
from pairwright.pipelines.filters.base import Band, FilterScores, Floats, PairColumns
from pairwright.pipelines.filters.strength import Strength

DRAWS = tuple(f"{DRAW}{t}" for t in range(1000))
OF_DRAWS = ("bald", "margin_sd")
MEASURES = {
    "bald": "BALD",
    "margin_sd": "the deviation of the margin over draws",
    "ensemble": "the annotators' disagreement on the margin",
    "vote_entropy": "the entropy of the votes",
}


class Uncertainty(Band):
    """Score, by `statistic`; higher is less sure.

    "bald": BALD in nats, in [0, ln 2], of p_t = sigmoid(slope * (draw t of chosen - draw t of rejected)); the draws are those of
        an annotator of method `mc_dropout`. In UPO (arXiv 2409.11212) a classifier trained on pairs gives p_t. Ours is made of
        log-probabilities: it is a preference only if the annotator has a `reference` and a scorer trained on preferences (`slope`
        is then DPO's beta), and sums over long responses make p_t 0 or 1 unless `slope` is small or `reduction` "mean".
    "margin_sd": the standard deviation (ddof 0) of draw t of chosen - draw t of rejected, in units of the draws.
    "ensemble": the deviation of the annotators' margins, each in its own unit: the filter `strength` with statistic "sd".
    "vote_entropy": of several annotators the entropy in nats of their votes on the pair, a tie being half a vote for each side;
        at least two must have voted. Of one that compares the entropy of its stored P(chosen is better); of a jury with rule
        "majority" that is the entropy of its members' votes, ties counted likewise.

    on_disagreement: "drop" also drops the pairs of which more members (draws, annotators; one that compares by its P) prefer the
        rejected response than the chosen one, as UPO does. Not by default: the plain log-probability of a small model prefers
        the shorter response, which says nothing against a label.
    select, keep: "easy" keeps the share `keep` (default 0.5, UPO's rate) of the pairs that are least unsure, "hard" the most
        unsure. UPO draws pairs with `easy_probabilities` or `hard_probabilities` of `filters.bald`; the first is nearly uniform,
        so we read it as a quantile, over all pairs with a score (UPO: of those whose members agree with the label). Without
        `select` and limits the surest half is kept, which is "easy".

    UPO shows its classifier the chosen response first, so a liking for the first place leaks in. Here nothing is shown first: a
    draw scores one response, and an annotator that compares asks in both orders. Missing where a response has no draws, an
    annotator no score, or too few voted.
    """

    default_limits: ClassVar[Mapping[str, float]] = {"max_quantile": 0.5}

    use: Literal["uncertainty"] = "uncertainty"
    statistic: Literal["bald", "margin_sd", "ensemble", "vote_entropy"] = "bald"
    annotators: tuple[str, ...] = ("mc_dropout",)
    slope: float = Field(default=1.0, gt=0, description="of bald")
    standardise: Literal["dataset", "none"] = Field(default="dataset", description="of ensemble")
    on_disagreement: Literal["drop", "keep"] = "keep"
    select: Literal["easy", "hard"] | None = None
    keep: float | None = Field(default=None, gt=0, lt=1)

    @model_validator(mode="before")
    @classmethod
    def _selection(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or data.get("select") is None:
            return data
        keep = 0.5 if data.get("keep") is None else data["keep"]
        if not isinstance(keep, float) or data["select"] not in ("easy", "hard"):
            return data
        ends = {"max_quantile": keep} if data["select"] == "easy" else {"min_quantile": 1 - keep}
        for limit in ("min", "max", "min_quantile", "max_quantile"):
            if data.get(limit) not in (None, ends.get(limit)):
                raise ValueError(f"`select` sets the limit itself, with `keep`: remove `{limit}` or `select`")
        return {**data, **ends}

    @model_validator(mode="after")
    def _check(self) -> Uncertainty:
        n = len(self.annotators)
        if len(set(self.annotators)) < n:
            raise ValueError("an annotator is listed twice: list each once")
        if self.statistic in OF_DRAWS and n != 1:
            raise ValueError(f"`statistic: {self.statistic}` is of the draws of one annotator: name one in `annotators`")
        if self.statistic == "ensemble" and n < 2:
            raise ValueError("`statistic: ensemble` needs at least two `annotators`: name them")
        if n == 0 or (self.statistic == "vote_entropy" and "annotators" not in self.model_fields_set):
            raise ValueError("`statistic: vote_entropy` needs `annotators`: name several, or one that compares, such as a jury")
        if self.statistic != "bald" and self.slope != 1:
            raise ValueError(f"`slope` has no effect with `statistic: {self.statistic}`: remove it")
        if self.keep is not None and self.select is None:
            raise ValueError("`keep` has no effect without `select`: add `select: easy` or `select: hard`, or remove it")
        return self

    @property
    def whole(self) -> bool:  # type: ignore[override]
        """Only margins that are measured by their deviation need all pairs at once."""
        return self.statistic == "ensemble" and self.standardise == "dataset"

    @property
    def measure(self) -> str:
        """The subject of its sentences."""
        return MEASURES[self.statistic]

    def requires(self) -> dict[str, str]:
        """The draws it reads."""
        return {self.annotators[0]: "mc_dropout"} if self.statistic in OF_DRAWS else {}

    def reads(self) -> tuple[str, ...]:
        """Its annotators."""
        return self.annotators

    def score(self, pairs: PairColumns) -> FilterScores:
        """How unsure each label is."""
        if self.statistic in OF_DRAWS:
            return self._of_draws(pairs)
        if self.statistic == "ensemble":
            return self._of_margins(pairs)
        return self._of_votes(pairs) if len(self.annotators) > 1 else self._of_verdicts(pairs, self.annotators[0])

    def _of_draws(self, pairs: PairColumns) -> FilterScores:
        name = self.annotators[0]
        margins = draw_margins(pairs, name)
        values: list[float | None] = [None] * len(margins)
        for t in {len(row) for row in margins} - {0}:
            at = [i for i, row in enumerate(margins) if len(row) == t]
            rows = np.array([margins[i] for i in at], np.float64)
            found = bald(expit(self.slope * rows)) if self.statistic == "bald" else rows.std(axis=1)
            for i, value in zip(at, found.tolist(), strict=True):
                values[i] = value
        faults = [self._fault(row, "draws") for row in margins]
        return FilterScores.of(values, f"{name} stored no draws, or not as many, of one of the two responses", faults)

    def _of_margins(self, pairs: PairColumns) -> FilterScores:
        apart = Strength(annotators=self.annotators, statistic="sd", standardise=self.standardise, min=0).score(pairs)
        rows = zip(*(pairs.margins(name) for name in self.annotators), strict=True)
        faults = [self._fault([m for m in row if m is not None], "annotators") for row in rows]
        return FilterScores(apart.values, apart.reasons, faults)

    def _of_votes(self, pairs: PairColumns) -> FilterScores:
        votes = {name: pairs.votes(name) for name in self.annotators}
        values = [v.entropy if v.votes > 1 else None for v in agree(votes)]
        rows = zip(*votes.values(), strict=True)
        faults = [self._fault([v - 0.5 for v in row if v is not None], "annotators") for row in rows]
        return FilterScores.of(values, "fewer than two annotators have a vote on the two responses", faults)

    def _of_verdicts(self, pairs: PairColumns, name: str) -> FilterScores:
        known = pairs.load_comparisons(name)
        met = zip(pairs.chosen.ids, pairs.rejected.ids, strict=True)
        found = [known.probabilities.get(two, known.verdicts.get(two)) for two in met]
        values = [None if p is None else float(binary_entropy(np.array(p))) for p in found]
        drop = self.on_disagreement == "drop"
        against = f"{name} prefers the rejected response (P that the chosen is better: {{:.3g}})"
        faults = [against.format(p) if drop and p is not None and p < 0.5 else None for p in found]
        return FilterScores.of(values, f"{name} has no verdict on exactly these two", faults)

    def _fault(self, margins: Sequence[float], members: str) -> str | None:
        """Why a pair fails of which these are its members' margins."""
        against, for_it = sum(m < 0 for m in margins), sum(m > 0 for m in margins)
        if self.on_disagreement == "keep" or against <= for_it:
            return None
        return f"{against} of {len(margins)} {members} prefer the rejected response"


def expit(x: Floats) -> Floats:
    """1 / (1 + e^-x), elementwise, stable for any x."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)))


def draw_margins(pairs: PairColumns, annotator: str) -> list[list[float]]:
    """For each pair draw t of chosen - draw t of rejected, t = 0, 1, ...; empty where the two have not as many draws, or none."""
    parts = pairs.parts(annotator)

    def draws(response: str) -> list[float]:
        stored = parts.get(response, {})
        return [stored[name] for name in takewhile(stored.__contains__, DRAWS)]

    both = ((draws(c), draws(r)) for c, r in zip(pairs.chosen.ids, pairs.rejected.ids, strict=True))
    return [[c - r for c, r in zip(*two, strict=True)] if len(two[0]) == len(two[1]) else [] for two in both]
