from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.annotators.comparing import Comparison, both_orders, verdict_of
from pairwright.annotators.routing.features import FEATURES, features

P = st.floats(0, 1)


def test_the_numbers_are_what_they_say(make_group):
    group = make_group(["abc", "abcdefg"], prompt="What is 3 + 4?")
    found = features(group, *group.responses, Comparison("b", 0.2, parts={"p_ab": 0.1, "p_ba": 0.3}))
    assert found == pytest.approx(
        {
            "log_prompt": math.log(15),
            "log_shorter": math.log(4),
            "log_longer": math.log(8),
            "log_length_gap": math.log(5),
            "domain_reasoning": 1,
            "domain_safety": 0,
            "swap_gap": 0.2,
            "confidence": 0.8,
            "margin": math.log(4),
            "picks_longer": 1,
        }
    )
    assert set(found) == set(FEATURES)


@given(P, P, P, st.text(max_size=9), st.text(max_size=9))
def test_calling_the_other_response_a_changes_nothing(make_group, p, ab, ba, one, two):
    group = make_group([one, two + "."])
    a, b = group.responses
    ahead = features(group, a, b, Comparison(verdict_of(p), p, parts=both_orders(ab, ba)))
    back = features(group, b, a, Comparison(verdict_of(1 - p), 1 - p, parts=both_orders(1 - ba, 1 - ab)))
    assert ahead == pytest.approx(back, abs=1e-9)


def test_what_the_judge_did_not_tell_is_absent_and_not_a_number(make_group):
    group = make_group(["abc", "de"])
    silent = features(group, *group.responses, Comparison("invalid", reason="no_verdict"))
    assert not {"confidence", "margin", "picks_longer", "swap_gap"} & set(silent)
    half = features(group, *group.responses, Comparison("a", 0.7, parts={"p_ab": 0.7}))
    assert "swap_gap" not in half and half["picks_longer"] == 1


def test_a_judge_that_rates_has_a_margin_in_its_own_units(make_group):
    group = make_group(["abc", "de"])
    rated = Comparison("a", 1.0, parts={"score_a": -10.0, "score_b": -250.0})
    assert features(group, *group.responses, rated)["margin"] == 240
    assert features(group, *group.responses, Comparison("a", 1.0))["margin"] == pytest.approx(math.log(1e6), abs=1e-3)
