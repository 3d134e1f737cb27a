"""Made-up arithmetic: the reference is right, the problem does not give it away, and the same settings give the same problem."""

from __future__ import annotations

import ast
import operator
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pairwright.pipelines.prompts.arithmetic import Arithmetic, make_problem
from pairwright.pipelines.prompts.sources import read_prompts

NODES: dict[type, Any] = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
VERBS = {
    "adds": "+", "rises": "+", "forward": "+", "takes": "-", "falls": "-", "back": "-",
    "multiplies": "*", "multiplied": "*", "divides": "/", "divided": "/",
}  # fmt: skip


def solve(node: ast.expr) -> Fraction:
    if isinstance(node, ast.BinOp):
        return NODES[type(node.op)](solve(node.left), solve(node.right))
    assert isinstance(node, ast.Constant) and isinstance(node.value, int)
    return Fraction(node.value)


def solve_expression(text: str) -> Fraction:
    match = re.search(r"[\d(][\d\s()+*/-]*[\d)]", text)
    assert match
    return solve(ast.parse(match.group(), mode="eval").body)


def solve_story(text: str) -> Fraction:
    first, *steps = [sentence for sentence in text.split(". ") if re.search(r"\d", sentence)]
    value = Fraction(re.findall(r"\d+", first)[0])
    for step in steps:
        sign = next(sign for verb, sign in VERBS.items() if re.search(rf"\b{verb}\b", step))
        number = Fraction(re.findall(r"\d+", step)[0])
        value = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}[sign](value, number)
    return value


@st.composite
def configs(draw: st.DrawFn) -> Arithmetic:
    span = st.tuples(st.integers(1, 6), st.integers(0, 4)).map(lambda t: (t[0], t[0] + t[1]))
    return Arithmetic(
        operations=draw(span),
        digits=draw(span),
        operators=tuple(draw(st.sets(st.sampled_from("+-*/"), min_size=1))),
        style=draw(st.sampled_from(("expression", "words", "mixed"))),
        seed=draw(st.integers(0, 2**40)),
    )


@given(configs(), st.integers(0, 10**6))
def test_the_reference_is_what_an_independent_reading_of_the_text_gives(config: Arithmetic, index: int) -> None:
    problem = make_problem(config, index)
    value = solve_expression(problem.text) if problem.style == "expression" else solve_story(problem.text)
    assert problem.reference == str(value)


@given(configs(), st.integers(0, 10**6))
def test_the_text_keeps_to_the_settings_and_never_holds_the_answer(config: Arithmetic, index: int) -> None:
    text, reference, style = make_problem(config, index)
    numbers = re.findall(r"\d+", text)
    assert config.operations[0] <= len(numbers) - 1 <= config.operations[1]
    assert all(config.digits[0] <= len(number) <= config.digits[1] and number[0] != "0" for number in numbers)
    assert reference not in numbers
    assert not re.search(rf"(?<!\d){reference.replace('/', ' / ')}(?!\d)", text)
    assert config.style in (style, "mixed")
    if style == "expression":
        assert set(re.findall(r"[+*/]|(?<= )-(?= )", text)) <= set(config.operators)


def test_a_larger_count_keeps_the_first_problems() -> None:
    few, many = (read_prompts(Arithmetic(count=n, seed=3, digits=3), Path()).prompts for n in (5, 40))
    assert few == many[:5]


def test_another_seed_or_setting_gives_other_problems() -> None:
    texts = {make_problem(Arithmetic(digits=4, **changed), 0).text for changed in ({}, {"seed": 1}, {"operations": 3})}
    assert len(texts) == 3


def test_the_order_in_which_operators_are_written_does_not_matter() -> None:
    assert make_problem(Arithmetic(operators=("*", "+")), 7) == make_problem(Arithmetic(operators=("+", "*")), 7)


def test_a_whole_number_means_exactly_so_many() -> None:
    assert Arithmetic(operations=3) == Arithmetic(operations=(3, 3))


def test_a_very_long_problem_can_be_made() -> None:
    problem = make_problem(Arithmetic(operations=999, digits=3, operators=tuple("+-*/"), style="expression"), 0)
    assert problem.reference == str(solve_expression(problem.text))


def test_mixed_holds_both_styles_and_says_so_in_the_tags() -> None:
    prompts = read_prompts(Arithmetic(count=40, digits=3), Path()).prompts
    assert {p.tags for p in prompts} == {("math", "arithmetic", "expression"), ("math", "arithmetic", "words")}


@pytest.mark.parametrize(
    "wrong",
    [
        {"operations": 0},
        {"digits": [3, 2]},
        {"operators": []},
        {"operators": ["^"]},
        {"operations": 1000, "digits": 3},
        {"count": 0},
        {"depth": 3},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Arithmetic.model_validate(wrong)


def test_equal_easy_problems_are_merged_and_counted() -> None:
    found = read_prompts(Arithmetic(count=400, operations=1, digits=1, operators=("*",), style="expression"), Path())
    assert found.account.rows_in == 400 == found.account.rows_out + found.account.dropped["duplicate"]
    assert sum(p.count for p in found.prompts) == 400
