from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.pipelines.pairs import pair_id
from pairwright.pipelines.step_labels.log import StepLog
from pairwright.pipelines.step_labels.pairs import PairRule, smoothing, step_pairs
from pairwright.storage.schemas import STEP_PREFERENCE
from tests.pipelines.step_labels.trees import at, logs, s, tree

COUNTS, VALUES = PairRule(rule="counts"), PairRule(rule="values")


def texts(log: StepLog, rule: PairRule = COUNTS):
    return [(row["prefix"], row["chosen"], row["rejected"]) for row in step_pairs(log, rule)]


def searched(*below, parent: float = 0.5, **about):
    """Children of a first step `p` of a PUCT search."""
    return tree(s("p", *below, q=parent), q=parent, method="puct", **about)


def test_the_best_sibling_is_chosen_and_a_lost_one_rejected():
    log = tree(s("p", s("a", mc=(4, 8)), s("b", mc=(6, 8)), s("c", mc=(0, 8)), s("d", mc=(1, 8)), mc=(3, 8)))
    (row,) = step_pairs(log, COUNTS)
    assert (row["prefix"], row["chosen"], row["rejected"]) == ("p", "b", "c")
    assert (row["prefix_ids"], row["chosen_ids"], row["rejected_ids"]) == ([112], [98], [99])
    assert (row["score_chosen"], row["score_rejected"], row["margin"]) == (0.75, 0.0, 0.75)
    assert (row["n_chosen"], row["n_rejected"], row["depth"]) == (8, 8, 1)
    chosen, rejected = at(log, "pb").node_id, at(log, "pc").node_id
    assert (row["chosen_id"], row["rejected_id"], row["pair_id"]) == (chosen, rejected, pair_id("q", chosen, rejected))
    assert (row["prompt_id"], row["tokenizer"], row["model"]) == ("q", "letters", "solver")


def test_a_row_fits_the_table():
    (row,) = step_pairs(tree(s("a", mc=(8, 8)), s("b", mc=(0, 8))), COUNTS)
    stored = pa.Table.from_pylist([row], schema=STEP_PREFERENCE).to_pylist()[0]
    assert {name: stored[name] for name in row} == row
    assert set(STEP_PREFERENCE.names) - set(row) == {"messages"}


def test_the_end_of_a_solution_counts_by_its_verdict():
    assert texts(tree(s("a", end="right"), s("b", end="wrong"))) == [("", "a", "b")]
    assert texts(tree(s("a", mc=(8, 8)), s("b", s("c"), end="wrong", mc=(4, 8)))) == [], (
        "others went on from there and were right"
    )


@pytest.mark.parametrize(
    "log",
    [
        tree(s("a", mc=(3, 8)), s("b", mc=(0, 8))),  # the gap is too small
        tree(s("a", mc=(8, 8)), s("b", mc=(1, 8))),  # nothing is lost
        tree(s("a", mc=(8, 8)), s("b")),  # not estimated
        tree(s("a", mc=(8, 8)), s("b", mc=(0, 8), unparsed=3)),  # low trust
        tree(s("a", mc=(5, 8), unparsed=3), s("b", mc=(0, 8))),
        tree(s("a", mc=(8, 8)), s("b", end="wrong", reason="cut")),  # a reason
        tree(s("a", mc=(8, 8)), s("b", end="unparsed", reason="no_answer")),
        tree(s("a", mc=(8, 8)), s("b|c", mc=(0, 8))),  # a piece of two steps
        tree(s("a|b", mc=(8, 8)), s("c", mc=(0, 8))),
        tree(s("a", mc=(8, 8)), s(" a\n", mc=(0, 8))),  # differ in blanks
        tree(s("a", mc=(8, 8)), s("  ", mc=(0, 8))),  # says nothing
        tree(s("a", mc=(8, 8)), s("b", s("c", end="right"), mc=(0, 8))),  # a solution went through it and ended right
        tree(s("a", s("c", mc=(8, 8)), mc=(1, 8)), s("b", s("d", mc=(0, 8)), mc=(1, 8))),  # no siblings
    ],
)
def test_counts_that_make_no_pair(log):
    assert step_pairs(log, COUNTS) == []


def test_a_chosen_step_is_good_by_the_threshold_of_the_labels():
    log = tree(s("a", mc=(4, 4)), s("b", mc=(6, 8)), s("c", mc=(0, 8)))
    chosen = [[row["chosen"] for row in step_pairs(log, COUNTS, threshold)] for threshold in (0, 3, 4, 5, 6)]
    assert chosen == [["a"], ["a"], ["b"], ["b"], []]
    ended = tree(s("a", end="right"), s("b", mc=(0, 8)))
    assert [row["chosen"] for row in step_pairs(ended, COUNTS, 3)] == ["a"], "its verdict is all there is"


@pytest.mark.parametrize("rule", [COUNTS, VALUES])
def test_there_is_no_pair_after_a_prefix_that_is_lost(rule: PairRule):
    pair = s("a", s("x", end="right"), mc=(4, 4), q=0.9), s("b", s("y", end="wrong"), mc=(0, 4), q=0.1)
    above = [s("p", *pair, mc=mc, q=0.5) for mc in ((2, 4), (0, 4))]
    assert [len(texts(tree(p), rule)) for p in above] == [1, 0]
    assert [len(step_pairs(tree(p), rule, 2)) for p in above] == [0, 0], "lost by the threshold of the labels"
    assert texts(tree(s("o", above[0], mc=(0, 4), q=0.5)), rule) == [], "nor after one that goes on from it"
    assert len(texts(tree(*pair, mc=(0, 4), q=0.5), rule)) == 1, "the question itself is not lost"


def test_by_values_there_is_no_pair_after_a_prefix_that_is_on_no_right_solution():
    children = s("a", s("x", end="wrong"), q=0.9), s("b", s("y", end="wrong"), q=0.1)
    assert texts(tree(s("p", *children, q=0.5), s("r", end="right"), q=0.5, method="puct"), VALUES) == []


def test_the_gap_and_the_pairs_of_a_prefix_are_settings():
    log = tree(s("a", mc=(3, 8)), s("b", mc=(0, 8)), s("c", mc=(0, 16)), s("d", mc=(0, 4)))
    assert texts(log, PairRule(rule="counts", min_gap=0.375)) == [("", "a", "c")], "the one with most rollouts"
    two = texts(log, PairRule(rule="counts", min_gap=0.25, per_node=2))
    assert sorted(two) == [("", "a", "b"), ("", "a", "c")]


def test_the_highest_q_is_chosen_and_the_lowest_rejected():
    log = searched(s("a", s("x", end="right"), q=0.75), s("b", q=0.5), s("c", q=0.25), s("d", q=0.4))
    (row,) = step_pairs(log, VALUES)
    assert (row["prefix"], row["chosen"], row["rejected"], row["margin"]) == ("p", "a", "c", 0.5)
    assert texts(log, PairRule()) == [("p", "a", "c")], "auto, where nothing was rolled out from"


def test_counts_come_first_where_there_are_any():
    log = searched(s("a", s("x", end="right"), q=0.75, mc=(3, 4)), s("b", q=0.5, mc=(0, 4)), s("c", q=0.25, mc=(1, 4)))
    assert texts(log, PairRule()) == texts(log, COUNTS) == [("p", "a", "b")]
    assert texts(log, VALUES) == [("p", "a", "c")]


RIGHT = s("a", s("x", end="right"), q=0.75)


@pytest.mark.parametrize(
    "log",
    [
        searched(RIGHT, s("c", q=0.51), parent=0.6),  # the gap is too small
        searched(s("a", s("x", end="right"), q=0.5), s("c", q=0.0), parent=0.3),  # Q+ is not above 0 on AlphaMath's scale
        searched(RIGHT, s("c", q=0.4), parent=0.4),  # the lowest is no worse than the parent
        searched(s("a", s("x", end="wrong"), q=0.75), s("c", q=0.0)),  # nothing ended right through it
        searched(RIGHT, s("c", end="unparsed", reason="too_deep", q=0.0)),
        searched(RIGHT, s("c", q=0.0, mc=(0, 8), unparsed=8)),
        searched(RIGHT, s("c|d", q=0.0)),
        searched(RIGHT, s("a ", q=0.0)),
        searched(RIGHT, s("c")),  # never visited
        searched(RIGHT),
        tree(s("p", RIGHT, s("c", q=0.0)), method="puct"),  # the parent has no Q
    ],
)
def test_values_that_make_no_pair(log):
    assert step_pairs(log, VALUES) == []


def test_children_that_were_hardly_visited_can_be_left_out():
    log = searched(s("a", s("x", end="right"), q=0.75, visits=3), s("b", q=0.25, visits=2), s("c", q=0.0, visits=1))
    assert texts(log, VALUES) == [("p", "a", "c")]
    assert texts(log, PairRule(rule="values", min_visits=2)) == [("p", "a", "b")]
    assert texts(log, PairRule(rule="values", min_visits=3)) == []


def deep(depth: int, step: int = 0):
    """A path along which every prefix has a pair, larger margins later."""
    if step == depth:
        return ()
    good = s(f"g{step}", *deep(depth, step + 1), mc=(50 + step, 100))
    return good, s(f"b{step}", mc=(0, 100))


def test_a_question_gives_few_pairs_from_early_middle_and_late_steps():
    log = tree(*deep(30))
    assert len(step_pairs(log, PairRule(per_question=100))) == 30
    assert [row["depth"] for row in step_pairs(log, PairRule())] == [7, 8, 9, 17, 18, 19, 28, 29]
    assert [row["depth"] for row in step_pairs(log, PairRule(per_question=3))] == [9, 19, 29]


@pytest.mark.parametrize(("best", "worst", "epsilon"), [(3, 1, 0.25), (1, 1, 0.5), (1, 9, 0.5), (4, 0, 0), (0, 0, 0)])
def test_smoothing_is_the_share_of_the_worst_steps_visits_and_at_most_half(best, worst, epsilon):
    assert smoothing(best, worst) == pytest.approx(epsilon)


@given(logs, st.sampled_from(["counts", "values"]), st.floats(0.01, 1), st.integers(1, 3), st.integers(1, 9))
def test_every_pair_is_two_single_steps_after_one_prefix(log: StepLog, by, gap, per_node, per_question):
    rows = step_pairs(log, PairRule(rule=by, min_gap=gap, per_node=per_node, per_question=per_question))
    assert len(rows) <= per_question and len({row["pair_id"] for row in rows}) == len(rows)
    for row in rows:
        chosen, rejected = log.nodes[row["chosen_id"]], log.nodes[row["rejected_id"]]
        assert chosen.parent_id == rejected.parent_id
        assert sum(r["prefix_ids"] == row["prefix_ids"] for r in rows) <= per_node
        assert row["margin"] >= gap - 1e-6 and row["margin"] == row["score_chosen"] - row["score_rejected"]
        assert row["chosen"].split() != row["rejected"].split() and row["chosen"].strip() and row["rejected"].strip()
        for node, side in ((chosen, "chosen"), (rejected, "rejected")):
            assert node.reason is None and not node.low_trust and len(node.cuts) == 1
            assert "".join(map(chr, row["prefix_ids"] + row[f"{side}_ids"])) == row["prefix"] + row[side]
