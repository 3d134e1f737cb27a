"""Consensus filtering: keep a labelled solution only if a judge names the same first wrong step as Monte Carlo estimation, or
both find none (The Lessons of Developing PRMs, arXiv 2501.07301, read in full: 860K -> about 350K, and 3M -> 1.5M).

That is 40 to 50 % with a Qwen-class policy and judge. A retention far from it means that the judge's replies are not parsed, or
that one side counts steps from 0 and the other from 1 (then nearly all that is refuted is `judge_later`, or `judge_earlier`), or
that the judge is far weaker than theirs. The final answer plays no part: a right answer with a wrong step is kept too, if both
find that step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from pairwright.annotators.steps.judge import Judgement

DISAGREES, NOT_JUDGED, UNCONFIRMED = "consensus_disagrees", "not_judged", "not_confirmed_by_judge"
KEPT = ("both_none", "same_error")
DISAGREEING = ("judge_earlier", "judge_later", "only_judge", "only_mc")


class Judged(Protocol):
    """A solution with a Monte Carlo label; `first_error` and the judge count the steps of `steps` and then `tail` from 0."""

    @property
    def solution_id(self) -> str: ...
    @property
    def first_error(self) -> int | None: ...
    @property
    def steps(self) -> Sequence[str]: ...
    @property
    def tail(self) -> Sequence[str]: ...


S = TypeVar("S", bound=Judged)


def must_judge(solutions: Iterable[S]) -> list[S]:
    """Where a judge's word can still matter: each of the labelled solutions once. What carries no Monte Carlo label, or is a
    duplicate, is not among them and cannot be kept whatever a judge says."""
    return list({s.solution_id: s for s in solutions if s.steps or s.tail}.values())


def agreed(solutions: Iterable[S], judgements: Mapping[str, Judgement]) -> tuple[list[S], dict[str, str]]:
    """The solutions whose first error the judge confirms, and why each other one is not kept: consensus_disagrees, not_judged,
    or the reason its judgement gives (judge_unparsed, judge_split, what failed). `judgements`: by solution id."""
    kept, refuted = list[S](), dict[str, str]()
    for solution in solutions:
        kind = compared(solution.first_error, judgements.get(solution.solution_id))
        if kind in KEPT:
            kept.append(solution)
        else:
            refuted[solution.solution_id] = DISAGREES if kind in DISAGREEING else kind
    return kept, refuted


def confirmed(pairs: Iterable[Mapping[str, Any]], kept: Iterable[Judged]) -> tuple[list[Mapping[str, Any]], dict[str, str]]:
    """The step pairs whose rejected step is the first wrong one of a solution that consensus kept, and the others' ids with
    not_confirmed_by_judge. A kept solution without a wrong step speaks against a pair that rejects one of its steps."""
    errors = {"".join(s.steps[: s.first_error + 1]) for s in kept if s.first_error is not None}
    found, unconfirmed = list[Mapping[str, Any]](), dict[str, str]()
    for pair in pairs:
        if pair["prefix"] + pair["rejected"] in errors:
            found.append(pair)
        else:
            unconfirmed[pair["pair_id"]] = UNCONFIRMED
    return found, unconfirmed


def compared(first_error: int | None, judgement: Judgement | None) -> str:
    """How the two verdicts on one solution relate: one of KEPT or DISAGREEING, not_judged, or the judgement's reason."""
    if judgement is None:
        return NOT_JUDGED
    if judgement.reason is not None:
        return judgement.reason
    judged = judgement.index
    if first_error == judged:
        return "both_none" if judged is None else "same_error"
    if first_error is None or judged is None:
        return "only_judge" if first_error is None else "only_mc"
    return "judge_earlier" if judged < first_error else "judge_later"


@dataclass(frozen=True, slots=True)
class Retention:
    """How many solutions of each kind (see `compared`); kinds of KEPT and DISAGREEING are always there, in this order."""

    kinds: Mapping[str, int]

    @property
    def solutions(self) -> int:
        """Labelled solutions that were compared or should have been."""
        return sum(self.kinds.values())

    @property
    def kept(self) -> int:
        """Those both sides agree on."""
        return sum(self.kinds[kind] for kind in KEPT)

    @property
    def share(self) -> float | None:
        """Kept of all, in [0, 1]; None without solutions. Far from 0.4 to 0.5: see the top of this module."""
        return self.kept / self.solutions if self.solutions else None


def retention(solutions: Iterable[Judged], judgements: Mapping[str, Judgement]) -> Retention:
    """The table of what consensus keeps and refutes, by kind."""
    found = Counter(compared(s.first_error, judgements.get(s.solution_id)) for s in solutions)
    return Retention(dict.fromkeys((*KEPT, *DISAGREEING), 0) | dict(sorted(found.items(), key=lambda kind: -kind[1])))
