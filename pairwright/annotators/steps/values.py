"""Where the value of an unfinished node comes from: a number in [0, 1], 1 if its solution is sure to end right. None: not known.

A trained value network is none of these: AlphaMath reads its own from a fork of vLLM. With stock engines a judge or rollouts
stand in (our design).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from pairwright.annotators.steps.base import Asking, Part, guarded
from pairwright.annotators.steps.moves import Moves
from pairwright.annotators.wording import last_user_text, texts
from pairwright.engines.requests import Choose, Turn
from pairwright.engines.runner import gather

LABELS = ("Yes", "No")


class Value(Part, ABC):
    """A source of values; subclasses are told apart by `by`."""

    def roles(self) -> dict[str, frozenset[str]]:
        """The roles it asks besides the completer, each with what its engine must provide."""
        return {}

    def evaluate(self, moves: Moves, nodes: Sequence[int]) -> Asking:
        """The values of `nodes` as a list, asked for side by side; None where nothing is known. They are kept as `tree.value`,
        which is not measured twice."""
        value = moves.tree.value
        stops = yield from gather(*(guarded(self._measure(moves, n)) for n in dict.fromkeys(nodes) if value[n] is None))
        for stop in stops:
            if stop is not None:
                raise stop
        return [value[node] for node in nodes]

    @abstractmethod
    def _measure(self, moves: Moves, node: int) -> Asking:
        """Set one node's value."""


class NoValue(Value):
    """Nothing is known before the end: V counts as 0 on AlphaMath's scale from -1 to 1, as in its first round."""

    by: Literal["none"] = "none"

    def evaluate(self, moves: Moves, nodes: Sequence[int]) -> Asking:
        yield from ()
        return [None] * len(nodes)

    def _measure(self, moves: Moves, node: int) -> Asking:
        yield from ()


class RolloutValue(Value):
    """The share of right rollouts, MC = c / n: needs no second model. A node that was rolled out from is not again. Not known
    where too many of them could not be compared."""

    by: Literal["rollouts"] = "rollouts"
    k: int = Field(4, ge=1, description="rollouts per node")

    def _measure(self, moves: Moves, node: int) -> Asking:
        count = moves.tree.count(node, moves.settings.completer)
        if not count.n:
            yield from moves.estimate(node, self.k)
        moves.tree.value[node] = None if count.low_trust else count.rate


class JudgeValue(Value):
    """A judge's probability, between two labels, that the solution so far is on the right track; the question is our own."""

    by: Literal["judge"] = "judge"
    role: str = Field("value", description="the role that is asked")

    def roles(self) -> dict[str, frozenset[str]]:
        return {self.role: frozenset({"choose"})}

    def _measure(self, moves: Moves, node: int) -> Asking:
        words = texts("step_value")
        question = last_user_text(moves.question.prompt) or ""
        asked = words["on_track"].format(question=question, solution=moves.tree.text(node) or words["nothing_yet"])
        (chosen,) = yield from moves.ask(node, [Choose(self.role, (Turn("user", asked),), LABELS)])
        moves.tree.value[node] = chosen.probabilities[0]


AnyValue = Annotated[NoValue | RolloutValue | JudgeValue, Field(discriminator="by")]
