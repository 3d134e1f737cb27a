"""Annotators that compare two responses: what a comparison is, which ones are made, and what a response is worth after them."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, ClassVar, Literal, Protocol, TypeVar

from pydantic import Field

from pairwright.annotators.base import Annotating, Annotation, Annotator, AnnotatorConfig, Group, Response
from pairwright.annotators.bradley_terry import bradley_terry
from pairwright.annotators.guard import guarded
from pairwright.engines.requests import AWAITING, TRANSIENT, Request, Result
from pairwright.engines.runner import gather
from pairwright.ids import digest

Verdict = Literal["a", "b", "tie", "invalid"]
PROBABILITIES = ("p_", "p:", "r0:")  # parts whose names begin so are P(a is better), but for
NEITHER = "p_tie"
SWAPPED = {"p_ab": "p_ba", "p_ba": "p_ab", "score_a": "score_b", "score_b": "score_a", "votes_a": "votes_b", "votes_b": "votes_a"}


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was found of two responses a and b.

    verdict: "a", "b" or "tie"; "invalid" when the judge said nothing that can be read (`reason` says how, `raw` keeps its words);
        None when a request failed, and then `reason` is the failure's.
    p: P(a is better) in [0, 1]; there exactly when the verdict is a, b or tie.
    parts: the numbers behind it; where both orders were asked, `p_ab` is P(a is better) with a shown first and `p_ba` P(a is
        better) with b shown first; an order that gave nothing is absent. `p_<what>`, `p:<who>` and `r0:<who>`: P(a is better);
        only `p_tie` is P(neither is).
    """

    verdict: Verdict | None
    p: float | None = None
    reason: str | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    raw: str | None = None

    def __post_init__(self) -> None:
        if (self.p is None) != (self.verdict in (None, "invalid")):
            raise ValueError(f"a comparison with the verdict {self.verdict!r} has p = {self.p}")
        if (self.p is None) != (self.reason is not None):
            raise ValueError("a comparison without a probability has a reason, and only such a one")
        if self.p is not None and not 0 <= self.p <= 1:
            raise ValueError(f"{self.p} is not a probability")

    @property
    def confidence(self) -> float | None:
        """max(p, 1 - p)."""
        return None if self.p is None else max(self.p, 1 - self.p)

    @property
    def swapped(self) -> Comparison:
        """The same comparison, told of (b, a)."""
        flip: dict[str | None, Verdict | None] = {"a": "b", "b": "a", "tie": "tie", "invalid": "invalid", None: None}
        turned = {k for k in self.parts if k.startswith(PROBABILITIES) and k != NEITHER}
        parts = {SWAPPED.get(k, k): 1 - v if k in turned else v for k, v in self.parts.items()}
        p = None if self.p is None else 1 - self.p
        return Comparison(flip[self.verdict], p, self.reason, parts, self.raw)


Comparing = Generator[Sequence[Request], Sequence[Result], Comparison]


def verdict_of(p: float, tie_band: float = 0.0) -> Verdict:
    """The verdict of P(a is better): a tie if it is exactly 1/2, or nearer to it than `tie_band`."""
    if p == 0.5 or abs(p - 0.5) < tie_band:
        return "tie"
    return "a" if p > 0.5 else "b"


def sigmoid(x: float) -> float:
    """1 / (1 + e^-x), such that sigmoid(x) + sigmoid(-x) is exactly 1."""
    p = 0.5 * (1 + math.tanh(0.5 * abs(x)))
    return p if x >= 0 else 1 - p


class Reasoned(Protocol):
    """Whatever may have a reason why it is missing: a comparison, a failure, an annotation."""

    @property
    def reason(self) -> str | None: ...


R = TypeVar("R", bound=Reasoned)


def passing(found: Iterable[R]) -> R | None:
    """That one of `found` whose failure may pass; one that awaits a person goes before others. None if there is none.

    An answer that is made of several must be missing for its reason, or it would stand for good as if one of them had nothing to
    say; missing, it is asked for again by the next build."""
    again = [one for one in found if one.reason in TRANSIENT]
    return min(again, key=lambda one: (one.reason != AWAITING, str(one.reason)), default=None)


class ComparerConfig(AnnotatorConfig):
    """Settings of every annotator that compares.

    comparisons: which pairs of a group of n are compared: "all" n(n-1)/2, "pivot" (one response against each other one: n-1) or
        "knockout" (a tournament whose winners go on: n-1; good for finding the best, poor for the worst). As each meets few, a
        knockout's strengths are fitted to its verdicts alone (1, 0, 1/2) and not to p: an unsure win is a win.
    prior: wins added to each side of every pair before strengths are fitted (Bradley-Terry).
    guard: do not compare a response that is a master key (`annotators.guard`); it gets its reason instead.
    """

    comparisons: Literal["all", "pivot", "knockout"] = "all"
    prior: float = Field(0.5, gt=0)
    guard: bool = True


CC = TypeVar("CC", bound=ComparerConfig)


class Comparer(Annotator[CC]):
    """An annotator that compares two responses at a time. Gives one annotation per comparison (`other`, label, score = p) and one
    per response: its Bradley-Terry strength in nats, fitted to the p of all comparisons of the group (1/2 of a tie, whatever its
    p), mean 0. As it speaks of the whole group, the stronger of two may have lost to the other, or never met it: the filter
    `verdict` drops such pairs.

    parts of a response: sd (of the strength), won (sum of what was fitted), compared (how often). A response whose every
    comparison is invalid or failed has no strength: `no_comparison`.
    """

    Config: ClassVar[type[AnnotatorConfig]] = ComparerConfig

    @abstractmethod
    def compare(self, group: Group, a: Response, b: Response) -> Comparing:
        """Compare two responses of `group`. What it asks must not depend on which of the two is called a."""

    def annotate(self, group: Group) -> Annotating:
        kept_out = guarded(group) if self.config.guard else {}
        entrants = sorted((r for r in group.responses if r.id not in kept_out), key=lambda r: digest(group.id, r.id))
        schedule = {"all": self._all, "pivot": self._pivot, "knockout": self._knockout}[self.config.comparisons]
        found = yield from schedule(group, entrants)
        compared = [_told(pair, comparison) for pair, comparison in found.items()]
        return [*compared, *self._strengths(entrants, found), *(Annotation(i, reason=why) for i, why in kept_out.items())]

    def _all(self, group: Group, entrants: Sequence[Response]) -> Matches:
        return (yield from self._meet(group, list(combinations(entrants, 2))))

    def _pivot(self, group: Group, entrants: Sequence[Response]) -> Matches:
        return (yield from self._meet(group, [(entrants[0], other) for other in entrants[1:]]))

    def _knockout(self, group: Group, entrants: Sequence[Response]) -> Matches:
        """Rounds of matches; a tie or an unreadable verdict lets the first of the draw go on, as does a bye. Nobody has two byes
        in a row: a champion who had would have won too little to be the strongest."""
        found: dict[tuple[str, str], Comparison] = {}
        while len(entrants) > 1:
            matches = list(zip(entrants[::2], entrants[1::2], strict=False))
            met = yield from self._meet(group, matches)
            winners = [b if met[a.id, b.id].verdict == "b" else a for a, b in matches]
            entrants = [*entrants[2 * len(matches) :], *winners]
            found |= met
        return found

    def _meet(self, group: Group, matches: Sequence[tuple[Response, Response]]) -> Matches:
        made = yield from gather(*(self.compare(group, a, b) for a, b in matches))
        return {(a.id, b.id): comparison for (a, b), comparison in zip(matches, made, strict=True)}

    def _strengths(self, entrants: Sequence[Response], found: Mapping[tuple[str, str], Comparison]) -> list[Annotation]:
        if not entrants:
            return []
        place = {r.id: i for i, r in enumerate(entrants)}
        wins = [[0.0] * len(place) for _ in place]
        compared: Counter[str] = Counter()
        for (a, b), comparison in found.items():
            share = self._share(comparison)
            if share is not None:
                wins[place[a]][place[b]] += share
                wins[place[b]][place[a]] += 1 - share
                compared.update((a, b))
        fit = bradley_terry(wins, self.config.prior)
        rows = []
        for id, i in place.items():
            parts = {"sd": float(fit.sd[i]), "won": float(sum(wins[i])), "compared": float(compared[id])}
            if compared[id]:
                rows.append(Annotation(id, float(fit.strength[i]), parts=parts))
            else:
                rows.append(Annotation(id, reason="no_comparison" if len(place) > 1 else "nothing_to_compare_with"))
        return rows

    def _share(self, comparison: Comparison) -> float | None:
        """What of the comparison a has won; None if it came to nothing."""
        if comparison.verdict == "tie":
            return 0.5
        if comparison.p is None or self.config.comparisons != "knockout":
            return comparison.p
        return float(comparison.verdict == "a")


Matches = Generator[Sequence[Request], Sequence[Result], dict[tuple[str, str], Comparison]]


def _told(pair: tuple[str, str], c: Comparison) -> Annotation:
    about: dict[str, Any] = {"other": pair[1], "parts": c.parts, "raw": c.raw}
    if c.verdict is None:
        return Annotation(pair[0], reason=c.reason, **about)
    return Annotation(pair[0], c.p, c.reason, label=c.verdict, confidence=c.confidence, **about)


def both_orders(ab: float | None, ba: float | None) -> dict[str, float]:
    """`parts` of a comparison that was asked in both orders; each is P(a is better), None where that order gave nothing."""
    return {name: p for name, p in (("p_ab", ab), ("p_ba", ba)) if p is not None}
