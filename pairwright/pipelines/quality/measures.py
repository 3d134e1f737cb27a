"""What is measured of an annotator, from its rows of an evaluation alone. A figure that nothing speaks to is None.

Every row: {id, annotator, gold, verdict, credit, p, p_ab, p_ba, scores, chars, reason, tokens, seconds, money, subset, ...}.
`credit`: what the verdict is worth, 1 or 0, or the share of right ones among responses it finds equally good; a verdict that is
missing or cannot be read has 0, and stays in. Where the gold is None (people did not agree) it is None.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Row = Mapping[str, Any]
Figures = dict[str, Any]
Numbers = Sequence[float] | npt.NDArray[np.float64]
Z = 1.959963984540054  # of a 95 % interval
SIDES = ("a", "b")


def wilson(right: float, n: int) -> tuple[float, float]:
    """The 95 % Wilson interval of `right` out of `n` > 0; `right` may hold halves."""
    p, d = right / n, 1 + Z * Z / n
    half = Z * (p * (1 - p) / n + Z * Z / (4 * n * n)) ** 0.5
    return (p + Z * Z / (2 * n) - half) / d, (p + Z * Z / (2 * n) + half) / d


def brier(p: Numbers, y: Numbers) -> float | None:
    """mean (p - y)^2."""
    return _mean((np.asarray(p, np.float64) - np.asarray(y, np.float64)) ** 2)


def ece(confidence: Numbers, correct: Numbers, bins: int = 10) -> float:
    """Expected calibration error: sum over equal-width bins of [0, 1], closed on the right, of n_b / N |acc_b - conf_b|;
    of N > 0 rows."""
    at = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], np.asarray(confidence, np.float64), side="left")
    return _calibration_error(confidence, correct, [np.flatnonzero(at == b) for b in range(bins)])


def adaptive_ece(confidence: Numbers, correct: Numbers, bins: int = 10) -> float:
    """The same with bins of equal size: the confidences in order, cut into `bins` parts (one a row if there are fewer)."""
    order = np.argsort(np.asarray(confidence, np.float64), kind="stable")
    return _calibration_error(confidence, correct, np.array_split(order, min(bins, max(1, len(order)))))


def auroc(confidence: Numbers, correct: Numbers) -> float | None:
    """P(a right verdict is held with more confidence than a wrong one), ties one half. None unless there are both kinds."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(correct, confidence)) if len(set(map(float, correct))) == 2 else None


def risk_coverage(confidence: Numbers, correct: Numbers) -> npt.NDArray[np.float64]:
    """risk[k - 1] is the share of wrong verdicts among the k most confident, [N]. Equally confident ones share their errors."""
    level = np.unique(-np.asarray(confidence, np.float64), return_inverse=True)[1]
    errors = 1 - np.asarray(correct, np.float64)
    shared = np.bincount(level, errors) / np.bincount(level)
    return np.cumsum(shared[np.sort(level)]) / np.arange(1, len(errors) + 1)


def aurc(confidence: Numbers, correct: Numbers) -> float | None:
    """The area under the risk-coverage curve: the mean risk over coverages 1/N ... 1."""
    return _mean(risk_coverage(confidence, correct)) if len(confidence) else None


def agreement(rows: Iterable[Row]) -> Figures:
    """Mean credit with its interval over the rows where people preferred something; how often it decided, and how well then."""
    rows = [r for r in rows if r["gold"] not in (None, "tie")]
    n, right = len(rows), sum(r["credit"] for r in rows)
    low, high = wilson(right, n) if n else (None, None)
    decided = [r["credit"] for r in rows if r["verdict"] not in (None, "tie", "invalid")]
    return {
        "n": n,
        "agreement": right / n if n else None,
        "low": low,
        "high": high,
        "decided": _share(len(decided), n),
        "agreement_decided": _mean(decided),
    }


def orders(rows: Iterable[Row]) -> Figures:
    """What the order of the two responses does. swap_consistency: share of rows, asked both ways, with one winner (or a tie) in
    both. first_position: how often the response shown first wins, ties one half. position_bias: mean P(first) - 1/2."""
    same, first, chance = [], list[float](), list[float]()
    for r in rows:
        shown = [p for p in (r["p_ab"], None if r["p_ba"] is None else 1 - r["p_ba"]) if p is not None]  # P(first is better)
        first += [float(np.sign(p - 0.5) + 1) / 2 for p in shown]
        chance += shown
        if len(shown) == 2:
            same.append(np.sign(shown[0] - 0.5) == -np.sign(shown[1] - 0.5))
    bias = _mean(chance)
    return {
        "swapped": len(same),
        "swap_consistency": _mean(same),
        "shown": len(first),
        "first_position": _mean(first),
        "position_bias": None if bias is None else bias - 0.5,
    }


def lengths(rows: Iterable[Row]) -> Figures:
    """Of two responses, does it prefer the longer one more often than people do? Rows where people preferred one of two that are
    not equally long (characters). longer_wins: among its own decisions (`longer_n`); longer_is_right: among the gold labels."""
    rows = [r for r in rows if r["gold"] in SIDES and r["chars"][0] != r["chars"][1]]
    longer = ["a" if r["chars"][0] > r["chars"][1] else "b" for r in rows]
    took = [r["verdict"] == side for r, side in zip(rows, longer, strict=True) if r["verdict"] in SIDES]
    return {
        "longer_n": len(took),
        "longer_wins": _mean(took),
        "longer_is_right": _mean([r["gold"] == side for r, side in zip(rows, longer, strict=True)]),
        "agreement_longer_right": _mean([r["credit"] for r, side in zip(rows, longer, strict=True) if r["gold"] == side]),
        "agreement_shorter_right": _mean([r["credit"] for r, side in zip(rows, longer, strict=True) if r["gold"] != side]),
    }


def calibration(rows: Iterable[Row]) -> Figures:
    """How far its probability, or failing that the size of its margin, can be trusted; pairs where people preferred one.

    brier, ece, ece_adaptive: only of probabilities (y = 1 where people preferred a; confidence max(p, 1 - p)), of which
        there are `probabilities`.
    auroc, aurc: does confidence (without p: |score difference|) tell right decisions from wrong ones, of which there are
        `decisions`.
    """
    rows = [r for r in rows if r["gold"] in SIDES]
    told = [r for r in rows if r["p"] is not None]
    p, y = [r["p"] for r in told], [float(r["gold"] == "a") for r in told]
    sure, right = [max(x, 1 - x) for x in p], [r["credit"] for r in told]
    decided = [r for r in rows if r["verdict"] in SIDES]
    held, hits = [confidence(r) for r in decided], [r["credit"] for r in decided]
    return {
        "probabilities": len(told),
        "brier": brier(p, y) if told else None,
        "ece": ece(sure, right) if told else None,
        "ece_adaptive": adaptive_ece(sure, right) if told else None,
        "decisions": len(decided),
        "auroc": auroc(held, hits),
        "aurc": aurc(held, hits),
    }


def confidence(row: Row) -> float:
    """max(p, 1 - p) of a decided row, or the distance of its two scores where there is no p."""
    if row["p"] is not None:
        return float(max(row["p"], 1 - row["p"]))
    return float(abs(row["scores"][0] - row["scores"][1]))


def answers(rows: Iterable[Row]) -> Figures:
    """How often it said anything readable (coverage) and tie; how often nothing that counts, by reason."""
    rows = list(rows)
    lacking = [r for r in rows if r["verdict"] in (None, "invalid")]
    reasons = Counter(r["reason"] or "invalid" for r in lacking)
    return {
        "coverage": _share(len(rows) - len(lacking), len(rows)),
        "tie_rate": _share(sum(r["verdict"] == "tie" for r in rows), len(rows)),
        "invalid_rate": _share(len(lacking), len(rows)),
        "reasons": dict(reasons.most_common()),
    }


def over(rows: Iterable[Row], baseline: Iterable[Row]) -> Figures:
    """By how much it agrees more than `baseline` on the same items: mean difference of credit, with a 95 % normal interval."""
    other = {r["id"]: r["credit"] for r in baseline}
    gains = [r["credit"] - other[r["id"]] for r in rows if r["gold"] not in (None, "tie") and r["id"] in other]
    if len(gains) < 2:
        return {"gain": _mean(gains), "gain_low": None, "gain_high": None}
    mean, half = float(np.mean(gains)), Z * float(np.std(gains, ddof=1)) / len(gains) ** 0.5
    return {"gain": mean, "gain_low": mean - half, "gain_high": mean + half}


def consistency(ratings: Iterable[Row], rankings: Iterable[Row]) -> Figures:
    """Do ratings and a ranking of the same pairs say the same (arXiv 2308.15812)? consistent: share of equal verdicts among a, b
    and tie; consistent_decided: where neither is a tie. Rows where one gave no verdict are counted apart."""
    rated = {r["id"]: r["verdict"] for r in ratings}
    pairs = [(rated[r["id"]], r["verdict"]) for r in rankings if r["id"] in rated]
    both = [(x, y) for x, y in pairs if {x, y} <= {"a", "b", "tie"}]
    return {
        "n": len(both),
        "without_verdict": len(pairs) - len(both),
        "consistent": _mean([x == y for x, y in both]),
        "consistent_decided": _mean([x == y for x, y in both if "tie" not in (x, y)]),
    }


def measured(rows: Sequence[Row], baseline: Sequence[Row]) -> Figures:
    """Every figure of one annotator. `three_way`: share of equal words where people said a, b or tie
    (`three_way_n` rows)."""
    spoken = [r for r in rows if r["gold"] is not None]
    subsets = sorted({r["subset"] for r in rows if r["subset"] is not None})
    return {
        "rows": len(rows),
        **agreement(rows),
        "three_way_n": len(spoken),
        "three_way": _mean([r["verdict"] == r["gold"] for r in spoken]),
        **over(rows, baseline),
        **orders(rows),
        **answers(rows),
        **lengths(rows),
        **calibration(rows),
        **{f"{what}_per_row": _mean([r[what] for r in rows]) for what in ("tokens", "seconds", "money")},
        "subsets": {s: agreement([r for r in rows if r["subset"] == s]) for s in subsets},
    }


def _calibration_error(confidence: Numbers, correct: Numbers, bins: Sequence[npt.NDArray[Any]]) -> float:
    conf, hits = np.asarray(confidence, np.float64), np.asarray(correct, np.float64)
    if not len(conf):
        raise ValueError("a calibration error needs rows")
    return float(sum(len(b) / len(conf) * abs(hits[b].mean() - conf[b].mean()) for b in bins if len(b)))


def _mean(values: Sequence[Any] | npt.NDArray[np.float64]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _share(part: int, n: int) -> float | None:
    return part / n if n else None
