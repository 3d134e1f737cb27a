from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.annotators.bradley_terry import bradley_terry

GOLDEN = [[0, 7, 8], [3, 0, 6], [2, 4, 0]]


@st.composite
def tables(draw) -> np.ndarray:
    n = draw(st.integers(2, 5))
    row = st.lists(st.floats(0, 20), min_size=n, max_size=n)
    return np.array(draw(st.lists(row, min_size=n, max_size=n)))


def test_the_golden_strengths_are_reproduced():
    p = np.exp(bradley_terry(GOLDEN, prior=0).strength)
    assert p / p.sum() == pytest.approx([0.597111, 0.245288, 0.157601], abs=1e-6)


def test_of_two_items_the_odds_are_the_wins():
    fit = bradley_terry([[0, 3], [1, 0]], prior=0)
    assert fit.strength[0] - fit.strength[1] == pytest.approx(np.log(3))
    # information of the difference d is n p (1 - p); each strength is d / 2
    assert fit.sd == pytest.approx([0.5 / np.sqrt(4 * 0.75 * 0.25)] * 2)


def test_a_prior_keeps_the_unbeaten_finite_and_first():
    fit = bradley_terry([[0, 5, 5], [0, 0, 5], [0, 0, 0]], prior=0.5)
    assert np.isfinite(fit.strength).all() and np.isfinite(fit.sd).all()
    assert fit.strength[0] > fit.strength[1] > fit.strength[2]


def test_without_a_prior_the_unbeaten_are_refused():
    with pytest.raises(ValueError, match="without a prior every item must have won and lost"):
        bradley_terry([[0, 5], [0, 0]], prior=0)


def test_with_a_prior_items_nobody_compared_are_equal():
    assert bradley_terry(np.zeros((3, 3))).strength == pytest.approx([0, 0, 0])


@pytest.mark.parametrize("wins", [[[0, 1]], [[0, -1], [1, 0]], [[0, float("nan")], [1, 0]]])
def test_what_is_no_table_of_wins_is_refused(wins):
    with pytest.raises(ValueError, match="square table of counts"):
        bradley_terry(wins)


@given(st.permutations(range(7)), st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_items_that_are_level_have_equal_strengths_to_the_last_digit(order, shares):
    wins = np.zeros((7, 7))
    for i in range(7):
        for step, share in enumerate(shares, 1):
            wins[i, (i + step) % 7], wins[(i + step) % 7, i] = share, 1 - share
    assert bradley_terry(wins[np.ix_(order, order)]).strength.tolist() == [0.0] * 7


def test_wins_against_oneself_do_not_count():
    assert bradley_terry(np.array(GOLDEN) + 9 * np.eye(3)).strength == pytest.approx(bradley_terry(GOLDEN).strength)


@given(tables(), st.randoms())
def test_the_order_of_items_changes_no_strength(wins, rng):
    order = rng.sample(range(len(wins)), len(wins))
    one, two = bradley_terry(wins), bradley_terry(wins[np.ix_(order, order)])
    assert two.strength == pytest.approx(one.strength[order], abs=1e-6)
    assert two.sd == pytest.approx(one.sd[order], abs=1e-6)


@given(tables())
def test_strengths_balance_and_turn_round_when_losses_are_wins(wins):
    fit = bradley_terry(wins)
    assert fit.strength.mean() == pytest.approx(0, abs=1e-9)
    assert bradley_terry(wins.T).strength == pytest.approx(-fit.strength, abs=1e-6)


def test_more_comparisons_make_strengths_surer():
    few, many = bradley_terry(GOLDEN), bradley_terry(10 * np.array(GOLDEN))
    assert (many.sd < few.sd).all()
