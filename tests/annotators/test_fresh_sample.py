from __future__ import annotations

import pytest
from pydantic import ValidationError

from pairwright.annotators.fresh_sample import FreshSample
from pairwright.annotators.members import Member
from pairwright.engines.requests import FRESH, Choose, Completion, Failed, Generate, Generated, Score
from pairwright.pipelines.preflight import trial_requests

RATER = {"use": "implicit_reward"}
WORTH = {"good": 3.0, "bad": -1.0, "fresh one": 1.0, "fresh two": 2.0, "fresh three": 6.0}


def annotator(**about) -> FreshSample:
    return FreshSample.configured({"rater": RATER, "n": 2, **about})


def completions(*texts, finish="stop"):
    return Generated(tuple(Completion(t, finish) for t in texts))


def model(scored, made, lost=None):
    """The policy gives each text its worth over the reference; `lost`: text -> the reason why it cannot."""

    def answer(request):
        if isinstance(request, Generate):
            return made
        if reason := (lost or {}).get(request.continuation.text):
            return Failed(reason)
        return scored([-20.0 + WORTH[request.continuation.text] * (request.role == "policy")])

    return answer


def said(drive, group, answer, **about):
    found = {a.subject: a for a in drive(annotator(**about).annotate(group), answer)}
    return [found[r.id] for r in group.responses]


def test_a_response_is_measured_from_the_mean_fresh_one(drive, make_group, scored):
    good, bad = said(drive, make_group(["good", "bad"]), model(scored, completions("fresh one", "fresh two")))
    assert (good.score, bad.score) == (pytest.approx(1.5), pytest.approx(-2.5))
    assert good.parts == {"own": pytest.approx(3.0), "fresh_mean": pytest.approx(1.5), "fresh_n": 2.0}


def test_fresh_responses_that_are_cut_or_blank_do_not_count(drive, make_group, scored):
    made = Generated((Completion("fresh one", "stop"), Completion("fresh three", "length"), Completion(" ", "stop")))
    (good,) = said(drive, make_group(["good"]), model(scored, made), n=3)
    assert (good.parts["fresh_mean"], good.parts["fresh_n"]) == (pytest.approx(1.0), 1.0)
    (none,) = said(drive, make_group(["good"]), model(scored, completions("fresh one", "fresh two", finish="length")))
    assert (none.score, none.reason) == (None, "no_fresh_sample")


def test_a_fresh_response_without_a_rating_does_not_count_unless_the_reason_may_pass(drive, make_group, scored):
    made = completions("fresh one", "fresh three")
    (good,) = said(drive, make_group(["good"]), model(scored, made, {"fresh three": "too_long"}))
    assert good.parts["fresh_n"] == 1.0
    (waits,) = said(drive, make_group(["good"]), model(scored, made, {"fresh three": "server_error"}))
    assert (waits.score, waits.reason) == (None, "server_error")
    (none,) = said(drive, make_group(["good"]), model(scored, made, dict.fromkeys(["fresh one", "fresh three"], "too_long")))
    assert (none.reason, none.raw) == ("no_fresh_sample", "fresh responses without a rating: 2 too_long")


def test_what_the_rater_or_the_checkpoint_cannot_do_is_the_reason(drive, make_group, scored):
    made = completions("fresh one", "fresh two")
    good, bad = said(drive, make_group(["good", "bad"]), model(scored, made, {"bad": "too_long"}))
    assert good.score is not None and (bad.score, bad.reason) == (None, "too_long")
    assert [a.reason for a in said(drive, make_group(["good", "bad"]), lambda _: Failed("too_long"))] == ["too_long"] * 2


def first_request(group, **about) -> Generate:
    (request,) = next(annotator(**about).annotate(group))
    return request


def test_what_is_drawn_depends_on_the_prompt_and_the_seed_alone(make_group):
    one, same = first_request(make_group(["good", "bad"])), first_request(make_group(["other"]))
    assert one == same and one.role == "fresh"
    assert one.seed != first_request(make_group(["good"], prompt_id="q")).seed
    assert one.seed != first_request(make_group(["good"]), seed=1).seed
    assert (one.n, one.sampling.temperature, one.sampling.top_p, one.sampling.top_k) == (2, 1.0, 1.0, 0)


def test_a_rater_may_ask_the_checkpoint_itself():
    roles = annotator(rater={"use": "implicit_reward", "policy": "fresh"}).roles()
    assert roles == {"fresh": {"score", "generate", FRESH}, "reference": {"score"}}


def test_equal_draws_are_not_counted_as_many():
    with pytest.raises(ValidationError, match="all 2 fresh responses the same"):
        annotator(temperature=0)
    assert annotator(temperature=0, n=1).config.n == 1


def test_the_settings_of_the_rater_are_part_of_what_its_labels_depend_on():
    other = annotator(rater={"use": "implicit_reward", "beta": 0.1})
    assert annotator().about() != other.about() and isinstance(other.config.rater, Member)


@pytest.mark.parametrize(("rater", "asked"), [(RATER, Score), ({"use": "pairwise"}, Choose)])
def test_the_trial_before_a_build_can_ask_it(rater, asked):
    requests = trial_requests("fresh_sample", annotator(rater=rater))
    assert isinstance(requests[0], Generate) and requests[1:] and all(isinstance(r, asked) for r in requests[1:])
