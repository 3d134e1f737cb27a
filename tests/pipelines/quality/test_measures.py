"""Goldens of filters_routing_consensus.md 8.7, and what each figure says of judges that are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.pipelines.quality.measures import (
    adaptive_ece,
    agreement,
    answers,
    aurc,
    auroc,
    brier,
    calibration,
    consistency,
    ece,
    lengths,
    measured,
    orders,
    over,
    risk_coverage,
    wilson,
)

CONFIDENCE, CORRECT = [0.95, 0.9, 0.65, 0.62, 0.55], [1, 1, 1, 0, 0]
UNIT = st.floats(0, 1, allow_nan=False)


def row(id: str = "i", gold: str | None = "a", verdict: str | None = "a", **about: Any) -> dict[str, Any]:
    credit = (
        None if gold is None else 0.0 if verdict in (None, "invalid") else 1.0 if verdict == gold else 0.5 * (verdict == "tie")
    )
    plain = {"p": None, "p_ab": None, "p_ba": None, "reason": None, "scores": [1.0, 0.0], "chars": [10, 5], "subset": None}
    return {
        "id": id,
        "gold": gold,
        "verdict": verdict,
        "credit": credit,
        "tokens": 4.0,
        "seconds": 2.0,
        "money": 0.0,
        **plain,
        **about,
    }


def test_brier_is_the_golden():
    assert brier([0.9, 0.8, 0.6, 0.55], [1, 0, 1, 1]) == pytest.approx(0.253125)


def test_ece_has_ten_bins_that_are_closed_on_the_right():
    assert ece(CONFIDENCE, CORRECT) == pytest.approx(0.194)


def test_a_confidence_on_the_edge_of_two_bins_is_in_the_lower_one():
    # 0.9 shares the bin (0.8, 0.9] with 0.85: |1/2 - 0.875|, both of two rows
    assert ece([0.85, 0.9], [0, 1]) == pytest.approx(0.375)


def test_a_calibration_error_of_nothing_is_no_number():
    with pytest.raises(ValueError, match="needs rows"):
        ece([], [])


def test_adaptive_ece_of_as_many_bins_as_rows_is_the_mean_distance():
    assert adaptive_ece(CONFIDENCE, CORRECT) == pytest.approx(np.mean(np.abs(np.array(CONFIDENCE) - CORRECT)))
    assert adaptive_ece(CONFIDENCE, CORRECT, bins=1) == pytest.approx(abs(0.6 - 0.734))


def test_auroc_counts_pairs_and_needs_both_kinds():
    assert auroc(CONFIDENCE, CORRECT) == pytest.approx(1.0)
    assert auroc([0.6, 0.6], [1, 0]) == pytest.approx(0.5)
    assert auroc([0.6, 0.7], [1, 1]) is None


def test_risk_grows_as_less_sure_verdicts_are_covered():
    assert risk_coverage(CONFIDENCE, CORRECT).tolist() == pytest.approx([0, 0, 0, 1 / 4, 2 / 5])
    assert aurc(CONFIDENCE, CORRECT) == pytest.approx((1 / 4 + 2 / 5) / 5)


@given(st.lists(st.tuples(UNIT, st.booleans()), min_size=1, max_size=30), st.randoms())
def test_the_order_of_rows_changes_no_calibration_figure(rows, random):
    shuffled = random.sample(rows, len(rows))
    for measure in (brier, ece, auroc, aurc):
        before, after = (measure(*map(list, zip(*x, strict=True))) for x in (rows, shuffled))
        assert before == pytest.approx(after)


@given(st.lists(UNIT, min_size=1, max_size=30))
def test_equally_sure_verdicts_share_their_errors(correct):
    risk = risk_coverage([0.7] * len(correct), correct)
    assert np.allclose(risk, 1 - np.mean(correct))


def test_wilson_is_the_known_interval():
    low, high = wilson(8, 10)
    assert (low, high) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share_and_stays_in_the_unit_interval(counts):
    right, n = counts
    low, high = wilson(right, n)
    assert -1e-12 <= low <= right / n + 1e-12 and right / n - 1e-12 <= high <= 1 + 1e-12


def test_ties_are_worth_half_and_what_cannot_be_read_nothing():
    rows = [row("1"), row("2", verdict="b"), row("3", verdict="tie"), row("4", verdict="invalid"), row("5", verdict=None)]
    found = agreement([*rows, row("6", gold="tie", verdict="tie"), row("7", gold=None)])
    assert (found["n"], found["agreement"]) == (5, pytest.approx(1.5 / 5))
    assert (found["decided"], found["agreement_decided"]) == (pytest.approx(2 / 5), pytest.approx(0.5))


def test_a_judge_that_always_takes_the_first_is_seen_as_one():
    found = orders([row(p_ab=0.9, p_ba=0.2), row(p_ab=0.7, p_ba=0.4)])
    assert found["first_position"] == 1.0 and found["swap_consistency"] == 0.0
    assert found["position_bias"] == pytest.approx((0.9 + 0.8 + 0.7 + 0.6) / 4 - 0.5)


def test_a_judge_without_a_place_for_place_is_consistent_and_even():
    found = orders([row(p_ab=0.9, p_ba=0.7), row(p_ab=0.5, p_ba=0.5), row(p_ab=0.1, p_ba=0.3), row(p_ab=0.6, p_ba=None)])
    assert (found["swapped"], found["swap_consistency"], found["shown"]) == (3, 1.0, 7)
    assert found["first_position"] == pytest.approx((1 + 0 + 0.5 + 0.5 + 0 + 1 + 1) / 7)


def test_a_tie_in_one_order_only_is_not_consistent():
    assert orders([row(p_ab=0.5, p_ba=0.7)])["swap_consistency"] == 0.0


def test_missing_verdicts_are_counted_by_reason():
    rows = [row(), row(verdict="tie"), row(verdict="invalid", reason="two_verdicts"), row(verdict=None, reason="refused")]
    found = answers(rows)
    assert (found["tie_rate"], found["invalid_rate"]) == (0.25, 0.5)
    assert found["reasons"] == {"two_verdicts": 1, "refused": 1}


def test_length_bias_is_the_judges_share_beside_that_of_people():
    rows = [row("1"), row("2", gold="b", verdict="a"), row("3", gold="a", verdict="a", chars=[5, 10]), row("4", chars=[5, 5])]
    found = lengths(rows)
    assert (found["longer_wins"], found["longer_is_right"]) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert (found["agreement_longer_right"], found["agreement_shorter_right"]) == (1.0, 0.5)


def test_the_gain_is_paired_by_id_whatever_the_order_of_rows():
    mine = [row(str(i), verdict="a" if i < 8 else "b") for i in range(10)]
    base = [row(str(i), verdict="a" if i < 5 else "b") for i in reversed(range(12))]
    found = over(mine, base)
    assert found["gain"] == pytest.approx(0.3)
    assert found["gain_low"] == pytest.approx(0.3 - 1.959964 * np.sqrt(0.21 * 10 / 9 / 10), abs=1e-6)


def test_ratings_and_rankings_are_compared_with_and_without_ties():
    ratings = [row("1"), row("2", verdict="tie"), row("3", verdict="b"), row("4", verdict=None)]
    rankings = [row("4"), row("3"), row("2", verdict="tie"), row("1"), row("9")]
    found = consistency(ratings, rankings)
    assert (found["n"], found["without_verdict"]) == (3, 1)
    assert (found["consistent"], found["consistent_decided"]) == (pytest.approx(2 / 3), pytest.approx(1 / 2))


def test_calibration_uses_probabilities_and_without_them_margins():
    told = [row(str(i), gold="b", verdict="a" if c else "b", p=c or 0.3) for i, c in enumerate((0.9, 0, 0))]
    assert calibration(told)["brier"] == pytest.approx((0.81 + 0.09 + 0.09) / 3)
    rated = [row("1", scores=[3.0, 0.0]), row("2", verdict="b", scores=[0.0, 1.0])]
    found = calibration(rated)
    assert (found["brier"], found["ece"], found["auroc"]) == (None, None, 1.0)


def test_every_figure_of_what_could_be_read_says_of_how_many():
    lost = row("3", verdict="invalid", scores=[None, None], reason="no_verdict")
    found = measured([row("1", p=0.9, p_ab=0.9, p_ba=0.9), row("2", verdict="b", scores=[0.0, 1.0]), lost], [])
    assert (found["coverage"], found["invalid_rate"]) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert (found["probabilities"], found["decisions"], found["longer_n"], found["swapped"]) == (1, 2, 2, 1)
    assert (found["three_way"], found["three_way_n"]) == (pytest.approx(1 / 3), 3)


def test_nothing_measured_is_nothing_said():
    found = measured([], [])
    assert found["rows"] == 0
    assert all(value in (None, {}, 0) for name, value in found.items())


def test_subsets_and_costs_are_told_apart():
    found = measured([row("1", subset="x"), row("2", subset="y", verdict="b", tokens=8.0)], [])
    assert found["subsets"]["x"]["agreement"] == 1.0 and found["subsets"]["y"]["agreement"] == 0.0
    assert (found["tokens_per_row"], found["seconds_per_row"]) == (6.0, 2.0)
