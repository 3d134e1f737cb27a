from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.annotators.base import Annotation, Group, Response
from pairwright.annotators.displacement import DOT, Displacement, DisplacementConfig, ches, ln_ches
from pairwright.engines.requests import Failed, turns

ASK = Displacement(DisplacementConfig())

# Rows predict one token each: the last row of the prompt the first one, the last but one the terminator.
LAST_OF_PROMPT = [-0.2, 0.3, 0.1, 0.7]
CHOSEN = [LAST_OF_PROMPT, [0.3, 0.1, 0, -0.2], [0.4, 0.4, -0.1, 0.2]]
REJECTED = [LAST_OF_PROMPT, [0.2, -0.1, 0.5, 0.3]]


def of_pair(chosen: Annotation, rejected: Annotation) -> tuple[float, float]:
    """CHES and ln-CHES from the parts of two annotations."""
    cr, cc = chosen.parts[DOT + rejected.subject], chosen.parts[DOT + chosen.subject]
    return ches(cr, cc), ln_ches(cr, cc, chosen.parts["n"], rejected.parts["n"])


def test_the_golden_ches_and_ln_ches_follow_from_the_parts(drive, make_group, scored):
    rows = {"good": CHOSEN, "bad": REJECTED}

    def answer(request):
        assert request.want == {"hidden_sum"}
        states = rows[request.continuation.text]
        return scored([-1.0] * len(states), hidden=np.sum(states, axis=0))

    good, bad = drive(ASK.annotate(make_group(["good", "bad"])), answer)
    assert of_pair(good, bad) == pytest.approx((-0.52, -0.01))
    assert good.score == pytest.approx(1.38 / 9)


@given(st.integers(1, 64), st.integers(0, 2**31), st.randoms())
def test_every_pairs_ches_equals_the_one_made_of_the_states(drive, make_group, scored, k, seed, rng):
    states = np.random.default_rng(seed).normal(size=(k, 6)).astype(np.float32)
    place = {f"r{i}": i for i in range(k)}
    names = rng.sample(list(place), k)
    found = drive(
        ASK.annotate(make_group(names)),
        lambda r: scored([-1.0] * (1 + place[r.continuation.text]), hidden=states[place[r.continuation.text]]),
    )
    assert [len(a.parts) for a in found] == [k + 1] * k
    c, r = rng.randrange(k), rng.randrange(k)
    s_c, s_r = (states[place[names[i]]].astype(np.float64) for i in (c, r))
    m_c, m_r = s_c / found[c].parts["n"], s_r / found[r].parts["n"]
    assert of_pair(found[c], found[r]) == pytest.approx((s_c @ s_r - s_c @ s_c, m_c @ m_r - m_c @ m_c))


def test_cut_empty_and_failed_responses_get_reasons_and_no_place_in_the_others_parts(drive, fake_model):
    group = Group(
        "p",
        turns("Hi"),
        (
            Response("fine", "one", finish_reason="stop"),
            Response("cut", "two thr", finish_reason="length"),
            Response("empty", " "),
            Response("failing", "four"),
            Response("unknown end", "five"),
        ),
    )

    def answer(request):
        return Failed("too_long") if request.continuation.text == "four" else fake_model("m", request)

    found = {a.subject: a for a in drive(ASK.annotate(group), answer)}
    assert {i: a.reason for i, a in found.items() if a.reason} == {
        "cut": "cut_response",
        "empty": "empty_response",
        "failing": "too_long",
    }
    for usable in ("fine", "unknown end"):
        assert set(found[usable].parts) == {"n", "dot:fine", "dot:unknown end"}
    assert list(found) == [r.id for r in group.responses]


def test_a_group_without_a_usable_response_asks_nothing(make_group):
    with pytest.raises(StopIteration) as end:
        next(ASK.annotate(make_group(["cut sho"], finish_reason="length")))
    assert [a.reason for a in end.value.value] == ["cut_response"]


def test_when_all_fail_all_have_reasons(drive, make_group):
    found = drive(ASK.annotate(make_group(["a", "b"])), lambda r: Failed("too_long"))
    assert [a.reason for a in found] == ["too_long", "too_long"]
