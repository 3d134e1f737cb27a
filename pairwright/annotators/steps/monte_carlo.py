"""Monte Carlo on every step: how often is a solution's prefix still completed rightly?

Math-Shepherd (arXiv 2312.08935): N completions from every step of a solution; the hard estimate of a step is "some are right",
the soft one their share. The last step is verified, not rolled out from. No official generation code was found; its compute
figures neither. `schedule` saves rollouts where only the first error matters (The Lessons of Developing PRMs, arXiv 2501.07301,
drops what follows it): `until_first_error` stops at the first step without a right completion; `bisect` accepts in addition that
estimates are monotone, which luck can break, and needs N log2 K instead of N K.

`provers` are further roles that complete every prefix too, the question itself included; their counts stand beside the
completer's and give advantages under a prover (Rewarding Progress, arXiv 2410.08146, read in full).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Literal

from pydantic import Field

from pairwright.annotators.steps.base import Asking, Rollout, SearchSettings, Stopped, guarded
from pairwright.annotators.steps.moves import Moves
from pairwright.annotators.steps.search import Search, SearchConfig, Searching, distinct, unusable
from pairwright.annotators.steps.tree import ROOT, Piece, Question
from pairwright.engines.runner import gather


class MonteCarloConfig(SearchConfig):
    """How many solutions of a question are labelled, and with how many rollouts a step."""

    use: Literal["monte_carlo"] = "monte_carlo"
    k: int = Field(8, ge=1, description="rollouts per step")
    solutions: int = Field(4, ge=1, description="root rollouts that are labelled; right and wrong ones in turn")
    schedule: Literal["all", "until_first_error", "bisect"] = "all"
    provers: tuple[str, ...] = Field((), description="further roles that roll out from every step")


class MonteCarlo(Search[MonteCarloConfig]):
    """Labels some of the root rollouts, step by step, all at once."""

    Config = MonteCarloConfig

    def roles(self, completer: str) -> dict[str, frozenset[str]]:
        return {role: frozenset({"generate", "prefix_ids"}) for role in self.config.provers} | super().roles(completer)

    def run(self, moves: Moves, roots: Sequence[Rollout]) -> Asking:
        yield from self.label(moves, _in_turn(roots)[: self.config.solutions])

    def label(self, moves: Moves, solutions: Sequence[Rollout]) -> Asking:
        """Estimate the steps of solutions that begin at the root; one that could carry no label is recorded and left alone. Where
        another solution's step ends within one of a solution's, that prefix is estimated for it too."""
        ends = [moves.chain(s)[-1] for s in solutions if s.settled]
        for solution in solutions:
            if not solution.settled:
                moves.end(ROOT, solution)
        chains = [moves.tree.path(end)[1:] for end in ends]
        schedule = self._at_once if self.config.schedule == "all" else self._one_by_one
        unfinished: Sequence[Sequence[int]] = chains
        stopped = yield from guarded(self._estimate(moves, ROOT, self.config.provers if chains else ()))
        if stopped is None:
            stopped, unfinished = yield from schedule(moves, chains)
        if stopped is not None:
            for chained in unfinished:
                moves.tree.reason[chained[-1]] = stopped.reason
            raise stopped

    def _at_once(self, moves: Moves, chains: Sequence[Sequence[int]]) -> Asking:
        """Estimate every step. Returns what stopped it, if anything, and the solutions that were not finished."""
        roles = (moves.settings.completer, *self.config.provers)
        nodes = dict.fromkeys(node for chained in chains for node in chained[:-1])
        stops = yield from gather(*(guarded(self._estimate(moves, node, roles)) for node in nodes))
        lacking = {node for node in nodes for role in roles if not moves.tree.count(node, role).n}
        return next((s for s in stops if s is not None), None), [c for c in chains if lacking & {*c[:-1]}]

    def _one_by_one(self, moves: Moves, chains: Sequence[Sequence[int]]) -> Asking:
        """Estimate only what the first error needs. Returns the same."""
        if self.config.schedule == "bisect":
            chains = [c for c in chains if moves.tree.verdict[c[-1]] == "wrong"]
        look = self._bisect if self.config.schedule == "bisect" else self._in_order
        for i, chained in enumerate(chains):
            stopped = yield from guarded(look(moves, chained[:-1]))
            if stopped is not None:
                return stopped, chains[i:]
        return None, []

    def _in_order(self, moves: Moves, nodes: Sequence[int]) -> Asking:
        for node in nodes:
            if not (yield from self._good(moves, node)):
                break

    def _bisect(self, moves: Moves, nodes: Sequence[int]) -> Asking:
        """The first `low` steps are good, the first `high` ones are not: the end of the solution is known to be wrong."""
        low, high = 0, len(nodes) + 1
        while high - low > 1:
            middle = (low + high) // 2
            if (yield from self._good(moves, nodes[middle - 1])):
                low = middle
            else:
                high = middle

    def _good(self, moves: Moves, node: int) -> Asking:
        """Have a node rolled out from by everyone. Was any of the completer's rollouts right?"""
        completer = moves.settings.completer
        yield from self._estimate(moves, node, (completer, *self.config.provers))
        return moves.tree.count(node, completer).correct > 0

    def _estimate(self, moves: Moves, node: int, roles: Sequence[str]) -> Asking:
        for role in roles:
            if not moves.tree.count(node, role).n:
                yield from moves.estimate(node, self.config.k, role)


def grow_given(question: Question, settings: SearchSettings, search: MonteCarlo, piece: Piece) -> Searching:
    """Grow the tree of a solution that is given (with its steps as cuts) instead of sampled: nothing is rolled out from the
    question itself, except by provers. The root's `reason` is that of `grow`, or `empty_solution`."""
    moves = Moves(question, settings)
    tree = moves.tree
    try:
        tree.reason[ROOT] = (yield from unusable(question)) if piece.cuts else "empty_solution"
        if tree.reason[ROOT] is None:
            solution = yield from moves.verdict_of(piece)
            yield from search.label(moves, [solution])
    except Stopped as stopped:
        tree.reason[ROOT] = stopped.reason
    return tree


def _in_turn(roots: Sequence[Rollout]) -> list[Rollout]:
    """Distinct solutions that may be labelled: wrong, right, wrong, ..."""
    said = [r for r in distinct(roots) if r.settled]
    kinds = [[r for r in said if r.verdict == v] for v in ("wrong", "right")]
    return [r for r in chain.from_iterable(zip_longest(*kinds)) if r is not None]
