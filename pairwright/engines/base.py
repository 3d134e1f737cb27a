"""What every engine is: something that takes requests and, step by step, gives results back. One thread, no callbacks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from pairwright.engines.requests import Request, Result, Usage


class ModelConfig(BaseModel, ABC):
    """One model and how to run it. Subclasses add an `engine: Literal[...]` field, by which the recipe tells them apart."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provides: ClassVar[frozenset[str]] = frozenset()
    """Request kinds ("generate", "score", "choose", "verify") and extras ("hidden_sum", "fresh_draws", ...) it can answer."""

    light: ClassVar[bool] = False
    """Needs neither a GPU nor much memory: always loaded when asked for, beside whatever model is resident."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A hash of everything answers depend on (weights, dtype, template, engine); found without loading the model.

        Raises PairwrightError when the model is not there.
        """

    @abstractmethod
    def load(self) -> Engine:
        """Load the model. Raises EngineError with the fix in it when that cannot be done."""

    def check_labels(self, labels: Sequence[str]) -> None:
        """Raise PairwrightError if a `Choose` among `labels` could not be answered. Loads no weights."""

    def money(self, usage: Usage) -> float:
        """What `usage` costs with this model; 0 where nothing is charged."""
        return 0.0

    @abstractmethod
    def label(self) -> str:
        """A short name of the model, for rows and messages; never holds a secret."""


class Engine(ABC):
    """A loaded model. `submit` queues, `step` works a little and returns what is finished, in any order.

    A request that fails on its own comes back as `Failed`. `step` raises only when the engine itself is dead; the runner then
    restarts it once and submits again what was in flight.
    """

    window: int = 64
    """How many requests in flight keep this engine busy."""

    @abstractmethod
    def submit(self, ticket: str, request: Request) -> None:
        """Queue `request`; its result will carry `ticket`."""

    @abstractmethod
    def step(self) -> list[tuple[str, Result]]:
        """Do some work if there is any and return the finished (ticket, result) pairs, possibly none."""

    def close(self) -> None:  # noqa: B027 - most engines hold nothing but memory
        """Free the model's memory."""
