from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pairwright.annotators.steps.moves import Moves
from pairwright.annotators.steps.puct import Puct, PuctConfig
from pairwright.annotators.steps.search import grow
from pairwright.annotators.steps.segment import Cut
from pairwright.annotators.steps.tree import ROOT, Piece, Tree
from pairwright.annotators.steps.values import JudgeValue, RolloutValue
from pairwright.engines.requests import Generate
from pairwright.pipelines.step_labels.log import read_logs
from pairwright.pipelines.step_labels.pairs import PairRule, step_pairs
from tests.annotators.steps.oracle_world import World, solution
from tests.annotators.steps.oracle_world import settings as word_settings
from tests.annotators.steps.step_world import StepWorld, chances, question, settings, text_of


def puct(**more: Any) -> Puct:
    return Puct(PuctConfig(**more))


def endless(words: str = "abc") -> StepWorld:
    """Every text goes on with one of these words, and on."""
    return StepWorld(lambda text, i, request: f"{words[i % len(words)]}\n\nand on and on and on")


def node_of(tree: Tree, text: str) -> int:
    (found,) = [n for n in range(len(tree)) if tree.text(n) == text]
    return found


def star(priors: list[float | None], tokens: int = 1) -> Tree:
    """A root with one child per prior."""
    tree = Moves(question(), settings()).tree
    for i, prior in enumerate(priors):
        child = tree.add(ROOT, Piece((10 + i,) * tokens, "x", (Cut(tokens, 1),)))
        tree.prior[child] = prior
    return tree


class TestScore:
    def test_is_q_on_the_scale_from_minus_one_plus_the_share_the_prior_deserves(self):
        tree = star([math.log(0.5), math.log(0.25)])
        for value in (1.0, 1.0, 0.25):
            tree.back_up(1, value)
        tree.back_up(ROOT, 0.5)
        search = puct(c_puct=1.5)
        assert search.score(tree, 1) == pytest.approx((2 * 0.75 - 1) + 1.5 * 0.5 * math.sqrt(4) / (1 + 3))
        assert search.score(tree, 2) == pytest.approx(0 + 1.5 * 0.25 * math.sqrt(4) / (1 + 0))

    def test_an_unvisited_child_is_neither_good_nor_bad(self):
        tree = star([0.0, 0.0])
        tree.back_up(1, 0.0)
        flat = puct(c_puct=0)
        assert (flat.score(tree, 1), flat.score(tree, 2)) == (-1.0, 0.0)

    def test_length_exponent_is_that_of_the_tokens(self):
        tree = star([-0.5], tokens=16)
        assert puct().proposal(tree, 1) == pytest.approx(math.exp(-0.5))
        assert puct(length_exponent=1.25).proposal(tree, 1) == pytest.approx(math.exp(-8 / 16**1.25))
        assert puct(length_exponent=0).proposal(tree, 1) == pytest.approx(math.exp(-8))

    def test_equal_children_are_taken_in_order(self):
        tree = star([-1.0, -1.0, -1.0])
        assert puct().select(tree, set()) == 1
        assert puct().select(tree, {1}) == 2


class TestSelection:
    def test_visits_concentrate_on_the_child_that_is_always_right(self):
        def judge(text: str) -> float:
            return 1.0 if "Solution so far:\na" in text else 0.0

        world = endless()
        world.judge = judge
        tree = world.grow(puct(value=JudgeValue(), depth=100))
        a, b, c = (node_of(tree, f"{word}\n\n") for word in "abc")
        assert tree.visits[ROOT] == 40
        assert tree.visits[a] > 30 and max(tree.visits[b], tree.visits[c]) <= 4
        assert (tree.q(a), tree.q(b)) == pytest.approx((1.0, 0.0), abs=1e-6)

    def test_without_a_difference_visits_spread_evenly(self):
        tree = endless().grow(puct(iterations=31, children=3, depth=100))
        visits = [tree.visits[c] for c in tree.children[ROOT]]
        assert sum(visits) == 30 and max(visits) - min(visits) <= 1

    def test_the_root_is_expanded_first_and_every_node_at_most_once(self):
        world = endless()
        world.grow(puct(iterations=20))
        assert world.expanded()[0] == "" and len(set(world.expanded())) == len(world.expanded()) == 20

    def test_a_likelier_step_is_looked_at_first(self):
        world = endless()
        world.lp = lambda role, token: -0.1 if text_of((token,)) == "b\n\n" else -3.0
        world.grow(puct(iterations=2))
        assert world.expanded() == ["", "b\n\n"]


class TestEnds:
    def test_ended_children_are_backed_up_once_when_they_are_made(self):
        says = {0: "=right", 1: "=wrong", 2: "a\n\nand on"}
        world = StepWorld(lambda text, i, request: says[i % 3])
        tree = world.grow(puct(iterations=1, children=3))
        right, wrong, going = tree.children[ROOT]
        assert [tree.visits[n] for n in (ROOT, right, wrong, going)] == [3, 1, 1, 0]
        assert [tree.value[n] for n in (right, wrong, going)] == [1.0, 0.0, None]
        assert tree.q(ROOT) == pytest.approx((0.5 + 1 + 0) / 3)

    def test_a_tree_all_of_whose_ends_are_found_is_over(self):
        world = StepWorld(lambda text, i, request: f"{'' if text else 'ab'[i % 2] + chr(10) * 2}=right")
        tree = world.grow(puct(iterations=40))
        assert sorted(world.expanded()) == ["", "a\n\n", "b\n\n"]
        assert tree.reason[ROOT] is None and tree.visits[ROOT] == 3 + 2

    def test_a_closed_branch_is_left_for_an_open_one(self):
        def says(text: str, i: int, request: Generate) -> str:
            if not text:
                return ["a\n\n", "b\n\n"][i % 2]
            return "=right" if text.startswith("a") else "c\n\nd"

        world = StepWorld(says)
        world.grow(puct(iterations=6, depth=100))
        assert world.expanded() == ["", "a\n\n", "b\n\n", "b\n\nc\n\n", "b\n\n" + "c\n\n" * 2, "b\n\n" + "c\n\n" * 3]

    def test_what_did_not_end_well_is_not_known_to_be_wrong_and_keeps_its_reason(self):
        world = StepWorld(lambda text, i, request: ["nothing", "=right"][i % 2])
        tree = world.grow(puct(iterations=1))
        failed, right = tree.children[ROOT]
        assert (tree.q(failed), tree.verdict[failed], tree.reason[failed]) == (None, "unparsed", "no_answer")
        assert (tree.q(right), tree.reason[right]) == (1.0, None)
        assert tree.visits[ROOT] == 2 and tree.q(ROOT) == pytest.approx((0.5 + 1) / 2)

    def test_a_step_all_of_whose_ends_could_not_be_compared_has_no_q_and_is_in_no_pair(self):
        def says(text: str, i: int, request: Generate) -> str:
            if not text:
                return ["good\n\n=right", "other\n\nmumble", "long\n\n" + "blah " * 99][i % 3]
            return {"g": "=right", "o": "mumble", "l": "blah " * 99}[text[0]]

        tree = StepWorld(says).grow(puct(iterations=8, children=3), settings(roots=3, max_tokens=30))
        good, other, long = (node_of(tree, f"{word}\n\n") for word in ("good", "other", "long"))
        assert [tree.q(n) for n in (good, other, long)] == [0.75, None, None]
        (log,) = read_logs(list(tree.rows("puct", "m", "policy")))
        assert step_pairs(log, PairRule(rule="values")) == []

    def test_a_solution_that_ends_after_a_delimiter_ends_with_that_step(self):
        says = {"": ["good\n\n=right\n\n", "bad\n\n=wrong\n\n"], "good\n\n": ["=right\n\n"], "bad\n\n": ["=wrong\n\n"]}
        world = StepWorld(lambda text, i, request: (found := says.get(text, [""]))[i % len(found)])
        tree = world.grow(puct(iterations=8, children=2))
        right, wrong = node_of(tree, "good\n\n=right\n\n"), node_of(tree, "bad\n\n=wrong\n\n")
        assert [(tree.verdict[n], tree.reason[n], tree.children[n]) for n in (right, wrong)] == [
            ("right", None, []),
            ("wrong", None, []),
        ]
        assert [tree.q(n) for n in (right, wrong)] == [0.75, 0.25]
        assert len(world.expanded()) == 5, "then everything is closed"

    def test_a_node_with_which_some_samples_end_and_others_do_not_is_an_end_and_goes_on(self):
        def says(text: str, i: int, request: Generate) -> str:
            return ["a =right\n\n"] * 2 if not text else ["", "b\n\n"] if "b" not in text else ["=wrong"] * 2

        tree = StepWorld(lambda text, i, request: says(text, i, request)[i % 2]).grow(puct(iterations=8, children=2))
        a = node_of(tree, "a =right\n\n")
        assert (tree.terminal[a], tree.verdict[a]) == (True, "right")
        assert tree.verdict[node_of(tree, "a =right\n\nb\n\n=wrong")] == "wrong"
        assert tree.q(a) == pytest.approx((0.5 + 1 + 0.5 + 0) / 4)

    def test_a_cut_solution_is_no_end_worth_a_label(self):
        world = StepWorld(lambda text, i, request: "a b c d e f\n\n")
        tree = world.grow(puct(iterations=1), settings(max_tokens=4))
        (leaf,) = tree.children[ROOT]
        assert (tree.q(leaf), tree.finish[leaf], tree.reason[leaf]) == (None, "length", "no_answer")

    def test_a_step_beyond_the_depth_fails_unless_it_ends_the_solution(self):
        world = StepWorld(lambda text, i, request: ["=right", "a\n\nb"][i % 2])
        tree = world.grow(puct(iterations=10, depth=2, children=2))
        ends = {tree.text(n): (tree.verdict[n], tree.q(n), tree.reason[n]) for n in range(len(tree)) if tree.terminal[n]}
        assert ends == {
            "a\n\nb": ("unparsed", None, "no_answer"),  # a root rollout
            "=right": ("right", 1.0, None),
            "a\n\n=right": ("right", 1.0, None),
            "a\n\na\n\n=right": ("right", 1.0, None),
            "a\n\na\n\na\n\n": ("unparsed", None, "too_deep"),
        }
        assert len(world.expanded()) == 3 and tree.finish[node_of(tree, "a\n\na\n\na\n\n")] == "length"


class TestValues:
    def test_the_root_needs_no_rollouts_beyond_those_of_the_question_filter(self):
        world = StepWorld(lambda text, i, request: ["a\n\n=right", "a\n\n=wrong"][i % 2] if not text else "b\n\n=right")
        tree = world.grow(puct(iterations=2, children=1, value=RolloutValue(k=3)), settings(roots=4))
        a = node_of(tree, "a\n\n")
        assert (tree.count(ROOT, "policy").n, tree.count(a, "policy").n) == (4, 3)
        assert (tree.value[ROOT], tree.value[a]) == (0.5, 1.0)
        assert tree.visits[ROOT] == 2 and tree.q(ROOT) == pytest.approx(0.75)

    def test_a_leaf_is_valued_when_it_is_expanded_and_not_before(self):
        world = endless()
        tree = world.grow(puct(iterations=1, value=JudgeValue()))
        assert [tree.value[c] for c in tree.children[ROOT]] == [None] * 3

    def test_without_a_source_no_value_is_claimed(self):
        tree = endless().grow(puct(iterations=4))
        assert [tree.value, [tree.q(n) for n in range(len(tree))]] == [[None] * len(tree)] * 2 and tree.visits[ROOT] == 4


@example(3, 10, 3, 0.75, None)  # an end that what goes on from it disputes
@given(st.integers(0, 10**6), st.integers(1, 15), st.integers(1, 4), st.floats(0.05, 0.9), st.sampled_from([None, "judge"]))
def test_q_is_the_mean_of_what_was_backed_up_and_ends_are_never_selected(seed, iterations, children, ends, value):
    world = StepWorld(chances(seed, ends=ends), judge=lambda text: (len(text) % 7) / 7)
    search = puct(iterations=iterations, children=children, depth=3, **({"value": JudgeValue()} if value else {}))
    tree = world.grow(search)
    expanded = [node_of(tree, text) if text else ROOT for text in world.expanded()]
    assert len(expanded) == len(set(expanded)) <= iterations
    for node in range(len(tree)):
        below = [n for n in range(len(tree)) if node in tree.path(n)]
        backed = [tree.value[n] if value else None for n in below if n in expanded]
        ends_here = [n for n in below if tree.terminal[n] and tree.reason[n] in (None, "disputed_end")]
        backed += [float(tree.verdict[n] == "right") for n in ends_here]
        assert tree.visits[node] == len(backed)
        q = tree.q(node)
        assert (q is None) == (not any(b is not None for b in backed))
        assert q is None or q == pytest.approx(sum(0.5 if b is None else b for b in backed) / len(backed))
    assert len(expanded) == iterations or all(tree.terminal[n] or n in expanded for n in range(len(tree)))


def test_always_or_never_solved_questions_are_set_aside():
    tree = World(roots=["a =right"] * 2).run(grow(question(), word_settings(), puct()))
    assert tree.reason[ROOT] == "all_right" and len(tree) == 1
    tree = World(roots=[solution(2, 1)] * 2).run(grow(question(), word_settings(), puct()))
    assert tree.reason[ROOT] == "all_wrong"


def test_the_defaults_are_those_of_the_source():
    config = PuctConfig()
    assert (config.iterations, config.children, config.depth, config.c_puct, config.length_exponent) == (40, 5, 8, 1.5, 1.0)
    assert config.value.by == "none" and Puct.by_steps and Puct.needs_mixed
    assert puct(value=JudgeValue()).roles("policy").keys() == {"policy", "verifier", "value"}
