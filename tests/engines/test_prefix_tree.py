"""The tree spells its sequences, the plan computes each token once and nothing before what it needs."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pairwright.engines.prefix_tree import PrefixTree, Row, batches, build_tree, plan_rows, shared_length

sequence = st.lists(st.integers(0, 2), min_size=1, max_size=12)


@st.composite
def sequences(draw: st.DrawFn) -> list[list[int]]:
    """Few letters, so that many share a beginning; some are drawn again, whole, cut short or continued."""
    found = draw(st.lists(sequence, min_size=1, max_size=10))
    for i in draw(st.lists(st.integers(0, len(found) - 1), max_size=5)):
        found.append(found[i][: draw(st.integers(1, len(found[i])))] + draw(st.lists(st.integers(0, 2), max_size=20)))
    return draw(st.permutations(found))


limits = st.integers(1, 40)


def path_to(tree: PrefixTree, node: int) -> list[int]:
    """The nodes from a root through `node`, by the parents alone."""
    found = []
    while node >= 0:
        found.append(node)
        node = int(tree.parent[node])
    return found[::-1]


class TestTree:
    @given(sequences())
    def test_paths_spell_the_sequences(self, given_: list[list[int]]) -> None:
        tree = build_tree(given_)
        assert [tree.tokens[path].tolist() for path in tree.paths] == given_
        for path in tree.paths:
            assert path.tolist() == path_to(tree, int(path[-1]))
            assert tree.depth[path].tolist() == list(range(len(path)))

    @given(sequences())
    def test_there_is_one_node_for_every_distinct_beginning(self, given_: list[list[int]]) -> None:
        tree = build_tree(given_)
        beginnings = {tuple(s[: end + 1]) for s in given_ for end in range(len(s))}
        assert tree.n == len(beginnings)
        assert {tuple(tree.tokens[path_to(tree, node)].tolist()) for node in range(tree.n)} == beginnings

    @given(sequences())
    def test_a_subtree_is_a_range(self, given_: list[list[int]]) -> None:
        tree = build_tree(given_)
        for node in range(tree.n):
            below = [other for other in range(tree.n) if node in path_to(tree, other)]
            assert below == list(range(node, node + int(tree.size[node])))

    @given(sequences(), st.data())
    def test_the_mask_shows_each_token_its_own_past_and_no_other(self, given_: list[list[int]], data: st.DataObject) -> None:
        tree = build_tree(given_)
        nodes = sorted(data.draw(st.sets(st.integers(0, tree.n - 1), min_size=1)))
        naive = [[column in path_to(tree, row) for column in nodes] for row in nodes]
        assert tree.ancestors(np.array(nodes)).tolist() == naive

    @given(sequence, sequence)
    def test_the_shared_length_is_that_of_the_common_beginning(self, a: list[int], b: list[int]) -> None:
        n = shared_length(a, b)
        assert a[:n] == b[:n] and (n == min(len(a), len(b)) or a[n] != b[n])


class TestPlan:
    @given(sequences(), limits)
    def test_every_node_is_computed_exactly_once(self, given_: list[list[int]], limit: int) -> None:
        tree = build_tree(given_)
        planned = np.concatenate([row.nodes for wave in plan_rows(tree, limit) for row in wave])
        assert sorted(planned.tolist()) == list(range(tree.n))

    @given(sequences(), limits)
    def test_what_a_row_needs_is_computed_before_and_kept(self, given_: list[list[int]], limit: int) -> None:
        tree = build_tree(given_)
        kept: set[int] = set()
        for wave in plan_rows(tree, limit):
            for row in wave:
                past = path_to(tree, row.past)
                assert kept.issuperset(past)
                for node in row.nodes.tolist():  # everything a token attends to is in its row's past or in its row
                    assert set(path_to(tree, node)) <= {*past, *row.nodes.tolist()}
                    assert path_to(tree, node)[: len(past)] == past
            kept.update(node for row in wave if row.needed for node in row.nodes.tolist())

    @given(sequences(), limits)
    def test_nothing_is_kept_that_no_later_row_needs(self, given_: list[list[int]], limit: int) -> None:
        tree = build_tree(given_)
        rows = [row for wave in plan_rows(tree, limit) for row in wave]
        used = {node for row in rows for node in path_to(tree, row.past)}
        for row in rows:
            assert row.needed == bool(used & set(row.nodes.tolist()))

    @given(sequences(), limits)
    def test_a_row_wider_than_the_limit_is_one_unbranched_run(self, given_: list[list[int]], limit: int) -> None:
        tree = build_tree(given_)
        for row in (row for wave in plan_rows(tree, limit) for row in wave if len(row.nodes) > limit):
            assert (tree.parent[row.nodes[1:]] == row.nodes[:-1]).all()

    @given(sequences(), limits)
    def test_rows_are_filled_so_that_few_are_needed(self, given_: list[list[int]], limit: int) -> None:
        """First-fit leaves at most one packed row of a wave, over the same past, half empty."""
        tree = build_tree(given_)
        for wave in plan_rows(tree, limit):
            for past in {row.past for row in wave}:
                packed = [row for row in wave if row.past == past and tree.size[row.nodes[0]] <= limit]
                assert sum(2 * len(row.nodes) <= limit for row in packed) <= 1

    def test_a_tree_that_fits_is_one_row(self) -> None:
        (wave,) = plan_rows(build_tree([[1, 2, 3], [1, 2, 4], [5]]), limit=5)
        (row,) = wave
        assert row.nodes.tolist() == [0, 1, 2, 3, 4] and row.past == -1 and not row.needed

    def test_a_prompt_too_long_for_a_row_is_computed_once_for_its_responses(self) -> None:
        prompt = [1] * 10
        first, second = plan_rows(build_tree([[*prompt, 2, 3], [*prompt, 4, 5], [*prompt, 2, 6]]), limit=6)
        assert [(row.nodes.tolist(), row.past, row.needed) for row in first] == [(list(range(10)), -1, True)]
        assert [(row.nodes.tolist(), row.past, row.needed) for row in second] == [([10, 11, 12, 13, 14], 9, False)]

    def test_a_long_sequence_of_its_own_is_kept_by_nobody(self) -> None:
        ((row,),) = plan_rows(build_tree([[1] * 50]), limit=8)
        assert len(row.nodes) == 50 and not row.needed


def rows(*lengths: int) -> list[Row]:
    starts = np.cumsum([0, *lengths])
    return [Row(np.arange(start, start + n), -1, False) for start, n in zip(starts, lengths, strict=False)]


class TestBatches:
    @given(st.lists(st.integers(1, 60), min_size=1, max_size=40), st.integers(1, 200), st.floats(0, 1))
    def test_obey_budget_and_slack_and_lose_no_row(self, lengths: list[int], budget: int, slack: float) -> None:
        given_ = rows(*lengths)
        found = list(batches(given_, budget, slack))
        assert sorted(id(row) for batch in found for row in batch) == sorted(map(id, given_))
        for batch in found:
            widths = [len(row.nodes) for row in batch]
            assert len(batch) == 1 or max(widths) * len(batch) <= budget
            assert min(widths) >= slack * max(widths)

    def test_put_like_lengths_together(self) -> None:
        found = [[len(row.nodes) for row in batch] for batch in batches(rows(10, 100, 9, 95, 100), budget=250)]
        assert found == [[100, 100], [95], [10, 9]]

    def test_a_row_beyond_the_budget_stands_alone(self) -> None:
        found = [[len(row.nodes) for row in batch] for batch in batches(rows(50, 48), budget=40)]
        assert found == [[50], [48]]

    def test_no_rows_are_no_batch(self) -> None:
        assert list(batches([], budget=10)) == []
