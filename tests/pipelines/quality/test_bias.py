"""Length bias of filters_routing_consensus.md 7.4."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from pairwright.pipelines.quality.bias import bias_by, bias_of, bias_of_votes

LENGTHS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=30)


def test_the_figures_of_four_pairs():
    found = bias_of([10, 20, 5, 7], [4, 10, 9, 7], [0.2, 0.9, 0.1, 0.3])
    assert (found.n, found.mean, found.median) == (4, 3.0, 3.0)
    assert (found.more, found.less, found.more_wins) == (0.5, 0.25, 0.625)
    assert found.rho == pytest.approx(0.8)  # ranks 2 4 1 3 of margins, 3 4 1 2 of differences 6 10 -4 0
    assert found.why == {}


def test_the_slope_is_the_likeliest_one():
    d = np.array([6.0, 10.0, -4.0, 0.0, 3.0])
    best = minimize_scalar(lambda b: np.log1p(np.exp(-b * d)).sum(), bounds=(-2, 2), method="bounded", options={"xatol": 1e-10}).x
    found = bias_of(d, np.zeros(5))
    assert found.slope == pytest.approx(best, abs=1e-6)
    assert found.slope_scaled == pytest.approx(best * math.sqrt((d**2).mean()), abs=1e-5)


def test_what_is_undefined_is_none_and_says_why():
    nothing = bias_of([], [], [])
    assert (nothing.n, nothing.mean, nothing.rho) == (0, None, None) and nothing.why["mean"] == "there are no pairs"
    longer = bias_of([5, 6], [1, 2], [1.0, 1.0])
    assert longer.slope is None and "no fit is finite" in longer.why["slope"]
    assert longer.rho is None and longer.why["rho"] == "all margins are equal"
    level = bias_of([5, 6], [5, 6])
    assert level.why == {
        "slope": "in no pair there is a difference",
        "slope_scaled": "in no pair there is a difference",
        "rho": "no margins were given",
    }
    assert bias_of([5], [1], [1.0]).why["rho"] == "one pair has no ranks"


def test_flags_say_that_their_thresholds_are_ours():
    found = bias_of([9] * 7 + [1] * 3, [5] * 10, [*range(7, 14), 1, 2, 3])
    assert found.flags == (
        "the chosen response has more in 70% of 10 pairs (flagged above 60%, ours)",
        f"margin and difference correlate by {found.rho:.2f} (flagged beyond 0.3 either way, ours)",
    )
    assert bias_of([9] * 6 + [1] * 4, [5] * 10).flags == ()
    assert bias_of([1] * 7 + [9] * 3, [5] * 10).flags == (
        "the chosen response has less in 70% of 10 pairs (flagged above 60%, ours)",
    )


@settings(max_examples=40)
@given(LENGTHS)
def test_exchanging_the_two_sides_turns_everything_round(lengths):
    chosen, rejected = zip(*lengths, strict=True)
    one, other = bias_of(chosen, rejected), bias_of(rejected, chosen)
    assert (one.more, one.less, one.mean, one.median) == (other.less, other.more, -other.mean, -other.median)
    assert one.more_wins == pytest.approx(1 - other.more_wins)
    assert (one.slope is None) == (other.slope is None)
    if one.slope is not None:
        assert one.slope == pytest.approx(-other.slope, abs=1e-4 * (1 + abs(one.slope)))


def test_by_source_each_pair_counts_in_its_own():
    found = bias_by(["web", "books", "web"], [5, 1, 7], [1, 4, 1], [1.0, 1.0, 2.0])
    assert list(found) == ["books", "web"]
    assert found["web"] == bias_of([5, 7], [1, 1], [1.0, 2.0])
    assert found["books"].less == 1.0
    assert bias_by([], [], []) == {}


def test_an_annotator_is_judged_by_what_it_prefers_itself():
    votes = [1.0, 0.0, 0.5, None, 0.0]
    found = bias_of_votes(votes, [9, 1, 9, 9, 2], [1, 5, 1, 1, 8], [3.0, -1.0, 0.0, None, -2.0])
    assert found == bias_of([9, 5, 8], [1, 1, 2], [3.0, 1.0, 2.0])
    assert bias_of_votes(votes, [9, 1, 9, 9, 2], [1, 5, 1, 1, 8]).n == 3
    assert bias_of_votes([None], [1], [2]).n == 0


def test_columns_that_do_not_fit_are_refused():
    with pytest.raises(ValueError):
        bias_of([1, 2], [3, 4], [1.0])
