"""From annotations of a labelled group to the one row that is kept of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pairwright.annotators.base import Annotation
from pairwright.annotators.comparing import Comparison, verdict_of
from pairwright.annotators.routing.budgeted import features
from pairwright.pipelines.evaluation.labelled import Item, named

Row = dict[str, Any]
BASELINE = "longer wins"
NOTHING_NEW = ("no_comparison", "nothing_to_compare_with")  # said of a response because of what was said of another


def row_of(name: str, item: Item, annotations: Sequence[Annotation]) -> Row:
    """What the annotations come to: of two responses the verdict of their comparison if there is one, else that of the scores.

    correct: is the verdict the gold label (of more than two responses: are all it finds best right); None where either is
        missing. credit: 1 or 0, or the share of right ones among the best; 0 without a readable verdict, None without a gold.
    p: of a comparison only; `features` of a rating annotator are those of a member with its scores and the slope 1.
    """
    responses = item.group.responses
    about = {a.subject: a for a in annotations if a.other is None}
    scores = [about[r.id].score if r.id in about else None for r in responses]
    told = [a for a in annotations if a.other is not None]
    compared = _oriented(told[0], responses[0].id) if len(responses) == 2 and told else None
    best, reason = _best(compared, scores, [*about.values(), *told])
    seen = compared or _as_member(scores)
    return {
        "id": item.id,
        "annotator": name,
        "use": None,
        "settings": {},
        "protocol": "pairwise" if told else "pointwise",
        "subset": item.subset,
        "language": item.language,
        "gold": item.gold,
        "right": None if item.right is None else sorted(item.right),
        "verdict": named(best, len(responses)) if best else compared.verdict if compared else None,
        "correct": None if item.right is None or not best else _is_correct(best, item.right, len(responses)),
        "credit": None if item.right is None else _credit(best, item.right, len(responses)),
        "p": compared.p if compared else None,
        "p_ab": compared.parts.get("p_ab") if compared else None,
        "p_ba": compared.parts.get("p_ba") if compared else None,
        "reason": reason,
        "scores": scores,
        "chars": [len(r.text) for r in responses],
        "features": features(item.group, responses[0], responses[1], seen) if seen else {},
        "tokens": 0.0,
        "seconds": 0.0,
        "money": 0.0,
    }


def longer_wins(item: Item) -> Row:
    """The row of the judge that counts characters."""
    return row_of(BASELINE, item, [Annotation(r.id, float(len(r.text))) for r in item.group.responses])


def _best(
    compared: Comparison | None, scores: Sequence[float | None], annotations: Sequence[Annotation]
) -> tuple[set[int], str | None]:
    """Places of the best responses, none if there is no readable verdict; and why there is none."""
    if compared is not None:
        sides: dict[str | None, set[int]] = {"a": {0}, "b": {1}, "tie": {0, 1}}
        return sides.get(compared.verdict, set()), compared.reason
    known = [s for s in scores if s is not None]
    if len(known) == len(scores):
        return {i for i, s in enumerate(scores) if s == max(known)}, None
    reasons = [a.reason for a in annotations if a.reason is not None]
    return set(), next((r for r in reasons if r not in NOTHING_NEW), reasons[0] if reasons else "no_score")


def _is_correct(best: set[int], right: frozenset[int], n: int) -> bool:
    return best == right if len(right) == n else best <= right


def _credit(best: set[int], right: frozenset[int], n: int) -> float:
    if not best or len(right) == n:
        return float(best == right)
    return len(best & right) / len(best)


def _oriented(a: Annotation, first: str) -> Comparison:
    """A comparison's annotation as it is told of the item's first response and its second."""
    verdict: Any = a.label
    reason = a.reason or "invalid" if verdict == "invalid" else a.reason
    comparison = Comparison(verdict, a.score, reason, a.parts, a.raw)
    return comparison if a.subject == first else comparison.swapped


def _as_member(scores: Sequence[float | None]) -> Comparison | None:
    """Two scores as `annotators.members` compares them."""
    if len(scores) != 2 or scores[0] is None or scores[1] is None:
        return None
    p = 0.5 * (1 + math.tanh(0.5 * (scores[0] - scores[1])))
    return Comparison(verdict_of(p), p, parts={"score_a": scores[0], "score_b": scores[1]})
