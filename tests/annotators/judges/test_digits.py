from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.annotators.judges.digits import digits, expected_digit, mass
from pairwright.engines.requests import Chosen


def test_labels_are_single_digits_in_order():
    assert digits(0, 4) == ("0", "1", "2", "3", "4")
    assert digits(7, 9) == ("7", "8", "9")


@pytest.mark.parametrize(("low", "high"), [(-1, 4), (1, 10), (3, 3), (4, 1)])
def test_numbers_of_two_tokens_are_refused(low, high):
    with pytest.raises(ValueError, match="digits run from 0 to 9"):
        digits(low, high)


def test_the_grade_is_the_mean_over_the_digits_however_little_they_have():
    grade = expected_digit(Chosen(tuple(math.log(p) for p in (0.1, 0.1, 0.2))), low=1)
    assert grade.expected == pytest.approx((1 + 2 + 2 * 3) / 4)
    assert (grade.mode, grade.mass) == (3, pytest.approx(0.4))
    assert grade.parts == pytest.approx({"expected": 2.25, "mode": 3, "mass": 0.4})


def test_of_equal_digits_the_lowest_is_the_mode():
    assert expected_digit(Chosen((-2.0, -1.0, -1.0)), low=0).mode == 1


@given(st.lists(st.floats(-700, 0), min_size=2, max_size=10))
def test_a_grade_lies_between_its_digits_and_its_mass_between_0_and_1(logprobs):
    grade = expected_digit(Chosen(tuple(logprobs)), low=0)
    assert -1e-9 <= grade.expected <= len(logprobs) - 1 + 1e-9
    assert 0 <= mass(Chosen(tuple(logprobs))) <= 1
