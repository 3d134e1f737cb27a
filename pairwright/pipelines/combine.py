"""One score per response from the scores of one or several annotators. One group at a time, plain numbers in and out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pairwright.annotators.length import debias
from pairwright.pipelines.combining.config import CombineConfig, Rule, ScoreTerm
from pairwright.pipelines.combining.heron import copeland
from pairwright.pipelines.combining.numbers import NO_SPREAD, log_sigmoid, mean_and_sd, quantile, standardised
from pairwright.pipelines.combining.rules import transformed, united
from pairwright.pipelines.combining.votes import Votes, strengths, votes_of_scores

__all__ = [
    "NO_SPREAD",
    "CombineConfig",
    "Combined",
    "Rule",
    "ScoreTerm",
    "combine",
    "log_sigmoid",
    "mean_and_sd",
    "quantile",
    "standardised",
]
NOBODY = "votes:nothing_to_compare_with"


class Combined(NamedTuple):
    """One entry per response: its combined score, or None and the reason `<annotator>:<reason>`."""

    scores: list[float | None]
    reasons: list[str | None]


def combine(
    scores: Mapping[str, Sequence[float | None]],
    reasons: Mapping[str, Sequence[str | None]],
    rule: CombineConfig,
    chars: Sequence[int],
    alphas: Mapping[str, float] | None = None,
    spreads: Mapping[str, float] | None = None,
    votes: Mapping[str, Votes] | None = None,
) -> Combined:
    """Combine the scores of one group's K responses.

    `scores[name]` and `reasons[name]` (why a score is missing) have length K in one order of responses, as has `chars` (their
    lengths in characters). `alphas` gives the fitted alpha of every name in `rule.automatic`, `spreads` the deviation of every
    name in `rule.spread_of`, `votes` the verdicts of every annotator that compares in this group, by places in the same order.

    A response that lacks any needed score gets none; its reason is that of the first annotator, by name, that lacks it. With rule
    "votes" it gets none only if nobody voted on it. Names are taken in sorted order and sums are exactly rounded, so neither
    the order of the recipe nor the order of responses changes a value.
    """
    taken_off = rule.alphas(alphas or {})
    columns = {name: _debiased(name, scores[name], chars, taken_off[name]) for name in sorted(rule.scores)}
    why = [_lacking({name: (columns[name][i], reasons[name][i]) for name in columns}) for i in range(len(chars))]
    if rule.rule == "votes":
        return _voted(columns, rule, why, votes or {})
    whole = [i for i, reason in enumerate(why) if reason is None]
    if rule.rule == "heron":
        levels = [[s for i in whole if (s := columns[name][i]) is not None] for name in rule.order]
        margins = [m * (spreads or {})[name] if (m := rule.scores[name].margin) else 0.0 for name in rule.order]
        values = copeland(levels, margins)
    else:
        terms = {name: _contributed(name, column, rule) for name, column in columns.items()}
        values = [united([terms[name][i] for name in terms], rule) for i in whole]
    found = dict(zip(whole, values, strict=True))
    return Combined([found.get(i) for i in range(len(chars))], why)


def _debiased(name: str, scores: Sequence[float | None], chars: Sequence[int], alpha: float) -> list[float | None]:
    if len(scores) != len(chars):
        raise ValueError(f"{len(scores)} scores of {name!r} for {len(chars)} responses")
    return [None if s is None else float(debias([s], [n], alpha)[0]) if alpha else s for s, n in zip(scores, chars, strict=True)]


def _lacking(scores: Mapping[str, tuple[float | None, str | None]]) -> str | None:
    return next((f"{name}:{reason or 'no_annotation'}" for name, (score, reason) in scores.items() if score is None), None)


def _contributed(name: str, column: Sequence[float | None], rule: CombineConfig) -> dict[int, float]:
    """place -> what the annotator contributes. Its scores of responses that others lack count in what it measures by."""
    present = {i: score for i, score in enumerate(column) if score is not None}
    return dict(zip(present, transformed(name, list(present.values()), rule), strict=True))


def _voted(
    columns: Mapping[str, Sequence[float | None]], rule: CombineConfig, why: Sequence[str | None], votes: Mapping[str, Votes]
) -> Combined:
    every = [
        votes[name] if name in votes else votes_of_scores(column, rule.scores[name].tie_band) for name, column in columns.items()
    ]
    found = strengths(every, len(why), rule.prior)
    return Combined(found, [None if s is not None else w or NOBODY for s, w in zip(found, why, strict=True)])
