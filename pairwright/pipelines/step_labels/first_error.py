"""Hard labels of steps, and with them e_MC: the first step of a solution after which no rollout was right.

What is known of the prefix that ends with a step, first rule that applies:

1. The solution ends with it: it is good if the verdict is right.
2. It was rolled out from, and not mostly in vain (low_trust): it is good if more than `threshold` rollouts were right. So a step
   may be bad although the solution recovered and ended right; then a right answer has a wrong step.
3. Something right was reached through it: a later prefix that is good by 1 or 2, of this solution or of another that shares the
   prefix. It is good by implication, whatever the threshold.
4. Nothing is known.

e_MC is the first bad step if every step before it is good, else it cannot be said. Estimates are not monotone (Math-Shepherd,
arXiv 2312.08935), which is why rule 2 comes before rule 3. That position 0, the question, is good is taken for granted.
"""

from __future__ import annotations

from dataclasses import dataclass

from pairwright.pipelines.step_labels.log import Node, Place, Solution, StepLog


@dataclass(frozen=True, slots=True)
class FirstError:
    """`index`: the 0-based first bad step, None if there is none; or `reason`: why that cannot be said."""

    index: int | None
    reason: str | None = None


class Hard:
    """The hard labels of one question's tree."""

    def __init__(self, log: StepLog, threshold: int = 0) -> None:
        self.threshold = threshold
        self.reached = log.with_ancestors(n for n in log.nodes.values() if self._counted(n) or n.verdict == "right")

    def labels(self, solution: Solution) -> list[bool | None]:
        """Whether each step is good; None: not known."""
        *before, _ = solution.places()
        return [*(self._label(place) for place in before), solution.leaf.verdict == "right"]

    def first_error(self, solution: Solution) -> FirstError:
        """e_MC, or a reason: the leaf's own (cut, no_answer, budget_rollouts, ...), `unparsed` if it has none, `low_trust` if a
        node whose rollouts could mostly not be compared lies between good and bad, `not_located` if only steps that were never
        estimated do."""
        leaf = solution.leaf
        if leaf.reason is not None or leaf.verdict not in ("right", "wrong"):
            return FirstError(None, leaf.reason or "unparsed")
        labels = self.labels(solution)
        if False not in labels:
            return FirstError(None)
        index = labels.index(False)
        unknown = [place for place, good in zip(solution.places()[:index], labels[:index], strict=True) if good is None]
        if not unknown:
            return FirstError(index)
        return FirstError(None, "low_trust" if any(p.last and p.node.low_trust for p in unknown) else "not_located")

    def rests_on(self, place: Place, solution: Solution) -> tuple[int, int]:
        """The rollouts and the right ones among them that a step's label was read from; (0, 0) if from something else."""
        node = place.node
        counts = place.last and node is not solution.leaf and self._counted(node) is not None
        return (node.n, node.correct) if counts else (0, 0)

    def _label(self, place: Place) -> bool | None:
        own = self._counted(place.node) if place.last else None
        return True if own is None and place.node.node_id in self.reached else own

    def _counted(self, node: Node) -> bool | None:
        return None if node.estimate is None else node.correct > self.threshold
