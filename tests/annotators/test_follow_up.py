from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pairwright.annotators.follow_up import FollowUp, FollowUpConfig, standardise
from pairwright.annotators.wording import texts
from pairwright.engines.requests import Failed, Turn
from pairwright.ids import digest

REPLIES = st.lists(st.text("ab", min_size=1, max_size=6), min_size=2, max_size=5, unique=True)


def annotator(**settings) -> FollowUp:
    return FollowUp(FollowUpConfig(**settings))


def golden(**settings) -> FollowUp:
    return annotator(positive=("P one", "P two"), negative=("N one", "N two"), **settings)


def golden_answers(scored) -> dict:
    return {"P one": scored([-1, -2]), "P two": scored([-0.5]), "N one": scored([-3, -1, -2]), "N two": scored([-4])}


def test_the_golden_reward_is_reproduced(drive, make_group, scored):
    answers = golden_answers(scored)
    [a] = drive(golden().annotate(make_group(["x"])), lambda r: answers[r.continuation.text])
    assert a.score == pytest.approx(2.0)
    assert a.parts == pytest.approx({"positive": -1.0, "negative": -3.0, "custom": 2.0})


def test_follow_ups_are_the_next_user_turn_and_are_asked_response_by_response(make_group):
    group = make_group(["one", "two"])
    requests = next(annotator(role="m").annotate(group))
    assert len(requests) == 2 * 24
    assert {(r.role, r.speaker) for r in requests} == {("m", "user")}
    for response, mine in zip(group.responses, (requests[:24], requests[24:]), strict=True):
        assert {r.context for r in mine} == {(*group.prompt, response.turn)}
    assert [r.continuation for r in requests[:24]] == [r.continuation for r in requests[24:]]


def test_the_reward_is_the_mean_of_the_categories_differences(drive, make_group, fake_model):
    for a in drive(annotator(per_category=3).annotate(make_group(["one", "two"])), lambda r: fake_model("m", r)):
        categories = [a.parts[name] for name in texts("follow_ups")["categories"]]
        assert a.score == pytest.approx(np.mean(categories))
        assert a.score == pytest.approx(a.parts["positive"] - a.parts["negative"])


@given(REPLIES, st.sampled_from(["none", "generic", "zscore"]), st.randoms())
def test_the_order_of_responses_changes_no_score(drive, make_group, fake_model, replies, baseline, rng):
    shuffled = rng.sample(replies, len(replies))
    one = drive(golden(baseline=baseline).annotate(make_group(replies)), lambda r: fake_model("m", r))
    two = drive(golden(baseline=baseline).annotate(make_group(shuffled)), lambda r: fake_model("m", r))
    assert {a.subject: a.score for a in one} == pytest.approx({a.subject: a.score for a in two})
    assert [a.subject for a in two] == [digest(t) for t in shuffled]


@pytest.mark.parametrize("baseline", ["none", "generic"])
def test_a_failed_follow_up_leaves_its_response_without_a_score_and_the_others_untouched(drive, make_group, fake_model, baseline):
    group = make_group(["one", "two", "three"])

    def answer(request):
        if request.context[-1].content == "two" and request.continuation.text == "N two":
            return Failed("too_long")
        return fake_model("m", request)

    well = drive(golden(baseline=baseline).annotate(group), lambda r: fake_model("m", r))
    found = drive(golden(baseline=baseline).annotate(group), answer)
    assert (found[1].score, found[1].reason) == (None, "too_long")
    assert (found[0], found[2]) == (well[0], well[2])


def test_an_empty_response_is_not_asked_about_and_a_cut_one_is(drive, make_group, fake_model):
    group = make_group(["", " \n", "cut sho"], finish_reason="length")
    found = drive(golden().annotate(group), lambda r: fake_model("m", r))
    assert [a.reason for a in found] == ["empty_response", "empty_response", None]
    assert [a.subject for a in found] == [r.id for r in group.responses]


def test_a_group_of_empty_responses_asks_nothing(make_group):
    with pytest.raises(StopIteration) as end:
        next(golden().annotate(make_group([""])))
    assert [a.reason for a in end.value.value] == ["empty_response"]


def test_the_generic_baseline_moves_all_scores_of_a_prompt_alike(drive, make_group, fake_model):
    group = make_group(["one", "two", "three"])
    plain = drive(golden().annotate(group), lambda r: fake_model("m", r))
    based = drive(golden(baseline="generic").annotate(group), lambda r: fake_model("m", r))
    for p, b in zip(plain, based, strict=True):
        assert b.score == pytest.approx(p.score - b.parts["baseline"])
    assert based[0].parts["baseline"] == based[2].parts["baseline"] != 0


def test_without_the_generic_reply_there_is_no_score(drive, make_group, fake_model):
    generic = Turn("assistant", texts("follow_ups")["generic_reply"])

    def answer(request):
        return Failed("too_long") if request.context[-1] == generic else fake_model("m", request)

    found = drive(golden(baseline="generic").annotate(make_group(["one", "two"])), answer)
    assert [a.reason for a in found] == ["too_long", "too_long"]


def test_standardised_scores_sum_to_zero_over_the_group(drive, make_group, fake_model):
    found = drive(golden(baseline="zscore").annotate(make_group(["one", "two", "three"])), lambda r: fake_model("m", r))
    assert sum(a.score for a in found) == pytest.approx(0, abs=1e-12)
    assert len({a.score for a in found}) == 3


def test_standardising_gives_each_follow_up_the_same_spread_and_a_constant_one_none():
    z = standardise(np.array([[-1.0, -3.1, -100.0], [-3.0, -3.1, -300.0]]))
    assert z.tolist() == [[1, 0, 1], [-1, 0, -1]]


def test_one_response_cannot_be_standardised(drive, make_group, fake_model):
    found = drive(golden(baseline="zscore").annotate(make_group(["one", ""])), lambda r: fake_model("m", r))
    assert [a.reason for a in found] == ["too_few_responses", "empty_response"]


@pytest.mark.parametrize(
    "settings",
    [{"positive": ("Good.",)}, {"positive": (), "negative": ("Bad.",)}, {"positive": (" ",), "negative": ("Bad.",)}],
)
def test_own_follow_ups_need_both_lists_filled(settings):
    with pytest.raises(ValidationError, match="negative"):
        annotator(**settings)


@pytest.mark.parametrize("per_category", [0, 6])
def test_there_are_one_to_five_follow_ups_per_category(per_category):
    with pytest.raises(ValidationError, match="per_category"):
        annotator(per_category=per_category)


def test_positive_and_negative_follow_ups_match_in_number_and_length_and_none_occurs_twice():
    categories = texts("follow_ups")["categories"]
    assert len(categories) == 6
    for sides in categories.values():
        for glad, sad in zip(sides["positive"], sides["negative"], strict=True):
            assert len(glad.split()) == len(sad.split())
            assert abs(len(glad) - len(sad)) <= 6
    said = [f.text for f in FollowUpConfig(per_category=5).reactions]
    assert len(said) == len(set(said)) == 60


def test_our_follow_ups_enter_the_fingerprint_where_they_are_asked():
    assert set(annotator().about()["wording"]) == set(golden(baseline="generic").about()["wording"]) == {"follow_ups"}
    assert golden().about() == {}
