from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.pipelines.step_labels.log import StepLog
from pairwright.pipelines.step_labels.pav import advantages, best_of_k
from tests.pipelines.step_labels.trees import at, logs, s, tree


def provers(correct: int, n: int = 8):
    return {"provers": {"weak": (correct, n)}}


def the_solution(log: StepLog):
    (solution,) = log.solutions()
    return solution


def test_an_advantage_is_the_progress_a_step_makes_for_the_prover():
    log = tree(s("a", s("b", s("c", end="right"), mc=(8, 8), **provers(2)), mc=(2, 8), **provers(6)), mc=(4, 8), **provers(4))
    assert advantages(log, the_solution(log), "weak") == [0.25, -0.5, 0.75]
    assert advantages(log, the_solution(log), None) == [-0.25, 0.75, 0.0]


def test_the_effective_reward_adds_alpha_times_it_to_the_completers_q():
    log = tree(s("a", s("b", end="wrong"), mc=(2, 8), **provers(6)), mc=(4, 8), **provers(4))
    assert advantages(log, the_solution(log), "weak", alpha=0.5) == [0.25 + 0.125, 0 - 0.375]


def test_the_best_of_four_needs_no_new_rollouts():
    """1 - (1 - .5)^4 = .9375 and 1 - (1 - .25)^4 = .68359375; an end stays what it is."""
    log = tree(s("a", s("b", end="wrong"), mc=(4, 8)), mc=(2, 8))
    assert advantages(log, the_solution(log), None, best_of=4) == [0.9375 - 0.68359375, -0.9375]
    assert advantages(log, the_solution(log), None, best_of=4, alpha=1) == [0.5 + 0.9375 - 0.68359375, -0.9375]


def test_what_was_not_estimated_has_no_advantage_and_gives_none():
    log = tree(s("a", s("b|c", s("d", s("e", end="right"), mc=(2, 8)), mc=(4, 8)), mc=(2, 8)))
    assert advantages(log, the_solution(log), None) == [None, None, None, -0.25, 0.75]
    assert advantages(log, the_solution(log), "weak") == [None] * 5


def test_a_prover_whose_rollouts_were_mostly_unparsed_says_nothing():
    log = tree(s("a", s("b", end="right"), unparsed=4, **provers(4)), **provers(4))
    assert at(log, "a").provers == {"weak": (8, 4, 4)}
    assert advantages(log, the_solution(log), "weak") == [None, None]


@given(st.floats(0, 1), st.integers(1, 64))
def test_the_best_of_k_is_a_probability_no_smaller_than_one_tries(q, k):
    assert q - 1e-12 <= best_of_k(q, k) <= 1
    assert (best_of_k(0, k), best_of_k(1, k), best_of_k(q, 1)) == (0, 1, q)


@given(logs, st.integers(1, 8))
def test_advantages_add_up_to_what_the_end_came_to(log: StepLog, k: int):
    for solution in log.solutions():
        made = advantages(log, solution, None, k)
        assert all(a is None or -1 <= a <= 1 for a in made)
        if None not in made:
            start = best_of_k(log.root.estimate or 0.0, k)
            assert sum(made) == pytest.approx((solution.leaf.verdict == "right") - start)
