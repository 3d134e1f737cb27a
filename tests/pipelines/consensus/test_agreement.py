from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.pipelines.consensus.agreement import (
    cohen_kappa,
    fleiss_kappa,
    gwet_ac1,
    krippendorff_alpha,
    observed,
    randolph_kappa,
)

_ = None
CODERS = [  # three coders of 15 units, the example of the package krippendorff
    [_, _, _, _, _, 3, 4, 1, 2, 1, 1, 3, 3, _, 3],
    [1, _, 2, 1, 3, 3, 4, 3, _, _, _, _, _, _, _],
    [_, _, 2, 1, 3, 4, 4, _, 2, 1, 1, 3, 3, _, 4],
]
UNITS = [list(unit) for unit in zip(*CODERS, strict=True)]
FIVE = [[0, 0, 0], [1, 1, 0], [1, 1, 1], [0, 1, 0], [1, 1, 1]]


@pytest.mark.parametrize(
    ("level", "expected"), [("nominal", 0.691358), ("ordinal", 0.806721), ("interval", 0.810845), ("ratio", 0.808944)]
)
def test_the_golden_alphas(level, expected):
    assert krippendorff_alpha(UNITS, level) == pytest.approx(expected, abs=1e-6)


def test_the_golden_kappas():
    assert fleiss_kappa(FIVE) == pytest.approx(0.4444, abs=1e-4)
    assert randolph_kappa(FIVE) == pytest.approx(0.4667, abs=1e-4)
    assert cohen_kappa([0, 1, 1, 0, 1], [0, 1, 0, 0, 1]) == pytest.approx(0.615385, abs=1e-6)


def test_cohen_leaves_out_what_only_one_labelled_and_can_weigh_distances():
    assert cohen_kappa(["x", "y", "y", "x", "y", None], ["x", "y", "x", "x", "y", "x"]) == pytest.approx(0.615385, abs=1e-6)
    near, far = cohen_kappa([1, 2, 3, 3], [1, 2, 3, 2], "quadratic"), cohen_kappa([1, 2, 3, 3], [1, 2, 3, 1], "quadratic")
    assert near > far


def test_where_one_label_prevails_kappa_collapses_and_ac1_does_not():
    ratings = [[1, 1]] * 118 + [[1, 0]] * 5 + [[0, 1]] * 2
    one, other = (list(column) for column in zip(*ratings, strict=True))
    assert cohen_kappa(one, other) == pytest.approx(-0.0234, abs=1e-4)
    pi = (123 / 125 + 120 / 125) / 2
    chance = 2 * pi * (1 - pi)
    assert gwet_ac1(ratings) == pytest.approx((0.944 - chance) / (1 - chance))
    assert gwet_ac1(ratings) == pytest.approx(0.94, abs=1e-2)


def test_one_label_from_everybody_has_no_kappa_but_full_agreement():
    same = [[1, 1, 1]] * 4
    assert cohen_kappa([1, 1], [1, 1]) is None
    assert fleiss_kappa(same) is None
    assert krippendorff_alpha(same) is None
    assert observed(same) == 1.0
    assert gwet_ac1(same) == 1.0


def test_nothing_to_compare_is_none():
    alone = [[1, None], [None, 2]]
    assert observed(alone) is None
    assert gwet_ac1(alone) is None
    assert krippendorff_alpha(alone) is None
    assert cohen_kappa([1, None], [None, 1]) is None


def test_fleiss_wants_a_complete_table():
    for ratings in ([[1, 1, 0], [1, 0, None]], [[1, None, None], [1, 1, 1]]):
        with pytest.raises(ValueError, match="use krippendorff_alpha"):
            fleiss_kappa(ratings)


def by_pairs(ratings):
    """Nominal alpha over all pairs of values, without a coincidence matrix."""
    units = [[v for v in unit if v is not None] for unit in ratings]
    units = [unit for unit in units if len(unit) > 1]
    values = [v for unit in units for v in unit]
    n = len(values)
    apart = sum(sum(a != b for a in unit for b in unit) / (len(unit) - 1) for unit in units) / n
    expected = sum(a != b for a in values for b in values) / (n * (n - 1))
    return 1 - apart / expected if expected else None


@given(st.lists(st.lists(st.none() | st.integers(0, 3), min_size=3, max_size=3), min_size=1, max_size=10))
def test_alpha_is_that_over_all_pairs_of_values(ratings):
    if any(sum(v is not None for v in unit) > 1 for unit in ratings):
        expected = by_pairs(ratings)
        found = krippendorff_alpha(ratings)
        assert found is None if expected is None else found == pytest.approx(expected)


@given(st.lists(st.lists(st.integers(0, 2), min_size=3, max_size=3), min_size=2, max_size=10), st.permutations(range(3)))
def test_coefficients_do_not_depend_on_who_is_named_first(ratings, order):
    turned = [[unit[i] for i in order] for unit in ratings]
    for coefficient in (fleiss_kappa, randolph_kappa, gwet_ac1, krippendorff_alpha, observed):
        found, again = coefficient(ratings), coefficient(turned)
        assert (found is None) == (again is None)
        assert found is None or math.isclose(found, again, abs_tol=1e-12)
