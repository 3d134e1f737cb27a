from __future__ import annotations

from hypothesis import given

from pairwright.pipelines.step_labels.log import StepLog
from tests.pipelines.step_labels.trees import at, chain, logs, s, tree


def test_a_solution_reads_back_step_by_step_wherever_its_nodes_were_cut():
    log = tree(s("a", s("b|c", s("d", end="wrong"))))
    (solution,) = log.solutions()
    assert solution.step_texts() == ["a", "b", "c", "d"]
    assert solution.step_ids() == [(97,), (98,), (99,), (100,)]
    assert [(p.node.text, p.last) for p in solution.places()] == [("a", True), ("bc", False), ("bc", True), ("d", True)]


def test_a_number_a_step_is_missing_within_a_piece_and_the_verdict_at_the_end():
    log = tree(s("a", s("b|c", s("d", end="right"), mc=(3, 4)), mc=(1, 2)))
    (solution,) = log.solutions()
    assert solution.at_steps(lambda node: node.estimate) == [0.5, None, 0.75, 1.0]


def test_an_estimate_is_of_rollouts_that_could_mostly_be_compared():
    log = tree(s("a", mc=(2, 8), unparsed=2), s("b", mc=(2, 8), unparsed=3), s("c"), s("d", end="right"))
    assert [at(log, text).estimate for text in "abcd"] == [0.25, None, None, None]


def test_what_is_right_is_every_node_on_a_path_that_ended_right():
    log = tree(chain("a", "b", mc=[None], end="right"), chain("c", "d", mc=[None], end="wrong"))
    assert log.right == {log.root.node_id, at(log, "a").node_id, at(log, "ab").node_id}


@given(logs)
def test_with_ancestors_is_closed_upwards_and_holds_nothing_else(log: StepLog):
    ends = [solution.leaf for solution in log.solutions()]
    found = log.with_ancestors(ends)
    assert found == {n.node_id for end in ends for n in (log.root, *log.path(end))}
