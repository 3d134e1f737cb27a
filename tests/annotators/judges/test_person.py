"""People's opinions become a verdict, and every one of them is kept."""

from __future__ import annotations

import json
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pairwright.annotators.judges.person import Person, verdict_of_people
from pairwright.engines.requests import Failed, Opinion, Review, Reviewed


def opinions(*choices):
    return tuple(Opinion(f"person {i}", choice, f"note {i}") for i, choice in enumerate(choices))


@pytest.mark.parametrize(
    ("choices", "verdict", "p"),
    [
        (["a"], "a", 1.0),
        (["b"], "b", 0.0),
        (["tie"], "tie", 0.5),
        (["a", "a", "b"], "a", 2 / 3),
        (["a", "b"], "tie", 0.5),
        (["a", "a", "b", "b", "tie"], "tie", 0.5),
        (["a", "tie"], "tie", 0.75),
        (["tie", "tie", "a"], "tie", 2 / 3),
        (["b", "b", "tie"], "b", 1 / 6),
        (["invalid", "b"], "b", 0.0),
    ],
)
def test_the_verdict_is_what_most_people_said_and_a_tie_where_they_are_split(choices, verdict, p):
    found = verdict_of_people(opinions(*choices), "a", "b")
    assert (found.verdict, found.p) == (verdict, pytest.approx(p))
    assert sum(found.parts[f"votes_{name}"] for name in ("a", "b", "tie")) == len([c for c in choices if c != "invalid"])
    assert found.parts["people"] == len(choices)


def test_people_who_disagree_are_all_kept_with_their_notes():
    found = verdict_of_people(opinions("a", "b", "invalid"), "a", "b")
    assert json.loads(found.raw) == [
        {"who": f"person {i}", "choice": choice, "note": f"note {i}"} for i, choice in enumerate(["a", "b", "invalid"])
    ]


def test_when_nobody_can_judge_the_verdict_is_invalid_and_has_no_number():
    found = verdict_of_people(opinions("invalid", "invalid"), "a", "b")
    assert (found.verdict, found.p, found.reason, found.parts["people"]) == ("invalid", None, "not_judgeable", 2)


@given(st.lists(st.sampled_from(["i", "j", "tie", "invalid"]), min_size=1, max_size=7))
def test_which_response_is_called_a_changes_names_only(choices):
    one, other = verdict_of_people(opinions(*choices), "i", "j"), verdict_of_people(opinions(*choices), "j", "i")
    assert other.verdict == one.swapped.verdict
    assert other.p == (None if one.p is None else pytest.approx(1 - one.p))
    assert (other.parts["votes_a"], other.parts["votes_b"]) == (one.parts["votes_b"], one.parts["votes_a"])


def test_the_question_shows_both_responses_in_the_order_of_their_ids_whatever_they_are_called(make_group):
    group, asked = make_group(["one", "two"]), []
    for a, b in (group.responses, group.responses[::-1]):
        [review] = next(Person.configured({"people": 3, "question": "Which is kinder?"}).compare(group, a, b))
        asked.append(review)
    assert asked[0] == asked[1]
    assert isinstance(asked[0], Review) and (asked[0].people, asked[0].question) == (3, "Which is kinder?")
    assert [id for id, _ in asked[0].candidates] == sorted(r.id for r in group.responses)


def test_the_one_whom_everybody_prefers_is_the_strongest_of_a_group(make_group, drive):
    group = make_group(["worst", "middle", "best"])
    rank = {r.id: ["worst", "middle", "best"].index(r.text) for r in group.responses}

    def answer(request):
        return Reviewed(opinions(max((id for id, _ in request.candidates), key=rank.get)))

    rows = drive(Person.configured().annotate(group), answer)
    strengths = {r.subject: r.score for r in rows if r.other is None}
    assert sorted(strengths, key=strengths.get) == sorted(rank, key=rank.get)
    assert {frozenset((r.subject, r.other)) for r in rows if r.other} == {frozenset(p) for p in combinations(rank, 2)}


def test_until_somebody_answers_there_is_no_verdict_but_a_reason(make_group, drive):
    rows = drive(Person.configured().annotate(make_group(["one", "two"])), lambda request: Failed("awaiting_person"))
    assert sorted(row.reason for row in rows) == ["awaiting_person", "no_comparison", "no_comparison"]
    assert all(row.score is None and row.label is None for row in rows)


def test_nobody_is_asked_about_two_equal_texts(make_group, drive):
    group = make_group(["same", " same "])
    rows = drive(Person.configured().annotate(group), lambda request: pytest.fail("a person was asked"))
    assert [row.label for row in rows if row.other] == ["tie"]


def test_no_more_people_can_be_asked_than_an_import_looks_for():
    assert Person.configured({"people": 16}).config.people == 16
    with pytest.raises(ValidationError, match="less than or equal to 16"):
        Person.configured({"people": 17})
