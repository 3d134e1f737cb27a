from __future__ import annotations

import math
from dataclasses import replace
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairwright.annotators.steps.base import Rollout
from pairwright.annotators.steps.moves import Moves
from pairwright.annotators.steps.omega_prm import OmegaConfig, OmegaPRM, Pool
from pairwright.annotators.steps.search import grow
from pairwright.annotators.steps.tree import ROOT, Piece
from pairwright.pipelines.step_labels.config import LabelConfig
from pairwright.pipelines.step_labels.log import read_logs
from pairwright.pipelines.step_labels.pairs import PairRule, step_pairs
from pairwright.pipelines.step_labels.stepwise import labelled
from tests.annotators.steps.oracle_world import (
    World,
    certain,
    leaf_of,
    located,
    moves_with_roots,
    piece,
    question,
    rollout,
    solution,
    truth,
    wrong_leaves,
)
from tests.annotators.steps.oracle_world import settings as searching
from tests.annotators.steps.step_world import StepWorld, chances
from tests.annotators.steps.step_world import settings as step_settings

ALONE = {"siblings": 0, "right_solutions": 0}
LENGTHS = range(1, 65)


def omega(**config: object) -> OmegaPRM:
    return OmegaPRM(OmegaConfig.model_validate(config))


def bisected(said: str, world: World, **config: object) -> Moves:
    """The tree after the search of one wrong root rollout beside a right one."""
    roots = [rollout(said), rollout("fine =right")]
    moves = moves_with_roots(roots)
    world.run(omega(searches=1, **ALONE | config).run(moves, roots))
    return moves


@pytest.mark.parametrize("length", LENGTHS)
def test_the_first_error_is_found_wherever_it_is_by_a_logarithm_of_estimates(length):
    for error in range(1, length + 1):
        world, said = World(), solution(length, error)
        tree = bisected(said, world, k=1).tree
        assert located(tree, leaf_of(tree, said)) == (error, 1)
        assert len(world.rolled) <= math.ceil(math.log2(length))
        assert length not in [words for _, words, _ in world.rolled], "nothing is rolled out from the end"


def test_the_worked_example_of_the_paper():
    rates = {4: 1, 6: 2, 7: 0}  # right ones of 4
    world = World(lambda prefix, role, i: "=right" if i < rates[len(prefix)] else "=wrong")
    said = "s1 s2 s3 s4 s5 s6 s7 s8"
    tree = bisected(said, world, k=4).tree
    assert [words for _, words, _ in world.rolled] == [4, 6, 7]
    counts = {len(tree.prefix(n)): tree.count(n, "policy").rate for n in range(1, len(tree)) if tree.count(n, "policy").n}
    assert counts == {4: 0.25, 6: 0.5, 7: 0.0}
    assert located(tree, leaf_of(tree, said)) == (7, 1)


def test_q_and_u_are_the_papers():
    moves = moves_with_roots([rollout("a =right"), rollout("b =wrong")])
    pool = Pool(OmegaConfig(), moves)
    long = Rollout(Piece(tuple(range(500)), "a", ()), "stop", "wrong", None, None, None)
    assert pool.q(ROOT, long) == pytest.approx(0.5**0.5 * 0.9)
    moves.tree.visits[ROOT] = 2
    assert pool.u(ROOT, math.sqrt(9)) == pytest.approx(0.125 * 3 / 3)


def test_u_uses_the_sum_over_the_whole_tree_so_selections_elsewhere_decide_between_two_states():
    def first(elsewhere: int) -> str:
        moves = moves_with_roots([])
        tree, pool = moves.tree, Pool(OmegaConfig(), moves)
        names = {}
        for name, right in (("often", 3), ("never", 1)):
            node = tree.add(ROOT, piece(name))
            found = [rollout("=right")] * right + [rollout(f"w{name} =wrong")]
            tree.count(node, "policy").add(r.verdict for r in found)
            pool.push(node, found)
            names[node] = name
        tree.visits[next(iter(names))] = 1
        tree.visits[tree.add(ROOT, piece("elsewhere"))] = elsewhere
        candidate = pool.pick()
        assert candidate is not None
        return names[candidate.node]

    assert first(0) == "often"
    assert first(100) == "never"


def test_length_is_counted_in_tokens():
    moves = moves_with_roots([])
    pool = Pool(OmegaConfig(), moves)
    few = Rollout(Piece((7,), "a very long word of one token", piece("a").cuts), "stop", "wrong", None, None, None)
    many = Rollout(Piece((7, 8, 9), "abc", piece("a b c").cuts), "stop", "wrong", None, None, None)
    right = rollout("=right")
    moves.tree.count(ROOT, "policy").add(["right", "wrong", "wrong"])
    pool.push(ROOT, [many, few, right])
    assert [pool.pick().rollout for _ in range(2)] == [few, many]


counts = st.lists(st.lists(st.tuples(st.sampled_from(["=right", "=wrong", "=none"]), st.integers(1, 4)), max_size=6), max_size=5)


@given(counts)
def test_what_was_taken_out_of_the_pool_never_comes_back_and_only_its_state_is_counted(states):
    moves = moves_with_roots([])
    tree, pool = moves.tree, Pool(OmegaConfig(), moves)
    waiting = set()
    for i, rolled in enumerate(states):
        node = tree.add(ROOT, piece(f"state{i}"))
        found = [rollout(" ".join([f"w{j}" for j in range(length - 1)] + [answer])) for answer, length in rolled]
        tree.count(node, "policy").add(r.verdict for r in found)
        pool.push(node, found)
        if any(r.verdict == "right" for r in found):
            waiting |= {(node, r.piece.text) for r in found if r.verdict == "wrong"}
    taken = []
    while True:
        before = list(tree.visits)
        candidate = pool.pick()
        if candidate is None:
            break
        taken.append((candidate.node, candidate.rollout.piece.text))
        assert candidate.rollout.verdict == "wrong"
        assert [after - b for b, after in zip(before, tree.visits, strict=True)] == [
            int(n == candidate.node) for n in range(len(tree))
        ]
    assert len(taken) == len(set(taken))
    assert set(taken) == waiting


def test_the_best_pair_is_taken_first():
    moves = moves_with_roots([])
    tree, pool = moves.tree, Pool(OmegaConfig(), moves)
    scores = {}
    for i, (right, lengths) in enumerate([(1, (300, 2)), (5, (900, 40)), (3, (100, 100))]):
        node = tree.add(ROOT, piece(f"state{i}"))
        found = [
            Rollout(Piece(tuple(range(n)), f"{i} {j}", piece("a").cuts), "stop", "wrong", None, None, None)
            for j, n in enumerate(lengths)
        ]
        tree.count(node, "policy").add(["right"] * right + ["wrong"] * len(found))
        pool.push(node, [*found, rollout("=right")])
        scores |= {r.piece.text: pool.q(node, r) for r in found}
    assert pool.pick().rollout.piece.text == max(scores, key=scores.__getitem__)


def test_a_state_is_in_the_pool_only_if_some_but_not_all_of_its_rollouts_are_right():
    moves = moves_with_roots([])
    pool = Pool(OmegaConfig(), moves)
    pool.push(ROOT, [rollout("a =wrong"), rollout("b =wrong")])
    assert pool.pick() is None
    pool.push(ROOT, [rollout("a =right"), rollout("b =right")])
    assert pool.pick() is None
    said_nothing = Rollout(Piece((), "", ()), "stop", "right", None, None, None)
    moves.tree.count(ROOT, "policy").add(["right", "wrong"])
    pool.push(ROOT, [said_nothing, rollout("b =wrong")])
    assert pool.pick().rollout.piece.text == piece("b =wrong").text


def test_equal_rollouts_are_all_counted_and_searched_once():
    same = solution(4, 2)
    world = World(roots=[same, same, same, "fine =right"])
    tree = world.run(grow(question(), searching(roots=4), omega(k=1, **ALONE)))
    assert (tree.count(ROOT, "policy").n, tree.count(ROOT, "policy").correct) == (4, 1)
    assert tree.visits[ROOT] == 1
    assert [words for _, words, _ in world.rolled] == [0, 2, 1]


def test_a_rollout_that_cannot_be_compared_is_never_bisected():
    world = World(roots=["u1 u2 u3 =none", solution(4, 2), "fine =right"])
    tree = world.run(grow(question(), searching(roots=3), omega(k=2)))
    assert tree.count(ROOT, "policy").unparsed == 1
    assert not any(prefix and prefix[0].startswith("u") for prefix in world.prefixes)
    leaf = leaf_of(tree, "u1 u2 u3 =none")
    assert (tree.terminal[leaf], tree.verdict[leaf], tree.reason[leaf]) == (True, "unparsed", "no_answer")


def test_a_rollout_that_was_cut_is_neither_searched_nor_kept_as_a_solution():
    cut = [replace(rollout(said), finish="length") for said in ("c1 c2 =wrong", "c1 c2 =right")]
    moves = moves_with_roots([*cut, rollout("b =wrong"), rollout("a =right")])
    pool = Pool(OmegaConfig(), moves)
    pool.push(ROOT, [*cut, rollout("b =wrong"), rollout("a =right")])
    assert [r.piece.text for r in (*pool.wrong[ROOT], *pool.right[ROOT])] == ["b\n\n=wrong", "a\n\n=right"]


def test_a_right_solution_goes_through_the_nodes_of_its_prefixes_and_says_of_them_what_they_say():
    def rule(prefix: tuple[str, ...], role: str, i: int) -> str:
        return "b =wrong" if prefix[:1] == ("shared",) else "fine =right"

    world = World(rule, roots=["shared then =right", "shared b =wrong", "other =right"])
    tree = world.run(grow(question(), searching(roots=3), omega(k=4, siblings=0)))
    right, wrong = leaf_of(tree, "shared then =right"), leaf_of(tree, "shared b =wrong")
    shared = leaf_of(tree, "shared")
    assert shared in tree.path(right) and shared in tree.path(wrong)
    assert located(tree, right) == located(tree, wrong) == (1, 1)
    assert sum(tree.visits) == 1


@given(st.integers(0, 10**6))
def test_no_prefix_is_good_in_one_solution_and_bad_in_another_and_no_pair_rejects_a_step_of_a_right_one(seed):
    world = StepWorld(chances(seed, words=3, ends=0.35, right=0.5))
    tree = world.grow(omega(k=4, searches=6, right_solutions=2), step_settings(roots=8, rollouts=300))
    (log,) = read_logs(list(tree.rows("omega_prm", "m", "policy")))
    said, right = dict[str, bool](), list[str]()
    for made in labelled(log, LabelConfig())[0]:
        right += ["".join((*made.steps, *made.tail))] if made.verdict == "right" else []
        for prefix, good in zip(accumulate(made.steps), made.labels, strict=True):
            assert said.setdefault(prefix, good) == good
    for pair in step_pairs(log, PairRule()):
        assert not any(text.startswith(pair["prefix"] + pair["rejected"]) for text in right)


def test_a_prefix_two_rollouts_share_is_rolled_out_from_once():
    world = World(roots=["g1 g2 g3 b4 b5 =wrong", "g1 g2 g3 c4 =wrong", "fine =right"])
    tree = world.run(grow(question(), searching(roots=3), omega(k=2, **ALONE)))
    assert len(world.prefixes) == len(set(world.prefixes))
    assert ("g1", "g2", "g3") in world.prefixes
    assert tree.count(leaf_of(tree, "g1 g2 g3"), "policy").n == 2


def test_wrong_rollouts_from_deeper_states_are_searched_too():
    def rule(prefix: tuple[str, ...], role: str, i: int) -> str:
        bad = any(word[0] in "b=" for word in prefix)
        return f"b{i} b b =wrong" if bad or i else "fine =right"

    world = World(rule, roots=[solution(8, 6), "fine =right"])
    tree = world.run(grow(question(), searching(), omega(k=3, **ALONE)))
    found = wrong_leaves(tree)
    assert len(found) > 1
    assert tree.visits[ROOT] == 1
    assert sum(tree.visits) == len(found)
    for leaf in found:
        assert located(tree, leaf) == (truth(tree, leaf), 1)


def test_right_next_steps_are_estimated_beside_a_located_error():
    world = World(roots=["g1 b2 b3 =wrong", "fine =right"])
    tree = world.run(grow(question(), searching(), omega(k=2, siblings=1)))
    wrong, right = leaf_of(tree, "g1 b2"), leaf_of(tree, "g1 fine0")
    assert tree.parent[wrong] == tree.parent[right] == leaf_of(tree, "g1")
    assert [(c.correct, c.n) for c in (tree.count(wrong, "policy"), tree.count(right, "policy"))] == [(0, 2), (2, 2)]
    assert [len(tree.piece[n].cuts) for n in (wrong, right)] == [1, 1]


def test_a_right_rollout_that_goes_through_the_wrong_step_is_no_sibling_of_it():
    def rule(prefix: tuple[str, ...], role: str, i: int) -> str:
        return ("b2 =right", "fine =right")[i] if prefix == ("g1",) else certain(prefix, role, i)

    world = World(rule, roots=["g1 b2 b3 =wrong", "fine =right"])
    tree = world.run(grow(question(), searching(), omega(k=2, siblings=1)))
    assert tree.count(leaf_of(tree, "g1 fine"), "policy").rate == 1
    assert tree.count(leaf_of(tree, "g1 b2"), "policy").rate == 0


def test_as_many_right_root_rollouts_as_asked_are_kept_as_solutions():
    world = World(roots=[solution(3, 1), "a =right", "a =right", "c =right", "d =right"])
    tree = world.run(grow(question(), searching(roots=5), omega(k=1, siblings=0, right_solutions=2)))
    kept = [tree.text(n) for n in range(len(tree)) if tree.verdict[n] == "right"]
    assert kept == [piece("a =right").text, piece("c =right").text]


def test_no_more_bisections_than_asked_for():
    roots = [f"v{i} {solution(5, 3)}" for i in range(6)]
    world = World(roots=[*roots, "fine =right"])
    tree = world.run(grow(question(), searching(roots=7), omega(k=1, searches=4, **ALONE)))
    assert tree.visits[ROOT] == len(wrong_leaves(tree)) == 4
    assert tree.reason[ROOT] is None


BUSY = [f"v{i} {solution(9 - i, 4)}" for i in range(4)]


@settings(max_examples=60)
@given(st.integers(1, 90), st.sampled_from(["rollouts", "tokens", "seconds"]))
def test_a_spent_budget_leaves_its_name_on_what_is_unfinished_and_no_wrong_label(most, which):
    limits = {"rollouts": {"budget": most}, "tokens": {"tokens": most}, "seconds": {"seconds": most / 8}}[which]
    world = World(roots=[*BUSY, "fine =right"])
    tree = world.run(grow(question(), searching(roots=5, **limits), omega(k=3)))
    if which == "rollouts":
        assert world.rollouts(below_root=False) <= most
    unfinished = [n for n in range(1, len(tree)) if tree.terminal[n] and tree.reason[n] is not None]
    assert tree.reason[ROOT] in (None, f"budget_{which}")
    assert {tree.reason[n] for n in unfinished} <= {f"budget_{which}"}
    assert len(unfinished) <= int(tree.reason[ROOT] is not None)
    for leaf in wrong_leaves(tree):
        assert located(tree, leaf) == (truth(tree, leaf), 1)


def test_a_budget_that_lasts_for_the_root_alone_names_the_solution_it_could_not_search():
    world = World(roots=[solution(8, 3), "fine =right"])
    tree = world.run(grow(question(), searching(budget=9), omega(k=8, **ALONE)))
    (leaf,) = [n for n in range(1, len(tree)) if tree.terminal[n]]
    assert (tree.reason[leaf], tree.reason[ROOT]) == ("budget_rollouts", "budget_rollouts")
    assert tree.text(leaf) == piece(solution(8, 3)).text


def test_a_solution_that_was_located_before_stays_labelled_when_the_budget_ends_on_it_again():
    said = solution(8, 5)

    def rule(prefix: tuple[str, ...], role: str, i: int) -> str:
        rest = said.split()[len(prefix) :]
        return " ".join(rest) if i and list(prefix) == said.split()[: len(prefix)] else certain(prefix, role, i)

    for budget in range(2, 60):
        world = World(rule, roots=[said, "fine =right"])
        tree = world.run(grow(question(), searching(budget=budget), omega(k=4, **ALONE)))
        first = [n for n in range(len(tree)) if tree.terminal[n] and tree.text(n) == piece(said).text]
        assert len(first) == 1
        if budget >= 2 + 3 * 4:
            assert tree.reason[first[0]] is None
            assert located(tree, first[0]) == (5, 1)


def test_a_question_whose_requests_keep_failing_is_given_up_and_its_solution_says_why():
    failing = World(roots=[solution(4, 3), "fine =right"], fails=lambda request: bool(getattr(request, "prefix_ids", ())))
    tree = failing.run(grow(question(), searching(errors=3), omega(k=1, **ALONE)))
    (leaf,) = [n for n in range(1, len(tree)) if tree.terminal[n]]
    assert tree.reason[ROOT] == tree.reason[leaf] == "server_error"
    assert failing.rolled == [("policy", 0, 2)]
