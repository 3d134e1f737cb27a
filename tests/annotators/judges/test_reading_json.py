from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.annotators.judges.debate import Debate
from pairwright.annotators.judges.principle import Principle
from pairwright.annotators.judges.reading import Unread
from pairwright.annotators.judges.reading_json import scores_in
from pairwright.engines.requests import Completion, Generated

NAMES = ("response_1", "response_2")


@pytest.mark.parametrize(
    "text",
    [
        '{"response_1": 7, "response_2": 4}',
        'The first is better.\n```json\n{"response_2": 4, "response_1": 7,}\n```',
        '{"Response 1": "7", "Response-2": 4.0}',
        'At first I thought {"response_1": 1, "response_2": 9}, but no: {"response_1": 7, "response_2": 4}',
    ],
)
def test_scores_are_read_by_name_from_the_last_object(text):
    assert scores_in(text, NAMES, 1, 10) == (7.0, 4.0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("The first is better, 7 to 4.", "no_json"),
        ('{"response_1": 7, "response', "bad_json"),
        ('{"response_1": SCORE, "response_2": SCORE}', "bad_json"),
        ('{"response_1": 7, "response_1": 4}', "bad_json"),
        ('{"response_1": 7, "Response 1": 4}', "wrong_count"),
        ('{"response_1": 7}', "wrong_count"),
        ('{"response_1": 7, "response_2": 4, "response_3": 5}', "wrong_count"),
        ('{"response_1": 7, "response_2": "4 out of 10"}', "no_score"),
        ('{"response_1": 7, "response_2": true}', "no_score"),
        ('{"response_1": 7, "response_2": null}', "no_score"),
        ('{"response_1": 7, "response_2": 11}', "out_of_range"),
        ('{"response_1": 0, "response_2": 4}', "out_of_range"),
        ('{"response_1": 1%s, "response_2": 4}' % ("0" * 400), "out_of_range"),
        ('{"response_1": "-1%s", "response_2": 4}' % ("0" * 400), "out_of_range"),
        ('{"response_1": 1e999, "response_2": 4}', "out_of_range"),
        ('{"response_1": 1%s, "response_2": 4}' % ("0" * 5000), "bad_json"),
        ('{"response_1": NaN, "response_2": 4}', "bad_json"),
        ('{"response_1": Infinity, "response_2": 4}', "bad_json"),
        ("I'm sorry, but I cannot score these.", "refused"),
    ],
)
def test_an_answer_that_is_not_all_scores_has_a_reason_and_no_number(text, reason):
    assert scores_in(text, NAMES, 1, 10) == Unread(reason)


@given(st.lists(st.integers(1, 10), min_size=1, max_size=12), st.text())
def test_what_is_written_as_asked_is_read(scores, prose):
    names = tuple(f"response_{i + 1}" for i in range(len(scores)))
    words = prose.replace("{", "").replace("}", "")
    assert scores_in(words + json.dumps(dict(zip(names, scores, strict=True))), names, 1, 10) == tuple(map(float, scores))


@given(st.text('{}[]":, 0123456789abresponse_\\\n'))
def test_no_text_is_an_exception_or_a_score_out_of_range(text):
    found = scores_in(text, NAMES, 1, 10)
    assert isinstance(found, Unread) or all(1 <= score <= 10 for score in found)


@pytest.mark.parametrize("number", ["1" + "0" * 400, "-1" + "0" * 400, "NaN", "Infinity", "1e999"])
def test_no_number_a_judge_writes_stops_a_build(drive, make_group, number):
    group = make_group(["one", "two"])

    def answer(request):
        first, second = ("A", "B") if "<response_a>" in request.prompt[0].content else NAMES
        return Generated((Completion(f'{{"{first}": {number}, "{second}": 3}}', "stop"),) * request.n)

    debated = drive(Debate.configured({"rounds": 0}).annotate(group), answer)
    scored = drive(Principle.configured({}).annotate(group), answer)
    assert all(a.score is None and a.reason in ("out_of_range", "bad_json", "no_comparison") for a in [*debated, *scored])
