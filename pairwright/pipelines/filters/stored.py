"""What several filters read from stored annotations: differences of what an annotator stored of chosen and rejected."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pairwright.pipelines.filters.base import PairColumns


def part_margins(pairs: PairColumns, annotator: str, value: Callable[[Mapping[str, float]], float]) -> list[float | None]:
    """For each pair `value` of the parts of chosen - that of rejected; None where it raises KeyError, for want of a part."""
    parts = pairs.parts(annotator)

    def margin(chosen: str, rejected: str) -> float | None:
        try:
            return value(parts[chosen]) - value(parts[rejected])
        except KeyError:
            return None

    return [margin(c, r) for c, r in zip(pairs.chosen.ids, pairs.rejected.ids, strict=True)]


def implicit_margins(pairs: PairColumns, annotator: str) -> list[float | None]:
    """For each pair [log pi - log pi_ref](chosen) - [log pi - log pi_ref](rejected) in nats, without beta, from the sums that
    `annotator` (method `implicit_reward`) stored; None where one of them is not there."""
    return part_margins(pairs, annotator, lambda parts: parts["policy_sum"] - parts["reference_sum"])


def no_sums(annotator: str) -> str:
    """Why there is no implicit margin."""
    return f"{annotator} stored no policy_sum and reference_sum of one of the two responses"
