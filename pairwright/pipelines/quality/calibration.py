"""Can a judge's probabilities be trusted? The figures of `evaluation.measures` in one, and what makes scores probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pairwright.pipelines.quality.measures import adaptive_ece, aurc, auroc, brier, ece
from pairwright.pipelines.quality.sampling import order_of

Floats = npt.NDArray[np.float64]
Numbers = Sequence[float] | Floats


@dataclass(frozen=True)
class Bin:
    """The rows whose confidence lies in one bin: how many, their mean confidence, the share of them that is right."""

    n: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """How far P(the first is better) can be trusted, over `n` pairs of which it is known which one is.

    brier: mean (p - y)^2. nll: mean -log P(what is true), nats. ece, ece_adaptive: mean distance of confidence max(p, 1 - p) and
    share right, over 10 bins of equal width or of equal size; bins: those of equal width that hold any. auroc, aurc: does
    confidence tell right from wrong (`evaluation.measures`). A verdict of p = 1/2 is half right. why: field -> why it is None.
    """

    n: int
    brier: float | None
    nll: float | None
    ece: float | None
    ece_adaptive: float | None
    auroc: float | None
    aurc: float | None
    bins: tuple[Bin, ...] = ()
    why: Mapping[str, str] = field(default_factory=dict)


def calibration_of(p: Numbers, y: Numbers, bins: int = 10) -> Calibration:
    """From p, P(the first is better), and y, 1 where the first is better and 0 where the second is, [N] each."""
    p, y = np.asarray(p, np.float64), np.asarray(y, np.float64)
    if not len(p):
        fields = ("brier", "nll", "ece", "ece_adaptive", "auroc", "aurc")
        return Calibration(0, None, None, None, None, None, None, why=dict.fromkeys(fields, "there are no pairs"))
    held = np.maximum(p, 1 - p)
    right = np.where(p == 0.5, 0.5, (p > 0.5) == (y > 0.5)).astype(np.float64)
    decided = p != 0.5
    told = auroc(held[decided], right[decided])
    loss = nll(p, y)
    why = {"nll": "something true was given the probability 0"} if loss is None else {}
    why |= {"auroc": "every decided verdict is right, or none is"} if told is None else {}
    return Calibration(
        len(p),
        brier(p, y),
        loss,
        ece(held, right, bins),
        adaptive_ece(held, right, bins),
        told,
        aurc(held, right),
        _bins(held, right, bins),
        why,
    )


def nll(p: Numbers, y: Numbers) -> float | None:
    """mean -(y log p + (1 - y) log(1 - p)) in nats, of N > 0 rows; None if something true was given the probability 0."""
    p, y = np.asarray(p, np.float64), np.asarray(y, np.float64)
    given = np.where(y > 0.5, p, 1 - p)
    return float(-np.log(given).mean()) if given.min() > 0 else None


def logistic_slope(x: Numbers, y: Numbers) -> float | None:
    """b of P(y = 1) = sigmoid(b x), no intercept, by maximum likelihood; None if it is not finite, because the sign of x tells y
    of every row (or x is 0). y in {0, 1}; x should be of the size of 1."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    towards = np.where(y > 0.5, x, -x)
    if not ((towards > 0).any() and (towards < 0).any()):
        return None
    from sklearn.linear_model import LogisticRegression

    turned = np.arange(len(x)) % 2 == 1  # a row says the same when both x and y are turned round, and a fit needs both kinds of y
    rows = np.where(turned, -towards, towards)[:, None]
    model = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-8, max_iter=1000)
    return float(model.fit(rows, ~turned).coef_[0, 0])


def temperature(margins: Numbers, y: Numbers) -> float | None:
    """T > 0 for which sigmoid(margin / T) has the least `nll`, in units of the margins. None if no T has: because margins tell y
    without any mistake, or more of the opposite."""
    m = np.asarray(margins, np.float64)
    scale = float(np.sqrt((m**2).mean())) if len(m) else 0.0
    slope = logistic_slope(m / scale, y) if scale else None
    return scale / slope if slope is not None and slope > 0 else None


def probabilities_of(margins: Numbers, y: Numbers, ids: Sequence[str]) -> tuple[Floats | None, tuple[float | None, float | None]]:
    """P(the first is better) of each margin, [N], with the temperature of the half of the pairs that it is not in, and the
    temperatures of the two halves, which hashes of `ids` draw. None if a half has no temperature."""
    m, y = np.asarray(margins, np.float64), np.asarray(y, np.float64)
    half = (order_of(ids, "temperature") & np.uint64(1)).astype(bool)
    fitted = (temperature(m[half], y[half]), temperature(m[~half], y[~half]))
    if fitted[0] is None or fitted[1] is None:
        return None, fitted
    return 0.5 * (1 + np.tanh(0.5 * m / np.where(half, fitted[1], fitted[0]))), fitted


def _bins(held: Floats, right: Floats, bins: int) -> tuple[Bin, ...]:
    at = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], held, side="left")
    rows = [np.flatnonzero(at == b) for b in range(bins)]
    return tuple(Bin(len(r), float(held[r].mean()), float(right[r].mean())) for r in rows if len(r))
