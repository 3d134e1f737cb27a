from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pairwright.annotators import members
from pairwright.annotators.base import Annotation, Annotator, AnnotatorConfig
from pairwright.annotators.comparing import Comparer, ComparerConfig, Comparison, verdict_of
from pairwright.annotators.judges.jury import Jury, JuryConfig
from pairwright.engines.requests import AWAITING, Choose, Chosen, Failed, turns

PS = st.lists(st.sampled_from([None, 0.0, 0.1, 0.25, 0.5, 0.7, 1.0]), min_size=2, max_size=6)


class StubConfig(ComparerConfig):
    role: str = "judge"
    p: float | None = 0.5
    why: str = "no_verdict"
    fails: bool = False


class Stub(Comparer[StubConfig]):
    """Says that the response with the lower id is better with probability `p`, whatever it is called."""

    Config = StubConfig

    def roles(self):
        return {self.config.role: frozenset({"choose"})}

    def compare(self, group, a, b):
        low, high = sorted((a, b), key=lambda r: r.id)
        yield [Choose(self.config.role, turns(low.id + high.id), ("A", "B"))]
        if self.config.p is None:
            return Comparison(None if self.config.fails else "invalid", reason=self.config.why)
        p = self.config.p if a is low else 1 - self.config.p
        return Comparison(verdict_of(p), p)


class RaterConfig(AnnotatorConfig):
    slope_of_length: float = 1.0


class Rater(Annotator[RaterConfig]):
    Config = RaterConfig

    def roles(self):
        return {"rater": frozenset({"score"})}

    def annotate(self, group):
        yield []
        return [Annotation(r.id, self.config.slope_of_length * len(r.text)) for r in group.responses]


@pytest.fixture(autouse=True)
def stubs(monkeypatch):
    monkeypatch.setattr(members, "load", {"stub": Stub, "rater": Rater}.__getitem__)


@pytest.fixture(scope="session")
def decide(drive, make_group):
    """What a jury says of two responses; `ps` are its members' P(the first, which has the lower id, is better)."""

    def run(ps, swapped=False, about=(), **settings):
        more = [*about, *[{}] * (len(ps) - len(about))]
        jury = Jury.configured({"members": [{"use": "stub", "p": p, **m} for p, m in zip(ps, more, strict=True)], **settings})
        group = make_group(["one", "two"])
        low, high = sorted(group.responses, key=lambda r: r.id)
        pair = (high, low) if swapped else (low, high)
        return drive(jury.compare(group, *pair), lambda request: Chosen((-1.0, -2.0)))

    return run


@pytest.mark.parametrize(
    ("ps", "verdict", "p"),
    [
        ([0.9, 0.6, 0.1], "a", 2 / 3),
        ([0.9, 0.2, 0.1], "b", 1 / 3),
        ([0.9, 0.1], "tie", 0.5),
        ([0.9, 0.5, 0.1], "tie", 0.5),
        ([0.9, 0.5, 0.5], "tie", 2 / 3),
        ([0.9, 0.9, 0.5, 0.5], "tie", 0.75),
        ([0.9, 0.9, 0.1, 0.5], "a", 0.625),
    ],
)
def test_the_majority_decides_and_an_even_split_is_a_tie(decide, ps, verdict, p):
    found = decide(ps)
    assert (found.verdict, found.p) == (verdict, pytest.approx(p))


def test_members_of_one_family_have_one_vote_together(decide):
    family = {"family": "llama"}
    assert decide([0.9, 0.9, 0.1, 0.1, 0.1]).verdict == "b"
    found = decide([0.9, 0.9, 0.1, 0.1, 0.1], about=[{}, {}, family, family, family])
    assert (found.verdict, found.p) == ("a", pytest.approx(2 / 3))
    mean = decide([0.9, 0.2, 0.4], about=[{}, family, family], rule="mean")
    assert mean.p == pytest.approx((0.9 + 0.3) / 2)


def test_the_mean_of_opposite_votes_is_exactly_a_tie(decide):
    found = decide([0.1, 0.7, 0.7], rule="mean")
    assert (found.verdict, found.p) == ("tie", 0.5)
    assert decide([0.6, 0.5], rule="mean").verdict == "a"
    assert decide([0.6, 0.5], rule="mean", tie_band=0.1).verdict == "tie"


def test_weights_are_log_odds_of_accuracy(decide):
    accuracies = [{"accuracy": a} for a in (0.9, 0.6, 0.6)]
    found = decide([1.0, 0.0, 0.0], about=accuracies, rule="weighted")
    odds = math.log(9) - 2 * math.log(1.5)
    assert (found.verdict, found.p) == ("a", pytest.approx(1 / (1 + math.exp(-odds))))
    assert found.p == pytest.approx(0.8)  # 9 / 2.25 = 4 to 1
    against = decide([1.0, 0.5], about=[{"accuracy": 0.2}, {"accuracy": 0.9}], rule="weighted")
    assert (against.verdict, against.p) == ("b", pytest.approx(0.2))


def test_the_parts_hold_every_vote_and_how_many_agree(decide):
    found = decide([0.9, 0.6, 0.1, None], about=[{"name": "big"}])
    assert found.parts == pytest.approx({"p:big": 0.9, "p:1": 0.6, "p:2": 0.1, "valid": 3, "agreement": 2 / 3})
    assert found.raw is None


@pytest.mark.parametrize(("ps", "valid"), [([0.9, None], True), ([0.9, None, None], False), ([0.9, 0.1, None], True)])
def test_half_of_the_members_rounded_up_must_have_a_verdict(decide, ps, valid):
    found = decide(ps)
    assert (found.p is not None) == valid
    if not valid:
        assert (found.verdict, found.reason, found.parts) == ("invalid", "too_few_votes", {"p:0": 0.9, "valid": 1})


def test_a_jury_whose_members_only_failed_has_failed_too(decide):
    fails = {"fails": True, "why": "time_out"}
    assert decide([None, None], about=[fails, fails]) == Comparison(None, reason="time_out", parts={"valid": 0.0})
    assert decide([None, None], about=[fails]).reason == "too_few_votes"


def test_a_jury_waits_for_its_person_however_sure_the_others_are(decide):
    waits, down = {"fails": True, "why": AWAITING}, {"fails": True, "why": "server_error"}
    found = decide([0.9, 0.9, None], about=[{}, {}, waits])
    assert found == Comparison(None, reason=AWAITING, parts={"p:0": 0.9, "p:1": 0.9, "valid": 2.0})
    assert decide([0.9, None, None], about=[{}, down, waits]).reason == AWAITING


def test_a_member_that_may_answer_next_time_is_not_settled_without(decide):
    down, lost = {"fails": True, "why": "server_error"}, {"fails": True, "why": "too_long"}
    assert decide([0.9, 0.9, None], about=[{}, {}, down]).reason == "server_error"
    assert decide([0.9, None, None], about=[{}, lost, down]).reason == "server_error"
    assert decide([0.9, 0.9, None], about=[{}, {}, lost]).verdict == "a"


class Unreliable(Rater):
    """Loses one response for good, and the other for now."""

    def annotate(self, group):
        yield []
        return [Annotation(r.id, reason="server_error" if r.text == "two" else "refused") for r in group.responses]


def test_a_member_that_rates_is_asked_again_whichever_response_it_lacks_for_now(drive, make_group, monkeypatch):
    monkeypatch.setattr(members, "load", {"rater": Unreliable}.__getitem__)
    group = make_group(["one", "two"])
    for a, b in (group.responses, group.responses[::-1]):
        assert drive(members.Member(use="rater").compare(group, a, b), None).reason == "server_error"


@given(st.floats(-50, 50), st.floats(-50, 50))
def test_scores_told_the_other_way_round_give_the_opposite_and_equal_ones_a_tie(drive, make_group, first, second):
    class Fixed(Rater):
        def annotate(self, group):
            yield []
            return [Annotation(r.id, {"one": first, "two": second}[r.text]) for r in group.responses]

    group = make_group(["one", "two"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(members, "load", {"rater": Fixed}.__getitem__)
        member = members.Member(use="rater")
        one, two = (drive(member.compare(group, *pair), None) for pair in (group.responses, group.responses[::-1]))
    assert one.p + two.p == 1 and one.verdict == two.swapped.verdict
    assert first != second or one.verdict == "tie"


@given(PS, st.sampled_from(["majority", "mean", "weighted"]), st.lists(st.sampled_from(["x", "y", None]), min_size=6, max_size=6))
def test_the_verdict_does_not_depend_on_which_response_is_called_a(decide, ps, rule, families):
    about = [{"family": f, "accuracy": 0.5 + 0.08 * i} for i, f in enumerate(families[: len(ps)])]
    one, two = decide(ps, about=about, rule=rule), decide(ps, swapped=True, about=about, rule=rule).swapped
    assert (one.verdict, one.reason, one.p) == (two.verdict, two.reason, pytest.approx(two.p))


@given(PS, st.sampled_from(["majority", "mean", "weighted"]), st.randoms())
def test_the_order_of_members_changes_nothing(decide, ps, rule, rng):
    about = [{"name": f"m{i}", "accuracy": 0.5 + 0.08 * i} for i in range(len(ps))]
    order = rng.sample(range(len(ps)), len(ps))
    one = decide(ps, about=about, rule=rule)
    two = decide([ps[i] for i in order], about=[about[i] for i in order], rule=rule)
    assert (one.verdict, one.p, one.parts) == (two.verdict, two.p, two.parts)


def test_a_member_that_rates_single_responses_votes_by_their_difference(drive, make_group):
    jury = Jury.configured({"members": [{"use": "rater", "slope": 0.5}, {"use": "rater"}], "rule": "mean"})
    group = make_group(["longer", "short"])
    found = drive(jury.compare(group, *group.responses), lambda request: Failed("unasked"))
    one, two = 1 / (1 + math.exp(-0.5)), 1 / (1 + math.exp(-1))
    assert (found.verdict, found.p) == ("a", pytest.approx((one + two) / 2))


def test_it_asks_for_every_role_of_its_members_and_depends_on_their_methods():
    jury = Jury.configured({"members": [{"use": "stub", "role": "small"}, {"use": "rater"}]})
    assert jury.roles() == {"small": {"choose"}, "rater": {"score"}}
    assert [m["use"] for m in jury.about()["members"]] == ["stub", "rater"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"members": [{"use": "stub"}]}, "a jury needs at least two members"),
        ({"members": []}, "a jury needs at least two members"),
        ({"members": [{"use": "stub", "name": "x"}, {"use": "stub", "name": "x"}]}, "two members are called 'x'"),
        ({"members": [{"use": "stub", "name": "1"}, {"use": "stub"}]}, "two members are called '1'"),
        ({"members": [{"use": "stub", "accuracy": 0.9}, {"use": "stub"}], "rule": "weighted"}, "`accuracy` of every member; '1'"),
        ({"members": [{"use": "stub", "accuracy": 1.0}, {"use": "stub"}]}, "less than 1"),
    ],
)
def test_a_jury_that_cannot_decide_is_refused(settings, says):
    with pytest.raises(ValidationError, match=says):
        JuryConfig.model_validate(settings)
