"""The rules that came with consensus; those of the first version are in test_combine.py."""

from __future__ import annotations

import itertools
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pairwright.annotators.bradley_terry import bradley_terry
from pairwright.pipelines.combine import CombineConfig, Combined, combine, standardised
from pairwright.pipelines.combining.config import direction
from pairwright.pipelines.combining.heron import copeland, decision, depths
from pairwright.pipelines.combining.numbers import spread_within
from pairwright.pipelines.combining.votes import votes_of_scores

finite = st.floats(-1e3, 1e3)


def config(**settings) -> CombineConfig:
    return CombineConfig.model_validate(settings)


def combined(rule: CombineConfig, *, spreads=None, votes=None, chars=None, **scores) -> Combined:
    size = len(next(iter(scores.values())))
    reasons = {name: [None if s is not None else "too_long" for s in values] for name, values in scores.items()}
    return combine(scores, reasons, rule, chars or [0] * size, None, spreads, votes)


ABC = {"a": {}, "b": {}, "c": {}}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"rule": "mean"}, 2.3333),
        ({"rule": "median"}, 2.0),
        ({"rule": "min"}, 1.0),
        ({"rule": "lower"}, 1.0861),
        ({"rule": "lower", "ddof": 1}, 0.8058),
        ({"rule": "lower", "penalty": "variance", "k": 0.5}, 1.5556),
    ],
)
def test_the_golden_ensemble(settings, expected):
    rule = config(scores=ABC, standardise="none", **settings)
    assert combined(rule, a=[1.0], b=[2.0], c=[4.0]).scores == pytest.approx([expected], abs=1e-4)


@pytest.mark.parametrize(("rule", "of"), [("mean", statistics.fmean), ("median", statistics.median), ("min", min)])
def test_an_ensemble_is_over_standardised_scores_unless_told_otherwise(rule, of):
    scores = {"a": [1.0, 2.0, 3.0], "b": [100.0, 900.0, 200.0], "c": [0.0, 0.0, 1.0]}
    z = [standardised(values) for values in scores.values()]
    assert combined(config(scores=ABC, rule=rule), **scores).scores == pytest.approx([of(row) for row in zip(*z, strict=True)])


@given(st.lists(st.tuples(finite, finite, finite), min_size=1, max_size=6))
def test_the_pessimist_is_never_above_the_mean(rows):
    scores = dict(zip("abc", map(list, zip(*rows, strict=True)), strict=True))
    rules = [config(scores=ABC, rule=rule, standardise="none") for rule in ("mean", "lower", "min")]
    for mean, lower, least in zip(*(combined(rule, **scores).scores for rule in rules), strict=True):
        assert lower <= mean + 1e-9 and least <= mean + 1e-9


def test_par_against_given_references_is_the_golden_number():
    rule = config(scores={"a": {"references": [1.0, 1.5]}}, rule="par")
    assert combined(rule, a=[2.0, -1e6]).scores == pytest.approx([0.67676, 0.0], abs=1e-5)


def test_par_against_quantiles_of_the_group():
    rule = config(scores={"a": {"reference_quantile": [0.0, 1.0]}}, rule="par")
    assert combined(rule, a=[1.0, 1.5, 2.0]).scores[2] == pytest.approx((0.7310586 + 0.5) / 2)
    median = config(scores={"a": {"reference_quantile": 0.5, "slope": 3}}, rule="par")
    assert combined(median, a=[1.0, 1.5, 2.0]).scores[1] == 0.5


def test_log_sigmoid_takes_a_given_reference():
    rule = config(scores={"a": {"references": [1.25]}}, rule="log_sigmoid")
    assert combined(rule, a=[2.0]).scores == pytest.approx([-0.38687], abs=1e-5)


def test_modpo_weighs_what_is_on_one_scale():
    rule = config(scores={"a": 0.5, "b": 0.5}, rule="direction")
    assert combined(rule, a=[1.2], b=[-0.4]).scores == pytest.approx([0.4])


def test_dpa_weighs_by_an_angle():
    rule = config(scores={"verbosity": {}, "helpful": {}}, rule="direction", theta=-20, order=["helpful", "verbosity"])
    assert combined(rule, helpful=[68.99], verbosity=[35.85]).scores == pytest.approx([52.568], abs=1e-3)
    assert [round(100 * w) for w in direction(-20)] == [94, -34]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scores": {"a": 0.5, "b": 0.6}, "rule": "direction"}, "their sum is 1"),
        ({"scores": {"a": 1.5, "b": -0.5}, "rule": "direction"}, "at least 0"),
        ({"scores": {"a": 1, "b": 0}, "rule": "direction", "order": ["a", "b"]}, "no effect on given weights"),
        ({"scores": ABC, "rule": "direction", "theta": -20, "order": ["a", "b", "c"]}, "exactly two"),
        ({"scores": {"a": {}, "b": {}}, "rule": "direction", "theta": -20}, "`order` must name a, b"),
        ({"scores": {"a": {}, "b": {}}, "rule": "heron"}, "`order` must name a, b"),
        ({"scores": {"a": {}, "b": {}}, "rule": "heron", "order": ["a", "a"]}, "`order` must name a, b"),
        ({"scores": {"a": {}, "b": {}}, "rule": "mean", "k": 2}, "`k` has no effect with rule 'mean'"),
        ({"scores": {"a": {"margin": 1}, "b": {}}, "rule": "min"}, "`margin` of 'a' has no effect"),
        ({"scores": "a", "rule": "lower"}, "two annotators or more"),
        ({"scores": {"a": {"reference_quantile": [0.5, 0.6]}}, "rule": "log_sigmoid"}, "takes one reference"),
        ({"scores": {"a": {"reference_quantile": []}}, "rule": "par"}, "needs a reference"),
        ({"scores": {"a": {}, "b": {}}, "theta": 5}, "`theta` has no effect with rule 'weighted'"),
        ({"scores": {"a": {}, "b": {}}, "rule": "lower", "ddof": 2}, "0 or 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        config(**settings)


ROUND = [
    {"scores": {"a": {"reference_quantile": [0.5, 0.9]}}, "rule": "par"},
    {"scores": {"a": {}, "b": {}}, "rule": "direction", "theta": -10, "order": ["b", "a"]},
    {"scores": {"a": {"margin": 0.5}, "b": {}}, "rule": "heron", "order": ["b", "a"]},
    {"scores": ABC, "rule": "lower", "k": 2, "penalty": "variance", "ddof": 1, "standardise": "none"},
    {"scores": {"a": {"tie_band": 1}}, "rule": "votes", "prior": 0.1},
]


@pytest.mark.parametrize("settings", ROUND)
def test_settings_survive_a_round_trip_through_json(settings):
    rule = config(**settings)
    assert CombineConfig.model_validate_json(rule.model_dump_json()) == rule


def test_heron_decides_by_the_first_level_that_can():
    levels, margins = [[1.0, 1.4, 3.0], [5.0, 0.0, 0.0]], [0.5, 0.0]
    assert decision(levels, margins, 0, 2) == (-1, 0)
    assert decision(levels, margins, 0, 1) == (1, 1)
    assert decision([[1.0, 1.0]], [0.0], 0, 1) == (0, None)
    assert copeland(levels, margins) == [0.0, -2.0, 2.0]
    assert depths(levels, margins) == {0: 2, 1: 1}


def test_heron_is_not_transitive_with_margins():
    levels, margins = [[1.0, 1.4, 1.8]], [0.5]
    assert [decision(levels, margins, i, j)[0] for i, j in ((0, 1), (1, 2), (0, 2))] == [0, 0, -1]
    assert depths(levels, margins) == {0: 1, None: 2}


def test_heron_measures_margins_in_deviations_that_the_caller_gives():
    rule = config(scores={"first": {"margin": 0.5}, "second": {}}, rule="heron", order=["first", "second"])
    assert rule.spread_of == ["first"]
    scores = {"first": [1.0, 1.4, None], "second": [5.0, 0.0, 9.0]}
    assert combined(rule, spreads={"first": 1.0}, **scores) == ([1.0, -1.0, None], [None, None, "first:too_long"])
    assert combined(rule, spreads={"first": 0.5}, **scores).scores == [-1.0, 1.0, None]
    with pytest.raises(KeyError):
        combined(rule, **scores)


@given(st.lists(st.tuples(finite, finite), min_size=1, max_size=7))
def test_copeland_scores_sum_to_nothing_and_follow_one_level(rows):
    first, second = (list(column) for column in zip(*rows, strict=True))
    assert sum(copeland([first, second], [0.0, 0.0])) == 0
    alone = copeland([first], [0.0])
    assert all((alone[i] > alone[j]) == (first[i] > first[j]) for i, j in itertools.permutations(range(len(first)), 2))


def test_the_spread_within_groups_leaves_their_level_out():
    assert spread_within([[0.0, 2.0], [100.0, 102.0]]) == 1.0
    assert spread_within([[5.0]]) == 0.0
    assert spread_within([]) == 0.0


def test_votes_are_counted_by_bradley_terry():
    rule = config(scores={"a": {"tie_band": 0.5}, "b": {}}, rule="votes")
    got = combined(rule, a=[3.0, 1.0, 0.9], b=[2.0, 5.0, 1.0]).scores
    wins = [[0, 1, 2], [1, 0, 1.5], [0, 0.5, 0]]
    assert got == pytest.approx(bradley_terry(wins, 0.5).strength.tolist(), abs=1e-8)


def test_an_annotator_that_compares_votes_by_its_verdicts_not_by_its_strengths():
    rule = config(scores={"judge": {}}, rule="votes")
    verdicts = {"judge": {(0, 1): 0.0, (1, 2): 0.5}}
    by_verdict = combined(rule, votes=verdicts, judge=[9.0, 1.0, 1.0]).scores
    assert by_verdict[0] < by_verdict[2] < by_verdict[1]


def test_a_response_needs_only_one_vote_to_have_a_strength():
    rule = config(scores={"a": {}, "b": {}}, rule="votes")
    got = combined(rule, a=[1.0, None, None], b=[1.0, 2.0, None])
    assert got.scores == [pytest.approx(-0.549306, abs=1e-6), pytest.approx(0.549306, abs=1e-6), None]
    assert got.reasons == [None, None, "a:too_long"]
    assert combined(config(scores="a", rule="votes"), a=[1.0]) == ([None], ["votes:nothing_to_compare_with"])


def test_equal_records_have_exactly_equal_strengths():
    rule = config(scores={"a": {}, "b": {}, "c": {}}, rule="votes")
    got = combined(rule, a=[1.0, 2.0, 3.0], b=[2.0, 3.0, 1.0], c=[3.0, 1.0, 2.0]).scores
    assert got == [0.0, 0.0, 0.0]


@given(st.lists(st.none() | finite, max_size=6), st.floats(0, 10))
def test_votes_of_scores_are_of_pairs_that_have_both(scores, band):
    votes = votes_of_scores(scores, band)
    present = [i for i, s in enumerate(scores) if s is not None]
    assert sorted(votes) == list(itertools.combinations(present, 2))
    assert all((v == 0.5) == (abs(scores[i] - scores[j]) <= band) for (i, j), v in votes.items())


RULES = [
    config(scores={"a": {}, "b": {}}, rule="mean"),
    config(scores={"a": {}, "b": {}}, rule="lower", ddof=1),
    config(scores={"a": {}, "b": {}}, rule="par"),
    config(scores={"a": 0.25, "b": 0.75}, rule="direction"),
    config(scores={"a": {"margin": 0.3}, "b": {}}, rule="heron", order=["a", "b"]),
    config(scores={"a": {}, "b": {}}, rule="votes"),
]


@given(
    rows=st.lists(st.tuples(st.none() | finite, st.none() | finite), min_size=1, max_size=6),
    rule=st.sampled_from(RULES),
    rng=st.randoms(use_true_random=False),
)
def test_neither_the_order_of_responses_nor_of_annotators_changes_a_score(rows, rule, rng):
    def run(rows, rule):
        a, b = (list(column) for column in zip(*rows, strict=True))
        return combined(rule, spreads={"a": 1.0}, a=a, b=b)

    places = rng.sample(range(len(rows)), len(rows))
    swapped = rule.model_copy(update={"scores": {"b": rule.scores["b"], "a": rule.scores["a"]}})
    expected, got = run(rows, rule), run([rows[i] for i in places], swapped)
    assert got.reasons == [expected.reasons[i] for i in places]
    for found, i in zip(got.scores, places, strict=True):
        assert (found is None) == (expected.reasons[i] is not None)
        assert found == expected.scores[i] if rule.rule != "votes" else found == pytest.approx(expected.scores[i], abs=1e-8)
