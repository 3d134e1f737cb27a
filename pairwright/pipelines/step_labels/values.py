"""Targets of a value head, and implicit rewards: what a search wrote down, read per step."""

from __future__ import annotations

from pairwright.pipelines.step_labels.log import Node, Solution, StepLog


def value_of(node: Node) -> float | None:
    """What a prefix is worth, in [0, 1]: Q as the search backed it up (AlphaMath, arXiv 2405.03553: the target of an inner node),
    or MC where it backed nothing up. None: neither is known, or too many rollouts could not be compared."""
    return node.estimate if node.q is None or node.low_trust else node.q


def value_targets(log: StepLog, signed: bool = False) -> dict[str, float]:
    """node_id -> the target of the prefix, in [0, 1] or, `signed`, in [-1, 1] as AlphaMath has it: `value_of` an inner node, the
    verdict of an end. What is not known, or carries a reason (an end without a verdict), is left out."""
    found = {}
    for node in log.nodes.values():
        value = node.rate if node.terminal else value_of(node)
        if value is not None and (node.reason is None or node is log.root):
            found[node.node_id] = 2 * value - 1 if signed else value
    return found


def implicit_rewards(log: StepLog, solution: Solution) -> list[float | None]:
    """r_t = q_t - q_{t-1} of every step (Free Process Rewards, arXiv 2412.01981), q_0 = 0, in beta times nats and of either sign;
    they add up to the reward of the solution. None throughout if the search was another, or scored the solution in part."""
    q = [place.node.value for place in solution.places()]
    if log.method != "implicit" or not all(place.last for place in solution.places()):
        return [None] * len(q)
    return [None if a is None or b is None else a - b for a, b in zip(q, [0.0, *q[:-1]], strict=True)]
