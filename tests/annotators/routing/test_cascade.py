from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pairwright.annotators.routing.cascade import Cascade
from pairwright.engines.requests import TRANSIENT, Failed


@pytest.fixture
def cascade(asker):
    def make(*thresholds, **more):
        stages = [asker(f"stage_{i}", threshold=t) for i, t in enumerate(thresholds)]
        return Cascade.configured({"stages": stages, **more})

    return make


@pytest.fixture
def compared(drive, make_group, answering):
    """(the comparison of two responses, the roles that were asked)"""

    def run(router, *said, texts=("yes", "no")):
        answer, roles = answering(**{f"stage_{i}": x for i, x in enumerate(said)})
        group = make_group(texts)
        return drive(router.compare(group, *group.responses), answer), roles

    return run


def test_a_sure_first_judge_is_the_only_one_asked(cascade, compared):
    found, roles = compared(cascade(0.9, 0.8), 0.95, 0.1)
    assert roles == ["stage_0"]
    assert (found.verdict, found.p, found.raw) == ("a", 0.95, "0.95")
    assert found.parts == {"asked": 1, "stage": 0, "p:0": 0.95, "conf:0": 0.95, "p_ab": 0.95, "p_ba": 0.475}


def test_confidence_counts_whichever_response_is_preferred_and_a_threshold_is_reached_when_it_is_met(cascade, compared):
    found, roles = compared(cascade(0.9, 0.8), 0.1, 0.9)
    assert (found.verdict, roles) == ("b", ["stage_0"])
    found, roles = compared(cascade(0.9, 0.8), 0.11, 0.9)
    assert (found.verdict, roles) == ("a", ["stage_0", "stage_1"])


@pytest.mark.parametrize("said", [0.6, "I would rather not say", Failed("too_long")])
def test_the_next_judge_is_asked_when_the_one_before_is_unsure_unreadable_or_failed(cascade, compared, said):
    found, roles = compared(cascade(0.9, 0.8), said, 0.15)
    assert roles == ["stage_0", "stage_1"]
    assert (found.verdict, found.p, found.parts["stage"]) == ("b", 0.15, 1)
    assert found.parts["p:1"] == 0.15 and found.parts["conf:1"] == 0.85
    assert ("p:0" in found.parts) == ("conf:0" in found.parts) == isinstance(said, float)


@pytest.mark.parametrize("reason", sorted(TRANSIENT))
@pytest.mark.parametrize("final", ["abstain", "accept"])
def test_a_stage_that_may_answer_next_time_is_waited_for_wherever_it_stands(cascade, compared, reason, final):
    for said in ((Failed(reason), 0.95, 0.95), (0.6, Failed(reason), 0.95), (0.6, "hm", Failed(reason))):
        found, roles = compared(cascade(0.9, 0.9, 0.9, final=final), *said)
        assert (found.verdict, found.p, found.reason) == (None, None, reason)
        assert len(roles) == 1 + next(i for i, x in enumerate(said) if isinstance(x, Failed)) == found.parts["asked"]
        assert "stage" not in found.parts


def test_nobody_sure_enough_means_that_it_abstains_and_keeps_what_was_said(cascade, compared):
    found, _ = compared(cascade(0.9, 0.8), 0.6, 0.3)
    assert (found.verdict, found.p, found.reason, found.raw) == (None, None, "abstained", "0.3")
    assert found.parts == {"asked": 2, "p:0": 0.6, "conf:0": 0.6, "p:1": 0.3, "conf:1": 0.7}


def test_an_unreadable_last_judge_abstains_and_one_that_gave_no_answer_says_why(cascade, compared):
    found, _ = compared(cascade(0.9, 0.8), 0.6, "well")
    assert (found.verdict, found.reason, found.raw) == (None, "abstained", "well")
    found, _ = compared(cascade(0.9, 0.8), 0.6, Failed("too_long"))
    assert (found.verdict, found.reason) == (None, "too_long")


def test_final_accept_gives_the_last_judges_word_whatever_it_is(cascade, compared):
    found, _ = compared(cascade(0.9, 0.99, final="accept"), 0.6, 0.3)
    assert (found.verdict, found.p, found.parts["stage"]) == ("b", 0.3, 1)
    found, _ = compared(cascade(0.9, 0.99, final="accept"), 0.6, "well")
    assert (found.verdict, found.reason) == ("invalid", "no_verdict")
    found, _ = compared(cascade(0.9, 0.99, final="accept"), 0.6, Failed("too_long"))
    assert (found.verdict, found.reason) == (None, "too_long")


def test_a_stage_for_which_nothing_qualified_never_has_the_last_word(cascade, compared):
    found, roles = compared(cascade(None, 0.8), 1.0, 0.9)
    assert (found.p, roles) == (0.9, ["stage_0", "stage_1"])
    assert compared(cascade(0.8, None), 0.6, 1.0)[0].reason == "abstained"
    assert compared(cascade(None, final="accept"), 1.0)[0].p == 1.0


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"stages": []}, "a cascade needs at least one stage"),
        ({"stages": [{"use": "asker"}, {"use": "asker", "threshold": None}]}, "would never decide: .* or set `final: accept`"),
    ],
)
def test_a_cascade_that_can_never_decide_is_refused(settings, says):
    with pytest.raises(ValidationError, match=says):
        Cascade.configured(settings)


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3), st.lists(st.floats(0.5, 1), min_size=3, max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_stages_are_asked_up_to_the_first_sure_one_and_no_further(cascade, compared, said, thresholds):
    found, roles = compared(cascade(*thresholds), *said)
    sure = [max(p, 1 - p) >= t for p, t in zip(said, thresholds, strict=True)]
    assert len(roles) == (sure.index(True) + 1 if any(sure) else 3)
    assert (found.p is None) == (not any(sure))


def test_a_whole_group_gets_its_comparisons_and_strengths_and_only_unsure_pairs_cost_more(drive, make_group, cascade, asker):
    from pairwright.engines.requests import Completion, Generated

    group, asked = make_group(["one", "two", "three"]), []

    def answer(request):
        asked.append(request.role)
        first = request.prompt[0].content.split()[1]
        p = 0.5 if request.role == "stage_0" and first == group.responses[0].id else 0.9
        return Generated((Completion(str(p), "stop"),))

    found = drive(cascade(0.8, 0.8).annotate(group), answer)
    pairs = [a for a in found if a.other is not None]
    unsure = sum(a.subject == group.responses[0].id for a in pairs)
    assert asked.count("stage_0") == len(pairs) == 3
    assert asked.count("stage_1") == unsure == sum(a.parts["stage"] == 1 for a in pairs)
    assert {a.subject for a in found if a.other is None} == {r.id for r in group.responses}


def test_members_that_rate_can_be_stages(drive, make_group, scored):
    from pairwright.engines.requests import Score

    stage = {"use": "density_ratio", "slope": 2.0, "threshold": 0.8}
    router = Cascade.configured({"stages": [stage]})
    assert router.roles() == {"strong": {"score"}, "weak": {"score"}}
    group = make_group(["good", "bad"])

    def answer(request: Score):
        return scored([-1.0 if (request.continuation.text, request.role) == ("good", "strong") else -2.0])

    found = drive(router.compare(group, *group.responses), answer)
    assert found.verdict == "a" and found.p == pytest.approx(1 / (1 + 2.718281828**-2))


def test_the_fingerprint_follows_the_members_and_thresholds(cascade):
    one = cascade(0.9, 0.8)
    assert [(m["use"], m["version"]) for m in one.about()["members"]] == [("asker", 1)] * 2
    settings = json.loads(one.config.model_dump_json())
    assert [s["threshold"] for s in settings["stages"]] == [0.9, 0.8]
    assert [s["role"] for s in settings["stages"]] == ["stage_0", "stage_1"]
    assert set(settings["stages"][0]) == {"use", "slope", "threshold", "role"}
    assert one.roles() == {"stage_0": {"generate"}, "stage_1": {"generate"}}


@pytest.mark.parametrize(
    "stages", [[], [{"use": "asker", "threshold": 1.5}], [{"threshold": 0.5}], [{"use": "asker", "rol": "x"}]]
)
def test_settings_that_make_no_sense_are_refused(stages):
    with pytest.raises(ValidationError):
        Cascade.configured({"stages": stages})
