from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.pipelines.step_labels.first_error import FirstError, Hard
from pairwright.pipelines.step_labels.log import StepLog
from tests.pipelines.step_labels.trees import Sketch, chain, logs, s, tree

GOOD, BAD = (3, 8), (0, 8)


def error(*below: Sketch, end: str | None = None, threshold: int = 0) -> FirstError:
    """e_MC of the solution that spells `end`, or of the only one."""
    log = tree(*below)
    (solution,) = [x for x in log.solutions() if end in (None, "".join(x.step_texts()))]
    return Hard(log, threshold).first_error(solution)


@pytest.mark.parametrize(
    ("mc", "end", "index"),
    [
        ([GOOD, GOOD, GOOD], "wrong", 3),  # the end itself is the error
        ([GOOD, GOOD, BAD], "wrong", 2),
        ([BAD, None, None], "wrong", 0),  # until_first_error: nothing after it was estimated
        ([None, GOOD, BAD], "wrong", 2),  # bisection: what a good prefix went through is good
        ([None, None, GOOD], "wrong", 3),
        ([GOOD, BAD, GOOD], "wrong", 1),  # a recovered step is the first error all the same
        ([None, BAD, GOOD], "wrong", 1),
        ([None, None, None], "right", None),
        ([GOOD, GOOD, GOOD], "right", None),
        ([GOOD, BAD, GOOD], "right", 1),  # a right answer with a wrong step
        ([None, BAD, None], "right", 1),
        ([BAD, BAD, BAD], "right", 0),
    ],
)
def test_the_first_error_is_the_first_step_without_a_right_rollout(mc, end, index):
    assert error(chain("a", "b", "c", "d", mc=mc, end=end)) == FirstError(index)


@pytest.mark.parametrize("mc", [[None, BAD, BAD], [GOOD, None, BAD], [GOOD, GOOD, None], [None, None, None]])
def test_an_error_among_several_steps_is_not_located(mc):
    assert error(chain("a", "b", "c", "d", mc=mc, end="wrong")) == FirstError(None, "not_located")


@pytest.mark.parametrize(
    ("below", "expected"),
    [
        (s("a", s("b|c", s("d", end="wrong"), mc=BAD), mc=GOOD), FirstError(None, "not_located")),  # the bad edge has two steps
        (s("a", s("b|c", s("d", end="wrong"), mc=GOOD), mc=GOOD), FirstError(3)),  # a good one may have any number
        (s("a|b", s("c", s("d|e", end="wrong"), mc=BAD), mc=GOOD), FirstError(2)),  # what follows the error need not be cut
        (s("a", s("b|c|d", end="wrong"), mc=GOOD), FirstError(None, "not_located")),
        (s("a|b|c|d", end="right"), FirstError(None)),
        (s("a|b", s("c", end="right"), mc=BAD), FirstError(1)),  # the step before it led on to a right end
    ],
)
def test_edges_of_several_steps(below, expected):
    assert error(below) == expected


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([GOOD, (0, 8), BAD], FirstError(None, "low_trust")),  # good or bad: it would decide
        ([GOOD, (2, 8), BAD], FirstError(None, "low_trust")),
        ([GOOD, (0, 8), GOOD], FirstError(3)),  # a good prefix went through it
        ([BAD, (0, 8), BAD], FirstError(0)),  # it comes after the first error
    ],
)
def test_a_node_whose_rollouts_were_mostly_unparsed_decides_nothing(counts, expected):
    a, b, c = counts
    below = s("a", s("b", s("c", s("d", end="wrong"), mc=c), mc=b, unparsed=5), mc=a)
    assert error(below) == expected


@pytest.mark.parametrize("reason", ["cut", "no_answer", "time_out", "too_deep"])
def test_a_solution_that_could_not_be_compared_keeps_its_reason(reason):
    assert error(chain("a", "b", mc=[BAD], end="unparsed", reason=reason)) == FirstError(None, reason)


@pytest.mark.parametrize("end", ["wrong", "right"])
def test_a_search_that_was_stopped_labels_nothing_it_left_unfinished(end):
    assert error(chain("a", "b", mc=[BAD], end=end, reason="budget_rollouts")) == FirstError(None, "budget_rollouts")


def test_an_end_without_verdict_or_reason_is_unparsed():
    assert error(chain("a", "b", mc=[BAD], end="unparsed")) == FirstError(None, "unparsed")


def test_the_worked_example_of_omega_prm():
    """MC .25 after 4 pieces, .5 after 6, 0 after 7: the first error is piece 7 (arXiv 2406.06592), 6 counted from 0."""
    assert error(s("a|b|c|d", s("e|f", s("g", s("h", end="wrong"), mc=(0, 8)), mc=(4, 8)), mc=(2, 8))) == FirstError(6)


def test_another_solution_that_ends_right_shows_that_what_both_share_is_good():
    assert error(s("a", s("b", end="wrong"), s("c|d", end="right")), end="ab") == FirstError(1)
    assert error(s("a", s("b", end="wrong"), s("c|d", end="wrong")), end="ab") == FirstError(None, "not_located")


def test_what_was_counted_weighs_more_than_another_solutions_luck():
    assert error(s("a", s("b", end="wrong"), s("c", end="right"), mc=BAD), end="ab") == FirstError(0)


@pytest.mark.parametrize(("threshold", "index"), [(0, 3), (1, 2), (2, 2), (3, 1), (7, 0)])
def test_a_step_is_good_if_more_rollouts_than_the_threshold_were_right(threshold, index):
    assert error(chain("a", "b", "c", "d", mc=[(4, 8), (3, 8), (1, 8)], end="wrong"), threshold=threshold) == FirstError(index)


def test_a_prefix_that_also_ended_wrong_is_not_bad_for_that():
    """Two solutions with equal first ids: one stopped there, the other went on."""
    both = s("a", s("b", end="right"), end="wrong")
    assert error(both, end="a") == FirstError(0)
    assert error(both, end="ab") == FirstError(None)


@given(logs, st.integers(0, 4))
def test_labels_never_contradict_counts_and_the_first_error_is_the_first_bad_step(log: StepLog, threshold: int):
    hard = Hard(log, threshold)
    for solution in log.solutions():
        labels, error = hard.labels(solution), hard.first_error(solution)
        for place, good in zip(solution.places()[:-1], labels, strict=False):
            if place.last and place.node.n and not place.node.low_trust:
                assert good == (place.node.correct > threshold)
        if error.reason is None:
            end = len(labels) if error.index is None else error.index
            assert all(labels[:end]) and labels[end : end + 1] in ([], [False])
            assert solution.leaf.reason is None
