"""AlphaMath's search (arXiv 2405.03553, full text and code read): steps proposed by the policy, picked by PUCT.

    select   argmax over open children of  Q(s, a) + c_puct * pi(a|s) * sqrt(N(parent)) / (1 + N(child)),  Q = 0 if unvisited
    expand   n next steps at the leaf, equal ones once;  pi = exp(sum of log-probabilities / tokens)
    back up  the leaf's own V along its path: N += 1, W += V, Q = W / N

V and Q are on the scale from -1 to 1 there. What is stored (tree.value, tree.total, and so q) is in [0, 1]: Q = 2 q - 1. A child
that ends the solution is verified and backed up once, when it is made (1 if right, 0 if wrong), and is never selected. A node all
of whose children are ended or closed is closed; the search is over when that reaches the root. A node with which some samples end
the solution and others do not is both: its end is backed up, and it stays open.

Ours: what failed to end (cut by the length limit, too deep, no answer that could be compared) is closed and backs up nothing,
where AlphaMath's code gives it -1. It is not known to be wrong, so a step all of whose ends failed has no q beyond what its own
value says, and without a source of values none at all: it is no score, and never a rejected side.

SVPO (arXiv 2406.10858) searches so too, as far as is known: its method section was not found. In AlphaMath's first round V is 0
everywhere, as with `value: {by: none}`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from pairwright.annotators.steps.base import Asking, Rollout, together
from pairwright.annotators.steps.moves import Moves
from pairwright.annotators.steps.search import Search, SearchConfig
from pairwright.annotators.steps.tree import ROOT, Tree
from pairwright.annotators.steps.values import AnyValue, NoValue


class PuctConfig(SearchConfig):
    """AlphaMath's settings for making data; at most iterations * children steps are generated."""

    use: Literal["puct"] = "puct"
    iterations: int = Field(40, ge=1, description="expansions per question; the root is the first")
    children: int = Field(5, ge=1, description="next steps sampled per expansion")
    depth: int = Field(8, ge=1, description="a deeper step that does not end the solution fails: too_deep")
    c_puct: float = Field(1.5, ge=0)
    length_exponent: float = Field(1.0, ge=0, description="x in pi = exp(sum / tokens^x); MCTS-DPO has 1.25")
    value: AnyValue = NoValue()


class Puct(Search[PuctConfig]):
    """Expands one leaf at a time, each once."""

    Config = PuctConfig
    by_steps = True

    def roles(self, completer: str) -> dict[str, frozenset[str]]:
        return together(super().roles(completer), self.config.value.roles())

    def run(self, moves: Moves, roots: Sequence[Rollout]) -> Asking:
        tree, closed = moves.tree, set[int]()
        for _ in range(self.config.iterations):
            if ROOT in closed:
                break
            leaf = self.select(tree, closed)
            (value,) = yield from self.config.value.evaluate(moves, [leaf])
            children = yield from moves.expand(leaf, self.config.children)
            tree.back_up(leaf, value)
            for node in (*children, leaf):
                self._settle(tree, node, closed)
            _close(tree, leaf, closed)

    def select(self, tree: Tree, closed: set[int]) -> int:
        """The leaf that PUCT leads to. Equal children: the first."""
        node = ROOT
        while open_ones := [c for c in tree.children[node] if c not in closed]:
            node = max(open_ones, key=lambda c: (self.score(tree, c), -c))
        return node

    def score(self, tree: Tree, child: int) -> float:
        """Q + U of a child, on the scale from -1 to 1."""
        q, parent = tree.q(child), tree.parent[child]
        explore = self.config.c_puct * self.proposal(tree, child) * math.sqrt(tree.visits[parent]) / (1 + tree.visits[child])
        return (0.0 if q is None else 2 * q - 1) + explore

    def proposal(self, tree: Tree, child: int) -> float:
        """pi(a|s); 1 where the engine gives no log-probabilities."""
        mean, tokens = tree.prior[child] or 0.0, len(tree.piece[child].ids)
        return math.exp(mean * tokens ** (1 - self.config.length_exponent))

    def _settle(self, tree: Tree, node: int, closed: set[int]) -> None:
        """Back up what ended with `node`, and close it if it is too deep or goes on as nothing."""
        if not tree.terminal[node] and tree.depth[node] > self.config.depth:
            tree.finish_with(node, "unparsed", None, "length", "too_deep")
        if tree.terminal[node] and not tree.children[node]:
            closed.add(node)
        value = tree.end_value(node)
        if value is not None:
            tree.value[node] = value if tree.value[node] is None else tree.value[node]
            tree.back_up(node, value)


def _close(tree: Tree, node: int, closed: set[int]) -> None:
    """Close `node` and what is above it, as far as everything below is closed."""
    while all(c in closed for c in tree.children[node]):
        closed.add(node)
        if node == ROOT:
            break
        node = tree.parent[node]
