"""ReST-MCTS* (arXiv 2406.03816; formulas from notes checked against the code, the paper's text was not found in full).

    select   argmax over children of  V + c * sqrt(2 ln N(parent) / N(child)),  unvisited: V + unvisited
             (so the code; the paper has no 2 under the root)
    expand   three next steps, each valued, unless the leaf is at an end
    roll     from the best new child on, three greedy steps:  V(child) <- (1 - alpha) V(child) + alpha max V seen;  N(child) += 1
    back up  from the leaf to the root:  N += 1,  V <- sum_c V_c N_c / sum_c N_c

Stored: `value` is a node's own, as measured; `q` is V as the search left it. The steps of a roll are nodes too, for they are paid
for; the search does not select them (q is missing) unless an expansion makes them again.

Ours: an ended step has the value of its verdict, 1 if right and else 0, and every one is verified. A leaf whose V reaches
`end_gate` is at an end only if it states an answer, marked as one: with values that say how likely a solution ends well, and not
how far it is, a good beginning would pass the gate too. Values come from rollouts by default, for that needs no second model;
then an iteration costs up to 6 steps and 24 rollouts, so the usual budget of 1,000 rollouts is spent after some 33.

What the labels of a finished tree are (v_k) is not decided here: they are a view of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from pairwright.annotators.steps.base import Asking, Rollout, together
from pairwright.annotators.steps.moves import Moves
from pairwright.annotators.steps.search import Search, SearchConfig
from pairwright.annotators.steps.tree import ROOT
from pairwright.annotators.steps.values import AnyValue, RolloutValue


class RestConfig(SearchConfig):
    """The settings of the code; it has no default for iterations, its scripts use 50."""

    use: Literal["rest_mcts"] = "rest_mcts"
    iterations: int = Field(50, ge=1)
    branch: int = Field(3, ge=1, description="next steps sampled per expansion")
    exploration: float = Field(0.7, ge=0, description="c")
    ucb: Literal["code", "paper"] = "code"
    unvisited: float = Field(1.0, ge=0, description="what an unvisited child has instead of the root term (INF in the code)")
    alpha: float = Field(0.5, ge=0, le=1, description="share of the roll's best value in a child's")
    end_gate: float = Field(0.9, ge=0, le=1)
    roll_forward_steps: int = Field(3, ge=0)
    value: AnyValue = RolloutValue()


class Rest(Search[RestConfig]):
    """One expansion, one greedy roll and one back-up per iteration."""

    Config = RestConfig
    by_steps = True

    def roles(self, completer: str) -> dict[str, frozenset[str]]:
        return together(super().roles(completer), self.config.value.roles())

    def run(self, moves: Moves, roots: Sequence[Rollout]) -> Asking:
        walk = Walk(self.config, moves)
        for _ in range(self.config.iterations):
            leaf = walk.select()
            if not (yield from walk.at_end(leaf)):
                yield from walk.expand(leaf)
                if leaf in walk.chosen:
                    yield from walk.roll(walk.best(leaf))
            walk.back_up(leaf)


class Walk:
    """One question's search. `v`: V by node; `chosen`: the children an expansion made, which selection goes through."""

    def __init__(self, config: RestConfig, moves: Moves) -> None:
        self.config, self.moves, self.tree = config, moves, moves.tree
        self.v: dict[int, float] = {ROOT: 0.0}
        self.chosen: dict[int, list[int]] = {}

    def select(self) -> int:
        """The leaf that UCB leads to."""
        node = ROOT
        while node in self.chosen:
            node = self.best(node)
        return node

    def best(self, node: int) -> int:
        """The child with the largest UCB; of equal ones, the first."""
        return max(self.chosen[node], key=lambda child: (self.ucb(node, child), -child))

    def ucb(self, node: int, child: int) -> float:
        """The upper confidence bound of a child."""
        visits = self.tree.visits[child]
        if not visits:
            return self.v[child] + self.config.unvisited
        factor = 2 if self.config.ucb == "code" else 1
        return self.v[child] + self.config.exploration * math.sqrt(factor * math.log(max(1, self.tree.visits[node])) / visits)

    def at_end(self, leaf: int) -> Asking:
        """Is there nothing to go on with? A leaf at the gate is asked for its answer."""
        if not self.tree.terminal[leaf] and self.v[leaf] >= self.config.end_gate:
            found = yield from self.moves.answer_so_far(leaf)
            if found.outcome != "unparsed":
                self.tree.finish_with(leaf, found.outcome, found.answer, "stop")
                self.v[leaf] = float(found.outcome == "right")
        return self.tree.terminal[leaf]

    def expand(self, leaf: int) -> Asking:
        """Sample and value the children of a leaf."""
        children = yield from self.moves.expand(leaf, self.config.branch)
        values = yield from self.values(children)
        if children:
            self.v |= dict(zip(children, values, strict=True))
            self.chosen[leaf] = children

    def roll(self, child: int) -> Asking:
        """Look a few greedy steps ahead from a child."""
        node, seen = child, [self.v[child]] if self.tree.terminal[child] else []
        for _ in range(self.config.roll_forward_steps):
            if self.tree.terminal[node] or not (found := (yield from self.moves.expand(node, 1, temperature=0))):
                break
            (node,) = found
            seen += yield from self.values(found)
        if seen:
            self.v[child] = (1 - self.config.alpha) * self.v[child] + self.config.alpha * max(seen)
        self.tree.visits[child] += 1
        self._keep(child)

    def values(self, nodes: Sequence[int]) -> Asking:
        """What `nodes` are worth: by verdict if ended, else as measured."""
        ended = {node: float(self.tree.verdict[node] == "right") for node in nodes if self.tree.terminal[node]}
        going = [node for node in nodes if node not in ended]
        measured = yield from self.config.value.evaluate(self.moves, going)
        for node, value in ended.items():
            self.tree.value[node] = value
        worth = ended | dict(zip(going, measured, strict=True))
        return [worth[node] for node in nodes]

    def back_up(self, leaf: int) -> None:
        """Count the visit from `leaf` up, and make each V the mean of its children's, weighted by visits."""
        for node in reversed(self.tree.path(leaf)):
            self.tree.visits[node] += 1
            weights = {child: self.tree.visits[child] for child in self.chosen.get(node, ())}
            if sum(weights.values()):
                self.v[node] = sum(self.v[child] * n for child, n in weights.items()) / sum(weights.values())
            self._keep(node)

    def _keep(self, node: int) -> None:
        """Store V as q, which is total / visits."""
        self.tree.total[node] = self.v[node] * self.tree.visits[node]
