from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.errors import PairwrightError
from pairwright.pipelines.filters import apply_filters
from pairwright.pipelines.filters.outlier import Outlier, weight
from tests.pipelines.filters.test_implicit_margin import with_margins

MARGINS = st.lists(st.integers(-50, 50).map(float), min_size=2, max_size=30)


def dropped(margins, **about):
    outcome = apply_filters([Outlier(**about)], with_margins(*margins))
    return [m for m, keep in zip(margins, outcome.keep, strict=True) if not keep]


def test_the_golden_weights():
    assert weight(np.array([1.0, 2, 3, 10]), 3, 2).tolist() == pytest.approx([0.606531, 0.882497, 1, 0.002187], abs=1e-6)


def test_a_fifth_goes_on_either_side():
    assert dropped([0.1, -0.1, 0.2, -0.2, 0.3, -0.3, 0.4, -0.4, 30.0, -31.0]) == [30.0, -31.0]
    assert dropped([1.0, 2.0, 3.0, 10.0]) == [10.0]


def test_the_sentence_says_how_far_off():
    outcome = apply_filters([Outlier()], with_margins(1.0, 2.0, 3.0, 10.0))
    assert outcome.reason[3] == "implicit margin 10 is 1.7 deviations off the centre 4 (weight 0.24), one of the farthest 0.2"


def test_the_median_is_not_moved_by_what_it_is_to_find():
    margins = [5.0, 6.0, 7.0, 8.0, 20.0, 100.0]
    assert dropped(margins, rho=0.3) == [5.0, 100.0]
    assert dropped(margins, rho=0.3, centre="median") == [20.0, 100.0]


@given(MARGINS, st.sampled_from([0.1, 0.2, 0.5]))
def test_what_is_dropped_is_lighter_than_what_is_kept_and_no_more_than_rho(margins, rho):
    gone = set(dropped(margins, rho=rho))
    mean, sd = np.mean(margins), np.std(margins)
    if sd > 0:
        light = [abs(m - mean) / sd for m in margins if m in gone]
        heavy = [abs(m - mean) / sd for m in margins if m not in gone]
        assert len(light) <= math.ceil(rho * len(margins))
        assert max(heavy) <= min(light, default=np.inf) + 1e-9
    else:
        assert not gone


@given(MARGINS, st.randoms(use_true_random=False))
def test_the_order_of_pairs_changes_nothing(margins, rng):
    assert sorted(dropped(rng.sample(margins, len(margins)))) == sorted(dropped(margins))


def test_margins_that_are_all_equal_have_no_outlier_and_no_median_deviation():
    assert dropped([2.0, 2.0, 2.0]) == []
    with pytest.raises(PairwrightError, match="'outlier' has no deviation to measure by.*use `centre: mean`"):
        dropped([2.0, 2.0, 2.0, 9.0], centre="median")
    assert dropped([]) == []
