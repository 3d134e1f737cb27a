"""The rules that treat each response on its own: one number from each annotator, then one of them all."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from pairwright.pipelines.combining.config import ENSEMBLES, CombineConfig, ScoreTerm
from pairwright.pipelines.combining.numbers import log_sigmoid, mean_and_sd, quantile, sigmoid, standardised


def transformed(name: str, values: list[float], config: CombineConfig) -> list[float]:
    """What annotator `name` contributes for each response of a group that it has a score for."""
    term, rule = config.scores[name], config.rule
    if not values:
        return values
    if rule == "weighted":
        return [term.weight * z for z in standardised(values)]
    if rule in ENSEMBLES and config.standardise == "group":
        return standardised(values)
    if rule == "direction":
        return [config.weights[name] * v for v in values]
    if rule == "log_sigmoid":
        [reference] = references(values, term)
        return [log_sigmoid(v - reference) for v in values]
    if rule == "par":
        against = references(values, term)
        return [math.fsum(sigmoid(term.slope * (v - r)) for r in against) / len(against) for v in values]
    return values


def united(parts: Sequence[float], config: CombineConfig) -> float:
    """One number from what each annotator contributes to a response."""
    match config.rule:
        case "mean" | "par":
            return math.fsum(parts) / len(parts)
        case "median":
            return statistics.median(parts)
        case "min":
            return min(parts)
        case "lower":
            mean, sd = mean_and_sd(parts)
            variance = sd**2 * len(parts) / (len(parts) - config.ddof)
            return mean - config.k * (variance if config.penalty == "variance" else math.sqrt(variance))
        case _:
            return math.fsum(parts)


def references(values: Sequence[float], term: ScoreTerm) -> list[float]:
    """The numbers given as references, or else the quantiles of the group's own scores."""
    return list(term.references) or [quantile(values, q) for q in term.quantiles]
