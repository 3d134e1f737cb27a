from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.pipelines.filters.base import PairColumns, Side, apply_filters
from pairwright.pipelines.filters.length_balance import LengthBalance
from pairwright.pipelines.quality.bias import bias_of

DIFFERENCES = st.lists(st.integers(-30, 30), max_size=60)


def pairs_of(differences, ids=None):
    """Pairs whose chosen response has so many more tokens than the rejected one, and ten times as many characters."""

    def side(letter, tokens):
        tokens = np.array(tokens, np.int64)
        ids = [f"{letter}{i}" for i in range(len(tokens))]
        return Side(ids, np.zeros(len(tokens)), tokens, 10 * tokens, [None] * len(tokens), lambda: [""] * len(tokens))

    ids = ids or [f"pair{i}" for i in range(len(differences))]
    return PairColumns(ids, side("c", [100 + d for d in differences]), side("r", [100] * len(differences)), lambda _: {})


def kept(differences, ids=None, **about):
    return apply_filters([LengthBalance(**about)], pairs_of(differences, ids)).keep


def test_the_larger_side_loses_pairs_until_both_are_equal():
    outcome = apply_filters([LengthBalance(bins=1)], pairs_of([5, 4, 3, 0, -4]))
    assert outcome.scores["length_balance"].tolist() == [5, 4, 3, 0, -4]
    assert outcome.keep.tolist().count(True) == 3 and outcome.keep[3] and outcome.keep[4]
    assert {r for r in outcome.reason if r} == {
        "of 4 pairs whose lengths are 3 to 5 tokens apart the longer response is chosen in 3: this pair is not among "
        "the 1 of them that stay"
    }


def test_small_and_large_differences_are_balanced_apart():
    assert kept([1, 1, -1, 90, 91, -90], bins=1).sum() == 4
    assert kept([1, 1, -1, -1, 90, 91], bins=2).tolist() == [True, True, True, True, False, False]


@given(DIFFERENCES, st.integers(1, 8), st.sampled_from([0.5, 0.6, 0.75]))
def test_no_side_has_more_than_its_share_and_the_smaller_side_stays(differences, bins, share):
    keep = kept(differences, bins=bins, share=share)
    d = np.array(differences)[keep]
    assert max((d > 0).sum(), (d < 0).sum()) <= share * (d != 0).sum() + 1e-9
    assert (d == 0).sum() == differences.count(0)
    one = kept(differences, bins=1, share=share)
    smaller = min(sum(x > 0 for x in differences), sum(x < 0 for x in differences))
    assert min((np.array(differences)[one] > 0).sum(), (np.array(differences)[one] < 0).sum()) == smaller


@given(st.lists(st.integers(-30, 30), max_size=40), st.randoms())
def test_which_pairs_go_depends_on_their_ids_and_not_on_their_order(differences, random):
    rows = [(f"pair{i}", d) for i, d in enumerate(differences)]
    mixed = random.sample(rows, len(rows))
    one, other = (
        {i for (i, _), keep in zip(some, kept([d for _, d in some], [i for i, _ in some]), strict=True) if keep}
        for some in (rows, mixed)
    )
    assert one == other


def test_the_bias_of_what_is_kept_is_gone():
    d = np.random.default_rng(0).normal(20, 60, 3000).astype(int).tolist()
    left = np.array(d)[kept(d)]
    assert bias_of(d, np.zeros(len(d))).flags
    found = bias_of(left, np.zeros(len(left)))
    assert found.more == found.less and not found.flags and abs(found.mean) < 2


def test_characters_and_another_seed():
    outcome = apply_filters([LengthBalance(unit="chars", bins=1)], pairs_of([5, 4, -3]))
    assert outcome.scores["length_balance"].tolist() == [50, 40, -30]
    d = [1] * 40 + [-1] * 20
    assert kept(d).sum() == kept(d, seed=1).sum() == 40
    assert kept(d).tolist() != kept(d, seed=1).tolist()


def test_pairs_whose_tokens_nobody_counted_are_balanced_among_themselves_by_characters():
    pairs = pairs_of([5, 4, -3, 5, 4, -3])
    tokens = np.array([100, 100, 100, 100, np.nan, 100])
    some = replace(pairs, rejected=replace(pairs.rejected, tokens=tokens))
    none = replace(pairs, rejected=replace(pairs.rejected, tokens=np.full(6, np.nan)))
    assert apply_filters([LengthBalance(bins=1)], some).scores["length_balance"].tolist() == [5, 4, -3, 5, 40, -3]
    outcome = apply_filters([LengthBalance(bins=1)], none)
    assert outcome.keep.sum() == 4 and outcome.scores["length_balance"].tolist() == [50, 40, -30, 50, 40, -30]
    assert {r for r in outcome.reason if r} == {
        "of 6 pairs whose lengths are 30 to 50 chars apart the longer response is chosen in 4: this pair is not among "
        "the 2 of them that stay"
    }


def test_no_pairs_and_pairs_of_equal_length():
    assert kept([]).tolist() == [] and kept([0, 0]).tolist() == [True, True]
    with pytest.raises(ValueError):
        LengthBalance(share=0.4)
