from __future__ import annotations

import math
import re
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.annotators.steps.moves import Moves
from pairwright.annotators.steps.rest import Rest, RestConfig, Walk
from pairwright.annotators.steps.segment import Cut
from pairwright.annotators.steps.tree import ROOT, Piece, Tree
from pairwright.annotators.steps.values import JudgeValue, NoValue, RolloutValue
from pairwright.engines.requests import Choose, Generate, Verify
from pairwright.pipelines.step_labels.config import LabelConfig
from pairwright.pipelines.step_labels.log import read_logs
from pairwright.pipelines.step_labels.stepwise import labelled
from tests.annotators.steps.step_world import StepWorld, chances, question, settings


def rest(**more: Any) -> Rest:
    return Rest(RestConfig(**{"value": JudgeValue(), **more}))


def spoken(text: str) -> float:
    """A judge that believes the last number a solution says of itself: `v.7`."""
    said = re.findall(r"v(\.\d+)", text)
    return float(said[-1]) if said else 0.5


def telling(steps: dict[str, list[str]]) -> StepWorld:
    """`steps`: text -> its possible next steps; the first is the greedy one unless there is a key `text + ' greedy'`."""

    def says(text: str, i: int, request: Generate) -> str:
        if not request.sampling.stop:
            return "=right"
        greedy = request.sampling.temperature == 0
        found = steps.get(f"{text} greedy") if greedy else None
        found = found or steps.get(text) or ["on v.1\n\n"]
        return found[0 if greedy else i % len(found)] + "..."

    return StepWorld(says, judge=spoken)


def node_of(tree: Tree, text: str) -> int:
    (found,) = [n for n in range(len(tree)) if tree.text(n) == text]
    return found


def walk(values: list[float | None], visits: list[int], **more: Any) -> Walk:
    """A root with children of these V and N."""
    found = Walk(RestConfig(**more), Moves(question(), settings()))
    found.chosen[ROOT] = [found.tree.add(ROOT, Piece((10 + i,), "x", (Cut(1, 1),))) for i in range(len(values))]
    for child, v, n in zip(found.chosen[ROOT], values, visits, strict=True):
        found.v[child], found.tree.visits[child] = v, n
    return found


class TestBound:
    def test_has_a_two_under_the_root_in_the_code_and_none_in_the_paper(self):
        for ucb, factor in (("code", 2), ("paper", 1)):
            found = walk([0.6], [4], ucb=ucb)
            found.tree.visits[ROOT] = 9
            assert found.ucb(ROOT, 1) == pytest.approx(0.6 + 0.7 * math.sqrt(factor * math.log(9) / 4))

    def test_of_an_unvisited_child_is_finite(self):
        assert walk([0.6], [0]).ucb(ROOT, 1) == pytest.approx(1.6)
        assert walk([0.6], [0], unvisited=0.25).ucb(ROOT, 1) == pytest.approx(0.85)

    def test_so_a_child_that_was_visited_may_be_better_than_one_that_was_not(self):
        found = walk([0.1, 0.9], [0, 1])
        found.tree.visits[ROOT] = 2
        assert found.best(ROOT) == 2

    def test_equal_children_are_taken_in_order(self):
        assert walk([0.5, 0.5, 0.5], [0, 0, 0]).best(ROOT) == 1


class TestBackUp:
    def test_v_is_the_mean_of_the_children_weighted_by_their_visits(self):
        found = walk([0.8, 0.2, 0.9], [3, 1, 0])
        found.back_up([ROOT])
        assert found.v[ROOT] == pytest.approx((3 * 0.8 + 0.2) / 4)
        assert found.tree.visits[ROOT] == 1 and found.tree.q(ROOT) == pytest.approx(found.v[ROOT])

    def test_a_leaf_keeps_its_own_v_and_only_gains_a_visit(self):
        found = walk([0.8, 0.2], [1, 1])
        found.back_up([ROOT, 1])
        assert (found.v[1], found.tree.visits[1], found.tree.visits[2]) == (0.8, 2, 1)
        assert found.v[ROOT] == pytest.approx((2 * 0.8 + 0.2) / 3)

    @given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9)), min_size=1, max_size=6))
    def test_stays_between_the_least_and_the_largest_v(self, children):
        values, visits = [v for v, _ in children], [n for _, n in children]
        found = walk(values, visits)
        found.back_up([ROOT])
        assert found.v[ROOT] is None if not sum(visits) else min(values) - 1e-9 <= found.v[ROOT] <= max(values) + 1e-9

    def test_leaves_out_what_is_not_known_and_knows_nothing_if_nothing_is(self):
        found = walk([0.8, None, None], [1, 5, 0])
        found.back_up([ROOT])
        assert found.v[ROOT] == found.tree.q(ROOT) == 0.8
        found = walk([None, None], [2, 1])
        found.back_up([ROOT, 1])
        assert (found.v[ROOT], found.tree.q(ROOT), found.tree.q(1)) == (None, None, None) and found.tree.visits[1] == 3


class TestIteration:
    STEPS: ClassVar = {
        "": ["a v.6\n\n", "b v.4\n\n", "c v.2\n\n"],
        "a v.6\n\n greedy": ["r v.7\n\n"],
        "a v.6\n\nr v.7\n\n": ["r v.8\n\n"],
        "a v.6\n\nr v.7\n\nr v.8\n\n": ["r v.5\n\n"],
        "b v.4\n\n": ["d v.3\n\n"],
        "b v.4\n\nd v.3\n\n": ["e v.1\n\n"],
    }

    def test_the_first_expands_the_root_and_rolls_greedily_from_its_best_child(self):
        world = telling(self.STEPS)
        tree = world.grow(rest(iterations=1))
        a, b, c = (node_of(tree, text) for text in self.STEPS[""])
        asked = [(r.n, r.sampling.temperature) for r in world.of(Generate) if r.sampling.stop]
        assert asked == [(3, 0.7), (1, 0), (1, 0), (1, 0)]
        assert [tree.value[n] for n in (a, b, c)] == pytest.approx([0.6, 0.4, 0.2])
        assert tree.q(a) == pytest.approx(0.5 * 0.6 + 0.5 * 0.8)
        assert [tree.visits[n] for n in (ROOT, a, b, c)] == [1, 1, 0, 0]
        assert tree.q(ROOT) == pytest.approx(0.7) and tree.value[ROOT] is None

    def test_the_second_goes_to_the_best_child_not_yet_visited(self):
        tree = telling(self.STEPS).grow(rest(iterations=2))
        a, b, d = (node_of(tree, text) for text in ("a v.6\n\n", "b v.4\n\n", "b v.4\n\nd v.3\n\n"))
        v_d = 0.5 * 0.3 + 0.5 * 0.1
        assert tree.q(d) == pytest.approx(v_d) and tree.q(b) == pytest.approx(v_d)
        assert [tree.visits[n] for n in (ROOT, a, b, d)] == [2, 1, 1, 1]
        assert tree.q(ROOT) == pytest.approx((0.7 + v_d) / 2)

    def test_alpha_is_the_share_of_the_roll(self):
        for alpha, v in ((0.0, 0.6), (1.0, 0.8), (0.25, 0.65)):
            tree = telling(self.STEPS).grow(rest(iterations=1, alpha=alpha))
            assert tree.q(node_of(tree, "a v.6\n\n")) == pytest.approx(v)

    def test_the_steps_of_a_roll_are_kept_with_their_values_and_never_selected(self):
        tree = telling(self.STEPS).grow(rest(iterations=1))
        rolled = [n for n in range(len(tree)) if "r v" in tree.text(n)]
        assert [tree.value[n] for n in rolled] == pytest.approx([0.7, 0.8, 0.5])
        assert [tree.visits[n] for n in rolled] == [0, 0, 0] and [tree.q(n) for n in rolled] == [None] * 3

    def test_a_roll_may_be_short_or_left_out(self):
        for steps, seen in ((0, 0.6), (1, 0.65)):
            tree = telling(self.STEPS).grow(rest(iterations=1, roll_forward_steps=steps))
            assert tree.q(node_of(tree, "a v.6\n\n")) == pytest.approx(seen)

    def test_what_a_roll_made_is_valued_once_if_an_expansion_makes_it_again(self):
        steps = {"": ["a v.6\n\n"], "a v.6\n\n": ["r v.7\n\n"], "a v.6\n\nr v.7\n\n": ["s v.7\n\n"]}
        world = telling(steps)
        tree = world.grow(rest(iterations=2, roll_forward_steps=1))
        assert len(world.of(Choose)) == len({r.prompt for r in world.of(Choose)}) == len(tree) - 1
        assert tree.visits[node_of(tree, "a v.6\n\nr v.7\n\n")] == 1


class TestEnds:
    def test_are_worth_their_verdict_and_end_a_roll(self):
        steps = {"": ["a v.6\n\n"], "a v.6\n\n": ["=right"]}
        world = telling(steps)
        world.says = lambda text, i, request: "=right" if text or not request.sampling.stop else "a v.6\n\n"
        tree = world.grow(rest(iterations=1))
        leaf = node_of(tree, "a v.6\n\n=right")
        assert (tree.terminal[leaf], tree.verdict[leaf], tree.value[leaf]) == (True, "right", 1.0)
        assert tree.q(node_of(tree, "a v.6\n\n")) == pytest.approx(0.8)
        assert len(world.expanded()) == 2

    def test_cost_nothing_when_they_are_selected_again(self):
        world = StepWorld(lambda text, i, request: ["=right", "=wrong"][i % 2])
        tree = world.grow(rest(iterations=20))
        right, wrong = tree.children[ROOT]
        assert world.expanded() == [""] and tree.visits[ROOT] == 20
        assert (tree.q(right), tree.value[wrong]) == (1.0, 0.0)
        assert (tree.visits[right], tree.visits[wrong]) == (20, 0), "0 + 1 for being unvisited never beats 1 + something"

    def test_a_leaf_at_the_gate_that_states_its_answer_is_one(self):
        world = telling({"": ["boxed =right v.95\n\n"]})
        tree = world.grow(rest(iterations=4, roll_forward_steps=0))
        (leaf,) = tree.children[ROOT]
        assert (tree.terminal[leaf], tree.verdict[leaf], tree.finish[leaf]) == (True, "right", "stop")
        assert world.expanded() == [""]

    def test_and_one_that_states_another_number_goes_on_for_it_may_be_an_intermediate_result(self):
        steps = {"": ["boxed =wrong v.95\n\n"], "boxed =wrong v.95\n\n": ["boxed =right v.95\n\n"]}
        tree = telling(steps).grow(rest(iterations=3, roll_forward_steps=0))
        first, last = node_of(tree, "boxed =wrong v.95\n\n"), node_of(tree, "boxed =wrong v.95\n\nboxed =right v.95\n\n")
        assert [tree.terminal[n] for n in (first, last)] == [False, True] and tree.verdict[last] == "right"
        (log,) = read_logs(list(tree.rows("rest_mcts", "m", "policy")))
        (made,) = labelled(log, LabelConfig())[0]
        assert made.labels == (True, True)

    def test_that_could_not_be_compared_are_worth_nothing_known(self):
        says = {"": ["long\n\n", "good\n\n"], "long\n\n": ["mumble"], "good\n\n": ["=right"]}
        world = StepWorld(lambda text, i, request: (found := says.get(text, ["=right"]))[i % len(found)])
        tree = world.grow(rest(iterations=6, branch=2, value=NoValue()))
        good, long, mumble = (node_of(tree, text) for text in ("good\n\n", "long\n\n", "long\n\nmumble"))
        assert (tree.q(long), tree.q(mumble), tree.value[mumble], tree.reason[mumble]) == (None, None, None, "no_answer")
        assert tree.q(good) == tree.q(ROOT) == 1.0

    def test_after_a_delimiter_are_those_of_the_step_before(self):
        says = {"": ["good\n\n", "bad\n\n"], "good\n\n": ["=right\n\n"], "bad\n\n": ["=wrong\n\n"]}
        world = StepWorld(lambda text, i, request: (found := says.get(text, [""]))[i % len(found)])
        tree = world.grow(rest(iterations=6, branch=2, roll_forward_steps=2), settings(roots=1))
        right, wrong = node_of(tree, "good\n\n=right\n\n"), node_of(tree, "bad\n\n=wrong\n\n")
        assert [(tree.verdict[n], tree.reason[n], tree.q(n)) for n in (right, wrong)] == [
            ("right", None, 1.0),
            ("wrong", None, 0.0),
        ]
        assert [tree.children[n] for n in (right, wrong)] == [[], []]

    def test_a_leaf_at_the_gate_that_only_looks_good_goes_on(self):
        world = telling({"": ["=right v.95\n\n"]})
        tree = world.grow(rest(iterations=2, roll_forward_steps=0))
        (child,) = tree.children[ROOT]
        assert not tree.terminal[child] and world.expanded() == ["", "=right v.95\n\n"]
        assert sum(r.cut for r in world.of(Verify)) == 1

    @given(st.integers(0, 10**6), st.integers(1, 8), st.floats(0.05, 0.9))
    def test_every_one_has_a_verdict_and_every_v_is_a_value(self, seed, iterations, ends):
        world = StepWorld(chances(seed, ends=ends), judge=lambda text: (len(text) % 7) / 7)
        tree = world.grow(rest(iterations=iterations))
        assert tree.visits[ROOT] == iterations
        for node in range(len(tree)):
            assert tree.terminal[node] == (tree.verdict[node] is not None)
            q = tree.q(node)
            assert q is None or -1e-9 <= q <= 1 + 1e-9
            assert node == ROOT or tree.value[node] is not None or tree.verdict[node] == "unparsed"


def test_values_come_from_rollouts_unless_said_otherwise():
    world = StepWorld(lambda text, i, request: f"{'abc'[i % 3]}\n\n=right")
    tree = world.grow(Rest(RestConfig(iterations=1, roll_forward_steps=1)))
    counts = [tree.count(n, "policy").n for n in tree.children[ROOT]]
    assert counts == [4, 4, 4] and all(tree.value[n] == 1.0 for n in tree.children[ROOT])
    assert Rest(RestConfig()).roles("policy").keys() == {"policy", "verifier"}


def test_the_defaults_are_those_of_the_code():
    c = RestConfig()
    assert (c.iterations, c.branch, c.exploration, c.alpha, c.end_gate) == (50, 3, 0.7, 0.5, 0.9)
    assert (c.roll_forward_steps, c.unvisited, c.ucb, c.value) == (3, 1.0, "code", RolloutValue(k=4))
    assert Rest.by_steps and Rest.needs_mixed
