"""Keep the pairs whose chosen response is good, and whose rejected one is bad, by absolute scores."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pairwright.pipelines.filters.base import Filter, FilterScores, Floats, PairColumns

Slack = tuple[float, str]  # how far within a limit, and what is to be said beyond it


class Floor(Filter):
    """Score: how far the pair is within the limit that it comes nearest to failing or fails most, negative beyond it; in units of
    that annotator's score. All limits must hold, and each includes its end.

    chosen: annotator -> the least score of the chosen response. rejected: annotator -> the most the rejected one may have.

    With the quality of the chosen response stands and falls what is learnt; how bad the rejected one is matters little (arXiv
    2508.18312). So put a floor under the chosen one before any filter on margins. Mixed sets do (chosen at least 5 of 5 in
    parts of ORPO-DPO-mix-40k). Missing where one of the annotators lacks a score it is asked for; a
    pair that is beyond another limit fails all the same, even with `on_missing: keep`.
    """

    use: Literal["floor"] = "floor"
    chosen: dict[str, float] = Field(default={})
    rejected: dict[str, float] = Field(default={})

    @model_validator(mode="after")
    def _check_limits(self) -> Floor:
        if not self.chosen and not self.rejected:
            raise ValueError("it keeps everything: name an annotator and its limit under `chosen` or `rejected`")
        return self

    def reads(self) -> tuple[str, ...]:
        """The annotators of all limits."""
        return tuple(dict.fromkeys((*self.chosen, *self.rejected)))

    def score(self, pairs: PairColumns) -> FilterScores:
        """The least slack, and as a fault what is beyond its limit."""
        columns = [self._slacks(pairs, name, limit, 1) for name, limit in self.chosen.items()]
        columns += [self._slacks(pairs, name, limit, -1) for name, limit in self.rejected.items()]
        rows = list(zip(*columns, strict=True))
        least = [min((slack for slack in row if slack is not None), default=None) for row in rows]
        values = [None if slack is None or None in row else slack[0] for row, slack in zip(rows, least, strict=True)]
        faults = [None if slack is None or slack[0] >= 0 else slack[1] for slack in least]
        return FilterScores.of(values, f"{' or '.join(self.reads())} lacks a score of a response that has a limit", faults)

    def _slacks(self, pairs: PairColumns, name: str, limit: float, sign: Literal[1, -1]) -> list[Slack | None]:
        """sign 1: the chosen response must reach `limit`; -1: the rejected one must not exceed it."""
        scores, side = pairs.load_scores(name), pairs.chosen if sign == 1 else pairs.rejected
        who, beyond = ("chosen", "below the floor") if sign == 1 else ("rejected", "above the limit")
        found = (scores.get(id) for id in side.ids)
        return [None if s is None else (sign * (s - limit), f"{name} gives {who} {s:.6g}, {beyond} {limit:g}") for s in found]

    def objections(self, values: Floats) -> list[str | None]:
        """None: which limit fails is told by the faults."""
        return [None] * len(values)
