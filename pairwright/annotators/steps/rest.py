"""ReST-MCTS* (arXiv 2406.03816; formulas from notes checked against the code, the paper's text was not found in full).

    select   argmax over children of  V + c * sqrt(2 ln N(parent) / N(child)),  unvisited: V + unvisited
             (so the code; the paper has no 2 under the root)
    expand   three next steps, each valued, unless the leaf is at an end
    roll     from the best new child on, three greedy steps:  V(child) <- (1 - alpha) V(child) + alpha max V seen;  N(child) += 1
    back up  from the leaf to the root:  N += 1,  V <- sum_c V_c N_c / sum_c N_c

Stored: `value` is a node's own, as measured; `q` is V as the search left it. The steps of a roll are nodes too, for they are paid
for; the search does not select them (q is missing) unless an expansion makes them again.

Ours: an ended step has the value of its verdict, 1 if right and 0 if wrong, and every one is verified. One that was cut, or whose
answer could not be compared, is not known to be wrong: it has no value, is left out of every mean (the code has 0) and, where
nothing else is known, q is missing. Selection takes such an end for 0, as it leads nowhere, and an open step of unknown value for
the middle. A leaf whose V reaches `end_gate` is at an end only if it states the right answer, marked as one: with values that say
how likely a solution ends well, and not how far it is, a good beginning would pass the gate too, and a wrong number in it is
more often an intermediate result than an end. Values come from rollouts by default, for that needs no second model;
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
from pairwright.annotators.steps.tree import MIDDLE, ROOT
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
            way = walk.select()
            leaf = way[-1]
            if not (yield from walk.at_end(leaf)):
                yield from walk.expand(leaf)
                if leaf in walk.chosen:
                    yield from walk.roll(walk.best(leaf))
            walk.back_up(way)


class Walk:
    """One question's search. `v`: V by node, None where nothing is known; `chosen`: the children an expansion made, which
    selection goes through."""

    def __init__(self, config: RestConfig, moves: Moves) -> None:
        self.config, self.moves, self.tree = config, moves, moves.tree
        self.v: dict[int, float | None] = {ROOT: None}
        self.chosen: dict[int, list[int]] = {}

    def select(self) -> list[int]:
        """The nodes on the way to the leaf that UCB leads to."""
        way = [ROOT]
        while way[-1] in self.chosen:
            way.append(self.best(way[-1]))
        return way

    def best(self, node: int) -> int:
        """The child with the largest UCB; of equal ones, the first."""
        return max(self.chosen[node], key=lambda child: (self.ucb(node, child), -child))

    def ucb(self, node: int, child: int) -> float:
        """The upper confidence bound of a child."""
        visits, v = self.tree.visits[child], self.v[child]
        if v is None:
            v = 0.0 if self.tree.terminal[child] else MIDDLE
        if not visits:
            return v + self.config.unvisited
        factor = 2 if self.config.ucb == "code" else 1
        return v + self.config.exploration * math.sqrt(factor * math.log(max(1, self.tree.visits[node])) / visits)

    def at_end(self, leaf: int) -> Asking:
        """Is there nothing to go on with? A leaf at the gate is asked for its answer; only the right one is an end, for any other
        may be an intermediate result."""
        v = self.v[leaf]
        if not self.tree.terminal[leaf] and v is not None and v >= self.config.end_gate:
            found = yield from self.moves.answer_so_far(leaf)
            if found.outcome == "right":
                self.tree.finish_with(leaf, found.outcome, found.answer, "stop")
                self.end(leaf)
        return self.tree.terminal[leaf]

    def expand(self, leaf: int) -> Asking:
        """Sample and value the children of a leaf."""
        children = yield from self.moves.expand(leaf, self.config.branch)
        values = yield from self.values(children)
        if children:
            self.v |= dict(zip(children, values, strict=True))
            self.chosen[leaf] = children
        else:
            self.end(leaf)

    def end(self, node: int) -> float | None:
        """What a node is worth that goes on as nothing: if the solution ended with it, what that end is."""
        if self.tree.terminal[node]:
            self.v[node] = self.tree.end_value(node)
        return self.v.get(node)

    def roll(self, child: int) -> Asking:
        """Look a few greedy steps ahead from a child."""
        node, seen = child, [self.v[child]] if self.tree.terminal[child] else []
        for _ in range(self.config.roll_forward_steps):
            if self.tree.terminal[node]:
                break
            found = yield from self.moves.expand(node, 1, temperature=0)
            if not found:
                seen.append(self.end(node))
                break
            (node,) = found
            seen += yield from self.values(found)
        if known := [v for v in seen if v is not None]:
            own = MIDDLE if (v := self.v[child]) is None else v
            self.v[child] = (1 - self.config.alpha) * own + self.config.alpha * max(known)
        self.tree.visits[child] += 1
        self._keep(child)

    def values(self, nodes: Sequence[int]) -> Asking:
        """What `nodes` are worth: by verdict if ended, else as measured."""
        going = [node for node in nodes if not self.tree.terminal[node]]
        measured = yield from self.config.value.evaluate(self.moves, going)
        worth = dict(zip(going, measured, strict=True))
        for node in nodes:
            if self.tree.terminal[node]:
                worth[node] = self.tree.value[node] = self.tree.end_value(node)
        return [worth[node] for node in nodes]

    def back_up(self, way: Sequence[int]) -> None:
        """Count the visit from the leaf up, and make each V the mean of its children's, weighted by visits."""
        for node in reversed(way):
            self.tree.visits[node] += 1
            known = [(v, self.tree.visits[c]) for c in self.chosen.get(node, ()) if (v := self.v[c]) is not None]
            if total := sum(n for _, n in known):
                self.v[node] = sum(v * n for v, n in known) / total
            self._keep(node)

    def _keep(self, node: int) -> None:
        """Store V as q, which is total / visits."""
        v = self.v[node]
        self.tree.total[node] = None if v is None else v * self.tree.visits[node]
