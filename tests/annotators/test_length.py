from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.annotators.length import debias, fit_alpha

GROUPS = st.lists(
    st.lists(st.tuples(st.integers(-200, 200), st.integers(1, 3000)), min_size=1, max_size=6).map(
        lambda rows: tuple(zip(*rows, strict=True))
    ),
    min_size=1,
    max_size=12,
)


def gap(groups, alpha: float) -> float:
    """|mean(chars of best - chars of worst)|, the plain way; the shorter wins a tie."""
    gaps = []
    for scores, chars in groups:
        by_length = sorted(zip(chars, scores, strict=True))
        values = [s - c * alpha for c, s in by_length]
        gaps.append(by_length[int(np.argmax(values))][0] - by_length[int(np.argmin(values))][0])
    return abs(sum(gaps) / len(gaps))


def test_the_golden_debiased_scores_are_reproduced():
    scores = debias([12, 10, 9], [1500, 800, 600], 0.004)
    assert scores.tolist() == pytest.approx([6.0, 6.8, 6.6])
    assert (scores.argmax(), scores.argmin()) == (1, 0)


def test_scores_and_lengths_must_be_of_equal_number():
    with pytest.raises(ValueError, match="scores for"):
        debias([1, 2], [1], 0.1)
    with pytest.raises(ValueError, match="another number of lengths"):
        fit_alpha([([1.0, 2.0], [1.0])])


def test_a_missing_score_is_refused_and_never_counted():
    with pytest.raises(ValueError, match="without a score"):
        fit_alpha([([1.0, float("nan")], [1, 2])])


@given(GROUPS)
def test_bisection_finds_what_a_full_sweep_finds(groups):
    paired = [g for g in groups if len(g[0]) > 1]
    grid = [step / 1000 for step in range(1001)]
    best = min(grid, key=lambda alpha: gap(paired, alpha)) if paired else 0.0
    assert fit_alpha(groups) == best


@given(GROUPS, st.randoms())
def test_the_order_of_responses_and_of_groups_does_not_matter(groups, rng):
    shuffled = []
    for scores, chars in rng.sample(groups, len(groups)):
        rows = list(zip(scores, chars, strict=True))
        shuffled.append(tuple(zip(*rng.sample(rows, len(rows)), strict=True)))
    assert fit_alpha(shuffled) == fit_alpha(groups)


def test_a_known_price_per_character_is_found_again():
    rng = np.random.default_rng(0)
    chars = rng.integers(50, 3000, size=(2000, 8)).astype(float)
    scores = rng.normal(0, 5, size=(2000, 8)) + 0.03 * chars
    assert fit_alpha(list(zip(scores, chars, strict=True))) == pytest.approx(0.03, abs=0.001)


def test_nothing_to_pair_means_no_correction():
    assert fit_alpha([]) == 0.0
    assert fit_alpha([([3.0], [10.0])]) == 0.0


def test_of_equally_scored_responses_the_shorter_counts():
    assert fit_alpha([([1, 1, 0], [90, 10, 30])]) == fit_alpha([([1, 1, 0], [10, 90, 30])]) == 0.0


def test_the_last_alpha_of_the_grid_can_be_the_best():
    turns_at_the_end, never_turns = ([1999, 0], [3000, 1000]), ([9999, 0], [3000, 1000])
    assert fit_alpha([turns_at_the_end, never_turns]) == 1.0
