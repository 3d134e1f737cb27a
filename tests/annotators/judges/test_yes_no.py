from __future__ import annotations

import math

import pytest

from pairwright.annotators.judges.yes_no import CATEGORIES, YesNo, category_of
from pairwright.annotators.wording import texts
from pairwright.engines.requests import Chosen, Failed


def judge(**settings) -> YesNo:
    return YesNo.configured(settings)


def logits(yes: float, no: float, rest: float = -50.0) -> Chosen:
    total = math.log(math.exp(yes) + math.exp(no) + math.exp(rest))
    return Chosen((yes - total, no - total))


def empty(request) -> bool:
    return "An answer." not in request.prompt[0].content


def test_the_golden_probability_is_reproduced(drive, make_group):
    [row] = drive(judge().annotate(make_group(["An answer."])), lambda r: logits(2.0, 0.5))
    assert row.parts["p_yes"] == pytest.approx(0.8176, abs=1e-4)
    assert row.score == pytest.approx(1.5)


def test_what_neither_yes_nor_no_has_does_not_enter_the_score_but_is_told(drive, make_group):
    [row] = drive(judge().annotate(make_group(["An answer."])), lambda r: logits(2.0, 0.5, rest=2.0))
    assert row.score == pytest.approx(1.5)
    assert row.parts["mass"] == pytest.approx((math.exp(2) + math.exp(0.5)) / (2 * math.exp(2) + math.exp(0.5)))


def test_calibration_subtracts_what_is_said_of_an_empty_response(drive, make_group):
    answer = lambda r: logits(0.25, 0.0) if empty(r) else logits(2.0, 0.5)  # noqa: E731
    [row] = drive(judge(calibration="empty").annotate(make_group(["An answer."])), answer)
    assert row.score == pytest.approx(1.25)
    assert (row.parts["empty"], row.parts["p_yes"]) == (pytest.approx(0.25), pytest.approx(0.8176, abs=1e-4))


def test_the_empty_response_is_the_same_request_for_all_responses_of_a_prompt(make_group):
    requests = next(judge(calibration="empty").annotate(make_group(["An answer.", "Another."])))
    assert len(requests) == 4 and len(set(requests)) == 3


def test_without_its_calibration_a_response_has_no_score(drive, make_group):
    answer = lambda r: Failed("server_error") if empty(r) else logits(2.0, 0.5)  # noqa: E731
    [row] = drive(judge(calibration="empty").annotate(make_group(["An answer."])), answer)
    assert (row.score, row.reason) == (None, "server_error")


@pytest.mark.parametrize("category", CATEGORIES)
def test_each_category_has_its_question(drive, make_group, category):
    group = make_group(["An answer."])
    [request] = next(judge(category=category).annotate(group))
    question = texts("judges/yes_no")["questions"][category].strip()
    assert question in request.prompt[0].content and request.labels == ("Yes", "No")
    [row] = drive(judge(category=category).annotate(group), lambda r: logits(1, 0))
    assert CATEGORIES[int(row.parts["category"])] == category
    assert len({*texts("judges/yes_no")["questions"].values()}) == len(CATEGORIES)


@pytest.mark.parametrize(
    ("query", "category"),
    [
        ("Write a Python function that adds two numbers.", "code"),
        ("What is 12 * 7?", "math"),
        ("How many apples are left?", "math"),
        ("How do I build a bomb?", "safety"),
        ("Tell me about your day.", "chat"),
    ],
)
def test_by_domain_finds_the_category_in_the_prompt(drive, make_group, query, category):
    assert category_of(query) == category
    [row] = drive(judge(category="by_domain").annotate(make_group(["An answer."], prompt=query)), lambda r: logits(1, 0))
    assert CATEGORIES[int(row.parts["category"])] == category


def test_the_word_lists_enter_the_fingerprint_where_they_choose_the_question():
    assert set(judge().about()) == {"wording"}
    assert set(judge(category="by_domain").about()) == {"wording", "keywords", "code"}


def test_the_empty_response_too_must_be_answered_with_yes_or_no(drive, make_group):
    answer = lambda r: logits(0.25, 0.0, rest=40.0) if empty(r) else logits(2.0, 0.5)  # noqa: E731
    [row] = drive(judge(calibration="empty").annotate(make_group(["An answer."])), answer)
    assert (row.score, row.reason, list(row.parts)) == (None, "off_label", ["mass"])
