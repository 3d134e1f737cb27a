"""Process advantages (Rewarding Progress, arXiv 2410.08146, read in full; its code was not found).

    A(s_h, a_h) = Q(s_h, a_h) - V(s_h),  V(s_h) = Q(s_{h-1}, a_{h-1})      progress a step makes, under a prover
    Q_BoK = 1 - (1 - Q)^K                                                   the prover is the best of K of its rollouts
    Q_pi + alpha A                                                          effective reward, Q_pi by the completer

Q of a prefix is the share of right rollouts from it. A good prover is another than the policy, neither much weaker nor much
stronger; best of K = 4 of the policy itself was best and needs no new rollouts.
"""

from __future__ import annotations

from pairwright.annotators.steps.tree import LOW_TRUST
from pairwright.pipelines.step_labels.log import Node, Solution, StepLog


def advantages(log: StepLog, solution: Solution, prover: str | None, best_of: int = 1, alpha: float = 0) -> list[float | None]:
    """A in [-1, 1] of every step or, with `alpha` > 0, its effective reward. None where the prefix before or after the step was
    not rolled out from, or mostly in vain. `prover`: a role; None is the completer. The end's Q is its verdict, for everyone."""

    def q(node: Node) -> float | None:
        rate = prover_rate(node, prover)
        return None if rate is None else best_of_k(rate, best_of)

    after = solution.at_steps(q)
    made = [_difference(a, b) for a, b in zip(after, [q(log.root), *after[:-1]], strict=True)]
    if not alpha:
        return made
    own = solution.at_steps(lambda node: node.estimate)
    return [None if x is None or a is None else x + alpha * a for x, a in zip(own, made, strict=True)]


def prover_rate(node: Node, prover: str | None) -> float | None:
    """Q of a prefix under a role's rollouts, None being the completer."""
    if prover is None:
        return node.estimate
    n, correct, unparsed = node.provers.get(prover, (0, 0, 0))
    return correct / n if n and unparsed <= LOW_TRUST * n else None


def best_of_k(q: float, k: int) -> float:
    """The chance that one of k is right."""
    return 1 - (1 - q) ** k if k > 1 else q


def _difference(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b
