"""Token sequences that share prefixes, as one tree; and the plan by which a model computes every token of it once.

Nodes are tokens in depth-first order, so the subtree of node i is the range [i, i + size[i]) and `j is an ancestor of i, or i
itself` is `j <= i < j + size[j]`: an attention mask is one comparison.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PrefixTree:
    """`tokens`, `parent` (-1 at a root), `depth` and `size` have shape [N]; `paths[s]` are the nodes of sequence s."""

    tokens: Ints
    parent: Ints
    depth: Ints
    size: Ints
    paths: list[Ints]

    @property
    def n(self) -> int:
        """Number of distinct (prefix, token) positions: the fewest tokens any forward can compute."""
        return len(self.tokens)

    def ancestors(self, nodes: Ints) -> npt.NDArray[np.bool_]:
        """[Q, Q] mask: may the row's node attend to the column's node (an ancestor, or itself)?"""
        rows, columns = nodes[:, None], nodes[None, :]
        return (columns <= rows) & (rows < columns + self.size[nodes][None, :])


def shared_length(a: Sequence[int], b: Sequence[int]) -> int:
    """How many leading ids two sequences share."""
    n = min(len(a), len(b))
    differ = np.flatnonzero(np.asarray(a[:n]) != np.asarray(b[:n]))
    return int(differ[0]) if len(differ) else n


def build_tree(sequences: Sequence[Sequence[int]]) -> PrefixTree:
    """The tree of `sequences` (each a non-empty list of token ids)."""
    order = sorted(range(len(sequences)), key=lambda s: list(sequences[s]))
    tokens, parents, paths, n = [], [], [np.empty(0, np.int64)] * len(sequences), 0
    path, previous = np.empty(0, np.int64), list[int]()
    for s in order:
        ids = list(sequences[s])
        keep = shared_length(previous, ids)
        fresh = np.arange(n, n + len(ids) - keep)
        if len(fresh):
            tokens.append(np.asarray(ids[keep:], np.int64))
            parents.append(np.concatenate([path[keep - 1 : keep] if keep else [-1], fresh[:-1]]))
        path, previous, n = np.concatenate([path[:keep], fresh]), ids, n + len(fresh)
        paths[s] = path
    parent = np.concatenate(parents).astype(np.int64)
    depth, size = np.zeros(n, np.int64), np.ones(n, np.int64)
    for i, p in enumerate(parent.tolist()):
        depth[i] = depth[p] + 1 if p >= 0 else 0
    for i in range(n - 1, -1, -1):
        if parent[i] >= 0:
            size[parent[i]] += size[i]
    return PrefixTree(np.concatenate(tokens), parent, depth, size, paths)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a forward: the nodes it computes, all of them below `past` (the node whose whole path is already computed,
    or -1), and whether a later row needs what it computes."""

    nodes: Ints
    past: int
    needed: bool


def plan_rows(tree: PrefixTree, limit: int) -> list[list[Row]]:
    """Waves of rows; a row needs only rows of earlier waves. Each node is computed exactly once.

    A subtree of at most `limit` tokens becomes (part of) one row, its branches told apart by the mask. A larger one gives its
    unbranched head to this wave and its branches to the next, so the mask stays small while the keys and values of the head
    are computed once.
    """
    waves: list[list[Row]] = []
    level = [(-1, _children(tree, 0, tree.n))]
    while level:
        rows: list[Row] = []
        following = []
        for past, children in level:
            whole = [(c, c + int(tree.size[c])) for c in children if tree.size[c] <= limit]
            rows += [Row(nodes, past, False) for nodes in _packed(whole, limit)]
            for child in (c for c in children if tree.size[c] > limit):
                end = _chain_end(tree, child)
                below = _children(tree, end + 1, child + int(tree.size[child]))
                rows.append(Row(np.arange(child, end + 1), past, bool(below)))
                if below:
                    following.append((end, below))
        waves.append(rows)
        level = following
    return waves


def _children(tree: PrefixTree, start: int, stop: int) -> list[int]:
    found = []
    while start < stop:
        found.append(start)
        start += int(tree.size[start])
    return found


def _chain_end(tree: PrefixTree, node: int) -> int:
    while tree.size[node] > 1 and tree.size[node + 1] == tree.size[node] - 1:
        node += 1
    return node


def _packed(ranges: list[tuple[int, int]], limit: int) -> Iterator[Ints]:
    """Ranges of nodes, first-fit by falling length, into rows of at most `limit` nodes."""
    bins: dict[int, list[tuple[int, int]]] = defaultdict(list)
    room: list[int] = []
    for lo, hi in sorted(ranges, key=lambda r: (r[0] - r[1], r[0])):
        at = next((b for b, free in enumerate(room) if free >= hi - lo), len(room))
        if at == len(room):
            room.append(limit)
        room[at] -= hi - lo
        bins[at].append((lo, hi))
    for members in bins.values():
        yield np.concatenate([np.arange(lo, hi) for lo, hi in sorted(members)])


def batches(rows: Sequence[Row], budget: int, slack: float = 0.85) -> Iterator[list[Row]]:
    """Rows of like length together: at most `budget` tokens with padding, none shorter than `slack` of its batch's longest,
    so that padding stays below 1 - slack."""
    batch: list[Row] = []
    for row in sorted(rows, key=lambda r: (-len(r.nodes), int(r.nodes[0]))):
        longest = len(batch[0].nodes) if batch else 0
        if batch and (longest * (len(batch) + 1) > budget or len(row.nodes) < slack * longest):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
