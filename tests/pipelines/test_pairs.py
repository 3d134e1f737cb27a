from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pairwright.pipelines.pairs import Candidate, Pair, PairConfig, anchor, normalised, pair_id, pairs_of

SWEET_SPOT = [0.1, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.7, 0.9, 0.05]


def candidate(name, score, text=None, *, reason=None, tokens=10, finish="stop") -> Candidate:
    text = f"text {name}" if text is None else text
    reason = reason or ("too_long" if score is None else None)
    return Candidate(name, text, score, reason, tokens, len(text), finish)


def group(*scores) -> list[Candidate]:
    return [candidate(f"r{i}", score) for i, score in enumerate(scores)]


def paired(candidates, key="prompt", **settings):
    return pairs_of(candidates, PairConfig(**settings), key)


def names(outcome) -> list[tuple[str, str]]:
    return [(p.chosen_id, p.rejected_id) for p in outcome.pairs]


def test_best_against_worst():
    outcome = paired(group(0.5, 3.0, -1.0, 2.0))
    assert outcome.pairs == [Pair("r1", "r2", 3.0, -1.0, 4.0)]
    assert outcome.dropped is None
    assert outcome.left_out == {}


def test_the_next_pairs_of_best_worst_have_the_next_worst_as_rejected():
    assert names(paired(group(0.5, 3.0, -1.0, 2.0), per_prompt=2)) == [("r1", "r2"), ("r1", "r0")]
    assert names(paired(group(0.5, 3.0, -1.0, 2.0), per_prompt=9)) == [("r1", "r2"), ("r1", "r0"), ("r1", "r3")]


def test_ties_go_to_the_lowest_id():
    assert names(paired(group(1.0, 2.0, 2.0, 1.0))) == [("r1", "r0")]


def test_random_rejected_depends_on_the_prompt_and_reaches_every_other_response_alike():
    seen = Counter(names(paired(group(1.0, 5.0, 2.0, 3.0), key=f"p{i}", rule="best_random"))[0] for i in range(900))
    assert set(seen) == {("r1", "r0"), ("r1", "r2"), ("r1", "r3")}
    assert all(240 < n < 360 for n in seen.values())


def test_random_rejected_is_only_drawn_from_what_is_allowed():
    candidates = group(1.0, 5.0, 4.5, 0.0)
    for i in range(20):
        [(_, rejected)] = names(paired(candidates, key=f"p{i}", rule="best_random", margin=1.0))
        assert rejected in {"r0", "r3"}


@pytest.mark.parametrize(("sigmas", "nearest"), [(-2.0, 0.05), (-1.0, 0.2), (0.0, 0.4), (1.0, 0.7), (2.0, 0.9)])
def test_the_sweet_spot_anchors(sigmas, nearest):
    rule = PairConfig(rule="best_percentile", rejected_at=sigmas)
    at = anchor(SWEET_SPOT, rule)
    assert at == pytest.approx(0.43 + sigmas * 0.25807, abs=1e-4)
    assert min(SWEET_SPOT, key=lambda s: abs(s - at)) == nearest


@pytest.mark.parametrize(("sigmas", "rejected"), [(-2.0, 0.05), (-1.0, 0.2), (0.0, 0.4), (1.0, 0.7), (2.0, 0.7)])
def test_the_sweet_spot_rejects_the_response_nearest_to_the_anchor_and_never_the_chosen(sigmas, rejected):
    [pair] = paired(group(*SWEET_SPOT), rule="best_percentile", rejected_at=sigmas).pairs
    assert (pair.score_chosen, pair.score_rejected) == (0.9, rejected)


def test_the_sweet_spot_is_not_the_worst_when_there_is_an_outlier():
    scores = [-9.0] + [0.1 * i for i in range(40)]
    [pair] = paired(group(*scores), rule="best_percentile").pairs
    assert pair.score_rejected == 0.0


def test_two_responses_equally_near_the_anchor_go_by_id():
    assert names(paired(group(9.0, 2.0, 4.0, 1.0), rule="best_percentile", percentile=50)) == [("r0", "r1")]


def test_a_percentile_of_the_scores_can_be_the_anchor():
    assert names(paired(group(0.0, 1.0, 2.0, 3.0, 4.0), rule="best_percentile", percentile=25, per_prompt=2)) == [
        ("r4", "r1"),
        ("r4", "r0"),
    ]


def test_a_pair_needs_more_than_the_margin():
    assert paired(group(1.0, 2.0), margin=1.0).dropped == "no_pair_above_margin"
    assert len(paired(group(1.0, 2.0), margin=0.999).pairs) == 1


def test_every_pair_of_a_prompt_is_above_the_margin():
    assert names(paired(group(5.0, 4.5, 3.0, 1.0), per_prompt=3, margin=1.0)) == [("r0", "r3"), ("r0", "r2")]


def test_the_chosen_response_must_reach_the_floor():
    assert paired(group(1.0, 2.0), chosen_floor=2.5).dropped == "below_floor"
    assert len(paired(group(1.0, 2.0), chosen_floor=2.0).pairs) == 1


def test_a_rejected_response_of_another_length_gives_way_to_the_next():
    candidates = [candidate("a", 3.0, tokens=100), candidate("b", 0.0, tokens=201), candidate("c", 1.0, tokens=50)]
    assert names(paired(candidates, max_length_ratio=2.0)) == [("a", "c")]
    assert paired(candidates, max_length_ratio=1.9).dropped == "no_pair_within_length_ratio"


def test_responses_without_tokens_are_within_no_length_ratio():
    candidates = [candidate("a", 3.0, tokens=0), candidate("b", 0.0, tokens=0)]
    assert paired(candidates, max_length_ratio=5.0).dropped == "no_pair_within_length_ratio"
    assert names(paired(candidates)) == [("a", "b")]


def test_cut_and_empty_responses_are_left_out():
    candidates = [*group(1.0, 2.0), candidate("cut", 9.0, finish="length"), candidate("void", 8.0, text=" \n\t\u3000")]
    outcome = paired(candidates)
    assert names(outcome) == [("r1", "r0")]
    assert outcome.left_out == {"cut": "cut", "void": "empty"}


def test_cut_responses_may_be_let_in_and_empty_ones_may_not():
    candidates = [candidate("a", 1.0), candidate("cut", 9.0, finish="length"), candidate("void", 0.0, text="")]
    outcome = paired(candidates, drop_cut=False)
    assert names(outcome) == [("cut", "a")]
    assert outcome.left_out == {"void": "empty"}


def test_a_response_of_unknown_ending_is_not_cut():
    assert len(paired([candidate("a", 1.0, finish=None), candidate("b", 2.0, finish=None)]).pairs) == 1


def test_a_missing_score_leaves_a_response_out_with_its_own_reason():
    outcome = paired([*group(1.0, 2.0), candidate("m", None, reason="strong:too_long")])
    assert names(outcome) == [("r1", "r0")]
    assert outcome.left_out == {"m": "strong:too_long"}


def test_of_identical_texts_the_one_with_the_highest_score_stays():
    candidates = [
        candidate("a", 1.0, "Twö words  "),
        candidate("b", 3.0, "Twö words\n"),
        candidate("c", 3.0, "Two\u0308 words"),  # the same letter in two characters
        candidate("d", 0.0, "other"),
    ]
    outcome = paired(candidates, per_prompt=5)
    assert names(outcome) == [("b", "d")]
    assert outcome.left_out == {"a": "identical", "c": "identical"}


def test_normalised_text_keeps_what_can_make_an_answer_right_or_wrong():
    assert normalised(" if x:  \r\n    y²\n") == "if x:\n    y²"
    assert normalised("x²") != normalised("x2") and normalised("a\n  b") != normalised("a\nb")


def test_a_text_of_invisible_characters_is_empty():
    outcome = paired([candidate("a", 3.0, "\u200b"), candidate("b", 2.0, "good"), candidate("c", 1.0, "bad")])
    assert names(outcome) == [("b", "c")] and outcome.left_out == {"a": "empty"}


@pytest.mark.parametrize(
    ("reason", "candidates", "settings"),
    [
        ("fewer_than_two_responses", [], {}),
        ("fewer_than_two_responses", group(1.0), {}),
        ("fewer_than_two_responses", [candidate("a", 1.0), candidate("b", 2.0, finish="length")], {}),
        ("all_identical", [candidate("a", 1.0, "same"), candidate("b", 2.0, "same")], {}),
        ("all_identical", [candidate("a", None, "same"), candidate("b", None, "same")], {}),
        ("no_score", group(None, None, None), {}),
        ("no_score", group(None, 1.0, None), {}),
        ("no_score", [candidate("a", 1.0, "same"), candidate("b", 2.0, "same"), candidate("c", None)], {}),
        ("all_scores_equal", group(1.0, 1.0, 1.0), {"chosen_floor": 5.0, "margin": 1.0}),
        ("below_floor", group(1.0, 2.0), {"chosen_floor": 5.0, "margin": 1.0}),
        ("no_pair_above_margin", group(1.0, 2.0), {"margin": 1.0}),
        ("no_finite_margin", group(1.7e308, -1.7e308), {"max_length_ratio": 1.0}),
    ],
)
def test_a_group_without_a_pair_is_dropped_for_its_first_true_cause(reason, candidates, settings):
    outcome = paired(candidates, **settings)
    assert (outcome.pairs, outcome.dropped) == ([], reason)


@pytest.mark.parametrize("rule", [{}, {"ches": {"max": 1.0}}])
def test_two_responses_whose_difference_no_number_holds_are_no_pair(rule):
    outcome = pairs_of(group(1.7e308, 0.0, -1.7e308), PairConfig(per_prompt=3, **rule), "prompt", lambda c, r: 0.0, 1.0)
    assert ("r0", "r1") in names(outcome) and ("r0", "r2") not in names(outcome)
    assert pairs_of(group(1.7e308, -1.7e308), PairConfig(**rule), "p", lambda c, r: 0.0, 1.0).dropped == "no_finite_margin"


def test_a_dropped_group_still_says_why_each_response_was_left_out():
    outcome = paired([candidate("a", 1.0, text=""), candidate("b", None, reason="x"), candidate("c", 1.0)])
    assert outcome.dropped == "no_score"
    assert outcome.left_out == {"a": "empty", "b": "x"}


def test_a_response_twice_in_a_group_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="twice"):
        paired([candidate("a", 1.0), candidate("a", 2.0)])


def test_a_candidate_has_a_finite_score_or_a_reason():
    with pytest.raises(ValueError, match="has a score or a reason"):
        Candidate("a", "text", None, None, 1, 4)
    with pytest.raises(ValueError, match="not a finite number"):
        Candidate("a", "text", float("nan"), None, 1, 4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"margin": -1}, "greater than or equal to 0"),
        ({"per_prompt": 0}, "greater than or equal to 1"),
        ({"max_length_ratio": 0.5}, "greater than or equal to 1"),
        ({"rejected_at": -1.0}, "no effect with rule 'best_worst'"),
        ({"rule": "best_percentile", "percentile": 10, "rejected_at": -1.0}, "give one of them"),
        ({"rule": "worst_best"}, "best_worst"),
        ({"marginal": 1}, "Extra inputs"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        PairConfig(**settings)


def test_a_pairs_id_depends_on_prompt_and_sides():
    assert len({pair_id("p", "a", "b"), pair_id("p", "b", "a"), pair_id("q", "a", "b")}) == 3
    assert pair_id("p", "a", "b") == pair_id("p", "a", "b")


@st.composite
def groups(draw) -> list[Candidate]:
    rows = draw(
        st.lists(
            st.tuples(
                st.none() | st.sampled_from([-1.0, 0.0, 0.5, 2.0]) | st.floats(-100, 100),
                st.sampled_from(["", " ", "x", "x ", "y", "z", "w", "v"]),
                st.integers(0, 30),
                st.sampled_from(["stop", "stop", "length", None]),
            ),
            max_size=10,
        )
    )
    return [candidate(f"r{i:02}", s, text, tokens=tokens, finish=end) for i, (s, text, tokens, end) in enumerate(rows)]


rules = st.builds(
    PairConfig,
    rule=st.sampled_from(["best_worst", "best_random"]),
    per_prompt=st.integers(1, 4),
    margin=st.sampled_from([0.0, 0.5, 3.0]),
    chosen_floor=st.none() | st.floats(-2, 2),
    max_length_ratio=st.none() | st.sampled_from([1.0, 2.0]),
    drop_cut=st.booleans(),
) | st.builds(
    PairConfig,
    rule=st.just("best_percentile"),
    percentile=st.none() | st.floats(0, 100),
    per_prompt=st.integers(1, 4),
    margin=st.sampled_from([0.0, 0.5]),
)


@given(candidates=groups(), rule=rules, random=st.randoms(use_true_random=False))
def test_the_order_of_the_candidates_changes_nothing(candidates, rule, random):
    shuffled = random.sample(candidates, len(candidates))
    assert pairs_of(shuffled, rule, "prompt") == pairs_of(candidates, rule, "prompt")


@given(candidates=groups(), rule=rules)
def test_every_pair_keeps_every_promise(candidates, rule):
    outcome = pairs_of(candidates, rule, "prompt")
    by_id = {c.response_id: c for c in candidates}
    assert (outcome.dropped is None) == bool(outcome.pairs)
    assert len(outcome.pairs) <= rule.per_prompt
    assert len(set(names(outcome))) == len(outcome.pairs)
    scored = [c.score for c in candidates if c.response_id not in outcome.left_out]
    for pair in outcome.pairs:
        chosen, rejected = by_id[pair.chosen_id], by_id[pair.rejected_id]
        assert normalised(chosen.text) != normalised(rejected.text)
        assert (pair.score_chosen, pair.score_rejected) == (chosen.score, rejected.score)
        assert pair.score_chosen == max(scored)
        assert pair.margin == pair.score_chosen - pair.score_rejected > rule.margin
        assert rule.chosen_floor is None or pair.score_chosen >= rule.chosen_floor
        for c in (chosen, rejected):
            assert c.response_id not in outcome.left_out
            assert c.text.strip()
            assert not (rule.drop_cut and c.finish_reason == "length")
        if rule.max_length_ratio is not None:
            assert max(chosen.tokens, rejected.tokens) <= rule.max_length_ratio * min(chosen.tokens, rejected.tokens)


@given(candidates=groups(), rule=rules)
def test_a_response_is_left_out_only_for_what_is_true_of_it(candidates, rule):
    left_out = pairs_of(candidates, rule, "prompt").left_out
    for c in candidates:
        match left_out.get(c.response_id):
            case "empty":
                assert not c.text.strip()
            case "cut":
                assert rule.drop_cut and c.finish_reason == "length"
            case "identical":
                twins = [t for t in candidates if t.response_id not in left_out and normalised(t.text) == normalised(c.text)]
                assert len(twins) == 1
                assert (-twins[0].score, twins[0].response_id) < (-c.score, c.response_id)
            case None:
                assert c.score is not None
            case reason:
                assert reason == c.reason


@given(candidates=groups(), tighter=st.floats(0, 5), margin=st.floats(0, 5))
def test_a_wider_margin_never_gives_more_pairs(candidates, tighter, margin):
    loose = pairs_of(candidates, PairConfig(per_prompt=9, margin=margin), "prompt")
    tight = pairs_of(candidates, PairConfig(per_prompt=9, margin=margin + tighter), "prompt")
    assert set(names(tight)) <= set(names(loose))
