from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.pipelines.combining.numbers import sigmoid
from pairwright.pipelines.soft_labels import margin_loss, smoothed_loss, spa_smoothing, target_logit, vote_share


def test_the_golden_target_of_irepo():
    assert target_logit(0.75, 0.1) == pytest.approx(10.9861, abs=1e-3)
    assert (4 - target_logit(0.75, 0.1)) ** 2 == pytest.approx(48.8059, abs=1e-3)


@given(st.integers(1, 20), st.data())
def test_a_share_of_votes_always_has_a_finite_logit(votes, data):
    won = data.draw(st.integers(0, votes))
    p = vote_share(won, votes)
    assert math.isfinite(target_logit(p, 0.1))
    assert p + vote_share(votes - won, votes) == pytest.approx(1)
    if 0 < won < votes:
        assert p == won / votes


def test_unanimity_is_clipped_by_the_number_of_votes():
    assert vote_share(3, 3) == pytest.approx(7 / 8)
    assert vote_share(0, 1) == pytest.approx(1 / 4)
    assert vote_share(0.5, 1) == 0.5


@pytest.mark.parametrize(("won", "votes"), [(0, 0), (3, 2), (-1, 2)])
def test_a_share_of_no_votes_is_refused(won, votes):
    with pytest.raises(ValueError, match="not a share"):
        vote_share(won, votes)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_certainty_has_no_target(p):
    with pytest.raises(ValueError, match="clip p"):
        target_logit(p, 0.1)


@pytest.mark.parametrize(("smoothing", "loss"), [(0.0, 0.55436), (0.1, 0.58436), (0.3, 0.64436)])
def test_the_golden_losses_of_spa_and_cream(smoothing, loss):
    assert smoothed_loss(0.3, smoothing) == pytest.approx(loss, abs=1e-5)


def test_smoothing_beyond_one_is_refused():
    with pytest.raises(ValueError, match="does not lie within"):
        smoothed_loss(0.3, 1.5)


def test_spa_smooths_the_least_sure_tenth():
    assert spa_smoothing([float(m) for m in range(11)]) == [0.1, 0.1, *[0.0] * 9]
    assert spa_smoothing([]) == []


def test_the_golden_numbers_of_preference_strength():
    mean = sum([0.2, -0.1, 0.4, 0.1]) / 4
    assert sigmoid(mean) == pytest.approx(0.53743, abs=1e-5)
    assert margin_loss(0.5, mean) == pytest.approx(0.53338, abs=1e-5)
