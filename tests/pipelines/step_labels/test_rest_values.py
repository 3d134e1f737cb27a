from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.pipelines.step_labels.log import StepLog
from pairwright.pipelines.step_labels.rest_values import following, rest_values
from tests.pipelines.step_labels.trees import at, logs, s, tree

LETTERS = "abcdefghijkl"


def route(total: int, wrong_at: int | None = None, below: int = 0) -> StepLog:
    """A right solution of so many steps, and beside step `wrong_at` a wrong one with so many further steps."""
    made = s(LETTERS[total - 1], end="right")
    for k in range(total, 0, -1):
        beside = ()
        if k == wrong_at:
            lost = s("x" * (below + 1) + "!", end="wrong")
            for i in range(below):
                lost = s("x" * (below - i), lost)
            beside = (lost,)
        if k == 1:
            return tree(*beside, made, method="rest_mcts")
        made = s(LETTERS[k - 2], *beside, made)
    raise AssertionError


@pytest.mark.parametrize("mode", ["full", "simple"])
@pytest.mark.parametrize("total", range(1, 11))
def test_on_the_way_to_a_right_end_the_values_are_k_of_all(total, mode):
    log = route(total)
    for k in range(1, total + 1):
        assert rest_values(log, mode)[at(log, LETTERS[:k]).node_id] == pytest.approx((k / total,))


@pytest.mark.parametrize(("total", "k"), [(total, k) for total in range(1, 9) for k in range(1, total + 1)])
def test_a_wrong_sibling_falls_back_by_one_step_in_simple_mode_and_by_less_in_full(total, k):
    log = route(total, wrong_at=k)
    node = at(log, LETTERS[: k - 1] + "x!").node_id
    simple, full = rest_values(log, "simple")[node][0], rest_values(log, "full")[node][0]
    assert simple == pytest.approx(max((k - 2) / total, 0))
    before = (k - 1) / total
    assert full == pytest.approx(max(before - (1 - before) / (total - k + 2), 0))
    assert following(before, total - k, 1) == pytest.approx(simple), "m + 1 = K - k + 1"


def test_a_wrong_way_goes_on_falling_in_full_mode_and_is_named_once_in_simple():
    log = route(4, wrong_at=4, below=1)
    first, second = at(log, "abcx"), at(log, "abcxxx!")
    full, simple = rest_values(log, "full"), rest_values(log, "simple")
    assert full[first.node_id] == (pytest.approx(0.75 - 0.25 / 2),)
    assert full[second.node_id] == (pytest.approx(0.625 - 0.375 / 2),)
    assert simple[first.node_id] == (pytest.approx(0.5),) and second.node_id not in simple


def test_the_fewest_steps_to_a_right_end_count():
    log = tree(s("a", s("b", s("c", end="right")), s("d", end="right")))
    full = rest_values(log)
    assert [full[at(log, text).node_id][0] for text in ("a", "ad", "ab", "abc")] == pytest.approx([0.5, 1.0, 0.75, 1.0])
    assert at(log, "ab").node_id not in rest_values(log, "simple"), "another way to a right end is not wrong"


def test_pieces_count_step_by_step():
    log = tree(s("a|b", s("c|d", end="right"), s("e|f", end="wrong")))
    full, simple = rest_values(log), rest_values(log, "simple")
    assert full[at(log, "ab").node_id] == simple[at(log, "ab").node_id] == pytest.approx((0.25, 0.5))
    assert full[at(log, "abcd").node_id] == pytest.approx((0.75, 1.0))
    assert full[at(log, "abef").node_id] == pytest.approx((0.5 - 0.5 / 3, 1 / 3 - 2 / 9))
    assert simple[at(log, "abef").node_id] == (0.25, None)


@pytest.mark.parametrize("mode", ["full", "simple"])
def test_nothing_is_said_without_a_right_end_or_where_no_end_is_known(mode):
    assert rest_values(tree(s("a", s("b", end="wrong"))), mode) == {}
    log = tree(s("a", end="right"), s("b", s("c")), s("d", end="unparsed", reason="cut"))
    assert set(rest_values(log, mode)) == {at(log, "a").node_id}


def test_the_sign_is_that_of_a_wrong_step():
    assert following(0.5, 0, 0) == 1 and following(0.5, 0, 1) == 0 and following(0.5, 3, 0.5) == 0.5


@given(st.lists(st.tuples(st.integers(0, 30), st.floats(0, 1)), max_size=30))
def test_values_stay_in_bounds_and_no_step_takes_more_than_is_left(steps):
    v = 0.0
    for left, r in steps:
        after = following(v, left, r)
        assert 0 <= after <= 1 and after - v <= 1 - v + 1e-12
        v = after


@given(logs, st.sampled_from(["full", "simple"]))
def test_in_any_tree_values_are_bounded_and_a_right_end_is_worth_one(log: StepLog, mode):
    found = rest_values(log, mode)
    assert bool(found) == any(solution.leaf.verdict == "right" for solution in log.solutions())
    for node_id, values in found.items():
        assert len(values) == len(log.nodes[node_id].cuts)
        assert all(v is None or 0 <= v <= 1 for v in values)
        if mode == "full" and log.nodes[node_id].verdict == "right":
            assert values[-1] == pytest.approx(1)
