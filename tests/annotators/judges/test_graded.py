from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from pairwright.annotators.judges.graded import Graded
from pairwright.engines.requests import Chosen, Completion, Generated, Sampling


def judge(**settings) -> Graded:
    return Graded.configured(settings)


def wrote(text: str, finish: str = "stop"):
    return lambda request: Generated((Completion(text, finish),))


def test_the_score_is_the_mean_grade_and_parts_say_how_sure_it_is(drive, make_group):
    answer = Chosen(tuple(math.log(p) for p in (0.05, 0.05, 0.1, 0.2, 0.4)))
    [row] = drive(judge().annotate(make_group(["An answer."])), lambda r: answer)
    assert row.score == pytest.approx((0.05 + 0.1 + 0.3 + 0.8 + 2.0) / 0.8)
    assert row.parts == pytest.approx({"expected": row.score, "mode": 5, "mass": 0.8})


def test_the_labels_are_the_grades_and_the_words_name_the_ends(make_group):
    [request] = next(judge(low=0, high=9, role="critic").annotate(make_group(["An answer."])))
    assert (request.role, request.labels) == ("critic", tuple("0123456789"))
    assert "from 0," in request.prompt[0].content and "to 9," in request.prompt[0].content


def test_a_written_grade_is_read_and_its_text_kept(drive, make_group):
    group = make_group(["An answer."])
    [row] = drive(judge(ask="text", high=100).annotate(group), wrote("Good.\n<score>87</score>"))
    assert (row.score, row.reason, row.raw) == (87, None, "Good.\n<score>87</score>")
    [request] = next(judge(ask="text").annotate(group))
    assert (request.sampling, request.n) == (Sampling(0.0, max_tokens=1024), 1)


@pytest.mark.parametrize(
    ("text", "finish", "reason"),
    [
        ("It is fine.", "stop", "no_score"),
        ("<score>6</score>", "stop", "out_of_range"),
        ("<score>4/10</score>", "stop", "wrong_scale"),
        ("<score>4", "length", "cut"),
        ("I can't grade that.", "stop", "refused"),
        ("", "stop", "empty_answer"),
    ],
)
def test_what_is_no_grade_is_no_number(drive, make_group, text, finish, reason):
    [row] = drive(judge(ask="text").annotate(make_group(["An answer."])), wrote(text, finish))
    assert (row.score, row.reason, row.raw) == (None, reason, text)


def test_criteria_and_templates_are_ones_own(make_group):
    group = make_group(["An answer."])
    [request] = next(judge(criteria="It rhymes.").annotate(group))
    assert "It rhymes." in request.prompt[0].content
    [request] = next(judge(template="{{ prompt }}|{{ response | quoted }}").annotate(group))
    assert request.prompt[0].content.startswith("Why is the sky blue?|An answer.\n\nThe grades run")


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"low": 5, "high": 5}, "not below"),
        ({"low": 1, "high": 10}, "digits run from 0 to 9"),
        ({"template": "{{ prompt }}"}, "does not show response"),
        ({"template": "{{ prompt }}{{ response }}", "criteria": "x"}, "remove `criteria` or `template`"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, complaint):
    with pytest.raises(ValidationError, match=complaint):
        judge(**settings)
