"""A jury: several annotators compare, and their votes are counted (PoLL, arXiv 2404.18796: small judges of different families).

The rule "majority" is PoLL's for binary verdicts, from memory and not confirmed in the paper's text [M]. Families, weights and
the number of votes a verdict needs are ours.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from pydantic import Field, model_validator

from pairwright.annotators.base import Group, Response
from pairwright.annotators.comparing import Comparer, ComparerConfig, Comparing, Comparison, Verdict, passing, sigmoid, verdict_of
from pairwright.annotators.members import Member, about_members, roles_of
from pairwright.engines.runner import gather


class Juror(Member):
    """One member of a jury.

    name: what its vote is called in `parts`; its place (0, 1, ...) if it has none.
    family: jurors of one family are likely to make the same mistakes, so together they have one vote: the mean of theirs.
    accuracy: its share of right verdicts on labelled pairs, measured beforehand; for the rule "weighted".
    """

    name: str | None = Field(None, min_length=1)
    family: str | None = None
    accuracy: float | None = Field(None, gt=0, lt=1)


class JuryConfig(ComparerConfig):
    """Settings of `Jury`.

    rule: "majority": the verdict with the most votes, a tie if two have as many; p is the share of votes for a, a tie being half
        a vote. "mean": of the votes' P(a is better). "weighted": p = sigmoid(sum of +w for a, -w for b), w = log-odds of the
        juror's accuracy: the posterior if jurors err independently; one worse than chance counts against what it says.
    tie_band: of the rules "mean" and "weighted": a tie when |p - 1/2| is below this.
    """

    members: tuple[Juror, ...]
    rule: Literal["majority", "mean", "weighted"] = "majority"
    tie_band: float = Field(0.0, ge=0, lt=0.5)

    @model_validator(mode="after")
    def _can_vote(self) -> JuryConfig:
        if len(self.members) < 2:
            raise ValueError("a jury needs at least two members")
        twice = [name for name, n in Counter(self.names).items() if n > 1]
        if twice:
            raise ValueError(f"two members are called {twice[0]!r}: give each its own `name`")
        unknown = [name for name, m in zip(self.names, self.members, strict=True) if m.accuracy is None]
        if self.rule == "weighted" and unknown:
            raise ValueError(f"the rule `weighted` needs the `accuracy` of every member; {unknown[0]!r} has none")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """What each member is called."""
        return tuple(m.name or str(i) for i, m in enumerate(self.members))


class Vote(NamedTuple):
    """One vote: P(a is better), its side (1: a, 0: tie, -1: b) and its side in log-odds; of a family, the mean of each."""

    p: float
    side: float
    odds: float


class Jury(Comparer[JuryConfig]):
    """Asks every member; at least half of them (rounded up) must have a verdict, else the comparison is invalid: `too_few_votes`
    (or a failure's own reason if nothing but failures is in the way). It does not settle before all have been heard: a member
    that awaits a person, or failed for another reason that may pass, leaves the comparison without a verdict, for that reason.

    parts: `p:<name>` P(a is better) of each member that has a verdict, valid (how many have one), agreement (the share of these
    whose verdict is the jury's).
    """

    Config = JuryConfig

    def roles(self) -> dict[str, frozenset[str]]:
        return roles_of(self.config.members)

    def about(self) -> dict[str, Any]:
        return {**super().about(), **about_members(self.config.members)}

    def compare(self, group: Group, a: Response, b: Response) -> Comparing:
        c = self.config
        said: list[Comparison] = yield from gather(*(m.compare(group, a, b) for m in c.members))
        voting = [(m, one) for m, one in zip(c.members, said, strict=True) if one.p is not None]
        parts = {f"p:{name}": one.p for name, one in zip(c.names, said, strict=True) if one.p is not None}
        parts["valid"] = float(len(voting))
        if waits := passing(said):
            return replace(waits, parts=parts)
        if 2 * len(voting) < len(c.members):
            return _no_verdict(said, parts)
        verdict, p = counted(votes(voting), c.rule, c.tie_band)
        parts["agreement"] = sum(one.verdict == verdict for _, one in voting) / len(voting)
        return Comparison(verdict, p, parts=parts)


def votes(said: Sequence[tuple[Juror, Comparison]]) -> list[Vote]:
    """The votes of jurors who have a verdict: one for every family, and one for every juror without a family."""
    benches: dict[object, list[Vote]] = {}
    for i, (juror, one) in enumerate(said):
        assert one.p is not None
        odds = 0.0 if juror.accuracy is None else math.log(juror.accuracy / (1 - juror.accuracy))
        side = {"a": 1.0, "b": -1.0}.get(str(one.verdict), 0.0)
        benches.setdefault(i if juror.family is None else juror.family, []).append(Vote(one.p, side, side * odds))
    return [Vote(*(math.fsum(values) / len(bench) for values in zip(*bench, strict=True))) for bench in benches.values()]


def counted(votes: Sequence[Vote], rule: Literal["majority", "mean", "weighted"], tie_band: float = 0.0) -> tuple[Verdict, float]:
    """The verdict of at least one vote, and P(a is better), by a rule of `JuryConfig`."""
    if rule == "majority":
        return majority(["tie" if v.side == 0 else "a" if v.side > 0 else "b" for v in votes])
    if rule == "mean":
        p = math.fsum(v.p for v in votes) / len(votes)
    else:
        p = sigmoid(math.fsum(v.odds for v in votes))
    p = round(p, 12)  # without the last digits' noise, so that what balances is exactly 1/2
    return verdict_of(p, tie_band), p


def majority(verdicts: Sequence[Verdict]) -> tuple[Verdict, float]:
    """The most frequent of at least one verdict (a, b or tie), a tie if two are; and the share of a, a tie being half."""
    ranked = Counter(verdicts).most_common(2)
    split = len(ranked) > 1 and ranked[0][1] == ranked[1][1]
    share = (verdicts.count("a") + 0.5 * verdicts.count("tie")) / len(verdicts)
    return ("tie" if split else ranked[0][0]), share


def _no_verdict(said: Sequence[Comparison], parts: Mapping[str, float]) -> Comparison:
    without = [one for one in said if one.p is None]
    if all(one.verdict is None for one in without):
        return Comparison(None, reason=without[0].reason, parts=parts, raw=without[0].raw)
    return Comparison("invalid", reason="too_few_votes", parts=parts)
