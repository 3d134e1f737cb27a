"""The final answer is found where a reader would find it, in time linear in the text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.engines.verification.answers import LONGEST, SEARCHED, balanced, boxed, extract, tidy

LARGE = 250_000  # characters


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{5}", "5"),
        (r"first \boxed{4}, no: \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (r"\boxed{\boxed{7}}", "7"),
        (r"\boxed{3} and then \boxed{4", "3"),
        (r"}}} { \boxed{8}", "8"),
        (r"\boxed{6} \boxed{ }", "6"),
        (r"$\boxed{ $9$ }$", "9"),
        (r"\boxed{2}. The answer is 3, $4$, 5", "2"),
        ("The answer is 42. It took $3$ steps.", "42"),
        ("The answer is 1. Wait. The answer is: **2**", "2"),
        ("Final Answer: The final answer is $5$. I hope it is correct.", "5"),
        ("The answer is $3$ and $4$.", "$3$ and $4$"),
        ("# Answer\n\n42\n\nbecause $x=1$", "42"),
        ("Tom has 3 + 4 = 7\n#### 1,234", "1,234"),
        ("**Answer:** 7/3", "7/3"),
        ("Answer:\n\\[\n x + 1 \n\\]", "x + 1"),
        ("answer: **12** apples", "12 apples"),
        ("The answer is 5! because", "5! because"),
        ("we get $x=2$ and so $y=3$, in 2 steps", "y=3"),
        ("we get \\(3\\), after 2 steps", "3"),
        ("$$\nx\n$$ is it", "x"),
        ("it costs $5 and $10", "10"),
        ("it costs $5. So $x$ is", "x"),
        ("$ 5 $ after 2", "5"),
        ("5-3 is 2 and 7-4", "4"),
        ("down to -3.5 degrees", "-3.5"),
        ("about 1,234,567", "1,234,567"),
        ("that is 7/3", "7/3"),
        ("50%", "50%"),
        (".5", ".5"),
        ("there is none", None),
        ("", None),
    ],
)
def test_an_answer_is_taken_from_the_box_the_announcement_the_formula_or_the_number_in_this_order(text: str, answer: str):
    assert extract(text) == answer


@pytest.mark.parametrize("text", ["The answer is 42", "#### 42", "so $42$", "42", r"so \boxed{42"])
def test_of_a_text_that_was_cut_only_a_closed_box_counts(text: str):
    assert extract(text) is not None
    assert extract(text, cut=True) is None
    assert extract(rf"\boxed{{7}} {text}", cut=True) == "7"


def test_an_answer_without_a_box_is_looked_for_near_the_end_of_a_text():
    before = "1 + 1 = 2\n" * SEARCHED
    assert extract(before + "The answer is 5") == extract(r"\boxed{5}" + before) == "5"
    assert extract("The answer is 5\n" + "no\n" * SEARCHED) is None
    assert extract("$" + "1+" * SEARCHED + "1$") is None  # half of a formula is no answer


inner = st.recursive(
    st.text("ab1+ ", min_size=1).map(str.strip).filter(bool),
    lambda part: st.lists(part, min_size=1, max_size=3).map(lambda parts: r"\frac{" + "}{".join(parts) + "}"),
)


@given(inner, st.text("x}\\ 3\n", max_size=20))
def test_whatever_is_balanced_comes_out_of_its_box(content: str, around: str):
    assert boxed(f"{around.rstrip(chr(92))} \\boxed{{{content}}} {around.replace('}', '')}") == " ".join(content.split())


@given(st.text("$\\()[]{}ab1,.-/*#\n answeri:s%", max_size=60))
def test_no_text_is_too_strange(text: str):
    answer = extract(text)
    assert answer is None or (answer and answer == answer.strip() and "\n" not in answer)
    assert extract(text, cut=True) in (None, boxed(text))


@given(st.text("$\\(){}ab1,.* ", max_size=30))
def test_what_is_tidy_stays(text: str):
    assert tidy(tidy(text)) == tidy(text)


@pytest.mark.timeout(60)  # a search that is quadratic in the text takes longer
@pytest.mark.parametrize(
    "unit",
    [
        *"{}1-#* \\",
        "** ",
        ". ",
        r"\boxed{.}",
        r"\frac{1}{",
        r"\boxed{",
        "$",
        "$ ",
        " $x",
        "$x$,",
        "1,",
        "111,",
        ".1",
        "1e",
        "1 / ",
        "answer is ",
        "answer:**",
        "#\n",
        r"\(",
        r"\[\]",
    ],
)
def test_anything_is_searched_in_linear_time(unit: str):
    text = unit * (LARGE // len(unit))
    for hostile in (text, rf"\boxed{{{text}}}", f"answer: {text}", f"x {text} $1$"):
        answer = extract(hostile)
        assert answer is None or len(answer) < LONGEST or len(answer) > LARGE / 10


@pytest.mark.parametrize(("text", "sound"), [("{}", True), (r"\{", True), ("}{", False), ("{", False), (r"\\{", False)])
def test_braces_are_balanced_or_not(text: str, sound: bool):
    assert balanced(text) is sound
