from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pairwright.pipelines.combining.numbers import sigmoid
from pairwright.pipelines.relabel.strength import Strength
from tests.pipelines.filters.columns import columns

TEN = np.array([-5.0, -3.0, -0.5, 0.1, 0.5, 1.0, 1.5, 2.0, 3.0, 9.0])
MEANS = st.lists(st.floats(-50, 50), max_size=30).map(np.array)
QUANTILES = st.sampled_from([None, 0.1, 0.3])
RULES = st.fixed_dictionaries(
    {
        "flip_below": st.sampled_from([None, 0.0, -1.0]),
        "flip_quantile": QUANTILES,
        "soften_quantile": st.sampled_from([0.4, 0.7]),
        "soften_top": QUANTILES,
        "soft": st.sampled_from(["epsilon", "sigmoid"]),
    }
)


def rule(**about) -> Strength:
    return Strength.model_validate({"annotators": ["x", "y"], **about})


def flipped(values, **about):
    return values[rule(**about).treat(values).flip].tolist()


def softened(values, **about):
    p = rule(**about).treat(values).p_chosen
    return {float(v): float(round(q, 6)) for v, q in zip(values, p, strict=True) if not np.isnan(q)}


def test_the_golden_mean():
    margins = {f"rm{i}": [m] for i, m in enumerate([1.2, 0.8, -0.1, 0.5])}
    scores = Strength(annotators=tuple(margins), standardise="none", flip_below=0).score(columns(1, margins))
    assert scores.values.tolist() == pytest.approx([0.6])


def test_flipping_goes_by_value_by_quantile_or_by_both():
    assert flipped(TEN, flip_below=0) == [-5.0, -3.0, -0.5]
    assert flipped(TEN, flip_quantile=0.2) == [-5.0, -3.0]
    assert flipped(TEN, flip_quantile=0.2, flip_below=-4) == [-5.0]
    assert flipped(TEN, flip_quantile=0.6) == [-5.0, -3.0, -0.5]


def test_the_papers_bands():
    treatment = rule(flip_quantile=0.2, soften_quantile=0.4, soften_top=0.1).treat(TEN)
    assert TEN[treatment.flip].tolist() == [-5.0, -3.0]
    assert TEN[~np.isnan(treatment.p_chosen)].tolist() == [-0.5, 0.1, 9.0]
    assert set(treatment.p_chosen[~np.isnan(treatment.p_chosen)]) == {0.9}


def test_a_soft_label_is_a_constant_or_what_the_mean_says():
    assert softened(TEN, soften_below=0.4, epsilon=0.25) == {-5.0: 0.75, -3.0: 0.75, -0.5: 0.75, 0.1: 0.75}
    by_mean = softened(TEN, flip_below=-1, soften_below=0.6, soft="sigmoid")
    assert by_mean == {-0.5: 0.500001, 0.1: round(sigmoid(0.1), 6), 0.5: round(sigmoid(0.5), 6)}


def test_a_flipped_pair_gets_the_soft_label_of_its_new_mean_when_asked():
    assert softened(TEN, flip_below=0, soft="sigmoid") == {}
    asked = softened(TEN, flip_below=-1, soft="sigmoid", soften_flipped=True)
    assert asked == {-5.0: round(sigmoid(5), 6), -3.0: round(sigmoid(3), 6)}


@given(MEANS, RULES, st.booleans())
def test_soft_labels_are_between_a_toss_and_certainty_and_never_on_flipped_pairs_unasked(means, about, both):
    both = both and (about["flip_below"], about["flip_quantile"]) != (None, None)
    treatment = rule(**about, soften_flipped=both).treat(means)
    soft = ~np.isnan(treatment.p_chosen)
    assert ((treatment.p_chosen[soft] > 0.5) & (treatment.p_chosen[soft] < 1)).all()
    assert (soft[treatment.flip] == both).all()
    assert (means[treatment.flip] < 0).all()


@given(MEANS, RULES)
def test_a_pair_that_was_turned_around_is_not_turned_back(means, about):
    turned = rule(**about).treat(means).flip
    again = rule(**about).treat(np.where(turned, -means, means)).flip
    assert not (turned & again).any()


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=2, max_size=8), st.sampled_from(["dataset", "none"]))
def test_a_flipped_pair_flipped_again_is_the_pair(rows, standardise):
    x, y = (list(column) for column in zip(*rows, strict=True))
    if min(np.std(x), np.std(y)) > 0.1:
        pairs = columns(len(rows), {"x": x, "y": y})
        once = replace(pairs, chosen=pairs.rejected, rejected=pairs.chosen)
        twice = replace(once, chosen=once.rejected, rejected=once.chosen)
        scores = [rule(standardise=standardise, flip_below=0).score(p).values.tolist() for p in (pairs, once, twice)]
        assert scores[1] == pytest.approx([-s for s in scores[0]]) and scores[2] == scores[0]


def test_pairs_without_a_mean_are_masked_and_no_pairs_need_no_treatment():
    scores = rule(flip_below=0).score(columns(3, {"x": [1.0, None, -2.0], "y": [1.0, 2.0, -1.0]}))
    assert scores.reasons[1] == "x lacks a score of one of the two responses"
    assert len(rule(flip_quantile=0.2, soften_top=0.1).treat(np.zeros(0)).flip) == 0


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({}, "it changes nothing"),
        ({"annotators": ["x", "x"], "flip_below": 0}, "listed twice"),
        ({"flip_below": 1}, "less than or equal to 0"),
        ({"flip_quantile": 0.4, "soften_quantile": 0.3}, "softens nothing"),
        ({"soften_quantile": 0.8, "soften_top": 0.3}, "overlap"),
        ({"soften_top": 0.1, "soft": "sigmoid", "epsilon": 0.2}, "no effect"),
        ({"soften_top": 0.1, "soften_flipped": True}, "nothing is flipped"),
    ],
)
def test_settings_that_make_no_sense_are_refused(about, message):
    with pytest.raises(ValidationError, match=message):
        rule(**about)
