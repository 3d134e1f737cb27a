"""Words are compared as words and units are told apart, and what may be a product of variables is left to mathematics."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.engines.verification.words import Measure, chosen, measured, same_words


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("Paris", "paris"),
        (r"\text{New York}", "new  york."),
        ("the Nile", "Nile"),
        ("an isosceles triangle", r"\mathrm{isosceles\ triangle}"),
        ("twenty-one", "twenty one"),
        ("d'Or", "dOr"),
        ("S\u00e3o Paulo", "s\u00e3o paulo"),
        ("2023-05-01", "2023-5-1"),
        ("05/01/2023", "5/1/2023"),
        ("12:30", "12:30"),
        ("2:05 PM", "02:05 p.m."),
        ("5 hours 30 minutes", "5 hr and 30 min"),
    ],
)
def test_case_spaces_articles_and_punctuation_do_not_matter_to_words(reference: str, answer: str):
    assert same_words(reference, answer) is True


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("Paris", "spira"),
        ("no", "on"),
        ("north", "5"),
        ("5", "unknown"),
        ("II", "-1"),  # twice the imaginary unit
        ("yes/no", "no/yes"),
        ("2023-05-01", "2017"),
        ("2023-05-01", "2023-01-05"),
        ("12:30", "14:35"),  # the same ratio
        ("12:30", "noon"),
        ("2:05 pm", "2:05 am"),
        ("5 hours 30 minutes", "30 hours 5 minutes"),
        ("3 apples and 2 pears", "2 apples and 3 pears"),
    ],
)
def test_other_words_dates_and_times_are_not_equal_whatever_their_letters_and_figures(reference: str, answer: str):
    assert same_words(reference, answer) is False
    assert same_words(answer, reference) is False


MATHEMATICS = ["x+y", "xy", "ab", "xyz", "2x", r"\sin x", "sin x", "sin pi", "pi", "infinity", r"\frac{1}{2}", "A", "(B)", "N/A"]
MATHEMATICS += ["5 m", "2 pi", "10-3", "1/2", "ab and cd", "x or y", "3:10", "1.5", "5 marbles", r"\text{A}", "x = 5", r"\{1,2\}"]


@pytest.mark.parametrize("text", MATHEMATICS)
def test_formulas_letters_and_numbers_are_left_to_mathematics(text: str):
    assert same_words(text, "7") is None
    assert same_words("7", text) is None


@pytest.mark.parametrize(
    ("text", "measure"),
    [
        ("5 m", Measure("5", "meter")),
        (r"$5$ cm", Measure("5", "centimeter")),
        (r"5\,\text{km}", Measure("5", "kilometer")),
        ("5 kilometres", Measure("5", "kilometer")),
        ("x = 60 km/h", Measure("60", "kilometer per hour")),
        ("60 mph", Measure("60", "mile per hour")),
        ("1,000 miles", Measure("1,000", "mile")),
        (r"\frac{1}{2} ft", Measure(r"\frac{1}{2}", "foot")),
        (r"2\pi m", Measure(r"2\pi", "meter")),
        ("2 P.M.", Measure("2", "pm")),
        ("1 apple", Measure("1", "apple")),
        ("5 red marbles", Measure("5", "red marble")),
        ("5 men", Measure("5", "men")),
        ("2ba", Measure("2", "ab", product=True)),
        ("2abc", Measure("2", "abc", product=True)),
        ("2 y x", Measure("2", "xy", product=True)),
        ("3i", Measure("3", "i", product=True)),
    ],
)
def test_a_quantity_has_a_unit_by_its_full_name_or_a_product_behind_it(text: str, measure: Measure):
    assert measured(text) == measure


@pytest.mark.parametrize(
    "text", ["5", "5 + x", "3+2x", "1, 2x", "2 pi", "2 sin x", "2 million", "2 in", "$5 per hour", "x", "5 m^2", "2x/y", "2^x"]
)
def test_sums_lists_functions_numerals_and_prices_are_no_measures(text: str):
    assert measured(text) is None


@pytest.mark.parametrize(
    "answer", ["(B) because A is wrong", "B) Paris", "(B): 5 is odd", r"\textbf{(B) }5", "B because A is wrong", "B, since"]
)
def test_of_a_choice_that_says_more_the_letter_is_compared(answer: str):
    assert chosen("B", answer) == chosen("(B)", answer) == "B"
    assert chosen("Paris", answer) == answer


@pytest.mark.parametrize("answer", ["(B) + 1", "B + 1", "(B)(C)", "Because", "5"])
def test_a_letter_that_begins_a_formula_or_a_word_is_no_choice(answer: str):
    assert chosen("B", answer) == answer


@given(st.text(r"abAp 15:-/.,\{}$'mt", max_size=30), st.text(r"abAp 15:-/.,\{}$'mt", max_size=30))
def test_words_are_equal_in_either_order_and_to_themselves(one: str, other: str):
    assert same_words(one, other) == same_words(other, one)
    assert same_words(one, one) in (None, True)
