from __future__ import annotations

import itertools
import math
import statistics

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from pairwright.pipelines.combine import (
    CombineConfig,
    Combined,
    combine,
    log_sigmoid,
    mean_and_sd,
    quantile,
    standardised,
)

finite = st.floats(-1e6, 1e6)


def config(**settings) -> CombineConfig:
    return CombineConfig.model_validate(settings)


def combined(rule: CombineConfig, *, chars=None, alphas=None, **scores) -> Combined:
    size = len(next(iter(scores.values())))
    reasons = {name: [None if s is not None else "too_long" for s in values] for name, values in scores.items()}
    return combine(scores, reasons, rule, chars or [0] * size, alphas)


def test_one_listed_annotator_is_taken_as_it_is():
    rule = config(scores="strong")
    assert rule.rule == "single"
    assert combined(rule, strong=[3.0, -1.5, 2.0]).scores == [3.0, -1.5, 2.0]


def test_a_number_is_short_for_a_weight_and_several_annotators_are_weighted():
    rule = config(scores={"a": 2, "b": {"weight": 0.5}})
    assert rule.rule == "weighted"
    assert [rule.scores["a"].weight, rule.scores["b"].weight] == [2.0, 0.5]


def test_settings_survive_a_round_trip():
    rule = config(scores={"a": {"length_alpha": "auto"}, "b": {"reference_quantile": 0.5}}, rule="log_sigmoid")
    assert CombineConfig.model_validate(rule.model_dump()) == rule


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rule": "single", "scores": {"a": 1, "b": 1}}, "takes one annotator, 2 are listed"),
        ({"rule": "log_sigmoid", "scores": {"a": 2, "b": 1}}, "`weight` of 'a' has no effect"),
        ({"scores": {"a": {"reference_quantile": 0.5}, "b": {}}}, "`reference_quantile` of 'a' has no effect"),
        ({"scores": {}}, "at least 1 item"),
        ({"scores": "a", "rool": "single"}, "Extra inputs"),
        ({"scores": {"a": {"weight": float("nan")}, "b": 1}}, "finite"),
        ({"scores": {"a": {"length_alpha": "some"}}}, "auto"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        config(**settings)


def test_weighted_sums_standardised_scores():
    got = combined(config(scores={"a": 1, "b": 2}), a=[1.0, 2.0, 3.0], b=[10.0, 10.0, 40.0]).scores
    z_a = [-math.sqrt(1.5), 0.0, math.sqrt(1.5)]
    z_b = [-math.sqrt(0.5), -math.sqrt(0.5), math.sqrt(2)]
    assert got == pytest.approx([a + 2 * b for a, b in zip(z_a, z_b, strict=True)])


def test_a_negative_weight_turns_an_annotator_round():
    got = combined(config(scores={"perplexity": -1}, rule="weighted"), perplexity=[5.0, 7.0]).scores
    assert got == pytest.approx([1.0, -1.0])


def test_equal_scores_say_nothing_in_a_weighted_sum():
    assert combined(config(scores={"a": 1, "b": 1}), a=[0.1, 0.1, 0.1], b=[1.0, 2.0, 3.0]).scores == pytest.approx(
        [-math.sqrt(1.5), 0.0, math.sqrt(1.5)]
    )


def test_log_sigmoid_of_one_and_of_two_objectives():
    rule = config(
        rule="log_sigmoid",
        scores={"a": {"reference_quantile": 0.0}, "b": {"reference_quantile": 1.0}},
    )
    got = combined(rule, a=[0.0, 0.75], b=[0.5, 0.0]).scores[1]
    assert log_sigmoid(0.75) == pytest.approx(-0.38687, abs=1e-5)
    assert got == pytest.approx(-1.36095, abs=1e-5)
    assert math.exp(got) == pytest.approx(0.25642, abs=1e-5)


def test_the_log_sigmoid_reference_is_the_085_quantile_of_the_group():
    scores = [0.3, -2.0, 1.0, 4.0, 2.5]
    got = combined(config(rule="log_sigmoid", scores="a"), a=scores).scores
    reference = np.quantile(scores, 0.85)
    assert got == pytest.approx([float(-np.logaddexp(0, -(s - reference))) for s in scores])


def test_log_sigmoid_is_stable_far_out():
    assert log_sigmoid(-1000.0) == -1000.0
    assert log_sigmoid(1000.0) == 0.0


def test_a_missing_score_is_missing_with_the_annotators_reason():
    rule = config(scores={"a": 1, "b": 1})
    got = combined(rule, a=[1.0, None, 3.0, None], b=[None, 1.0, 2.0, None])
    assert got.reasons == ["b:too_long", "a:too_long", None, "a:too_long"]
    assert [s is None for s in got.scores] == [True, True, False, True]


def test_a_response_missing_elsewhere_still_counts_in_an_annotators_own_mean():
    rule = config(scores={"a": 1, "b": 1})
    got = combined(rule, a=[0.0, 3.0, 6.0], b=[None, 1.0, 1.0])
    assert got.scores == [None, 0.0, pytest.approx(math.sqrt(1.5))]


def test_a_response_nobody_annotated_has_no_annotation():
    assert combine({"a": [None]}, {"a": [None]}, config(scores="a"), [5]) == ([None], ["a:no_annotation"])


def test_length_is_taken_off_per_character_before_anything_else():
    rule = config(scores={"dice": {"length_alpha": 0.004}})
    assert combined(rule, dice=[12.0, 10.0, 9.0], chars=[1500, 800, 600]).scores == pytest.approx([6.0, 6.8, 6.6])


def test_the_characters_of_a_missing_response_do_not_shift_the_others():
    rule = config(scores={"dice": {"length_alpha": 0.004}})
    assert combined(rule, dice=[None, 10.0, 9.0], chars=[1500, 800, 600]).scores == [None, pytest.approx(6.8), pytest.approx(6.6)]


def test_an_automatic_alpha_comes_from_the_caller():
    rule = config(scores={"a": {"length_alpha": "auto"}})
    assert rule.automatic == ["a"]
    assert combined(rule, a=[2.0], chars=[100], alphas={"a": 0.01}).scores == [1.0]
    with pytest.raises(KeyError):
        combined(rule, a=[2.0], chars=[100])


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="2 scores of 'a' for 1 responses"):
        combine({"a": [1.0, 2.0]}, {"a": [None, None]}, config(scores="a"), [5])


RULES = [
    config(scores={"a": 1, "b": -2.5}),
    config(scores={"a": {}, "b": {"length_alpha": 0.01}}, rule="log_sigmoid"),
]


@given(
    rows=st.lists(st.tuples(st.none() | finite, st.none() | finite, st.integers(0, 5000)), min_size=1, max_size=8),
    rule=st.sampled_from(RULES),
    random=st.randoms(use_true_random=False),
)
def test_neither_the_order_of_responses_nor_of_annotators_changes_a_score(rows, rule, random):
    def run(rows, rule):
        a, b, chars = (list(column) for column in zip(*rows, strict=True))
        return list(zip(*combined(rule, a=a, b=b, chars=chars), strict=True))

    order = list(range(len(rows)))
    random.shuffle(order)
    swapped = config(rule=rule.rule, scores={"b": rule.scores["b"], "a": rule.scores["a"]})
    expected = run(rows, rule)
    assert run([rows[i] for i in order], swapped) == [expected[i] for i in order]


@given(rows=st.lists(st.tuples(st.none() | finite, st.none() | finite), min_size=1, max_size=8), rule=st.sampled_from(RULES))
def test_every_response_has_a_score_or_a_reason(rows, rule):
    a, b = (list(column) for column in zip(*rows, strict=True))
    got = combined(rule, a=a, b=b)
    for (x, y), score, reason in zip(rows, *got, strict=True):
        assert (score is None) == (reason is not None) == (x is None or y is None)
        assert score is None or math.isfinite(score)


@given(st.lists(finite, min_size=1, max_size=20))
def test_mean_and_sd_are_those_of_the_population(values):
    mean, sd = mean_and_sd(values)
    assert mean == pytest.approx(statistics.fmean(values), abs=1e-9)
    assert sd == pytest.approx(statistics.pstdev(values), rel=1e-6, abs=1e-9)
    assert (sd == 0) == (len(set(values)) == 1)


@given(st.lists(finite, min_size=2, max_size=20))
def test_standardising_keeps_the_order(values):
    assume(len(set(values)) > 1)
    z = standardised(values)
    by_value = sorted(range(len(values)), key=values.__getitem__)
    assert all(z[i] <= z[j] for i, j in itertools.pairwise(by_value))
    mean, sd = mean_and_sd(values)
    spread = sd > 1e-6 * max(1.0, abs(mean))
    assert math.fsum(x * x for x in z) == pytest.approx(len(z) if spread else 0, rel=1e-6)


def test_rounding_noise_is_not_blown_up_to_an_opinion():
    assert standardised([-57.3, -57.3 + 1e-9, -57.3, -57.3 - 3e-9]) == [0.0] * 4


@given(values=st.lists(finite, min_size=1, max_size=20), q=st.floats(0, 1))
def test_quantile_is_numpys_linear_one(values, q):
    assert quantile(values, q) == pytest.approx(float(np.quantile(values, q)), rel=1e-9, abs=1e-6)
