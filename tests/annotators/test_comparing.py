from __future__ import annotations

from collections import Counter
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pairwright.annotators.base import Group
from pairwright.annotators.comparing import Comparer, ComparerConfig, Comparison, both_orders, passing, sigmoid, verdict_of
from pairwright.engines.requests import AWAITING, TRANSIENT, Choose, Chosen, Failed

REPLIES = st.lists(st.text("abcd", min_size=2, max_size=6), min_size=2, max_size=6, unique=True)
SCHEDULES = st.sampled_from(["all", "pivot", "knockout"])
PROBABILITY = st.floats(0, 1)


class ByLetters(Comparer[ComparerConfig]):
    """Asks once a comparison. The text later in the alphabet is better, 3 to 1; "unread" cannot be read, "failed" fails."""

    def roles(self):
        return {"judge": frozenset({"choose"})}

    def compare(self, group, a, b):
        first, second = sorted((a.text, b.text))
        [answer] = yield [Choose("judge", group.prompt, (first, second))]
        if isinstance(answer, Failed):
            return Comparison(None, reason=answer.reason, raw=answer.detail or None)
        if "unread" in (a.text, b.text):
            return Comparison("invalid", reason="no_verdict", raw="Well.")
        p = 0.75 if a.text > b.text else 0.25
        return Comparison(verdict_of(p), p, parts=both_orders(p, p))


def compared(drive, group, **config):
    """The rows of comparisons by {subject, other}, the rows of responses by id, and the pairs asked about, in order."""
    asked = []

    def reply(request):
        asked.append(frozenset(request.labels))
        if "failed" in request.labels:
            return Failed("too_long", "9999 tokens")
        return Chosen((-1.0, -2.0))

    rows = drive(ByLetters(ComparerConfig(**config)).annotate(group), reply)
    pairs = {frozenset((x.subject, x.other)): x for x in rows if x.other is not None}
    return pairs, {x.subject: x for x in rows if x.other is None}, asked


def texts(group: Group) -> dict[str, str]:
    return {r.id: r.text for r in group.responses}


@given(REPLIES)
def test_all_compares_every_pair_once(drive, make_group, replies):
    pairs, strengths, asked = compared(drive, make_group(replies), comparisons="all")
    assert Counter(asked) == Counter(frozenset((a, b)) for a in replies for b in replies if a < b)
    assert len(pairs) == len(replies) * (len(replies) - 1) / 2 and len(strengths) == len(replies)
    assert all(x.parts["compared"] == len(replies) - 1 for x in strengths.values())


@given(REPLIES)
def test_the_pivot_meets_each_other_response_once(drive, make_group, replies):
    pairs, _, _ = compared(drive, make_group(replies), comparisons="pivot")
    met = Counter(id for pair in pairs for id in pair)
    assert len(pairs) == len(replies) - 1
    assert sorted(met.values()) == sorted([1] * (len(replies) - 1) + [len(replies) - 1])


@given(REPLIES)
def test_a_knockout_takes_one_match_less_than_responses_and_its_winner_never_lost(drive, make_group, replies):
    group = make_group(replies)
    pairs, strengths, _ = compared(drive, group, comparisons="knockout")
    losers = [x.other if x.label == "a" else x.subject for x in pairs.values()]
    assert len(losers) == len(set(losers)) == len(replies) - 1
    [winner] = {r.id for r in group.responses} - {*losers}
    assert texts(group)[winner] == max(replies)
    assert max(strengths, key=lambda id: strengths[id].score) == winner


@pytest.mark.parametrize("draw", range(20))
def test_the_champion_of_a_knockout_is_the_strongest_however_many_byes_there_are(drive, make_group, draw):
    group = make_group(list("abcdefghi"), prompt_id=f"prompt {draw}")
    _, strengths, _ = compared(drive, group, comparisons="knockout")
    assert texts(group)[max(strengths, key=lambda id: strengths[id].score)] == "i"


def test_two_matches_of_a_round_are_asked_side_by_side(drive, make_group):
    rounds = []
    generator = ByLetters(ComparerConfig(comparisons="knockout")).annotate(make_group(["aa", "bb", "cc", "dd"]))
    requests = next(generator)
    while requests:
        rounds.append(len(requests))
        try:
            requests = generator.send([Chosen((-1.0, -2.0)) for _ in requests])
        except StopIteration:
            break
    assert rounds == [2, 1]


class Says(ByLetters):
    """Gives one verdict with one p of every pair, told of the two as they come."""

    def __init__(self, config, verdict, p):
        super().__init__(config)
        self.said = Comparison(verdict, p)

    def compare(self, group, a, b):
        yield []
        return self.said if a.text < b.text else self.said.swapped


@pytest.mark.parametrize("comparisons", ["all", "pivot", "knockout"])
@pytest.mark.parametrize("p", [0.5, 0.6, 0.75])
def test_a_tie_sets_nobody_apart_whatever_its_p(drive, make_group, comparisons, p):
    rows = drive(Says(ComparerConfig(comparisons=comparisons), "tie", p).annotate(make_group(["aa", "bb"])), None)
    assert [x.score for x in rows if x.other is None] == [0.0, 0.0]
    assert {x.parts["won"] for x in rows if x.other is None} == {0.5}
    assert {x.score for x in rows if x.other} <= {p, 1 - p}  # the comparison keeps its own


@pytest.mark.parametrize("p", [0.51, 0.99])
def test_a_knockout_is_fitted_to_verdicts_so_that_an_unsure_win_is_a_win(drive, make_group, p):
    rows = drive(Says(ComparerConfig(comparisons="knockout"), "a", p).annotate(make_group(["aa", "bb"])), None)
    assert sorted(x.score for x in rows if x.other is None) == pytest.approx([-0.5493061, 0.5493061])  # log(1.5 / 0.5) / 2


class Cycle(ByLetters):
    """Each text beats the next one in the alphabet, round and round, so that the group is level."""

    def compare(self, group, a, b):
        yield []
        order = sorted(r.text for r in group.responses)
        step = (order.index(b.text) - order.index(a.text)) % len(order)
        p = {1: 0.83, 2: 0.97, 3: 0.03, 4: 0.17}[step]
        return Comparison(verdict_of(p), p)


@given(st.permutations(["aa", "bb", "cc", "dd", "ee"]))
def test_a_level_group_has_equal_strengths_to_the_last_digit(drive, make_group, replies):
    rows = drive(Cycle(ComparerConfig()).annotate(make_group(replies)), None)
    assert [x.score for x in rows if x.other is None] == [0.0] * 5


@pytest.mark.parametrize("comparisons", ["all", "pivot"])
def test_strengths_follow_the_comparisons(drive, make_group, comparisons):
    group = make_group(["aa", "bb"])
    _, strengths, _ = compared(drive, group, comparisons=comparisons)
    by_text = {texts(group)[id]: x for id, x in strengths.items()}
    # 0.75 wins and half a win of the prior against 0.25 and a half
    assert by_text["bb"].score - by_text["aa"].score == pytest.approx(0.5108256)  # log(1.25 / 0.75)
    assert by_text["bb"].parts["won"] == 0.75 and by_text["aa"].parts["won"] == 0.25
    assert by_text["bb"].parts["sd"] > 0


@given(REPLIES, SCHEDULES, st.randoms())
def test_the_order_of_responses_changes_nothing(drive, make_group, replies, comparisons, rng):
    one = compared(drive, make_group(replies), comparisons=comparisons)
    two = compared(drive, make_group(rng.sample(replies, len(replies))), comparisons=comparisons)
    assert one == two


def test_every_permutation_of_four_responses_gives_the_same_rows(drive, make_group):
    expected = compared(drive, make_group(["aa", "bb", "unread", "failed"]), comparisons="knockout")
    for order in permutations(["aa", "bb", "unread", "failed"]):
        assert compared(drive, make_group(order), comparisons="knockout") == expected


@given(st.lists(st.sampled_from(["bb", "cc", "unread", "failed", "", "Solution:"]), max_size=6, unique=True), SCHEDULES)
def test_every_response_has_one_row_and_every_comparison_one(drive, make_group, replies, comparisons):
    group = make_group(["aa", *replies])
    pairs, strengths, asked = compared(drive, group, comparisons=comparisons)
    assert {*strengths} == {r.id for r in group.responses}
    assert len(pairs) == len(asked)
    kept_out = {id for id, text in texts(group).items() if text in ("", "Solution:")}
    assert not any(kept_out & pair for pair in pairs)


def test_an_invalid_comparison_keeps_its_reason_and_words_and_counts_for_neither(drive, make_group):
    group = make_group(["aa", "bb", "unread"])
    pairs, strengths, _ = compared(drive, group)
    by_text = {texts(group)[id]: x for id, x in strengths.items()}
    invalid = [x for x in pairs.values() if x.label == "invalid"]
    assert [(x.score, x.reason, x.raw, x.confidence) for x in invalid] == [(None, "no_verdict", "Well.", None)] * 2
    assert (by_text["unread"].score, by_text["unread"].reason) == (None, "no_comparison")
    assert by_text["aa"].parts["compared"] == 1


def test_a_failed_comparison_has_no_label_but_the_failures_reason(drive, make_group):
    pairs, strengths, _ = compared(drive, make_group(["aa", "failed"]))
    [row] = pairs.values()
    assert (row.label, row.score, row.reason, row.raw) == (None, None, "too_long", "9999 tokens")
    assert {x.reason for x in strengths.values()} == {"no_comparison"}


def test_a_verdict_that_cannot_be_read_lets_the_first_of_the_draw_go_on(drive, make_group):
    pairs, _, _ = compared(drive, make_group(["unread", "failed", "aa"]), comparisons="knockout")
    assert len(pairs) == 2


def test_master_keys_are_not_compared_and_say_why(drive, make_group):
    group = make_group(["aa", "bb", ":", "Solution:"])
    _, strengths, asked = compared(drive, group)
    assert asked == [frozenset(("aa", "bb"))]
    reasons = {texts(group)[id]: x.reason for id, x in strengths.items()}
    assert reasons == {"aa": None, "bb": None, ":": "master_key_non_word", "Solution:": "master_key_opener"}


@pytest.mark.parametrize("replies", [[], [""], [":", "Solution:"]])
def test_where_nobody_is_left_to_compare_every_response_still_has_its_row(drive, make_group, replies):
    pairs, strengths, asked = compared(drive, make_group(replies))
    assert (len(pairs), len(strengths), asked) == (0, len(replies), [])
    assert all(x.score is None and x.reason.startswith("master_key_") for x in strengths.values())


def test_without_the_guard_everything_is_compared(drive, make_group):
    _, strengths, asked = compared(drive, make_group(["aa", ":"]), guard=False)
    assert len(asked) == 1 and all(x.score is not None for x in strengths.values())


def test_one_response_has_nothing_to_be_compared_with(drive, make_group):
    for replies in (["aa"], ["aa", ""]):
        _, strengths, asked = compared(drive, make_group(replies))
        assert asked == []
        assert next(x.reason for x in strengths.values()) == "nothing_to_compare_with"


@given(PROBABILITY, PROBABILITY, PROBABILITY)
def test_swapping_turns_everything_round_and_twice_gives_the_same(p, p_ab, p_ba):
    comparison = Comparison(verdict_of(p), p, parts={**both_orders(p_ab, p_ba), "mass": 0.5}, raw="x")
    swapped = comparison.swapped
    assert swapped.p == 1 - p
    assert swapped.parts == {"p_ba": 1 - p_ab, "p_ab": 1 - p_ba, "mass": 0.5}
    assert {comparison.verdict, swapped.verdict} in ({"a", "b"}, {"tie"})
    twice = swapped.swapped
    assert (twice.verdict, twice.raw) == (comparison.verdict, "x")
    assert twice.p == pytest.approx(p) and twice.parts == pytest.approx(dict(comparison.parts))


def test_what_is_a_probability_of_neither_stays_when_the_two_are_swapped():
    assert Comparison("a", 0.75, parts={"p_tie": 0.125, "p:x": 0.25}).swapped.parts == {"p_tie": 0.125, "p:x": 0.75}


@given(st.floats(allow_nan=False))
def test_a_sigmoid_and_that_of_the_opposite_make_one(x):
    assert sigmoid(x) + sigmoid(-x) == 1
    assert sigmoid(0.0) == 0.5
    assert verdict_of(sigmoid(x)) == Comparison(verdict_of(sigmoid(-x)), sigmoid(-x)).swapped.verdict


def test_of_several_failures_the_one_that_may_pass_counts_and_a_person_before_others():
    failed = [Failed("too_long"), Failed("server_error"), Failed(AWAITING), Failed("engine_error")]
    assert passing(failed) == Failed(AWAITING)
    assert passing(failed[:2]) == Failed("server_error") and passing(failed[1::2]) == passing(failed[3:0:-2])
    assert passing(failed[:1]) is None and passing([]) is None
    assert all(passing([Failed(reason)]) for reason in TRANSIENT)


@pytest.mark.parametrize("verdict", ["invalid", None])
def test_what_could_not_be_judged_stays_so_when_swapped(verdict):
    swapped = Comparison(verdict, reason="cut", parts={"p_ab": 0.75}).swapped
    assert (swapped.verdict, swapped.p, swapped.reason, swapped.parts) == (verdict, None, "cut", {"p_ba": 0.25})


@given(PROBABILITY, st.floats(0, 0.49))
def test_a_verdict_is_a_tie_exactly_inside_the_band(p, band):
    near = p == 0.5 or abs(p - 0.5) < band
    assert verdict_of(p, band) == ("tie" if near else "a" if p > 0.5 else "b")


@pytest.mark.parametrize(
    "wrong",
    [
        {"verdict": "a"},
        {"verdict": "invalid"},
        {"verdict": None},
        {"verdict": "invalid", "p": 0.5, "reason": "cut"},
        {"verdict": "a", "p": 0.9, "reason": "cut"},
        {"verdict": "a", "p": 1.1},
    ],
)
def test_half_a_comparison_cannot_be_written(wrong):
    with pytest.raises(ValueError):
        Comparison(**wrong)


@pytest.mark.parametrize("wrong", [{"prior": 0}, {"comparisons": "swiss"}, {"guards": True}])
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ValidationError):
        ComparerConfig(**wrong)
