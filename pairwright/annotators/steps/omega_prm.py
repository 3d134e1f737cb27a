"""OmegaPRM: find the first wrong step of wrong rollouts by bisection (arXiv 2406.06592, read in full).

A state is a prefix; the pool holds (state, wrong rollout) pairs with 0 < MC(state) < 1. The pair with the largest
Q + U is taken out of the pool and bisected:

    Q(s, r) = alpha^(1 - MC(s)) * beta^(len(r) / L)        len in tokens
    U(s)    = c_puct * sqrt(sum_i N(s_i)) / (1 + N(s))     the sum is over the whole tree

N grows only for the state that is selected. A prefix is "treated as correct" when MC > 0. The end of a wrong rollout is wrong by
definition, so nothing is rolled out from it. The paper's sampling settings and answer check were not found.

A prefix that was rolled out from is one node above every rollout that begins with it, right ones included, so that no prefix is
good in one solution and bad in another. Rollouts that were cut by the length limit are counted, and neither searched nor kept as
solutions, for they could carry no label.

`siblings` is ours: after an error was found, so many next steps of right rollouts from the same anchor are estimated too, so that
step pairs (a right and the wrong step after one prefix) rest on counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from pairwright.annotators.steps.base import Asking, Rollout, Stopped
from pairwright.annotators.steps.moves import Moves
from pairwright.annotators.steps.search import Search, SearchConfig, distinct
from pairwright.annotators.steps.tree import ROOT, Piece


class OmegaConfig(SearchConfig):
    """The paper's settings, except where `ours` is said."""

    use: Literal["omega_prm"] = "omega_prm"
    k: int = Field(8, ge=1, description="rollouts per estimate")
    alpha: float = Field(0.5, gt=0, le=1)
    beta: float = Field(0.9, gt=0, le=1)
    length: float = Field(500, gt=0, description="L, in tokens")
    c_puct: float = Field(0.125, ge=0)
    searches: int = Field(100, ge=1, description="bisections per question")
    siblings: int = Field(1, ge=0, description="ours: right next steps estimated beside each located error")
    right_solutions: int = Field(1, ge=0, description="ours: right root rollouts kept as solutions without an error")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A wrong rollout from a state, waiting in the pool."""

    node: int
    rollout: Rollout


class OmegaPRM(Search[OmegaConfig]):
    """Divide and conquer over the pool of wrong rollouts."""

    Config = OmegaConfig

    def run(self, moves: Moves, roots: Sequence[Rollout]) -> Asking:
        pool = Pool(self.config, moves)
        pool.push(ROOT, roots)
        for rollout in pool.right[ROOT][: self.config.right_solutions]:
            moves.end(ROOT, rollout)
        for _ in range(self.config.searches):
            candidate = pool.pick()
            if candidate is None:
                break
            yield from self._bisect(moves, pool, candidate)

    def _bisect(self, moves: Moves, pool: Pool, candidate: Candidate) -> Asking:
        """Narrow the first error of a wrong rollout down to one piece: `low` pieces are good, `high` pieces are not."""
        tree, rollout = moves.tree, candidate.rollout
        low, high, anchor = 0, len(rollout.piece.cuts), candidate.node
        try:
            while high - low > 1:
                middle = (low + high) // 2
                node = tree.add(anchor, rollout.piece.part(low, middle))
                count = tree.count(node, moves.settings.completer)
                if not count.n:
                    found: list[Rollout] = yield from moves.estimate(node, self.config.k)
                    pool.push(node, found)
                if count.correct:
                    low, anchor = middle, node
                else:
                    high = middle
        except Stopped as stopped:
            moves.end(anchor, rollout, low, stopped.reason)
            raise
        wrong = rollout.piece.part(low, high)
        if high == len(rollout.piece.cuts):
            moves.end(anchor, rollout, low)
        else:
            moves.end(tree.add(anchor, wrong), rollout, high)
        yield from self._siblings(moves, pool, anchor, wrong)

    def _siblings(self, moves: Moves, pool: Pool, anchor: int, wrong: Piece) -> Asking:
        """Estimate the first step of right rollouts from `anchor` that begin otherwise than the wrong one."""
        firsts: dict[str, Rollout] = {}
        for rollout in pool.right[anchor]:
            firsts.setdefault(rollout.piece.part(0, 1).text, rollout)
        firsts.pop(wrong.text, None)
        for rollout in list(firsts.values())[: self.config.siblings]:
            if len(rollout.piece.cuts) == 1:
                moves.end(anchor, rollout)
                continue
            node = moves.tree.add(anchor, rollout.piece.part(0, 1))
            moves.end(node, rollout, 1)
            if not moves.tree.count(node, moves.settings.completer).n:
                found: list[Rollout] = yield from moves.estimate(node, self.config.k)
                pool.push(node, found)


class Pool:
    """Wrong rollouts by state, equal texts once, and the right ones beside them."""

    def __init__(self, config: OmegaConfig, moves: Moves) -> None:
        self.config, self.moves = config, moves
        self.wrong: dict[int, list[Rollout]] = {}
        self.right: dict[int, list[Rollout]] = {}

    def push(self, node: int, rollouts: Sequence[Rollout]) -> None:
        """Take a state's rollouts; the wrong ones only if some were right, for else the state itself is lost."""
        said = distinct(rollouts)
        self.right[node] = [r for r in said if r.verdict == "right" and r.settled]
        if any(r.verdict == "right" for r in rollouts):
            self.wrong[node] = sorted((r for r in said if r.verdict == "wrong" and r.settled), key=lambda r: len(r.piece.ids))

    def pick(self) -> Candidate | None:
        """Take out the pair with the largest Q + U. Only the shortest rollout of a state can be it, for Q falls with length."""
        states = [node for node, rollouts in self.wrong.items() if rollouts]
        if not states:
            return None
        total = math.sqrt(sum(self.moves.tree.visits))
        node = max(states, key=lambda s: (self.q(s, self.wrong[s][0]) + self.u(s, total), -s))
        self.moves.tree.visits[node] += 1
        return Candidate(node, self.wrong[node].pop(0))

    def q(self, node: int, rollout: Rollout) -> float:
        """Q(s, r)."""
        rate = self.moves.tree.count(node, self.moves.settings.completer).rate
        return float(self.config.alpha ** (1 - rate) * self.config.beta ** (len(rollout.piece.ids) / self.config.length))

    def u(self, node: int, root_of_total: float) -> float:
        """U(s)."""
        return self.config.c_puct * root_of_total / (1 + self.moves.tree.visits[node])
