"""Read scores that a judge gives by name."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Sequence
from typing import Any

from pairwright.annotators.judges.reading import Unread, json_in

NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")


def scores_in(text: str, names: Sequence[str], low: float, high: float) -> tuple[float, ...] | Unread:
    """The scores under `names`, `low` to `high`, in the last JSON object of `text`; case and punctuation of names do not matter.
    Unread: no_json, bad_json, refused; wrong_count (a name is missing, or there are others), no_score (one is no number),
    out_of_range."""
    found = json_in(text)
    if isinstance(found, Unread):
        return found
    scores = {_plain(name): _number(value) for name, value in found.items()}
    if len(scores) < len(found) or scores.keys() != {_plain(name) for name in names}:
        return Unread("wrong_count")
    wanted = [scores[_plain(name)] for name in names]
    numbers = tuple(score for score in wanted if score is not None)
    if len(numbers) < len(names):
        return Unread("no_score")
    return numbers if all(low <= score <= high for score in numbers) else Unread("out_of_range")


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        return float(value) if NUMBER.fullmatch(value.strip()) else None
    if isinstance(value, int) and abs(value) > sys.float_info.max:  # too large for a float, and for any scale
        return math.inf if value > 0 else -math.inf
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
