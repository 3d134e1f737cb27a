"""Equal answers are equal however they are written; near misses are wrong (golden cases of step_labels.md 1.4 and test 11)."""

from __future__ import annotations

import pytest

from pairwright.engines.verification.equality import bare, fold, plain, same_mathematics

RIGHT = [
    (r"$\frac{1}{2}$", "0.5"),
    (r"\frac12", "0.5"),
    ("1/2", "0.5"),
    ("1/2", r"\dfrac12"),
    ("7/3", "7/3"),
    (r"\boxed{7/3}", r"\frac{7}{3}"),
    ("-3", "-3"),
    ("-3", "\u22123"),
    ("1,234,567", "1234567"),
    ("1234", "1 234"),
    ("1234", r"1{,}234"),
    ("1234", r"1\,234"),
    ("50%", r"50\%"),
    ("50%", "0.5"),
    ("50", "50%"),
    ("5", "x = 5"),
    ("x=5", "5"),
    ("5", "$5.00"),
    ("5", "5 marbles"),
    ("5", r"\text{5 apples}"),
    ("3.5", "3 1/2"),
    ("1000", "10**3"),
    ("100000", "1e5"),
    (r"\{1,2\}", "$2$ and $1$"),
    ("3x+2", "2 + 3x"),
    ("A", r"\text{(A)}"),
    ("B", "(B) because A is wrong"),
    ("Paris", r"\text{paris}"),
    ("north", "North"),
    ("x+y", "y+x"),
    ("xy", "yx"),
    ("2ab", "2ba"),
    ("6xy", r"2x \cdot 3y"),
    ("2 pi", r"2\pi"),
    ("sin x", r"\sin x"),
    ("sqrt(3)", r"\sqrt{3}"),
    ("3:10", r"\frac{3}{10}"),
    ("5 m", "5"),
    ("5 m", "5.0 meters"),
    ("60 mph", "60 miles per hour"),
    (r"\frac{1}{2} cm", "0.5 cm"),
]

WRONG = [
    ("1", "11"),
    ("11", "1"),
    ("100", "104"),
    ("100", "96"),
    ("1", "1.001"),
    ("1", "0.999"),
    ("1/3", "0.333"),
    ("-3", "3"),
    ("2", "3 1/2"),
    ("10", "10**3"),
    ("0", r"5\,000"),
    ("235", "1 234"),
    ("2", "2 pi"),
    ("1", "1, 2"),
    ("x", "y"),
    ("Paris", "spira"),
    ("no", "on"),
    ("north", "5"),
    ("2023-05-01", "2017"),
    ("12:30", "14:35"),
    ("5 m", "5 cm"),
    ("5 m", "6 m"),
    ("2 pm", "2 am"),
    ("60 mph", "60 km/h"),
    (r"2\sqrt{3} cm", r"2\sqrt{3} m"),
    ("5 hours 30 minutes", "30 hours 5 minutes"),
    ("5 apples", "5 pears"),
    ("2xy", "2"),
    ("2xy", "2ab"),
    ("5c", "5t"),
    ("3+2x", "4+x"),
]


@pytest.mark.parametrize(("reference", "answer"), RIGHT)
def test_equal_answers_are_right(reference: str, answer: str):
    assert same_mathematics(reference, answer) == ("right", None)


@pytest.mark.parametrize(("reference", "answer"), WRONG)
def test_other_answers_are_wrong_however_near(reference: str, answer: str):
    assert same_mathematics(reference, answer) == ("wrong", None)


@pytest.mark.parametrize(
    ("reference", "answer", "reason"),
    [
        ("1/0", "5", "reference_unparsed"),
        (r"\frac{", "5", "reference_unparsed"),
        ("}{", "5", "reference_unparsed"),
        ("5", r"\left(\right", "answer_unparsed"),
        ("5", "1/0", "answer_unparsed"),
        ("5", "{5", "answer_unparsed"),
    ],
)
def test_what_cannot_be_read_has_no_verdict(reference: str, answer: str, reason: str):
    assert same_mathematics(reference, answer) == ("unparsed", reason)


@pytest.mark.parametrize("text", ["5", "-0.5", "x = 5", r"\frac{1}{2}", "(1, 2)", "5 x", "2xy", "1,2,3", "2 million"])
def test_an_answer_that_is_read_as_meant_is_left_alone(text: str):
    assert plain(text) == text


def test_a_reference_may_come_in_a_box_or_in_dollars():
    assert [bare(r) for r in ("5", "$5$", r"so \boxed{5}", r"\(5\)", "5.")] == ["5"] * 5
    assert fold(" New\n York ") == fold("new york") != fold("newyork")
