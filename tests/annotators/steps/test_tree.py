from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.annotators.steps.segment import Cut
from pairwright.annotators.steps.tree import ROOT, Count, Piece, Question, Tree, joined
from pairwright.engines.requests import turns
from pairwright.storage.schemas import STEPS

SPELLED = {1: "a", 2: "bb", 3: "\u00e9c"}


def new() -> Tree:
    return Tree(Question("p", turns("q"), "42"))


def spelled(ids: tuple[int, ...]) -> Piece:
    """Every token a step."""
    cuts, text = [], ""
    for i, token in enumerate(ids, start=1):
        text += SPELLED[token]
        cuts.append(Cut(i, len(text)))
    return Piece(ids, text, tuple(cuts))


solutions = st.lists(st.integers(1, 3), min_size=1, max_size=8).map(tuple)
walks = st.lists(st.tuples(solutions, st.sets(st.integers(1, 7))), min_size=1, max_size=12)


def walked(tree: Tree, ids: tuple[int, ...], stops: set[int]) -> list[int]:
    """Add a solution by way of some of its prefixes, from which it was gone on."""
    whole, node, at, nodes = spelled(ids), ROOT, 0, []
    for stop in inside(ids, stops):
        node, at = tree.add(node, whole.part(at, stop)), stop
        nodes.append(node)
    return [*nodes, tree.add(node, whole.part(at, len(ids)), end=True)]


def inside(ids: tuple[int, ...], stops: set[int]) -> list[int]:
    return sorted(s for s in stops if s < len(ids))


@given(walks)
def test_however_prefixes_are_reached_they_make_one_trie_with_their_texts_ids_and_cuts(found):
    tree, parents = new(), {}
    for ids, stops in found:
        nodes = walked(tree, ids, stops)
        assert [tree.prefix(n) for n in nodes] == [ids[:i] for i in (*inside(ids, stops), len(ids))]
        begun = dict(enumerate(tree.start))
        assert all(begun[n] >= parents.get(n, 0) for n in begun), "edges only get shorter"
        parents = begun
    seen = {ids[:s] for ids, stops in found for s in {*stops, len(ids)} if s <= len(ids)}
    assert {tree.prefix(n) for n in range(1, len(tree))} == seen
    assert len(set(tree.node_id)) == len(tree) == len(seen) + 1
    for node in range(1, len(tree)):
        ids, path = tree.prefix(node), tree.path(node)
        whole = joined([tree.piece[n] for n in path])
        assert whole == spelled(ids)
        assert tree.text(node) == whole.text
        assert tree.depth[node] == len(path) - 1
        assert tree.start[node] == len(ids) - len(tree.piece[node].ids) == len(tree.prefix(tree.parent[node]))
        assert tree.piece[node].cuts[-1] == (len(tree.piece[node].ids), len(tree.piece[node].text))
        assert node in tree.children[tree.parent[node]]
    assert sorted(n for children in tree.children for n in children) == list(range(1, len(tree)))


@given(walks)
def test_a_prefix_that_was_gone_on_from_is_above_everything_that_begins_with_it_and_a_mere_end_above_nothing(found):
    tree = new()
    for ids, stops in found:
        walked(tree, ids, stops)
    gone_on_from = {(): ROOT} | {ids[:s]: tree.known[tree.node_id[n]] for ids, stops in found for s, n in at(tree, ids, stops)}
    for node in range(1, len(tree)):
        ids = tree.prefix(node)
        assert tree.parent[node] == next(gone_on_from[ids[:i]] for i in reversed(range(len(ids))) if ids[:i] in gone_on_from)
        assert tree.inner[node] == (ids in gone_on_from)


def at(tree: Tree, ids: tuple[int, ...], stops: set[int]) -> list[tuple[int, int]]:
    """Where a solution was gone on from, and the node of that prefix."""
    nodes = {tree.prefix(n): n for n in range(len(tree))}
    return [(stop, nodes[ids[:stop]]) for stop in inside(ids, stops)]


@given(walks, st.randoms(use_true_random=False))
def test_the_tree_does_not_depend_on_the_order_in_which_prefixes_were_reached(found, chance):
    one, other = new(), new()
    for ids, stops in found:
        walked(one, ids, stops)
    for ids, stops in chance.sample(found, len(found)):
        walked(other, ids, stops)
    assert set(one.node_id) == set(other.node_id)
    for node, node_id in enumerate(one.node_id):
        same = other.known[node_id]
        assert one.prefix(node) == other.prefix(same)
        assert [one.node_id[n] for n in one.path(node)] == [other.node_id[n] for n in other.path(same)]
        assert one.piece[node] == other.piece[same]


@given(solutions, st.data())
def test_parts_of_a_piece_joined_are_the_piece(ids, data):
    whole = spelled(ids)
    places = sorted(data.draw(st.sets(st.integers(0, len(ids)))) | {0, len(ids)})
    parts = [whole.part(a, b) for a, b in pairwise(places)]
    assert joined(parts) == whole


def test_a_prefix_that_ends_within_a_step_splits_it_and_a_blank_rest_joins_the_next_step():
    def leaf(text: str, *cuts: int) -> Piece:
        return Piece(tuple(map(ord, text)), text, tuple(Cut(c, c) for c in cuts))

    for text, cuts, split in (("ab  cd", (4, 6), [2, 4]), ("abc.cd", (4, 6), [2, 2, 2]), ("ab  ", (4,), [2, 2])):
        tree = new()
        end = tree.add(ROOT, leaf(text, *cuts), end=True)
        near = tree.add(ROOT, leaf("ab", 2))
        assert tree.path(end) == [ROOT, near, end] and tree.text(end) == text
        tokens = [0, *(c.token for c in tree.piece[end].cuts)]
        assert [len(tree.piece[near].ids), *(b - a for a, b in pairwise(tokens))] == split


def test_a_node_that_is_reached_from_nearer_hangs_there_with_what_hangs_from_it():
    tree, whole = new(), spelled((1, 2, 3, 1))
    far = tree.add(ROOT, whole.part(0, 3))
    below = tree.add(far, whole.part(3, 4))
    near = tree.add(ROOT, whole.part(0, 2))
    assert tree.add(near, whole.part(2, 3)) == far
    assert tree.path(below) == [ROOT, near, far, below]
    assert (tree.depth[far], tree.depth[below], tree.start[far]) == (2, 3, 2)
    assert tree.piece[far] == whole.part(2, 3)
    assert tree.add(ROOT, whole.part(0, 3)) == far, "and stays there when it is reached from afar again"
    assert tree.parent[far] == near
    assert tree.children[ROOT] == [near]


def test_equal_prefixes_of_two_questions_are_two_nodes_and_another_reference_is_another_question():
    trees = [
        Tree(Question(name, turns("q"), reference)) for name, reference in (("p", "42"), ("q", "42"), ("p", "41"), ("p", None))
    ]
    nodes = [tree.node_id[tree.add(ROOT, spelled((1,)))] for tree in trees]
    assert len({*nodes}) == len({tree.question.id for tree in trees}) == 4


def test_a_node_needs_a_token_of_its_own():
    with pytest.raises(ValueError, match="at least one token"):
        new().add(ROOT, Piece((), "", ()))


def test_an_unparsed_rollout_is_counted_and_is_no_right_one():
    count = Count()
    count.add(["right", "wrong", "unparsed", "unparsed"])
    assert (count.n, count.correct, count.unparsed, count.rate) == (4, 1, 2, 0.25)


@pytest.mark.parametrize(("unparsed", "low"), [(3, False), (4, True)])
def test_a_node_most_of_whose_rollouts_cannot_be_compared_is_marked(unparsed, low):
    tree = new()
    tree.count(ROOT, "policy").add(["unparsed"] * unparsed + ["right"] * (10 - unparsed))
    (row,) = tree.rows("m", "model", "policy")
    assert row["low_trust"] is low
    assert (row["n"], row["correct"], row["unparsed"]) == (10, 10 - unparsed, unparsed)


@pytest.mark.parametrize(("right", "low"), [(0, True), (1, False)])
def test_a_node_without_a_right_rollout_is_not_trusted_if_the_verifier_failed_on_any(right, low):
    tree = new()
    tree.count(ROOT, "policy").add(["unparsed"] + ["right"] * right + ["wrong"] * (9 - right), failed=1)
    (row,) = tree.rows("m", "model", "policy")
    assert (row["low_trust"], row["unparsed"]) == (low, 1)


def test_rows_tell_the_completer_from_provers_and_leave_out_provers_that_never_rolled_out():
    tree = new()
    tree.count(ROOT, "policy").add(["right"])
    tree.count(ROOT, "strong").add(["right", "wrong"])
    tree.count(ROOT, "weak")
    (row,) = tree.rows("m", "model", "policy")
    assert set(row) == set(STEPS.names)
    assert (row["n"], row["correct"]) == (1, 1)
    assert row["provers"] == [{"role": "strong", "n": 2, "correct": 1, "unparsed": 0}]


def test_values_are_backed_up_to_the_root_and_q_is_their_mean():
    tree = new()
    child = tree.add(ROOT, spelled((1,)))
    other = tree.add(ROOT, spelled((2,)))
    tree.back_up(child, 1.0)
    tree.back_up(other, 0.0)
    tree.back_up(child, 0.5)
    assert (tree.q(ROOT), tree.q(child), tree.q(other)) == (0.5, 0.75, 0.0)
    assert (tree.visits[ROOT], tree.visits[child]) == (3, 2)
    assert new().q(ROOT) is None


def test_a_value_that_is_not_known_counts_as_the_middle_where_others_are_and_tells_nothing_alone():
    tree = new()
    child = tree.add(ROOT, spelled((1,)))
    tree.back_up(child, None)
    assert (tree.q(ROOT), tree.visits[ROOT]) == (None, 1)
    tree.back_up(ROOT, 1.0)
    tree.back_up(child, None)
    assert (tree.q(ROOT), tree.q(child), tree.visits[child]) == (2 / 3, None, 2)


def test_an_end_that_was_cut_always_has_a_reason():
    tree = new()
    node = tree.add(ROOT, spelled((1,)), end=True)
    tree.finish_with(node, "right", "7", "length")
    assert (tree.verdict[node], tree.reason[node]) == ("right", "cut")
    tree.finish_with(node, "right", "7", "stop")
    assert tree.reason[node] is None


def test_an_end_that_can_carry_a_label_keeps_it_and_one_that_could_not_may_get_it():
    tree = new()
    node = tree.add(ROOT, spelled((1,)))
    tree.finish_with(node, "wrong", "7", "stop", "budget_rollouts")
    tree.finish_with(node, "wrong", "7", "stop")
    assert tree.reason[node] is None
    tree.finish_with(node, "wrong", "7", "stop", "budget_rollouts")
    assert tree.reason[node] is None
