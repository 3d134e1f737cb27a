from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from pairwright.annotators.judges.attributes import WEIGHTS, Attributes
from pairwright.engines.requests import Chosen, Failed

GOLDEN = {"helpfulness": 4, "correctness": 4, "coherence": 4, "complexity": 2, "verbosity": 1}


def judge(**settings) -> Attributes:
    return Attributes.configured(settings)


def sure(digit: int) -> Chosen:
    return Chosen(tuple(0.0 if k == digit else -60.0 for k in range(5)))


def attribute(request) -> str:
    return next(name for name in WEIGHTS if f"The attribute is {name}:" in request.prompt[0].content)


def test_the_golden_score_is_reproduced(drive, make_group):
    [row] = drive(judge().annotate(make_group(["An answer."])), lambda r: sure(GOLDEN[attribute(r)]))
    assert row.score == pytest.approx(8.3)
    assert row.parts == pytest.approx({**GOLDEN, "mass": 1.0})


def test_each_attribute_is_a_mean_over_the_digits_and_the_least_mass_is_told(drive, make_group):
    def answer(request):
        if attribute(request) == "verbosity":
            return Chosen(tuple(math.log(p) for p in (0.1, 0.1, 0.1, 0.1, 0.2)))
        return sure(0)

    [row] = drive(judge().annotate(make_group(["An answer."])), answer)
    assert row.parts["verbosity"] == pytest.approx(1.4 / 0.6)
    assert row.score == pytest.approx(-0.4 * 1.4 / 0.6)
    assert row.parts["mass"] == pytest.approx(0.6)


def test_all_questions_about_a_response_have_one_beginning(make_group):
    requests = next(judge().annotate(make_group(["An answer."])))
    assert [attribute(r) for r in requests] == list(WEIGHTS)
    assert {r.labels for r in requests} == {("0", "1", "2", "3", "4")}
    assert len({r.prompt[0].content.partition("The attribute is")[0] for r in requests}) == 1


def test_only_weighted_attributes_are_asked_about(drive, make_group):
    older = judge(weights={"coherence": 0.45, "helpfulness": 0.65, "correctness": 0.8})
    requests = next(older.annotate(make_group(["An answer."])))
    assert [attribute(r) for r in requests] == ["helpfulness", "correctness", "coherence"]
    [row] = drive(older.annotate(make_group(["An answer."])), lambda r: sure(2))
    assert row.score == pytest.approx(3.8)


def test_a_response_without_one_of_its_attributes_has_no_score(drive, make_group):
    answer = lambda r: Failed("label_not_in_top") if attribute(r) == "coherence" else sure(1)  # noqa: E731
    [row] = drive(judge().annotate(make_group(["An answer."])), answer)
    assert (row.score, row.reason) == (None, "label_not_in_top")


@pytest.mark.parametrize(
    ("weights", "complaint"),
    [
        ({"humour": 1.0}, "no attribute 'humour'"),
        ({}, "at least one"),
        ({"coherence": 0.0}, "at least one"),
        ({"coherence": float("nan")}, "finite"),
    ],
)
def test_weights_that_mean_nothing_are_refused(weights, complaint):
    with pytest.raises(ValidationError, match=complaint):
        judge(weights=weights)
