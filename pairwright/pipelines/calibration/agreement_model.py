"""When a cheap judge agrees with the gold labels: a logistic model over features that cost nothing.

After HyPER (arXiv 2410.19133), for single items: logistic regression with an L2 penalty, five folds, and Platt scaling on
held-out folds. Platt's two numbers are folded into the weights, so that the model stays one sum and one sigmoid; with an
isotonic curve it would not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pairwright.errors import PairwrightError
from pairwright.pipelines.calibration.judged import Judged
from pairwright.pipelines.quality.measures import ece

FOLDS = 5


@dataclass(frozen=True, slots=True)
class AgreementModel:
    """P(the judge agrees with gold) = sigmoid(bias + sum of weights[name] * feature), features in their own units.

    held_out: of each item, that probability from a model that has not seen it; None where the judge said nothing or a feature
    is missing (`set_aside` of them). auroc, ece: of the held-out probabilities, `raw_ece` before Platt scaling.
    """

    weights: dict[str, float]
    bias: float
    held_out: tuple[float | None, ...]
    auroc: float
    ece: float
    raw_ece: float
    set_aside: int


def fit(rows: Sequence[Judged], strength: float = 1.0) -> AgreementModel:
    """Fit to the answers of one judge, in an order that does not depend on them, for the folds follow it.

    strength: of the L2 penalty on standardised features. A feature that fewer than half of the answers have is not used, nor one
    that is always the same.
    Raises PairwrightError if there are fewer than 5 right or 5 wrong answers, or no feature.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    names = _features([r for r in rows if r.p is not None])
    known = [r.p is not None and r.correct is not None and all(name in r.features for name in names) for r in rows]
    usable = [i for i, x in enumerate(known) if x]
    agreed = np.array([bool(rows[i].correct) for i in usable])
    if min(agreed.sum(), (~agreed).sum()) < FOLDS:
        raise PairwrightError(
            f"the cheap judge is right {agreed.sum()} times and wrong {(~agreed).sum()} times where all features are known: "
            f"give at least {FOLDS} items of each, better 500 in all, to learn when it is right"
        )
    table = np.array([[rows[i].features[name] for name in names] for i in usable], np.float64)
    folds = StratifiedKFold(FOLDS)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1 / strength, max_iter=1000))
    logits = cross_val_predict(model, table, agreed, cv=folds, method="decision_function")
    platt = LogisticRegression(C=1e6)
    p = cross_val_predict(platt, logits[:, None], agreed, cv=folds, method="predict_proba")[:, 1]
    weights, bias = _plain(model.fit(table, agreed), platt.fit(logits[:, None], agreed), agreed)
    held_out = {i: float(x) for i, x in zip(usable, p, strict=True)}
    return AgreementModel(
        dict(zip(names, weights, strict=True)),
        bias,
        tuple(held_out.get(i) for i in range(len(rows))),
        float(roc_auc_score(agreed, logits)),
        ece(p, agreed),
        ece(1 / (1 + np.exp(-logits)), agreed),
        len(rows) - len(usable),
    )


def _features(said: Sequence[Judged]) -> list[str]:
    values: dict[str, list[float]] = {}
    for row in said:
        for name, value in row.features.items():
            values.setdefault(name, []).append(value)
    names = sorted(name for name, found in values.items() if 2 * len(found) >= len(said) and len(set(found)) > 1)
    if not names:
        raise PairwrightError("the items of the cheap judge have no features: evaluate it again with this version")
    return names


def _plain(model: Any, platt: Any, agreed: npt.NDArray[np.bool_]) -> tuple[list[float], float]:
    """Weights and bias in the features' own units, Platt's slope and shift folded in. A slope that is not positive means that
    the features tell nothing of unseen items; then every item gets the share of all that agreed."""
    scaler, logistic = model[0], model[1]
    slope, shift = float(platt.coef_[0, 0]), float(platt.intercept_[0])
    if slope <= 0:
        share = float(agreed.mean())
        return [0.0] * len(scaler.mean_), math.log(share / (1 - share))
    weights = logistic.coef_[0] / scaler.scale_
    bias = float(logistic.intercept_[0] - (weights * scaler.mean_).sum())
    return [float(slope * w) for w in weights], slope * bias + shift
