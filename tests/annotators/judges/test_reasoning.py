from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.annotators.comparing import Comparison
from pairwright.annotators.judges.reasoning import Reasoning
from pairwright.engines.requests import Completion, Failed, Generated

REPLIES = st.sampled_from(
    ["<verdict>A</verdict>", "<verdict>B</verdict>", "no verdict here", "<verdict>A</verdict><verdict>B</verdict>", "fail", "tie"]
)


def annotator(**settings) -> Reasoning:
    return Reasoning.configured(settings)


def said(text: str, finish: str = "stop") -> Generated:
    return Generated((Completion(text, finish),))


def first_shown(request) -> str:
    return request.prompt[0].content.split("<response_a>\n")[1].split("\n</response_a>")[0]


def compared(drive, group, answer, swapped=False, **settings) -> Comparison:
    a, b = group.responses[::-1] if swapped else group.responses
    return drive(annotator(**settings).compare(group, a, b), answer)


def prefers(text: str):
    return lambda r: said(f"<type>chat</type>\nIt is.\n<verdict>{'A' if first_shown(r) == text else 'B'}</verdict>")


def test_both_orders_are_asked_in_the_same_words_whichever_is_called_a(make_group):
    group = make_group(["one", "two"])
    a, b = group.responses
    requests = next(annotator().compare(group, a, b))
    assert [first_shown(r) for r in requests] == ["one", "two"]
    assert next(annotator().compare(group, b, a)) == requests[::-1]
    assert [(r.role, r.seed, r.sampling.temperature) for r in requests] == [("judge", 0, 0.0)] * 2
    sampled = next(annotator(temperature=0.6).compare(group, a, b))
    assert sampled[0].seed != sampled[1].seed
    assert next(annotator(temperature=0.6).compare(group, b, a)) == sampled[::-1]


def test_the_response_that_wins_in_both_orders_wins(drive, make_group):
    group = make_group(["one", "two"])
    for text, verdict, p in (("one", "a", 1.0), ("two", "b", 0.0)):
        found = compared(drive, group, prefers(text))
        assert (found.verdict, found.p, found.parts) == (verdict, p, {"p_ab": p, "p_ba": p, "reasoning": 0.0})
        assert found.raw.count("<verdict>") == 2


def test_a_judge_that_prefers_a_place_says_tie(drive, make_group):
    found = compared(drive, make_group(["one", "two"]), lambda r: said("<type>Reasoning</type> <verdict>A</verdict>"))
    assert (found.verdict, found.p, found.parts) == ("tie", 0.5, {"p_ab": 1.0, "p_ba": 0.0, "reasoning": 1.0})


@pytest.mark.parametrize(
    ("text", "finish", "reason"),
    [
        ("Both have their merits.", "stop", "no_verdict"),
        ("<verdict>A</verdict> Hm. <verdict>B</verdict>", "stop", "two_verdicts"),
        ("<verdict>D</verdict>", "stop", "unknown_verdict"),
        ("<verdict>tie</verdict>", "stop", "unknown_verdict"),
        ("I'm sorry, but I can't compare these.", "stop", "refused"),
        ("", "stop", "empty_answer"),
        ("<solution>2 + 2", "length", "cut"),
        ("<think><verdict>A</verdict>", "stop", "cut"),
        ('{"verdict": "A', "stop", "no_verdict"),
    ],
)
def test_an_unreadable_order_makes_the_comparison_invalid_and_its_words_are_kept(drive, make_group, text, finish, reason):
    group = make_group(["one", "two"])
    found = compared(drive, group, lambda r: said(text, finish) if first_shown(r) == "one" else said("<verdict>B</verdict>"))
    assert (found.verdict, found.p, found.reason, found.parts) == ("invalid", None, reason, {"p_ba": 1.0})
    assert text in found.raw


def test_brackets_in_the_judges_own_solution_are_no_verdict(drive, make_group):
    found = compared(drive, make_group(["one", "two"]), lambda r: said("The matrix is [[1, 2]] and [[B]].\n<verdict>A</verdict>"))
    assert found.parts == {"p_ab": 1.0, "p_ba": 0.0}


def test_a_failed_request_is_missing_with_its_reason(drive, make_group):
    found = compared(drive, make_group(["one", "two"]), lambda r: Failed("time_out", "after 60 s"))
    assert found == Comparison(None, reason="time_out", raw="after 60 s")


@given(st.dictionaries(st.sampled_from(["one", "two"]), REPLIES, min_size=2))
def test_the_verdict_does_not_depend_on_which_response_is_called_a(drive, make_group, replies):
    group = make_group(["one", "two"])

    def answer(request):
        text = replies[first_shown(request)]
        return Failed("lost") if text == "fail" else said(text)

    one, two = compared(drive, group, answer), compared(drive, group, answer, swapped=True).swapped
    assert (one.verdict, one.p, dict(one.parts)) == (two.verdict, two.p, dict(two.parts))


def test_a_group_gets_comparisons_and_strengths_and_master_keys_stay_out(drive, make_group):
    group = make_group(["one", "two", ":"])
    found = drive(annotator().annotate(group), prefers("two"))
    [pair] = [x for x in found if x.other]
    one, two, key = (next(x for x in found if x.subject == r.id and not x.other) for r in group.responses)
    assert {pair.subject, pair.other} == {one.subject, two.subject}
    assert two.score > one.score and key.score is None and key.reason
