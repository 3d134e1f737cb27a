from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pairwright.annotators.routing.budgeted import agreement
from pairwright.errors import PairwrightError
from pairwright.pipelines.calibration.agreement_model import fit
from pairwright.pipelines.calibration.judged import Judged


def world(n: int, slope: float, bias: float, seed: int = 0, scale: float = 1.0) -> list[Judged]:
    """Items whose chance of agreement is sigmoid(bias + slope * x), with a feature that tells nothing."""
    rng = np.random.default_rng(seed)
    x, noise = rng.normal(0, 1, n), rng.normal(0, 1, n)
    right = rng.random(n) < 1 / (1 + np.exp(-(bias + slope * x)))
    return [Judged(str(i), 0.7, bool(right[i]), features={"x": scale * x[i], "noise": noise[i]}) for i in range(n)]


def test_the_weights_of_the_world_are_found_in_the_features_own_units():
    model = fit(world(4000, slope=1.5, bias=0.5, scale=100.0))
    assert 100 * model.weights["x"] == pytest.approx(1.5, abs=0.15)
    assert model.weights["noise"] == pytest.approx(0, abs=0.1)
    assert model.bias == pytest.approx(0.5, abs=0.1)
    assert model.ece < 0.03 and 0.75 < model.auroc < 0.85 and model.set_aside == 0


def test_the_plain_weights_give_what_the_held_out_models_gave():
    rows = world(2000, slope=1.0, bias=1.0)
    model = fit(rows)
    plain = [agreement(model.weights, model.bias, dict(r.features)) for r in rows]
    apart = np.abs(np.array(plain) - np.array(model.held_out))
    assert apart.mean() < 0.02 and apart.max() < 0.1


def test_features_that_tell_nothing_give_every_item_nearly_the_share_that_agreed():
    rows = world(800, slope=0.0, bias=1.0, seed=3)
    model = fit(rows)
    share = np.mean([bool(r.correct) for r in rows])
    assert 0.4 < model.auroc < 0.6
    assert all(abs(agreement(model.weights, model.bias, dict(r.features)) - share) < 0.12 for r in rows)


def test_items_without_an_answer_or_a_feature_are_set_aside_and_counted():
    rows = world(300, 1.0, 0.5)
    rows[0] = Judged("0", None, None)
    rows[1] = dataclasses.replace(rows[1], features={"x": 1.0})
    rows = [
        dataclasses.replace(r, features={**r.features, "always": 1.0, **({"rare": i * 1.0} if i < 50 else {})})
        for i, r in enumerate(rows)
    ]
    rows[0] = Judged("0", None, None)
    model = fit(rows)
    assert set(model.weights) == {"x", "noise"}
    assert model.set_aside == 2 and [i for i, p in enumerate(model.held_out) if p is None] == [0, 1]


def test_a_judge_that_is_never_wrong_teaches_nothing():
    rows = [Judged(str(i), 0.8, i > 3, features={"x": float(i)}) for i in range(100)]
    with pytest.raises(PairwrightError, match="right 96 times and wrong 4 times.*at least 5"):
        fit(rows)
    with pytest.raises(PairwrightError, match="have no features"):
        fit([Judged(str(i), 0.8, i % 2 == 0) for i in range(100)])
