"""Grades read from the probabilities of single digits as the next text (`Choose`), instead of from what a judge writes.

A judge that writes a grade gives most responses the same one; the mean over what it might have written does not. Probabilities
renormalised over labels that the judge would hardly ever write are noise: below `min_mass` there is no answer, `OFF_LABEL`.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field

from pairwright.engines.requests import Chosen

OFF_LABEL = "off_label"
MinMass = Annotated[float, Field(ge=0, le=1)]
"""The setting `min_mass`: what the labels together must have of the probability of all next tokens. 0 takes any."""


class Grade(NamedTuple):
    """expected: mean digit under the probabilities renormalised over the digits. mode: the most probable digit, the lowest of
    equals. mass: what the digits have of the whole vocabulary's probability."""

    expected: float
    mode: int
    mass: float

    @property
    def parts(self) -> dict[str, float]:
        """As the parts of an annotation."""
        return {"expected": self.expected, "mode": float(self.mode), "mass": self.mass}


def digits(low: int, high: int) -> tuple[str, ...]:
    """The labels low, ..., high for `Choose`; single digits only, for a number of two is two tokens."""
    if not 0 <= low < high <= 9:
        raise ValueError(f"digits run from 0 to 9, low before high, not from {low} to {high}")
    return tuple(str(digit) for digit in range(low, high + 1))


def expected_digit(chosen: Chosen, low: int) -> Grade:
    """sum_k k P(k) / sum_k P(k) over labels made by `digits(low, ...)`."""
    p = np.asarray(chosen.probabilities)
    return Grade(float(np.dot(p, np.arange(low, low + len(p)))), low + int(p.argmax()), mass(chosen))


def mass(chosen: Chosen) -> float:
    """The probability of the labels together among all next tokens, at most 1."""
    return min(1.0, float(np.exp(np.asarray(chosen.logprobs, np.float64)).sum()))
