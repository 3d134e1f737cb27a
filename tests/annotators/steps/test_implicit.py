from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.annotators.steps.base import QuestionFilter
from pairwright.annotators.steps.implicit import Implicit, ImplicitConfig, implicit_scores
from pairwright.annotators.steps.tree import ROOT
from pairwright.engines.requests import Score
from tests.annotators.steps.step_world import StepWorld, settings, text_of

LOGPS = st.lists(st.tuples(st.floats(-20, 0, width=32), st.floats(-20, 0, width=32)), min_size=2, max_size=40)


def implicit(**more: Any) -> Implicit:
    return Implicit(ImplicitConfig(**more))


def sides(pairs):
    return np.array([p for p, _ in pairs], np.float32), np.array([r for _, r in pairs], np.float32)


def rewards(scores):
    return np.diff([0.0, *scores])


def two_models(**more: Any) -> StepWorld:
    """The model trained on outcomes likes `good`, and the reference does not care."""

    def lp(role: str, token: int) -> float:
        return -0.5 if role == "implicit" and text_of((token,)).startswith("good") else -1.0

    solutions = ["good a\n\nb good\n\n=right", "good a\n\nb b\n\n=wrong"]
    return StepWorld(lambda text, i, request: solutions[i % 2], lp=lp, **more)


class TestScores:
    def test_are_sums_of_log_ratios_up_to_the_end_of_each_step(self):
        policy, reference = sides([(-1, -2), (-1, -1.5), (-3, -1), (-1, -1)])
        assert implicit_scores(policy, reference, [2, 3, 4], 0.1) == pytest.approx([0.15, -0.05, -0.05])

    @given(LOGPS, st.data())
    def test_steps_add_up_to_the_whole(self, pairs, data):
        inner = data.draw(st.sets(st.integers(1, len(pairs) - 1)))
        policy, reference = sides(pairs)
        scores = implicit_scores(policy, reference, [*sorted(inner), len(pairs)], 0.05)
        total = 0.05 * (policy.astype(np.float64) - reference.astype(np.float64)).sum()
        assert rewards(scores).sum() == pytest.approx(total) and scores[-1] == pytest.approx(total)

    @given(LOGPS.filter(lambda pairs: len(pairs) >= 4), st.data())
    def test_moving_a_boundary_moves_reward_between_neighbours_only(self, pairs, data):
        n = len(pairs)
        a, b, c = sorted(data.draw(st.sets(st.integers(1, n - 1), min_size=3, max_size=3)))
        moved = data.draw(st.integers(a + 1, c - 1))
        policy, reference = sides(pairs)
        before, after = (rewards(implicit_scores(policy, reference, [a, at, c, n], 0.05)) for at in (b, moved))
        assert (after[0], after[3]) == (before[0], before[3])
        assert after[1] + after[2] == pytest.approx(before[1] + before[2], abs=1e-9)

    def test_long_sums_do_not_drift(self):
        policy, reference = np.full(100_000, -0.1, np.float32), np.full(100_000, -0.2, np.float32)
        (q,) = implicit_scores(policy, reference, [100_000], 1.0)
        assert q == pytest.approx(10_000, rel=1e-6)


class TestSearch:
    def test_each_step_holds_the_value_of_its_prefix_and_the_end_its_verdict(self):
        tree = two_models().grow(implicit(beta=0.1))
        values = {tree.text(n): tree.value[n] for n in range(1, len(tree))}
        assert values == pytest.approx(
            {
                "good a\n\n": 0.05,
                "good a\n\nb good\n\n": 0.1,
                "good a\n\nb good\n\n=right": 0.1,
                "good a\n\nb b\n\n": 0.05,
                "good a\n\nb b\n\n=wrong": 0.05,
            }
        )
        ends = [(tree.verdict[n], tree.reason[n]) for n in range(len(tree)) if tree.terminal[n]]
        assert ends == [("right", None), ("wrong", None)] and tree.value[ROOT] is None

    def test_both_models_score_the_ids_that_were_sampled_and_no_terminator(self):
        world = two_models()
        tree = world.grow(implicit())
        asked = world.of(Score)
        assert [r.role for r in asked] == ["implicit", "reference"] * 2
        leaves = [tree.prefix(n) for n in range(len(tree)) if tree.terminal[n]]
        assert [r.continuation.token_ids for r in asked] == [leaves[0]] * 2 + [leaves[1]] * 2
        assert all(r.continuation.tokenizer == "words" and not r.terminator for r in asked)

    def test_all_solutions_are_scored_side_by_side_equal_ones_once(self):
        world = two_models()
        world.grow(implicit(), settings(roots=6))
        assert len(world.of(Score)) == 4

    def test_no_more_solutions_are_scored_than_asked_for(self):
        world = two_models()
        tree = world.grow(implicit(solutions=1), settings(roots=6))
        assert len(world.of(Score)) == 2 and sum(tree.terminal) == 1

    def test_a_question_that_is_always_solved_is_scored_too(self):
        world = StepWorld(lambda text, i, request: "a\n\n=right")
        tree = world.grow(implicit(), settings(questions=QuestionFilter(rollouts=4)))
        assert tree.reason[ROOT] is None and len(world.of(Score)) == 2

    def test_a_cut_solution_is_scored_as_unfinished_and_keeps_its_reason(self):
        world = StepWorld(lambda text, i, request: "a b\n\nc d e f")
        tree = world.grow(implicit(), settings(roots=1, max_tokens=4))
        leaf = tree.terminal.index(True)
        assert tree.reason[leaf] == "no_answer" and tree.value[leaf] is not None
        assert not any(r.continuation.finished for r in world.of(Score))

    def test_a_solution_that_says_nothing_is_not_scored(self):
        world = StepWorld(lambda text, i, request: "")
        tree = world.grow(implicit())
        assert (len(tree), tree.reason[1]) == (2, "empty_step") and not world.of(Score) and not tree.terminal[ROOT]

    def test_models_that_read_other_tokens_give_a_reason_and_no_value(self):
        class Other(StepWorld):
            def answer(self, request):
                result = super().answer(request)
                return replace(result, token_ids=(5, *result.token_ids[1:])) if isinstance(request, Score) else result

        tree = Other(lambda text, i, request: "a\n\n=right").grow(implicit())
        leaf = tree.terminal.index(True)
        assert tree.reason[leaf] == "tokenizers_differ" and tree.value == [None] * len(tree)

    def test_a_model_that_fails_leaves_a_reason_and_no_value(self):
        world = two_models(fails=lambda n, request: isinstance(request, Score))
        tree = world.grow(implicit())
        assert tree.reason[ROOT] == "server_error"
        assert {tree.reason[n] for n in range(len(tree)) if tree.terminal[n]} == {"server_error"}
        assert tree.value == [None] * len(tree)

    def test_a_solution_the_budget_does_not_reach_says_so(self):
        tree = two_models().grow(implicit(), settings(tokens=1))
        assert {tree.reason[n] for n in range(len(tree)) if tree.terminal[n]} == {"budget_tokens"}


def test_the_roles_are_asked_to_score_and_the_completer_may_be_one_of_them():
    assert implicit().roles("policy")["implicit"] == implicit().roles("policy")["reference"] == {"score"}
    assert implicit(reference="policy").roles("policy")["policy"] == {"generate", "prefix_ids", "score"}
    assert not Implicit.needs_mixed and not Implicit.by_steps and ImplicitConfig().beta == 0.05
