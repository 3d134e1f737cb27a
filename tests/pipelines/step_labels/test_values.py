from __future__ import annotations

from pairwright.pipelines.step_labels.values import implicit_rewards, value_of, value_targets
from tests.pipelines.step_labels.trees import at, s, tree


def named(log, targets):
    return {"".join(x.text for x in log.path(log.nodes[node_id])): value for node_id, value in targets.items()}


def test_targets_are_q_within_and_the_verdict_at_the_ends():
    log = tree(s("a", s("b", end="right", q=1.0), s("c", end="wrong", q=0.0), q=0.75), s("d"), q=0.5, method="puct")
    assert named(log, value_targets(log)) == {"": 0.5, "a": 0.75, "ab": 1.0, "ac": 0.0}
    assert named(log, value_targets(log, signed=True)) == {"": 0.0, "a": 0.5, "ab": 1.0, "ac": -1.0}


def test_an_end_without_a_verdict_is_no_target_although_the_search_took_it_for_wrong():
    log = tree(s("a", end="unparsed", reason="too_deep", q=0.0), q=0.5, reason="budget_tokens", method="puct")
    assert named(log, value_targets(log)) == {"": 0.5}


def test_where_nothing_is_backed_up_the_value_of_a_prefix_is_its_mc():
    log = tree(s("a", mc=(4, 8), q=0.25), s("b", mc=(4, 8), visits=3), s("c"), s("d", mc=(1, 8), unparsed=6, q=0.25))
    assert [value_of(at(log, text)) for text in "abcd"] == [0.25, 0.5, None, None]


def test_implicit_rewards_are_differences_that_add_up_to_the_whole():
    log = tree(s("a", s("b", s("c", end="right", value=-0.125), value=0.75), value=0.5), method="implicit")
    (solution,) = log.solutions()
    assert implicit_rewards(log, solution) == [0.5, 0.25, -0.875]


def test_values_of_another_search_are_no_log_ratios():
    log = tree(s("a", s("b", end="right", value=1.0), value=0.5), method="puct")
    (solution,) = log.solutions()
    assert implicit_rewards(log, solution) == [None, None]


def test_a_solution_scored_in_part_keeps_what_is_known():
    log = tree(s("a", s("b", s("c", end="right", value=0.5)), value=0.25), method="implicit")
    (solution,) = log.solutions()
    assert implicit_rewards(log, solution) == [0.25, None, None]
