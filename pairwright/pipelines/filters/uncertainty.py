"""Keep pairs by how unsure their label is: how far draws with dropout, several annotators or the votes of a jury are apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from pairwright.annotators.mc_dropout import DRAW
from pairwright.pipelines.consensus.votes import agree
from pairwright.pipelines.filters.bald import bald, binary_entropy
from pairwright.pipelines.filters.base import LIMITS, Band, FilterScores, Floats, PairColumns
from pairwright.pipelines.filters.strength import Strength
from pairwright.pipelines.quality.sampling import order_of

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
    select, keep: of the n pairs with a score "easy" keeps the ceil(`keep` n) that are least unsure (`keep`: 0.5, UPO's rate),
        "hard" the most unsure; hashes of their ids choose among equal ones. UPO draws pairs with `easy_probabilities` or
        `hard_probabilities` of `filters.bald`; the first is nearly uniform, so we take the first ones, of all pairs with a score
        (UPO: of those whose members agree with the label). Without `select` and limits it is "easy".

    UPO shows its classifier the chosen response first, so a liking for the first place leaks in. Here nothing is shown first: a
    draw scores one response, and an annotator that compares asks in both orders. Missing where a response has no draws, an
    annotator no score, or too few voted.
    """

    use: Literal["uncertainty"] = "uncertainty"
    statistic: Literal["bald", "margin_sd", "ensemble", "vote_entropy"] = "bald"
    annotators: tuple[str, ...] = ("mc_dropout",)
    slope: float = Field(default=1.0, gt=0, description="of bald")
    standardise: Literal["dataset", "none"] = Field(default="dataset", description="of ensemble")
    on_disagreement: Literal["drop", "keep"] = "keep"
    select: Literal["easy", "hard"] | None = None
    keep: float | None = Field(default=None, gt=0, lt=1)

    @property
    def selection(self) -> Literal["easy", "hard"] | None:
        """Which end is kept; None: what lies within the limits that are given."""
        return self.select or (None if any(getattr(self, name) is not None for name in LIMITS) else "easy")

    @property
    def share(self) -> float:
        """How much of the pairs a selection keeps."""
        return 0.5 if self.keep is None else self.keep

    @property
    def limits(self) -> Mapping[str, float]:
        """Those that are given, or what comes nearest to the selection."""
        if self.selection is None:
            return super().limits
        return {"max_quantile": self.share} if self.selection == "easy" else {"min_quantile": 1 - self.share}

    def about(self) -> dict[str, Any]:
        """Its settings, whoever chose the end that is kept: a quantile of the same share may keep other pairs."""
        return {**super().about(), "select": self.selection}

    @model_validator(mode="after")
    def _check(self) -> Uncertainty:
        n = len(self.annotators)
        if len(set(self.annotators)) < n:
            raise ValueError("an annotator is listed twice: list each once")
        if self.statistic in OF_DRAWS and n != 1:
            raise ValueError(f"`statistic: {self.statistic}` is of the draws of one annotator: name one in `annotators`")
        if self.statistic == "ensemble" and n < 2:
            raise ValueError("`statistic: ensemble` needs at least two `annotators`: name them")
        default = type(self).model_fields["annotators"].default
        if n == 0 or (self.statistic == "vote_entropy" and self.annotators == default):
            raise ValueError("`statistic: vote_entropy` needs `annotators`: name several, or one that compares, such as a jury")
        if self.statistic != "bald" and self.slope != 1:
            raise ValueError(f"`slope` has no effect with `statistic: {self.statistic}`: remove it")
        for name in LIMITS if self.select is not None else ():
            if getattr(self, name) not in (None, self.limits.get(name)):
                raise ValueError(f"`select` sets the limit itself, with `keep`: remove `{name}` or `select`")
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
            found = self._of_draws(pairs)
        elif self.statistic == "ensemble":
            found = self._of_margins(pairs)
        else:
            found = self._of_votes(pairs) if len(self.annotators) > 1 else self._of_verdicts(pairs, self.annotators[0])
        return replace(found, order=order_of(pairs.pair_ids, self.use))

    def objections(self, values: Floats) -> list[str | None]:
        """Why each score lies outside the limits, or None; a selection is made by `judge`, which can tell equal scores apart."""
        return super().objections(values) if self.selection is None else [None] * len(values)

    def judge(self, scores: FilterScores) -> list[str | None]:
        """For each pair: why it fails, or None."""
        return super().judge(scores if self.selection is None else replace(scores, faults=self._unselected(scores)))

    def _unselected(self, scores: FilterScores) -> list[str | None]:
        """The faults, and of each pair with a score that is not selected that it is not."""
        places = np.flatnonzero(~np.ma.getmaskarray(scores.values))
        values = scores.values.compressed()
        kept = math.ceil(self.share * len(places) - 1e-9)
        sign, which = (1, "surest") if self.selection == "easy" else (-1, "least sure")
        faults = list(scores.faults or [None] * len(scores.reasons))
        for i in np.lexsort((scores.order[places], sign * values))[kept:]:
            faults[places[i]] = f"{self.measure} {values[i]:.6g} is not among the {kept} {which} of {len(places)}"
        return faults

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
        return FilterScores.of(values, f"{name} stored no {DRAW}<t>, or not as many, of one of the two responses", faults)

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
