from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pydantic import ValidationError

from pairwright.annotators.steps.base import Rollout
from pairwright.annotators.steps.monte_carlo import MonteCarlo, MonteCarloConfig, grow_given
from pairwright.annotators.steps.search import grow
from pairwright.annotators.steps.segment import Cut
from pairwright.annotators.steps.tree import ROOT, Piece, Tree
from pairwright.engines.requests import Generate
from tests.annotators.steps.oracle_world import (
    World,
    certain,
    ids_of,
    leaf_of,
    located,
    moves_with_roots,
    piece,
    question,
    settings,
    solution,
    truth,
    wrong_leaves,
)
from tests.annotators.steps.step_world import StepWorld
from tests.annotators.steps.step_world import settings as step_settings

SCHEDULES = ("all", "until_first_error", "bisect")
schedules = pytest.mark.parametrize("schedule", SCHEDULES)


def monte_carlo(**config: object) -> MonteCarlo:
    return MonteCarlo(MonteCarloConfig.model_validate(config))


def steps(said: str) -> Piece:
    """Words in steps of several; `|` ends a step."""
    cuts, whole = list[Cut](), piece(said.replace("|", " "))
    for n in (part.count(" ") + 1 for part in said.split("|")):
        cuts.append(whole.cuts[(cuts[-1].token if cuts else 0) + n - 1])
    return Piece(whole.ids, whole.text, tuple(cuts))


def given_tree(world: World, said: str, budget: int = 10_000, **config: object) -> Tree:
    return world.run(grow_given(question(), settings(budget=budget), monte_carlo(**config), piece(said)))


@schedules
@pytest.mark.parametrize("length", [1, 2, 3, 5, 8, 13, 32, 64])
def test_every_schedule_finds_the_same_first_error_and_pays_what_it_says(schedule, length):
    k = 2
    for error in range(1, length + 1):
        world, said = World(), solution(length, error)
        tree = given_tree(world, said, schedule=schedule, k=k)
        assert located(tree, leaf_of(tree, said)) == (error, 1)
        assert len(tree) == length + 1
        estimates = world.rollouts() / k
        if schedule == "all":
            assert estimates == length - 1, "the last step is verified, not rolled out from"
        elif schedule == "until_first_error":
            assert estimates == min(error, length - 1)
        else:
            assert estimates <= math.ceil(math.log2(length))


@schedules
def test_a_right_solution_costs_nothing_only_where_its_end_is_taken_as_proof(schedule):
    world = World()
    tree = given_tree(world, "a c d e =right", schedule=schedule, k=3)
    assert world.rollouts() == {"all": 12, "until_first_error": 12, "bisect": 0}[schedule]
    assert tree.verdict[leaf_of(tree, "a c d e =right")] == "right"


def test_a_recovered_step_is_seen_by_the_schedules_that_look():
    def unlucky(prefix: tuple[str, ...], role: str, i: int) -> str:
        return "=wrong" if len(prefix) == 2 else "=right"

    for schedule, steps in (("all", [1, 2, 3]), ("until_first_error", [1, 2]), ("bisect", [])):
        world = World(unlucky)
        given_tree(world, "a c d =right", schedule=schedule, k=2)
        assert [words for _, words, _ in world.rolled] == steps


def test_hard_and_soft_estimates_of_every_step_are_the_counts():
    world = World(lambda prefix, role, i: "=right" if i < 4 - len(prefix) else "=wrong")
    tree = given_tree(world, "s1 s2 s3 s4 s5 =wrong", k=4)
    nodes = tree.path(leaf_of(tree, "s1 s2 s3 s4 s5 =wrong"))[1:-1]
    assert [tree.count(n, "policy").rate for n in nodes] == [0.75, 0.5, 0.25, 0.0, 0.0]
    assert [tree.count(n, "policy").n for n in nodes] == [4] * 5


def test_wrong_and_right_root_rollouts_are_labelled_in_turn_and_each_text_once():
    roots = ["r1 =right", "r1 =right", "b1 =wrong", "r2 =right", "u =none", "b1 =wrong", "b2 =wrong", "r3 =right"]
    world = World(roots=roots)
    tree = world.run(grow(question(), settings(roots=8), monte_carlo(k=1, solutions=4)))
    ends = [tree.text(n).replace("\n\n", " ") for n in range(len(tree)) if tree.terminal[n]]
    assert ends == ["b1 =wrong", "r1 =right", "b2 =wrong", "r2 =right", "u =none"]
    assert (tree.count(ROOT, "policy").n, tree.count(ROOT, "policy").correct) == (8, 4)


@schedules
def test_a_solution_that_cannot_be_compared_is_recorded_with_its_reason_and_not_rolled_out_from(schedule):
    world = World(roots=["u1 u2 u3 =none", "b1 b2 =wrong", "fine =right"])
    tree = world.run(grow(question(), settings(roots=3), monte_carlo(schedule=schedule, k=1)))
    leaf = leaf_of(tree, "u1 u2 u3 =none")
    assert (tree.verdict[leaf], tree.reason[leaf], tree.parent[leaf]) == ("unparsed", "no_answer", ROOT)
    assert not any(prefix and prefix[0][0] == "u" for prefix in world.prefixes)


@schedules
def test_a_solution_that_was_cut_is_never_labelled_whatever_answer_it_holds(schedule):
    def says(text: str, i: int, request: Generate) -> str:
        said = ["one boxed =wrong\n\nand so on and on", "one\n\n=right"]
        return next((w[len(text) :] for w in said if text and w.startswith(text)), "=right") if text else said[i % 2]

    tree = StepWorld(says).grow(monte_carlo(schedule=schedule, k=2), step_settings(max_tokens=5))
    leaf = tree.finish.index("length")
    assert (tree.verdict[leaf], tree.reason[leaf], tree.parent[leaf]) == ("wrong", "cut", ROOT)
    assert tree.count(ROOT, "policy").unparsed == 0


def test_where_another_solutions_step_ends_within_one_of_a_solution_that_prefix_is_estimated_for_both():
    roots = [Rollout(steps("s1 s2 s3|s4 s5 =wrong"), "stop", "wrong", None, None, None)]
    roots += [Rollout(steps("s1|s2 s3 s4|x =right"), "stop", "right", None, None, None)]
    for schedule in ("all", "until_first_error"):
        moves, world = moves_with_roots(roots), World(lambda prefix, role, i: "=wrong" if len(prefix) > 2 else "=right")
        world.run(monte_carlo(k=2, schedule=schedule).run(moves, roots))
        path = moves.tree.path(leaf_of(moves.tree, "s1 s2 s3 s4 s5 =wrong"))
        assert [moves.tree.prefix(n) for n in path[1:-1]] == [ids_of(w.split()) for w in ("s1", "s1 s2 s3", "s1 s2 s3 s4")]
        assert [moves.tree.count(n, "policy").rate for n in path[1:3]] == [1.0, 0.0]
        assert [len(moves.tree.piece[n].cuts) for n in path[1:]] == [1] * 4


@schedules
def test_a_prefix_solutions_share_is_rolled_out_from_once(schedule):
    world = World(roots=["g1 g2 b3 =wrong", "g1 g2 c3 b4 =wrong", "g1 g2 =right"])
    tree = world.run(grow(question(), settings(roots=3), monte_carlo(schedule=schedule, k=2)))
    assert len(world.prefixes) == len(set(world.prefixes))
    for leaf in wrong_leaves(tree):
        assert located(tree, leaf) == (truth(tree, leaf), 1)


def lenient(prefix: tuple[str, ...], role: str, i: int) -> str:
    """The strong prover mends everything every other time; the weak one never gets anything right."""
    return {"strong": ("=right", "=wrong")[i % 2], "weak": "=wrong"}.get(role) or certain(prefix, role, i)


def test_provers_are_counted_apart_and_from_the_question_on():
    world = World(lenient, roots=["g1 b2 b3 =wrong", "fine =right"])
    tree = world.run(grow(question(), settings(), monte_carlo(k=4, solutions=1, provers=["strong", "weak"])))
    assert world.rollouts() == 3 * 4
    assert world.rollouts("strong", below_root=False) == world.rollouts("weak", below_root=False) == 4 * 4
    (root, *steps) = [n for n in tree.path(leaf_of(tree, "g1 b2 b3 =wrong")) if not tree.terminal[n]]
    rates = {role: [tree.counts[n][role].rate for n in (root, *steps)] for role in ("policy", "strong", "weak")}
    assert rates == {"policy": [0.5, 1.0, 0.0, 0.0], "strong": [0.5] * 4, "weak": [0.0] * 4}
    rows = list(tree.rows("monte_carlo", "m", "policy"))
    assert [(p["role"], p["n"], p["correct"]) for p in rows[0]["provers"]] == [("strong", 4, 2), ("weak", 4, 0)]
    assert (rows[0]["n"], rows[0]["correct"]) == (2, 1)


@schedules
def test_a_prover_decides_nothing_about_the_first_error(schedule):
    world = World(lenient)
    tree = given_tree(world, solution(9, 4), schedule=schedule, k=2, provers=["strong", "weak"])
    assert located(tree, leaf_of(tree, solution(9, 4))) == (4, 1)
    assert world.rollouts("strong") == world.rollouts("policy")


def test_the_completer_named_as_its_own_prover_rolls_out_no_more_than_once():
    world = World()
    given_tree(world, solution(5, 3), k=2, provers=["policy", "policy"])
    assert len(world.prefixes) == len(set(world.prefixes))


def test_the_roles_it_asks_must_be_able_to_go_on_from_ids():
    roles = monte_carlo(provers=["strong"]).roles("policy")
    assert roles == {"policy": {"generate", "prefix_ids"}, "strong": {"generate", "prefix_ids"}, "verifier": {"verify"}}


BUSY = ["v1 g2 b3 b4 =wrong", "v2 g2 g3 b4 =wrong", "fine =right", "v1 g2 g3 g4 =wrong", "r1 r2 =right"]


@examples(max_examples=120)
@given(st.sampled_from(SCHEDULES), st.integers(5, 60), st.booleans())
def test_a_spent_budget_is_named_by_every_unfinished_solution_and_no_other(schedule, budget, proved):
    search = monte_carlo(schedule=schedule, k=2, solutions=5, provers=["strong"] if proved else [])
    world = World(roots=BUSY)
    tree = world.run(grow(question(), settings(roots=5, budget=budget), search))
    assert sum(n for _, _, n in world.rolled) <= budget
    ends = [n for n in range(1, len(tree)) if tree.terminal[n]]
    reasons = {tree.reason[n] for n in ends}
    assert reasons <= {None, "budget_rollouts"}
    assert ("budget_rollouts" in reasons) == (tree.reason[ROOT] == "budget_rollouts")
    for leaf in wrong_leaves(tree):
        assert located(tree, leaf) == (truth(tree, leaf), 1)
    for leaf in ends:
        steps = tree.path(leaf)[1:-1]
        whole = all(tree.counts[n].get("policy") and tree.counts[n]["policy"].n for n in steps)
        if schedule == "all":
            proven = not proved or all(n.get("strong") and n["strong"].n for n in (tree.counts[s] for s in (ROOT, *steps)))
            assert (tree.reason[leaf] is None) == (whole and proven)
        if schedule == "bisect" and tree.verdict[leaf] == "right" and not proved:
            assert tree.reason[leaf] is None


@schedules
def test_a_given_solution_is_labelled_without_rolling_out_from_the_question(schedule):
    world = World()
    tree = given_tree(world, solution(6, 3), schedule=schedule, k=2)
    assert world.rollouts(below_root=False) == world.rollouts()
    assert tree.counts[ROOT] == {}
    assert tree.reason[ROOT] is None
    assert tree.text(leaf_of(tree, solution(6, 3))) == piece(solution(6, 3)).text


def test_a_given_solution_of_one_step_is_only_verified():
    world = World()
    tree = given_tree(world, "=wrong")
    assert (world.rolled, tree.verdict[1]) == ([], "wrong")


def test_a_given_solution_that_cannot_be_labelled_says_why():
    assert given_tree(World(), "").reason[ROOT] == "empty_solution"
    unparsed = given_tree(World(), "a c =none")
    assert unparsed.reason[leaf_of(unparsed, "a c =none")] == "no_answer"
    stopped = given_tree(World(), solution(6, 3), budget=3, k=2)
    assert stopped.reason[ROOT] == stopped.reason[leaf_of(stopped, solution(6, 3))] == "budget_rollouts"
    tree = World().run(grow_given(question(None), settings(), monte_carlo(), piece("a =wrong")))
    assert (tree.reason[ROOT], len(tree)) == ("no_reference", 1)


def test_a_schedule_that_is_not_known_is_refused():
    with pytest.raises(ValidationError, match="until_first_error"):
        monte_carlo(schedule="some")
