from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pairwright.annotators.implicit_reward import ImplicitReward
from pairwright.engines.requests import Failed
from pairwright.pipelines.combine import CombineConfig, combine

RESPONSES = st.lists(st.text("ab ", min_size=1, max_size=20), min_size=1, max_size=6, unique=True)


def by_role(answer, **models):
    return lambda request: answer(models[request.role], request)


def test_the_reward_is_beta_times_the_difference_of_sums(drive, make_group, scored):
    answers = {"policy": scored([-0.5, -1, -0.2]), "reference": scored([-1.5, -0.8, -2.2])}
    [a] = drive(ImplicitReward.configured({"beta": 0.1}).annotate(make_group(["abcd"])), lambda r: answers[r.role])
    assert a.score == pytest.approx(0.28, abs=1e-6)
    assert a.parts == pytest.approx({"policy_sum": -1.7, "reference_sum": -4.5, "tokens": 3, "chars": 4}, abs=1e-6)


def test_the_mean_is_per_token_and_needs_one_tokenizer(drive, make_group, scored):
    method, group = ImplicitReward.configured({"reduction": "mean"}), make_group(["abcd"])
    answers = {"policy": scored([-0.5, -1, -0.2]), "reference": scored([-1.5, -0.8, -2.2])}
    assert drive(method.annotate(group), lambda r: answers[r.role])[0].score == pytest.approx(2.8 / 3, abs=1e-6)
    answers["reference"] = scored([-1.5, -3.0], ids=[7, 8])
    [a] = drive(method.annotate(group), lambda r: answers[r.role])
    assert (a.score, a.reason) == (None, "tokenizers_differ")
    [summed] = drive(ImplicitReward.configured().annotate(group), lambda r: answers[r.role])
    assert summed.score == pytest.approx(2.8, abs=1e-6)


@given(RESPONSES)
def test_a_policy_that_was_not_trained_has_no_rewards(drive, make_group, fake_model, replies):
    found = drive(ImplicitReward.configured().annotate(make_group(replies)), by_role(fake_model, policy="m", reference="m"))
    assert [a.score for a in found] == [0.0] * len(replies)


@given(RESPONSES, st.floats(0, 1))
def test_smoothing_mixes_the_rewards_of_two_generations(drive, make_group, fake_model, replies, gamma):
    group = make_group(replies)

    def rewards(answer, **settings):
        return [a.score for a in drive(ImplicitReward.configured(settings).annotate(group), answer)]

    now = rewards(by_role(fake_model, policy="t", reference="r"))
    before = rewards(by_role(fake_model, policy="t-1", reference="r"))
    mixed = rewards(by_role(fake_model, policy="t", previous="t-1", reference="r"), previous="previous", smoothing=gamma)
    assert mixed == pytest.approx([(1 - gamma) * n + gamma * b for n, b in zip(now, before, strict=True)], abs=1e-5)


def test_a_failed_model_costs_only_its_response_its_score(drive, make_group, fake_model):
    def answer(request):
        if request.role == "reference" and request.continuation.text == "two":
            return Failed("too_long")
        return fake_model(request.role, request)

    found = drive(ImplicitReward.configured().annotate(make_group(["one", "two", "three"])), answer)
    assert [a.reason for a in found] == [None, "too_long", None]


def test_all_models_are_asked_at_once_and_roles_name_them():
    method = ImplicitReward.configured({"policy": "dpo", "previous": "old"})
    assert method.roles() == dict.fromkeys(("dpo", "reference", "old"), frozenset({"score"}))


def test_smoothing_without_a_previous_policy_is_refused():
    with pytest.raises(ValidationError, match="no effect without the role of a `previous` policy"):
        ImplicitReward.configured({"smoothing": 0.5})


def test_dice_is_this_reward_with_length_taken_off_in_combine(drive, make_group, scored):
    texts, sums = ["x" * 1500, "y" * 800, "z" * 600], [12.0, 10.0, 9.0]
    policy = dict(zip(texts, sums, strict=True))
    found = drive(
        ImplicitReward.configured().annotate(make_group(texts)),
        lambda r: scored([policy[r.continuation.text] - 100 if r.role == "policy" else -100.0]),
    )
    rule = CombineConfig.model_validate({"scores": {"implicit_reward": {"length_alpha": 0.004}}})
    columns = ({"implicit_reward": [a.score for a in found]}, {"implicit_reward": [a.reason for a in found]})
    got = combine(*columns, rule, [int(a.parts["chars"]) for a in found])
    assert got.scores == pytest.approx([6.0, 6.8, 6.6])
