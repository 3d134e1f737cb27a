from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from pairwright.annotators.consistency import Cream, Scir, kendall_tau
from pairwright.annotators.implicit_reward import ImplicitReward
from pairwright.engines.requests import Chosen, Failed, Score
from pairwright.ids import digest

VALUES = st.lists(st.integers(-5, 5).map(float), min_size=2, max_size=8)


def named(values):
    return {f"id{i}": v for i, v in enumerate(values)}


def rewards(scored, **by_role):
    """Answers from one number per role and text; the reference says 0 of everything unless it is named."""

    def answer(request):
        return scored([by_role.get(request.role, {}).get(request.continuation.text, 0.0) - 50.0])

    return answer


@pytest.mark.parametrize(
    ("current", "previous", "tau"),
    [([0.9, 0.1, 0.5, 0.3, 0.7], [0.8, 0.3, 0.9, 0.2, 0.4], 0.4), ([1, 2, 3, 4, 5], [1, 3, 2, 4, 5], 0.8)],
)
def test_the_golden_taus(drive, make_group, scored, current, previous, tau):
    texts = ["r0", "r1", "r2", "r3", "r4"]
    answer = rewards(scored, policy=dict(zip(texts, current, strict=True)), previous=dict(zip(texts, previous, strict=True)))
    found = drive(Cream.configured().annotate(make_group(texts)), answer)
    assert {(round(a.parts["tau"], 9), round(a.parts["consistency"], 9)) for a in found} == {(tau, (tau + 1) / 2)}
    assert [a.score for a in found] == pytest.approx(current, abs=1e-4)
    assert {a.confidence for a in found} == {found[0].parts["consistency"]}


NO_TIES = st.lists(
    st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=2, max_size=9, unique_by=(lambda p: p[0], lambda p: p[1])
)


@given(NO_TIES)
def test_without_ties_tau_is_that_of_scipy(pairs):
    one, other = zip(*pairs, strict=True)
    assert kendall_tau(named(one), named(other)) == pytest.approx(kendalltau(one, other).statistic)


@given(VALUES, st.randoms(use_true_random=False))
def test_ties_are_broken_by_id_not_by_place(values, rng):
    values, other = named(values), named([rng.choice([0.0, 1.0]) for _ in values])
    shuffled = dict(rng.sample(list(values.items()), len(values)))
    assert kendall_tau(shuffled, other) == kendall_tau(values, other)
    assert kendall_tau(values, values) == 1.0


def test_with_ties_ranks_are_ordinal():
    equal, falling = named([0.0, 0.0, 0.0]), named([3.0, 2.0, 1.0])
    assert kendall_tau(equal, falling) == -1.0


def test_tau_of_different_ids_or_of_one_is_refused():
    for one, other in (({"a": 1.0}, {"a": 1.0}), ({"a": 1.0, "b": 2.0}, {"a": 1.0, "c": 2.0})):
        with pytest.raises(ValueError, match="same ids"):
            kendall_tau(one, other)


def test_a_response_that_failed_does_not_enter_the_ranks(drive, make_group, scored):
    texts = ["r0", "r1", "r2"]
    answer = rewards(scored, policy={"r0": 1.0, "r1": 2.0, "r2": 3.0}, previous={"r0": 1.0, "r1": 2.0, "r2": -9.0})

    def failing(*lost):
        return lambda r: Failed("too_long") if r.continuation.text in lost and r.role == "previous" else answer(r)

    found = drive(Cream.configured().annotate(make_group(texts)), failing("r2"))
    assert [a.reason for a in found] == [None, None, "too_long"]
    assert [a.parts.get("tau") for a in found] == [1.0, 1.0, None]
    alone = drive(Cream.configured().annotate(make_group(texts)), failing("r1", "r2"))[0]
    assert alone.score == pytest.approx(1.0, abs=1e-4)
    assert "tau" not in alone.parts and alone.confidence is None


def test_the_score_is_the_implicit_reward_of_the_current_policy(drive, make_group, fake_model):
    group = make_group(["one", "two words", "and three words"])
    cream = drive(Cream.configured().annotate(group), lambda r: fake_model(r.role, r))
    plain = drive(ImplicitReward.configured().annotate(group), lambda r: fake_model(r.role, r))
    assert [a.score for a in cream] == pytest.approx([a.score for a in plain])


def test_without_a_reference_the_reward_is_the_mean_log_probability(drive, make_group, scored):
    method = Cream.configured({"reference": None})
    assert set(method.roles()) == {"policy", "previous"}
    found = drive(method.annotate(make_group(["a", "b"])), lambda r: scored([-1.0, -3.0] if r.role == "policy" else [-4.0]))
    assert [(a.score, a.parts["previous_reward"]) for a in found] == [(-2.0, -4.0)] * 2


JUDGE = {"use": "implicit_reward", "policy": "judge", "reference": "judge_reference"}


def scir(**settings) -> Scir:
    return Scir.configured({"judge": JUDGE, "beta": 0.1, **settings})


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def compared(drive, method, group, answer):
    return next(a for a in drive(method.annotate(group), answer) if a.other is not None)


def test_agreement_gives_the_mean_of_both_probabilities(drive, make_group, scored):
    group = make_group(["good", "bad"])
    found = compared(drive, scir(), group, rewards(scored, judge={"good": 2.0, "bad": 1.0}, policy={"good": 30.0, "bad": 10.0}))
    sign = 1 if found.subject == digest("good") else -1
    p_gen, p_imp = sigmoid(sign * 1.0), sigmoid(sign * 2.0)
    assert found.score == pytest.approx((p_gen + p_imp) / 2, abs=1e-5)
    assert {k: found.parts[k] for k in ("p_gen", "p_imp", "agree")} == pytest.approx(
        {"p_gen": p_gen, "p_imp": p_imp, "agree": 1.0}, abs=1e-5
    )
    assert found.label == ("a" if sign == 1 else "b")


def test_disagreement_is_invalid_and_never_a_tie(drive, make_group, scored):
    answer = rewards(scored, judge={"good": 1.0, "bad": 2.0}, policy={"good": 30.0, "bad": 10.0})
    found = compared(drive, scir(), make_group(["good", "bad"]), answer)
    assert (found.label, found.score, found.reason, found.parts["agree"]) == ("invalid", None, "inconsistent", 0.0)


def test_agreement_too_near_to_one_half_is_invalid_too(drive, make_group, scored):
    answer = rewards(scored, judge={"good": 2.0, "bad": 1.0}, policy={"good": 11.0, "bad": 10.0})
    found = compared(drive, scir(threshold=0.1), make_group(["good", "bad"]), answer)
    assert (found.label, found.reason, found.parts["agree"]) == ("invalid", "unsure", 1.0)
    assert compared(drive, scir(threshold=0.01), make_group(["good", "bad"]), answer).label in "ab"


@pytest.mark.parametrize(
    ("reward", "threshold", "label", "reason"),
    [
        (0.0, 0.0, "tie", None),
        (1.0, 0.1, "tie", None),
        (1.0, 0.0, "invalid", "inconsistent"),
        (9.0, 0.1, "invalid", "inconsistent"),
    ],
)
def test_a_judges_tie_stays_one_only_where_the_rewards_are_near_too(drive, make_group, scored, reward, threshold, label, reason):
    answer = rewards(scored, policy={"good": 10.0 + reward, "bad": 10.0})
    found = compared(drive, scir(threshold=threshold), make_group(["good", "bad"]), answer)
    assert (found.label, found.reason, found.parts["p_gen"]) == (label, reason, 0.5)


def test_the_judges_own_verdict_counts_and_not_the_side_of_its_p(drive, make_group, scored):
    judge = {"use": "pairwise", "tie_band": 0.2}

    def answer(request):
        if isinstance(request, Score):
            return scored([-1.0 if (request.continuation.text, request.role) == ("good", "policy") else -2.0])
        first = "good" in request.prompt[0].content.split("response_b")[0]
        return Chosen((math.log(0.55), math.log(0.45))[:: 1 if first else -1])

    found = compared(drive, scir(judge=judge), make_group(["good", "bad"]), answer)
    assert (found.label, found.reason) == ("invalid", "inconsistent")
    assert compared(drive, scir(judge=judge, threshold=0.1), make_group(["good", "bad"]), answer).label == "tie"


def test_a_failure_that_may_pass_goes_before_what_is_lost_for_good(drive, make_group, scored):
    fine, failures = rewards(scored), {"judge": Failed("server_error"), "reference": Failed("too_long")}
    found = compared(drive, scir(), make_group(["good", "bad"]), lambda r: failures.get(r.role) or fine(r))
    assert (found.label, found.reason) == (None, "server_error")


def test_length_is_taken_off_the_log_ratio(drive, make_group, scored):
    long, short = "long" * 25, "good"
    answer = rewards(scored, judge={short: 2.0, long: 1.0}, policy={long: 9.6, short: 0.0})
    assert compared(drive, scir(), make_group([long, short]), answer).reason == "inconsistent"
    found = compared(drive, scir(length_alpha=0.2), make_group([long, short]), answer)
    sign = 1 if found.subject == digest(short) else -1
    assert found.parts["p_imp"] == pytest.approx(sigmoid(sign * 0.1 * (-9.6 + 0.2 * 96)), abs=1e-5)


def test_what_fails_says_why(drive, make_group, scored):
    fine, group = rewards(scored), make_group(["good", "bad"])
    lost = compared(drive, scir(), group, lambda r: Failed("too_long") if r.role == "reference" else fine(r))
    assert (lost.label, lost.reason) == (None, "too_long")
    judge = compared(drive, scir(), group, lambda r: Failed("time_out") if r.role == "judge" else fine(r))
    assert (judge.label, judge.reason) == (None, "time_out")


def test_the_default_judge_compares_pairwise(drive, make_group, fake_model):
    method = Scir.configured()
    assert method.config.judge.use == "pairwise"
    assert {"policy", "reference"} < set(method.roles())
    assert method.about()["members"][0]["use"] == "pairwise"

    def answer(request):
        if isinstance(request, Score):
            return fake_model(request.role, request)
        return Chosen(tuple(-1.0 - random.Random(label).random() for label in request.labels))

    labels = {a.label for a in drive(method.annotate(make_group(["one", "two words", "three"])), answer) if a.other}
    assert labels <= {"a", "b", "tie", "invalid"} and labels


@given(st.lists(st.text("ab ", min_size=1, max_size=12), min_size=2, max_size=2, unique=True))
def test_which_response_is_called_a_makes_no_difference(drive, make_group, fake_model, replies):
    method, group = scir(), make_group(replies)

    def answer(request):
        return fake_model(request.role, request)

    def outcome(a, b):
        return drive(method.compare(group, a, b), answer)

    ahead, back = outcome(*group.responses), outcome(*reversed(group.responses))
    assert (back.verdict, back.reason) == (ahead.swapped.verdict, ahead.reason)
    assert ahead.p is None or back.p == pytest.approx(1 - ahead.p)
