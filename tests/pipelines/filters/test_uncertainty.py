from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pairwright.pipelines.filters import apply_filters
from pairwright.pipelines.filters.bald import bald, binary_entropy, easy_probabilities, hard_probabilities
from pairwright.pipelines.filters.base import Comparisons
from pairwright.pipelines.filters.uncertainty import Uncertainty
from tests.pipelines.filters.columns import columns

LN2 = math.log(2)
probabilities = st.floats(0, 1)
GOLDEN = [[0.9, 0.6, 0.7]]
MIXED = [0.0, 0.05, 0.3, 0.69]


def drawn(margins, **about):
    """Pairs whose T draws have these margins; None: the chosen response has no draws."""
    stored = {f"c{i}": {f"draw:{t}": m for t, m in enumerate(row)} | {"sd": 9.0} for i, row in enumerate(margins) if row}
    stored |= {f"r{i}": {f"draw:{t}": 0.0 for t in range(len(row or [0]))} for i, row in enumerate(margins)}
    pairs = replace(columns(len(margins)), load_parts={"mc_dropout": stored}.__getitem__)
    return apply_filters([Uncertainty.model_validate(about)], pairs)


def logit(p):
    return math.log(p / (1 - p))


def values(outcome):
    return outcome.scores["uncertainty"].tolist()


class TestBald:
    def test_golden(self):
        assert bald(np.array(GOLDEN)).tolist() == pytest.approx([0.0435955], abs=1e-7)

    def test_of_certain_members_that_agree_or_are_split(self):
        p = np.array([[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0], [0.5, 0.5, 0.5, 0.5]])
        assert bald(p).tolist() == pytest.approx([0.0, LN2, 0.0])

    @given(st.lists(probabilities, min_size=1, max_size=12), st.randoms())
    def test_lies_between_0_and_ln_2_and_cares_neither_for_the_side_nor_for_the_order(self, p, rng):
        row = np.array([p])
        value = bald(row).item()
        assert 0 <= value <= LN2 + 1e-12
        assert bald(1 - row).item() == pytest.approx(value, abs=1e-9)
        assert bald(np.array([rng.sample(p, len(p))])).item() == pytest.approx(value, abs=1e-9)

    @given(probabilities, st.integers(1, 5))
    def test_of_members_of_one_opinion_is_nothing_however_unsure_they_are(self, p, members):
        assert bald(np.full((1, members), p)).item() == pytest.approx(0.0, abs=1e-12)

    @pytest.mark.parametrize(
        ("of", "expected"),
        [(easy_probabilities, [0.3378, 0.3209, 0.2365, 0.1047]), (hard_probabilities, [0, 0.0481, 0.2885, 0.6635])],
    )
    def test_the_golden_sampling_probabilities_of_upo(self, of, expected):
        assert of(np.array(MIXED)).tolist() == pytest.approx(expected, abs=5e-5)

    def test_where_all_are_certain_none_is_hard(self):
        with pytest.raises(ValueError, match="probability 0"):
            hard_probabilities(np.zeros(3))


class TestDraws:
    def test_bald_is_that_of_the_margins_sigmoids(self):
        margins = [[logit(p) for p in row] for row in GOLDEN]
        assert values(drawn(margins, max=1)) == pytest.approx([0.0435955], abs=1e-7)
        assert values(drawn([[m / 3 for m in margins[0]]], max=1, slope=3)) == pytest.approx([0.0435955], abs=1e-7)

    def test_margin_sd_is_the_deviation_over_draws(self):
        assert values(drawn([[1.0, 3.0], [2.0, 2.0]], statistic="margin_sd", max=9)) == pytest.approx([1.0, 0.0])

    def test_large_margins_are_certain_and_finite(self):
        assert values(drawn([[1e4, 2e4], [1e4, -1e4]], max=1)) == pytest.approx([0.0, LN2])

    def test_a_response_without_draws_or_with_fewer_is_named(self):
        outcome = drawn([None, [1.0, 1.0]], max=1)
        assert outcome.reason[0] == (
            "uncertainty_missing: mc_dropout stored no draw:<t>, or not as many, of one of the two responses"
        )
        assert outcome.keep.tolist() == [False, True]
        assert drawn([None, None]).scores["uncertainty"].mask.all()

    def test_pairs_with_other_numbers_of_draws_do_not_disturb_each_other(self):
        rows = [[1.0, 3.0], [1.0, 3.0, 2.0], [0.0, 4.0]]
        alone = [values(drawn([row], statistic="margin_sd", max=9))[0] for row in rows]
        assert values(drawn(rows, statistic="margin_sd", max=9)) == pytest.approx(alone)

    def test_what_most_draws_speak_against_is_dropped_on_request_however_sure_they_are(self):
        margins = [[-1.0, -1.0, 5.0], [1.0, 1.0, -5.0], [1.0, -1.0, 0.0]]
        outcome = drawn(margins, max=1, on_disagreement="drop")
        assert outcome.keep.tolist() == [False, True, True]
        assert outcome.reason[0] == "2 of 3 draws prefer the rejected response"
        assert drawn(margins, max=1).keep.all()


class TestSelection:
    SPREAD = ([1.0, 1.0], [1.0, 2.0], [1.0, 4.0], [1.0, 9.0])

    @pytest.mark.parametrize(
        ("about", "kept"),
        [
            ({}, [1, 1, 0, 0]),
            ({"select": "easy"}, [1, 1, 0, 0]),
            ({"select": "hard"}, [0, 0, 1, 1]),
            ({"select": "easy", "keep": 0.75}, [1, 1, 1, 0]),
            ({"select": "hard", "keep": 0.25}, [0, 0, 0, 1]),
            ({"max": 2.0}, [1, 1, 1, 0]),
            ({"min": 0.1, "max_quantile": 0.7}, [0, 1, 1, 0]),
        ],
    )
    def test_keeps_one_end_or_a_band(self, about, kept):
        outcome = drawn(self.SPREAD, statistic="margin_sd", **about)
        assert outcome.keep.tolist() == [bool(k) for k in kept]

    @pytest.mark.parametrize("keep", [0.25, "0.25", "2.5e-1"])
    def test_a_share_counts_however_it_is_written(self, keep):
        outcome = drawn(self.SPREAD, statistic="margin_sd", select="hard", keep=keep)
        assert outcome.keep.tolist() == [False, False, False, True]

    def test_says_what_is_too_unsure(self):
        [*_, reason] = drawn(self.SPREAD, statistic="margin_sd", select="easy").reason
        assert reason == "the deviation of the margin over draws 4 is not among the 2 surest of 4"
        [*_, reason] = drawn(self.SPREAD, statistic="margin_sd", max_quantile=0.5).reason
        assert reason == "the deviation of the margin over draws 4 is above 1, the 0.5 quantile"

    @given(
        st.lists(st.sampled_from([None, 0.0, 1.0, 2.0]), max_size=25), st.sampled_from(["easy", "hard"]), st.floats(0.01, 0.99)
    )
    def test_exactly_its_share_is_selected_however_many_scores_are_equal(self, spreads, select, keep):
        rows = [None if s is None else [0.0, s] for s in spreads]
        outcome = drawn(rows, statistic="margin_sd", select=select, keep=keep)
        known = [s for s in spreads if s is not None]
        chosen = sorted(s for s, kept in zip(spreads, outcome.keep, strict=True) if kept)
        ordered = sorted(known, reverse=select == "hard")
        assert chosen == sorted(ordered[: math.ceil(keep * len(known) - 1e-9)])

    def test_of_equal_scores_hashes_of_ids_choose_so_that_the_order_of_pairs_does_not_matter(self):
        stored = {f"{letter}{i}": {"draw:0": 1.0} for letter in "cr" for i in range(10)}
        pairs = replace(columns(10), load_parts={"mc_dropout": stored}.__getitem__)
        turned = replace(pairs, pair_ids=pairs.pair_ids[::-1])
        kept = [
            {
                i
                for i, keep in zip(some.pair_ids, apply_filters([Uncertainty(keep=0.2, select="easy")], some).keep, strict=True)
                if keep
            }
            for some in (pairs, turned)
        ]
        assert kept[0] == kept[1] and len(kept[0]) == 2

    def test_a_selection_and_a_quantile_of_its_share_are_two_filters(self):
        keys = [Uncertainty.model_validate(about).about() for about in ({}, {"select": "easy"}, {"max_quantile": 0.5})]
        assert keys[0] == keys[1] != keys[2]

    @pytest.mark.parametrize("about", [{}, {"select": "hard", "keep": 0.3}, {"statistic": "ensemble", "annotators": ["x", "y"]}])
    def test_what_is_written_down_of_it_is_read_again(self, about):
        f = Uncertainty.model_validate(about)
        assert Uncertainty.model_validate(f.model_dump(mode="json")) == f

    @pytest.mark.parametrize(
        ("about", "message"),
        [
            ({"select": "easy", "max": 0.1}, "`select` sets the limit itself"),
            ({"select": "easy", "keep": 1.5}, "less than 1"),
            ({"select": "middle"}, "'easy' or 'hard'"),
            ({"keep": 0.3}, "`keep` has no effect without `select`"),
            ({"annotators": ["x", "y"]}, "of the draws of one annotator"),
            ({"statistic": "ensemble"}, "at least two `annotators`"),
            ({"statistic": "vote_entropy"}, "name several, or one that compares"),
            ({"statistic": "vote_entropy", "annotators": []}, "name several, or one that compares"),
            ({"statistic": "ensemble", "annotators": ["x", "x"]}, "listed twice"),
            ({"statistic": "margin_sd", "slope": 2}, "`slope` has no effect"),
        ],
    )
    def test_settings_that_make_no_sense_are_refused(self, about, message):
        with pytest.raises(ValidationError, match=message):
            Uncertainty.model_validate(about)

    def test_draws_are_required_and_other_annotators_only_read(self):
        assert Uncertainty().requires() == {"mc_dropout": "mc_dropout"} and not Uncertainty().whole
        votes = Uncertainty(statistic="vote_entropy", annotators=("x", "y"))
        assert (votes.requires(), votes.reads(), votes.whole) == ({}, ("x", "y"), False)
        assert Uncertainty(statistic="ensemble", annotators=("x", "y")).whole


class TestEnsemble:
    def test_annotators_that_are_apart_are_unsure_whatever_their_scales(self):
        margins = {"x": [1.0, 2.0, -2.0], "y": [100.0, -50.0, 300.0]}
        outcome = apply_filters([Uncertainty(statistic="ensemble", annotators=("x", "y"), max_quantile=0.2)], columns(3, margins))
        unit = np.std(margins["x"])
        expected = [np.std([m / unit, n / np.std(margins["y"])]) for m, n in zip(*margins.values(), strict=True)]
        assert values(outcome) == pytest.approx(expected)
        assert outcome.keep.tolist() == [True, False, False]

    def test_a_majority_against_the_label_drops_the_pair_and_a_missing_score_is_named(self):
        margins = {"x": [1.0, 2.0, -2.0], "y": [1.0, None, -2.0], "z": [1.0, 1.0, 3.0]}
        f = Uncertainty(statistic="ensemble", annotators=("x", "y", "z"), max=9, standardise="none", on_disagreement="drop")
        outcome = apply_filters([f], columns(3, margins))
        assert outcome.reason == [
            None,
            "uncertainty_missing: y lacks a score of one of the two responses",
            "2 of 3 annotators prefer the rejected response",
        ]


class TestVotes:
    def test_the_entropy_of_several_annotators_votes(self):
        scores = {
            "x": [1.0, 1.0, 1.0, 0.0, None],
            "y": [1.0, -1.0, 1.0, 0.0, None],
            "z": [1.0, 1.0, None, 0.0, 1.0],
        }
        f = Uncertainty(statistic="vote_entropy", annotators=("x", "y", "z"), max=1)
        outcome = apply_filters([f], columns(5, scores, {name: ["rated"] * 5 for name in scores}))
        two_of_three = -(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3))
        assert values(outcome)[:4] == pytest.approx([0.0, two_of_three, 0.0, LN2])
        assert outcome.reason[4] == "uncertainty_missing: fewer than two annotators have a vote on the two responses"

    def test_a_jury_alone_gives_the_entropy_of_its_stored_share_of_votes(self):
        shares = [1.0, 2 / 3, 1 / 3]
        met = [(f"c{i}", f"r{i}") for i in range(3)]
        known = Comparisons(
            {two: float(p > 0.5) for two, p in zip(met, shares, strict=True)}, set(), dict(zip(met, shares, strict=True))
        )
        pairs = replace(columns(4), load_comparisons={"jury": known}.__getitem__)
        outcome = apply_filters(
            [Uncertainty(statistic="vote_entropy", annotators=("jury",), max=1, on_disagreement="drop")], pairs
        )
        assert values(outcome)[:3] == pytest.approx(binary_entropy(np.array(shares)).tolist())
        assert outcome.keep.tolist() == [True, True, False, False]
        assert outcome.reason[2:] == [
            "jury prefers the rejected response (P that the chosen is better: 0.333)",
            "uncertainty_missing: jury has no verdict on exactly these two",
        ]
