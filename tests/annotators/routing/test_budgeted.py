from __future__ import annotations

import json
import math

import pytest
from pydantic import ValidationError

from pairwright.annotators.routing.budgeted import Budgeted
from pairwright.engines.requests import Failed


@pytest.fixture
def budgeted(asker):
    def make(**changes):
        settings = {"weights": {"confidence": 10.0}, "bias": -7.0, "tau": 0.5, **changes}
        return Budgeted.configured({"cheap": asker("cheap"), "strong": asker("strong"), **settings})

    return make


@pytest.fixture
def compared(drive, make_group, answering):
    def run(router, cheap, strong):
        answer, roles = answering(cheap=cheap, strong=strong)
        group = make_group(["yes", "no"])
        return drive(router.compare(group, *group.responses), answer), roles

    return run


def test_the_strong_judge_is_asked_only_where_the_cheap_one_is_probably_wrong(budgeted, compared):
    found, roles = compared(budgeted(), 0.8, 0.1)  # sigmoid(10 * 0.8 - 7) = 0.73
    assert (found.verdict, found.p, roles) == ("a", 0.8, ["cheap"])
    assert found.parts["agrees"] == pytest.approx(1 / (1 + math.exp(-1))) and found.parts["stage"] == 0
    found, roles = compared(budgeted(), 0.6, 0.1)  # sigmoid(-1) = 0.27
    assert (found.verdict, found.p, roles) == ("b", 0.1, ["cheap", "strong"])
    assert found.parts["agrees"] == pytest.approx(1 / (1 + math.e)) and found.parts["stage"] == 1
    assert (found.parts["p:0"], found.parts["p:1"]) == (0.6, 0.1)


def test_tau_at_its_ends_asks_nobody_or_everybody(budgeted, compared):
    assert compared(budgeted(tau=0.0), 0.5, 0.1)[1] == ["cheap"]
    assert compared(budgeted(tau=1.0), 1.0, 0.1)[1] == ["cheap", "strong"]


@pytest.mark.parametrize("cheap", ["no idea", Failed("too_long")])
def test_a_cheap_judge_that_says_nothing_sends_the_pair_on_whatever_tau_is(budgeted, compared, cheap):
    found, roles = compared(budgeted(tau=0.0), cheap, 0.1)
    assert (found.verdict, roles) == ("b", ["cheap", "strong"])
    assert "agrees" not in found.parts and "p:0" not in found.parts


def test_a_cheap_judge_that_may_answer_next_time_is_waited_for(budgeted, compared):
    found, roles = compared(budgeted(), Failed("server_error"), 0.1)
    assert (found.verdict, found.reason, roles) == (None, "server_error", ["cheap"])


def test_the_strong_judges_word_stands_whatever_it_is(budgeted, compared):
    found, _ = compared(budgeted(), 0.6, Failed("too_long"))
    assert (found.verdict, found.reason) == (None, "too_long")
    found, _ = compared(budgeted(), 0.6, "hm")
    assert (found.verdict, found.reason, found.raw) == ("invalid", "no_verdict", "hm")


def test_a_feature_that_cannot_be_had_sends_the_pair_on(drive, make_group, scored, asker, answering):
    cheap = {"use": "density_ratio"}
    router = Budgeted.configured(
        {"cheap": cheap, "strong": asker("judge"), "weights": {"swap_gap": 0.0}, "bias": 9.0, "tau": 0.1}
    )
    answer, roles = answering(judge=0.2)
    group = make_group(["yes", "no"])
    ask = lambda r: answer(r) if r.role == "judge" else scored([-1.0])  # noqa: E731
    assert drive(router.compare(group, *group.responses), ask).p == 0.2
    assert roles == ["judge"]


def test_both_judges_and_the_model_enter_the_fingerprint(budgeted):
    router = budgeted()
    assert router.roles() == {"cheap": {"generate"}, "strong": {"generate"}}
    assert [m["use"] for m in router.about()["members"]] == ["asker", "asker"]
    assert json.loads(router.config.model_dump_json())["weights"] == {"confidence": 10.0}


def test_a_weight_of_an_unknown_feature_is_refused(budgeted):
    with pytest.raises(ValidationError, match="no feature 'confidense': there are log_prompt"):
        budgeted(weights={"confidense": 1.0})


def test_the_word_lists_enter_the_fingerprint_where_a_domain_has_a_weight(budgeted):
    assert "keywords" not in budgeted().about()
    assert "keywords" in budgeted(weights={"domain_safety": 1.0}).about()
