"""Goldens of filters_routing_consensus.md 8.7, and a temperature that is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pairwright.pipelines.quality.calibration import calibration_of, nll, probabilities_of, temperature


def drawn(n=4000, t=2.5):
    """Margins whose labels were drawn with sigmoid(margin / t)."""
    rng = np.random.default_rng(0)
    margins = rng.normal(0, 4, n)
    return margins, (rng.random(n) < 1 / (1 + np.exp(-margins / t))).astype(float)


def test_the_goldens():
    assert calibration_of([0.9, 0.8, 0.6, 0.55], [1, 0, 1, 1]).brier == pytest.approx(0.253125)
    found = calibration_of([0.95, 0.9, 0.65, 0.62, 0.55], [1, 1, 1, 0, 0])
    assert found.ece == pytest.approx(0.194)
    assert [(b.n, b.confidence, b.accuracy) for b in found.bins] == [
        (1, 0.55, 0.0),
        (2, pytest.approx(0.635), 0.5),
        (1, 0.9, 1.0),
        (1, 0.95, 1.0),
    ]


def test_which_response_is_the_first_makes_no_difference():
    p, y = np.array([0.9, 0.2, 0.5, 0.4]), np.array([1.0, 0, 1, 1])
    one, other = calibration_of(p, y), calibration_of(1 - p, 1 - y)
    assert (one.nll, one.brier, one.ece) == (pytest.approx(other.nll), pytest.approx(other.brier), pytest.approx(other.ece))


def test_nll_is_in_nats_and_none_where_it_is_infinite():
    assert nll([0.8, 0.4], [1, 0]) == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 2)
    found = calibration_of([0.0, 1.0], [1, 1])
    assert found.nll is None and found.why["nll"] == "something true was given the probability 0"
    assert found.auroc == pytest.approx(0.5)


def test_no_pairs_give_no_figures():
    found = calibration_of([], [])
    assert (found.n, found.brier, found.bins) == (0, None, ()) and set(found.why) >= {"brier", "ece", "aurc"}


def test_the_temperature_that_made_the_labels_is_found():
    margins, y = drawn()
    t = temperature(margins, y)
    assert t == pytest.approx(2.5, rel=0.1)

    def loss(t):
        return nll(1 / (1 + np.exp(-margins / t)), y)

    assert loss(t) < min(loss(t * 1.01), loss(t / 1.01))
    assert temperature(margins * 1000, y) == pytest.approx(1000 * t, rel=1e-4)


def test_margins_without_a_mistake_or_worse_than_chance_have_no_temperature():
    assert temperature([1.0, -2.0], [1, 0]) is None
    assert temperature([1.0, 2.0, -1.0], [0, 0, 0]) is None
    assert temperature([], []) is None
    assert temperature([0.0, 0.0], [0, 1]) is None


def test_probabilities_are_of_a_temperature_that_has_not_seen_the_pair():
    margins, y = drawn()
    ids = [f"pair{i}" for i in range(len(y))]
    p, (one, other) = probabilities_of(margins, y, ids)
    assert one == pytest.approx(2.5, rel=0.15) and other == pytest.approx(2.5, rel=0.15) and one != other
    assert calibration_of(p, y).ece < 0.02
    y[0] = 1 - y[0]
    again, _ = probabilities_of(margins, y, ids)
    assert again[0] == p[0] and not np.array_equal(again, p)
    assert probabilities_of([1.0, 2.0], [1, 1], ["a", "b"])[0] is None
