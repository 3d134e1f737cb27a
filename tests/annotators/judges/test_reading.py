from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.annotators.judges.reading import (
    Unread,
    commonest,
    json_in,
    number_in,
    numbers_in,
    read,
    said,
    together,
    verdict_in,
)
from pairwright.engines.requests import Completion, Generated

BITS = r"""<verdict> </verdict> A B C tie [[ ]] <score> </score> <scores> </scores> score: 3 4.5 -1 99 / 5 \boxed{ } { } [ ] , " '
null true a : </think> <think> Sorry 1. % - to"""
ANYTHING = st.text(max_size=60) | st.lists(st.sampled_from([*BITS.split(), "\n"]), max_size=14).map(" ".join)


def done(text: str) -> Completion:
    return Completion(text, "stop")


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("A is better.", "A is better."),
        ("<think>B? No.</think>\n\nA", "A"),
        ("B? No.</think>A", "A"),
        ("<think>x</think>B<think>y</think> A", "A"),
        ("<thinking>x</thinking>A", "A"),
    ],
)
def test_thoughts_are_no_part_of_what_is_said(text, rest):
    assert said(done(text)) == rest


@pytest.mark.parametrize(
    ("completion", "reason"),
    [
        (Completion("A", "length"), "cut"),
        (Completion("<think>perhaps A", "stop"), "cut"),
        (Completion("<think>x</think> A <think>but", "stop"), "cut"),
        (done(""), "empty_answer"),
        (done(" \n"), "empty_answer"),
        (done("<think>A</think>  "), "empty_answer"),
    ],
)
def test_an_answer_without_an_end_or_words_says_nothing(completion, reason):
    assert said(completion) == Unread(reason)
    assert read(completion, verdict_in) == Unread(reason)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("A is clearer.\n<verdict>A</verdict>", "a"),
        ("<VERDICT> b </VERDICT>", "b"),
        ("<verdict>Response B</verdict>", "b"),
        ("<verdict>[[A]]</verdict>", "a"),
        ("<verdict>**C**</verdict>", "tie"),
        ("<verdict>tie</verdict>", "tie"),
        ("So: <verdict>A", "a"),
        ("<verdict>A</verdict> I repeat: <verdict>A</verdict>", "a"),
        ("Both fine.\n[[B]]", "b"),
        ("Its rows are\n[[1, 2]]\nand not [[A]].\n\n**[[B]]**\n", "b"),
        ("[[1,2],[3,4]]\n[[B]].", "b"),
        ("[[1]] says so. <verdict>A</verdict>", "a"),
        ("A", "a"),
        ("**B.**", "b"),
        ("Response A", "a"),
    ],
)
def test_a_verdict_is_read(text, verdict):
    assert verdict_in(text) == verdict


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("I find A better, by far.", "no_verdict"),
        ("A or B", "no_verdict"),
        ("Apple", "no_verdict"),
        ("It is not [[A]].", "no_verdict"),
        ("The format is [[A]] or so", "no_verdict"),
        ("[[A]]\nis what they would say.", "no_verdict"),
        ("It is\n[[1, 2]]", "no_verdict"),
        ("[[A]]\nOr no:\n[[B]]", "two_verdicts"),
        ("<verdict>A</verdict> or rather <verdict>B</verdict>", "two_verdicts"),
        ("[[A]] [[B]]", "two_verdicts"),
        ("<verdict>both</verdict>", "unknown_verdict"),
        ("<verdict></verdict>", "unknown_verdict"),
        ("<verdict>A</verdict> <verdict>?</verdict>", "unknown_verdict"),
        ("[[A]] <verdict>A or B</verdict>", "unknown_verdict"),
        ("</verdict>", "unknown_verdict"),
        ("I'm sorry, but I can't compare these.", "refused"),
        ("As an AI, I have no preferences.", "refused"),
        ("", "empty_answer"),
    ],
)
def test_what_is_no_verdict_says_how(text, reason):
    assert verdict_in(text) == Unread(reason)


@pytest.mark.parametrize("text", ["C", "<verdict>tie</verdict>", "Both fine.\n[[C]]"])
def test_where_no_tie_is_offered_a_tie_is_no_verdict(text):
    assert verdict_in(text) == "tie"
    assert verdict_in(text, ties=False) == Unread("unknown_verdict")


def test_a_refusal_that_ends_in_a_verdict_is_a_verdict():
    assert verdict_in("I'm sorry to say that B is wrong. <verdict>A</verdict>") == "a"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("<score>3</score>", 3),
        ("<score>\n4.5\n</score>", 4.5),
        ("Score: 1, no wait.\n<score>2</score>", 2),
        ("Score: 4\nSo, again:\n__Score__: 4", 4),
        ("A score of 5 needs more. So:\nThe final score is: \\boxed{3}", 3),
        ("<score>4</score> out of 5", 4),
        ("<score>4/5</score>", 4),
        ("Score: 4 (out of 5)", 4),
        ("**Score:** 4/5", 4),
        ("Final rating = 3 out of 5.", 3),
        ("The score is 4.", 4),
        ("Score (0-5): 2", 2),
        ("Score:\n4", 4),
        ("Score：4", 4),
        ("So \\boxed{5}", 5),
        ("[[0]]", 0),
        ("4", 4),
        ("**4.**", 4),
        ("4/5", 4),
    ],
)
def test_a_score_is_read(text, number):
    assert number_in(text, 0, 5) == number


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("It is good.", "no_score"),
        ("I see 3 mistakes.", "no_score"),
        ("Score: three", "no_score"),
        ("Score: 3 at first.\n<score>excellent</score>", "no_score"),
        ("Score: 2 at first. Score: n/a", "no_score"),
        ("Score:\n1. Because it is short", "no_score"),
        ("Score: 4th", "no_score"),
        ("Score: 1e0", "no_score"),
        ("4 mistakes", "no_score"),
        ("It does not deserve a score of 5.", "no_score"),
        ("Score: 3. A score of 5 needs more.", "no_score"),
        ("no score of 0 here", "no_score"),
        ("The score is 2 points lower than it could be", "no_score"),
        ("Score: 2. Second thoughts. Score: 4", "no_score"),
        ("<score>not 5</score>", "no_score"),
        ("<score>4 <br></score>", "no_score"),
        ("Score: 2\nSecond thoughts.\nScore: 4", "two_scores"),
        ("<score>2</score> or <score>4</score>", "two_scores"),
        ("<score>3 1/2</score>", "two_scores"),
        ("Score: 3-4", "two_scores"),
        ("Score: 3 or 4", "two_scores"),
        ("Score: 4,5", "two_scores"),
        ("Score: 7", "out_of_range"),
        ("Score: -1", "out_of_range"),
        ("Score: 5.1", "out_of_range"),
        ("Score: " + "9" * 400, "out_of_range"),
        ("Score: 4/10", "wrong_scale"),
        ("Score: 4 (out of 10)", "wrong_scale"),
        ("Score (0-10): 4", "wrong_scale"),
        ("4 points out of 10", "wrong_scale"),
        ("5 stars out of 10", "wrong_scale"),
        ("<score>4</score> out of 10", "wrong_scale"),
        ("<score>4</score>%", "wrong_scale"),
        ("<score>4 of 10</score>", "wrong_scale"),
        ("8 out of 10", "wrong_scale"),
        ("Score: 4%", "wrong_scale"),
        ("I cannot grade this.", "refused"),
        ("", "empty_answer"),
    ],
)
def test_what_is_no_score_says_how(text, reason):
    assert number_in(text, 0, 5) == Unread(reason)


@pytest.mark.parametrize(
    "text",
    [
        "\\boxed{7, 4, 5}",
        "\\boxed{[7,4,5]}",
        "[1, 2, 3] then [7, 4, 5]",
        "<scores>7; 4; 5</scores>",
        "[1,2,3] <scores>7 4 5</scores>",
    ],
)
def test_a_list_of_scores_is_read(text):
    assert numbers_in(text, 3, 1, 10) == (7, 4, 5)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("All are good.", "no_scores"),
        ("\\boxed{good, bad, good}", "no_scores"),
        ("[7, 4, 5] \\boxed{}", "wrong_count"),
        ("[7, 4]", "wrong_count"),
        ("[7, 4, 5, 5]", "wrong_count"),
        ("[7, 4, 11]", "out_of_range"),
        ("Sorry, I can't.", "refused"),
    ],
)
def test_what_is_no_list_of_scores_says_how(text, reason):
    assert numbers_in(text, 3, 1, 10) == Unread(reason)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": 1}', {"a": 1}),
        ('Here:\n```json\n{"a": [1, 2,],}\n```\nDone.', {"a": [1, 2]}),
        ("{'a': true, 'b': null}", {"a": True, "b": None}),
        ('{"a": 1} no, {"a": 2}', {"a": 2}),
        ('the set {1, 2}, then {"a": {"b": "}"}}', {"a": {"b": "}"}}),
    ],
)
def test_an_object_is_read(text, found):
    assert json_in(text) == found


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("A is better.", "no_json"),
        ('{"a": {"b": 1}, "c', "bad_json"),
        ('{"a": 1} {"a": 2', "bad_json"),
        ('{"a": 1, "a": 2}', "bad_json"),
        ("{'a': 1, 'a': 2}", "bad_json"),
        ('{"a": NaN}', "bad_json"),
        ('{"a" 1}', "bad_json"),
        ("{1, 2}", "bad_json"),
        ('{"a": ' * 5000 + "1" + "}" * 5000, "bad_json"),
        ("I won't.", "refused"),
    ],
)
def test_what_is_no_object_says_how(text, reason):
    assert json_in(text) == Unread(reason)


@given(ANYTHING, st.sampled_from(["stop", "length"]))
def test_nothing_a_judge_says_is_an_exception_or_a_value_that_is_none(text, finish):
    completion = Completion(text, finish)
    verdict = read(completion, verdict_in)
    number = read(completion, lambda t: number_in(t, 0, 5))
    numbers = read(completion, lambda t: numbers_in(t, 2, 1, 10))
    found = read(completion, json_in)
    assert isinstance(verdict, Unread) or verdict in ("a", "b", "tie")
    assert isinstance(number, Unread) or 0 <= number <= 5
    assert isinstance(numbers, Unread) or (len(numbers) == 2 and all(1 <= n <= 10 for n in numbers))
    assert isinstance(found, Unread | dict)
    if finish == "length":
        assert {verdict, number, numbers, found} == {Unread("cut")}


@given(st.dictionaries(st.text(max_size=5), st.none() | st.booleans() | st.integers() | st.text(max_size=8), max_size=4))
def test_whatever_json_can_say_is_read_as_it_was_said(value):
    assert json_in(f"Well:\n```json\n{json.dumps(value, ensure_ascii=False)}\n```") == value


def test_the_commonest_reason_is_given_and_all_words_are_kept():
    assert commonest([Unread("cut"), Unread("no_score"), Unread("no_score")]) == "no_score"
    assert commonest([Unread("cut"), Unread("no_score")]) == "cut"
    assert together(Generated((done("one"), done("two")))) == "one\n\n---\n\ntwo"
