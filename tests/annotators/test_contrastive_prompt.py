from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.annotators.contrastive_prompt import ContrastivePrompt, ContrastivePromptConfig, token_rewards
from pairwright.annotators.wording import texts
from pairwright.engines.requests import Failed

BETTER, WORSE = texts("contrast")["better"], texts("contrast")["worse"]
LOGPROBS = st.lists(st.tuples(st.floats(-800, 0, width=32), st.floats(-800, 0, width=32)), min_size=1, max_size=20)


def annotator(**settings) -> ContrastivePrompt:
    return ContrastivePrompt(ContrastivePromptConfig(**settings))


def sides(better, worse):
    return lambda request: better if request.context[0].content == BETTER else worse


def test_the_golden_token_rewards_are_reproduced():
    rewards = token_rewards(np.log([0.6, 0.2, 0.1]), np.log([0.3, 0.2, 0.4]))
    assert rewards.tolist() == pytest.approx([0.16667, 0, -0.3], abs=1e-5)


@pytest.mark.parametrize(("reduction", "expected"), [("mean", -0.13333 / 3), ("sum", -0.13333)])
def test_the_score_is_the_mean_or_the_sum_of_the_token_rewards(drive, make_group, scored, reduction, expected):
    answer = sides(scored(np.log([0.6, 0.2, 0.1])), scored(np.log([0.3, 0.2, 0.4])))
    [a] = drive(annotator(reduction=reduction).annotate(make_group(["x"])), answer)
    assert a.score == pytest.approx(expected, abs=1e-5)
    assert a.parts == pytest.approx({"better_sum": np.log(0.012), "worse_sum": np.log(0.024), "tokens": 3}, abs=1e-5)


@given(LOGPROBS)
def test_rewards_lie_within_a_half_and_flip_with_the_instructions(rows):
    better, worse = np.array(rows, np.float32).T
    rewards = token_rewards(better, worse)
    assert (np.abs(rewards) <= 0.5).all()
    assert (rewards == -token_rewards(worse, better)).all()


def test_equal_instructions_score_zero(drive, make_group, fake_model):
    found = drive(annotator(better="Go.", worse="Go.").annotate(make_group(["a", "b c"])), lambda r: fake_model("m", r))
    assert [a.score for a in found] == [0.0, 0.0]


def test_a_system_turn_of_the_prompt_stays_and_comes_first(make_group):
    asked = [{"role": "system", "content": "Be odd."}, {"role": "user", "content": "Hi"}]
    better, worse = next(annotator(better="Well!", worse="Badly!").annotate(make_group(["a"], asked)))
    assert [t.content for t in better.context] == ["Be odd.\n\nWell!", "Hi"]
    assert [t.content for t in worse.context] == ["Be odd.\n\nBadly!", "Hi"]


def test_different_token_ids_on_the_two_sides_are_no_score(drive, make_group, scored):
    answer = sides(scored([-1, -1], ids=[5, 6]), scored([-1, -1], ids=[5, 7]))
    [a] = drive(annotator().annotate(make_group(["x"])), answer)
    assert (a.score, a.reason) == (None, "token_mismatch")


@pytest.mark.parametrize("instruction", [BETTER, WORSE])
def test_a_failed_result_is_the_reason_of_its_response_only(drive, make_group, fake_model, instruction):
    group = make_group(["one", "two", "three"])

    def answer(request):
        if request.context[0].content == instruction and request.continuation.text == "two":
            return Failed("too_long")
        return fake_model("m", request)

    well = drive(annotator().annotate(group), lambda r: fake_model("m", r))
    found = drive(annotator().annotate(group), answer)
    assert (found[1].score, found[1].reason) == (None, "too_long")
    assert (found[0], found[2]) == (well[0], well[2])
    assert [a.subject for a in well] == [r.id for r in group.responses]


def test_the_two_instructions_are_of_about_one_length():
    assert abs(len(BETTER.split()) - len(WORSE.split())) <= 3


def test_our_instructions_enter_the_fingerprint_where_they_are_given():
    assert set(annotator().about()["wording"]) == set(annotator(better="Rhyme.").about()["wording"]) == {"contrast"}
    assert annotator(better="Rhyme.", worse="Do not.").about() == {}
