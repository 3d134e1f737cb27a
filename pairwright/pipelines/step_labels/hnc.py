"""Hierarchical node compression (HRM, arXiv 2503.13551; from its code, the paper's tables were not found).

Of a node with at least four children, with some probability, one child is merged into it: their two steps become one, after the
node's parent. A solution through both is thereby also a coarser example, its merged step labelled as the later of the two.

There, a node's score is the share of right leaves below it, so a merge also shifts the shares of the node and its parent, as
intended noise. Ours rest on rollouts, which stay as they were counted: what is taken over is the coarse example. That the child
must be of "height >= 2" is read as: two levels below the question, so that the merged node has a parent.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

from pairwright.ids import seed_of
from pairwright.pipelines.step_labels.config import LabelConfig
from pairwright.pipelines.step_labels.log import Solution, StepLog
from pairwright.pipelines.step_labels.stepwise import Labelled

CHILDREN = 4
METHOD = "+hnc"


def compressed(log: StepLog, solutions: Sequence[Labelled], config: LabelConfig) -> list[Labelled]:
    """The further, coarser rows of `solutions` that lead through a merge; each keeps its solution's id, and its method says
    `<method>+hnc`. Which nodes are merged depends on their ids and `config.seed` alone. Equal rows are given once."""
    merges = dict(_merges(log, config))
    made = [row for solution in solutions if (row := _merged(log, solution, merges)) is not None]
    return list({(row.steps, row.labels): row for row in reversed(made)}.values())[::-1]


def _merges(log: StepLog, config: LabelConfig) -> Iterator[tuple[str, str]]:
    """Nodes and the children to be merged into them; both are one step each."""
    for node in log.nodes.values():
        children = log.children[node.node_id]
        single = sorted(c.node_id for c in children if len(c.cuts) == 1)
        chance = random.Random(seed_of("hnc", config.seed, node.node_id))
        if (
            node is not log.root
            and len(node.cuts) == 1
            and len(children) >= CHILDREN
            and single
            and chance.random() < config.compress
        ):
            yield node.node_id, chance.choice(single)


def _merged(log: StepLog, solution: Labelled, merges: dict[str, str]) -> Labelled | None:
    """`solution` with its merged steps as one, from the first step on, at most two into one; None if it has none."""
    nodes = [place.node.node_id for place in Solution(log.path(log.nodes[solution.solution_id])).places()]
    begins, i, end = list[int](), 0, len(solution.steps)
    while i < end:
        begins.append(i)
        i += 2 if i + 1 < end and merges.get(nodes[i]) == nodes[i + 1] else 1
    if len(begins) == end:
        return None
    spans = list(zip(begins, [*begins[1:], end], strict=True))
    labels = tuple(solution.labels[b - 1] for _, b in spans)
    return replace(
        solution,
        steps=tuple("".join(solution.steps[a:b]) for a, b in spans),
        ids=tuple(sum(solution.ids[a:b], ()) for a, b in spans),
        labels=labels,
        scores=tuple(solution.scores[b - 1] for _, b in spans),
        n=tuple(solution.n[b - 1] for _, b in spans),
        correct=tuple(solution.correct[b - 1] for _, b in spans),
        first_error=labels.index(False) if False in labels else None,
        method=solution.method + METHOD,
    )
