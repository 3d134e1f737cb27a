"""A cascade: a cheap judge first, the next one only where the judge before was not sure enough ("Trust or Escalate").

Source: arXiv 2407.18370. Thresholds come from `pipelines.calibration`; with them, the verdicts that the cascade gives disagree
with the gold labels in at most a share alpha, with probability 1 - delta over the draw of the calibration items, as long as
what is labelled comes from the same source as those. Another model, template or kind of prompt needs another calibration.

The bound is on comparisons, not on pairs of a data set: those come from strengths fitted to all verdicts of a group, and a pair
may go against its own verdict or have none. The filter `verdict` carries the bound over: it keeps a pair only if the cascade
itself compared the two and prefers the chosen. Which verdicts become pairs is still a selection, of which the bound, an average
over all verdicts, says nothing; where every pair of a group that has a verdict is taken, little is selected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, model_validator

from pairwright.annotators.base import Group, Response
from pairwright.annotators.comparing import Comparer, ComparerConfig, Comparing, Comparison, passing
from pairwright.annotators.members import Member, about_members, roles_of

ABSTAINED = "abstained"


class Stage(Member):
    """A judge of the cascade. threshold: its word stands if its confidence max(p, 1 - p) is at least this; null: it never does,
    as when calibration found no threshold that qualifies."""

    threshold: float | None = Field(None, ge=0, le=1)


class CascadeConfig(ComparerConfig):
    """Settings of `Cascade`.

    stages: who is asked, cheapest first; the last may be a person.
    final: what is given when no stage was sure enough: "abstain" gives nothing, "accept" the last stage's word.
    """

    stages: tuple[Stage, ...]
    final: Literal["abstain", "accept"] = "abstain"

    @model_validator(mode="after")
    def _can_decide(self) -> CascadeConfig:
        if not self.stages:
            raise ValueError("a cascade needs at least one stage")
        if self.final == "abstain" and all(stage.threshold is None for stage in self.stages):
            raise ValueError(
                "no stage has a `threshold`, so that this cascade would never decide: find thresholds with "
                "`pairwright calibrate`, or set `final: accept`"
            )
        return self


class Cascade(Comparer[CascadeConfig]):
    """Asks stage after stage until one is sure enough. A stage that said nothing readable, or failed, is not sure. A stage
    that awaits a person, or failed for another reason that may pass, ends it: there is no verdict, for that reason, until it has
    been asked again.

    An abstention has the reason `abstained`; if the last stage did not answer at all, its own reason instead. `raw` holds the
    words of the stage that was heard last.

    parts: asked (stages asked); stage (index of the one whose word stands; absent after an abstention); p:<i> and conf:<i> of
    every stage i that said something; p_ab and p_ba of the stage whose word stands.
    """

    Config = CascadeConfig

    def roles(self) -> dict[str, frozenset[str]]:
        return roles_of(self.config.stages)

    def about(self) -> dict[str, Any]:
        return {**super().about(), **about_members(self.config.stages)}

    def compare(self, group: Group, a: Response, b: Response) -> Comparing:
        heard: list[Comparison] = []
        for stage in self.config.stages:
            heard.append((yield from stage.compare(group, a, b)))
            if waits := passing(heard[-1:]):
                return Comparison(None, reason=waits.reason, parts=trail(heard), raw=waits.raw)
            confidence = heard[-1].confidence
            if confidence is not None and stage.threshold is not None and confidence >= stage.threshold:
                return settled(heard)
        if self.config.final == "accept":
            return settled(heard)
        last = heard[-1]
        reason = last.reason if last.verdict is None else ABSTAINED
        return Comparison(None, reason=reason, parts=trail(heard), raw=last.raw)


def settled(heard: Sequence[Comparison], more: Mapping[str, float] | None = None) -> Comparison:
    """The word of the judge that was heard last, with what all of them said, and `more`, in its parts."""
    last = heard[-1]
    orders = {name: last.parts[name] for name in ("p_ab", "p_ba") if name in last.parts}
    parts = {"stage": float(len(heard) - 1), **trail(heard), **orders, **(more or {})}
    return Comparison(last.verdict, last.p, last.reason, parts, last.raw)


def trail(heard: Sequence[Comparison]) -> dict[str, float]:
    """How many judges were heard, and the p and confidence of those that said something."""
    found = {"asked": float(len(heard))}
    for i, comparison in enumerate(heard):
        if comparison.p is not None and comparison.confidence is not None:
            found |= {f"p:{i}": comparison.p, f"conf:{i}": comparison.confidence}
    return found
