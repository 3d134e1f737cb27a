"""Implicit process rewards (Free Process Rewards, arXiv 2412.01981, full text read): two forwards per solution, no rollouts.

    q_t = sum_{i <= t} beta log( pi(y_i | x, y_<i) / pi_ref(y_i | x, y_<i) )      value of the prefix that ends with token t
    r_t = q_t - q_{t-1}                                                          reward of a step: its own log-ratios

pi is a model trained on outcomes, r(y) = beta log pi/pi_ref being its reward (by cross-entropy, DPO, KTO or NCA); then q_t is the
soft expectation of the outcome reward under pi_ref. Where pi is a DPO policy, a step's r_t is at the optimum its change in soft
value V* (Rafailov 2024; known from citations only). PRIME (arXiv 2502.01456) hands the same log-ratios to RL token by token and
without beta, which is in its training loss alone. At inference the authors of Free Process Rewards use beta .001 and score a
solution by its smallest r_t.

Use it to rank solutions and as a dense reward, not to find first errors: on ProcessBench the EurusPRMs reach an F1 of about 31.

Both models score the very ids that were sampled, so both must have the sampler's tokenizer. The terminator is not scored: it
belongs to no step. `value` is q_t at the end of each step, in nats and of either sign; a solution's end keeps its verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from pairwright.annotators.steps.base import Asking, Rollout, Stopped, guarded, together
from pairwright.annotators.steps.moves import Moves
from pairwright.annotators.steps.search import Search, SearchConfig, distinct
from pairwright.engines.requests import Continuation, Floats, Score
from pairwright.engines.runner import gather


class ImplicitConfig(SearchConfig):
    """`beta` is the paper's in training; the scale of q_t, no more."""

    use: Literal["implicit"] = "implicit"
    solutions: int = Field(8, ge=1, description="root rollouts that are scored, at most: as many as the question filter makes")
    beta: float = Field(0.05, gt=0)
    implicit: str = Field("implicit", description="the role of the model trained on outcomes")
    reference: str = Field("reference", description="the role of the model it was trained from")


class Implicit(Search[ImplicitConfig]):
    """Scores the root rollouts, all at once."""

    Config = ImplicitConfig
    needs_mixed = False

    def roles(self, completer: str) -> dict[str, frozenset[str]]:
        scoring = {role: frozenset({"score"}) for role in (self.config.implicit, self.config.reference)}
        return together(super().roles(completer), scoring)

    def run(self, moves: Moves, roots: Sequence[Rollout]) -> Asking:
        chains = [(rollout, moves.chain(rollout)) for rollout in distinct(roots)[: self.config.solutions]]
        stops = yield from gather(*(guarded(self._score(moves, rollout, chained)) for rollout, chained in chains))
        stopped: list[Stopped] = [stop for stop in stops if stop is not None]
        if stopped:
            raise stopped[0]

    def _score(self, moves: Moves, rollout: Rollout, chained: Sequence[int]) -> Asking:
        """Put q_t on the nodes of one solution; what keeps it from having any is its reason."""
        tree, piece = moves.tree, rollout.piece
        given = Continuation(piece.text, piece.ids, tree.tokenizer, rollout.finish == "stop")
        roles = (self.config.implicit, self.config.reference)
        try:
            scored = yield from moves.ask(chained[-1], [Score(r, moves.prompt, given, terminator=False) for r in roles])
        except Stopped as stopped:
            tree.reason[chained[-1]] = stopped.reason
            raise
        if any(s.token_ids != piece.ids for s in scored):
            tree.reason[chained[-1]] = "tokenizers_differ"
            return
        policy, reference = (s.logprobs for s in scored)
        scores = implicit_scores(policy, reference, [cut.token for cut in piece.cuts], self.config.beta)
        for node, q in zip(chained, scores, strict=True):
            tree.value[node] = q if tree.value[node] is None else tree.value[node]


def implicit_scores(policy: Floats, reference: Floats, ends: Sequence[int], beta: float) -> list[float]:
    """q_t at `ends` (tokens from the beginning, increasing), from two models' log-probabilities of the same T tokens, in nats.
    Sums are in fp64. A step's reward is the difference of neighbours, the first one's q_t itself."""
    ratios = np.asarray(policy, np.float64) - np.asarray(reference, np.float64)
    sums = beta * np.cumsum(ratios)
    return [float(sums[end - 1]) for end in ends]
