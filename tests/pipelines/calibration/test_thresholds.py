from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.pipelines.calibration.thresholds import fixed_sequence, upper_bound


@pytest.mark.parametrize(("errors", "n", "golden"), [(0, 30, 0.073871), (3, 50, 0.128756), (10, 100, 0.149883)])
def test_the_golden_bounds(errors, n, golden):
    assert float(upper_bound(errors, n, 0.1)) == pytest.approx(golden, abs=1.1e-5)


def test_without_an_error_the_bound_has_a_closed_form():
    assert float(upper_bound(0, 30, 0.1)) == pytest.approx(1 - 0.1 ** (1 / 30), abs=1e-12)


@given(st.integers(1, 60), st.data())
def test_the_bound_is_the_largest_rate_at_which_so_few_errors_are_not_yet_unlikely(n, data):
    k, delta = data.draw(st.integers(0, n - 1)), data.draw(st.floats(0.01, 0.5))
    r = float(upper_bound(k, n, delta))
    assert sum(math.comb(n, i) * r**i * (1 - r) ** (n - i) for i in range(k + 1)) == pytest.approx(delta, abs=1e-6)


def test_when_all_are_wrong_nothing_is_excluded():
    assert float(upper_bound(5, 5, 0.1)) == 1.0


def test_the_threshold_is_the_last_one_that_passed_before_the_first_failure():
    """45 right answers, 30 wrong ones, then 400 right ones: later luck does not bring a failed sequence back."""
    confidence = np.linspace(0.99, 0.51, 475)
    correct = [True] * 45 + [False] * 30 + [True] * 400
    found = fixed_sequence(confidence, correct, alpha=0.1, delta=0.1)
    assert found is not None
    passing = [n for n in range(30, 76) if upper_bound(max(0, n - 45), n, 0.1) <= 0.1]
    assert (found.n, found.errors) == (passing[-1], passing[-1] - 45) == (46, 1)
    assert found.value == confidence[45] and found.bound == float(upper_bound(1, 46, 0.1))


def test_nothing_qualifies_when_the_highest_confidences_are_wrong_too_often():
    correct = [i % 4 != 0 for i in range(200)]
    assert fixed_sequence(np.linspace(1, 0.5, 200), correct, alpha=0.1, delta=0.1) is None


def test_nothing_qualifies_with_too_few_items():
    """30 right answers bound the error rate by 7.4 %: enough for alpha 0.08 and not for 0.07."""
    assert fixed_sequence([0.9] * 29, [True] * 29, alpha=0.5, delta=0.1) is None
    assert fixed_sequence([0.9] * 30, [True] * 30, alpha=0.07, delta=0.1) is None
    assert fixed_sequence([0.9] * 30, [True] * 30, alpha=0.08, delta=0.1).n == 30
    assert fixed_sequence([], [], alpha=0.5, delta=0.1) is None


def test_equal_confidences_are_accepted_together_or_not_at_all():
    confidence, correct = [0.9] * 40 + [0.8] * 40, [True] * 60 + [False] * 20
    found = fixed_sequence(confidence, correct, alpha=0.2, delta=0.1)
    assert (found.value, found.n, found.errors) == (0.9, 40, 0)


@given(st.integers(30, 120), st.randoms(use_true_random=False))
def test_the_order_of_items_changes_nothing_and_the_bound_is_kept(n, rng):
    items = [(rng.choice([0.5, 0.6, 0.7, 0.8, 0.9, rng.random()]), rng.random() < 0.85) for _ in range(n)]
    shuffled = rng.sample(items, n)
    found = fixed_sequence([c for c, _ in items], [x for _, x in items], 0.25, 0.1)
    assert found == fixed_sequence([c for c, _ in shuffled], [x for _, x in shuffled], 0.25, 0.1)
    if found is not None:
        taken = [x for c, x in items if c >= found.value]
        assert (found.n, found.errors) == (len(taken), taken.count(False))
        assert found.bound <= 0.25 and found.errors / found.n < 0.25


def test_the_guarantee_holds_in_repeated_draws_and_the_test_is_not_needlessly_timid():
    """Risk falls linearly with confidence: P(wrong | c) = 1 - c, so that the risk above a threshold t is (1 - t) / 2."""
    rng = np.random.default_rng(7)
    alpha, delta, runs = 0.15, 0.1, 1000
    broken = found = 0
    for _ in range(runs):
        confidence = rng.uniform(0.5, 1.0, 300)
        threshold = fixed_sequence(confidence, rng.random(300) < confidence, alpha, delta)
        found += threshold is not None
        broken += threshold is not None and (1 - threshold.value) / 2 > alpha
    assert broken / runs <= delta + 2.33 * math.sqrt(delta * (1 - delta) / runs)  # 1 in 100 by chance; the seed is fixed
    assert broken > 0 and found / runs > 0.8
