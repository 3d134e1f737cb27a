"""Values of steps, inferred from a finished tree (ReST-MCTS*, arXiv 2406.03816; from notes and code; no full text found).

    w_k = (1 - v_{k-1}) / (m_k + 1) * (1 - 2 r_k),    v_k = max(v_{k-1} + w_k, 0),    v_0 = 0

m_k: steps still to go after step k, the fewest to a right end. r_k = 0 for a right step, 1 for a wrong one: with that sign the
recursion gives what the code writes. Notes describe an r that comes from a reward model online as a score that is high for good
steps; for such a one take r = 1 - p(good).

Both of the code's modes are here. They disagree on a wrong step at depth k beside a right path of K steps: m + 1 is K - k + 2 in
`full`, which copies it from the step before, and K - k + 1 in `simple`, which so gives max((k - 2) / K, 0).
"""

from __future__ import annotations

from typing import Literal

from pairwright.pipelines.step_labels.log import Node, StepLog

Values = dict[str, tuple[float | None, ...]]


def following(before: float, left: int, r: float) -> float:
    """v_k in [0, 1] from v_{k-1} in [0, 1], m_k = `left` >= 0 and r_k in [0, 1]."""
    return min(1.0, max(0.0, before + (1 - before) / (left + 1) * (1 - 2 * r)))


def rest_values(log: StepLog, mode: Literal["full", "simple"] = "full") -> Values:
    """node_id -> v of each of its steps.

    `full`: every node on a way to a right end, and every node on the way to a wrong one below those.
    `simple`: one accepted solution, the shortest right one, and the first wrong step beside each of its steps; None for further
    steps of the same piece. The code gives that value to every sibling; here only one that ended wrong, and never right, has it.

    Nodes of which no end is known are left out, and without a right end all are.
    """
    left = _steps_left(log)
    lost = log.with_ancestors(n for n in log.nodes.values() if n.terminal and n.verdict == "wrong") - left.keys()
    if not left:
        return {}
    return _full(log, left, lost) if mode == "full" else _simple(log, left, lost)


def _steps_left(log: StepLog) -> dict[str, int]:
    """node_id -> the fewest steps from there to a right end, for nodes that have one at or below them."""
    found: dict[str, int] = {}
    for end in (n for n in log.nodes.values() if n.terminal and n.verdict == "right"):
        node, steps = end, 0
        while steps < found.get(node.node_id, steps + 1):
            found[node.node_id] = steps
            if node.parent_id is not None:
                steps += len(node.cuts)
                node = log.nodes[node.parent_id]
    return found


def _full(log: StepLog, left: dict[str, int], lost: set[str]) -> Values:
    found: Values = {}
    below: list[tuple[Node, float, int]] = [(log.root, 0.0, left[log.root.node_id])]  # node, its v, m_k of wrong steps after it
    for node, before, anchor in below:
        for child in log.children[node.node_id]:
            at, v, own = child.node_id, before, list[float | None]()
            if at not in left and at not in lost:
                continue
            for to_go in reversed(range(len(child.cuts))):
                v = following(v, left[at] + to_go, 0) if at in left else following(v, anchor, 1)
                own.append(v)
            found[at] = tuple(own)
            below.append((child, v, left.get(at, anchor)))
    return found


def _simple(log: StepLog, left: dict[str, int], lost: set[str]) -> Values:
    found: Values = {}
    node, depth, total = log.root, 0, left[log.root.node_id]
    while left[node.node_id]:
        children = log.children[node.node_id]
        for child in (c for c in children if c.node_id in lost):
            found[child.node_id] = (max((depth - 1) / total, 0.0), *[None] * (len(child.cuts) - 1))
        node = next(c for c in children if left.get(c.node_id, total) + len(c.cuts) == left[node.node_id])
        found[node.node_id] = tuple((depth + i + 1) / total for i in range(len(node.cuts)))
        depth += len(node.cuts)
    return found
