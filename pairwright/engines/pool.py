"""Which model answers for which role, and which models are loaded. Roles with equal models share one engine."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping

from pairwright.engines.base import Engine, ModelConfig
from pairwright.engines.requests import DROPOUT, Usage
from pairwright.errors import EngineError, PairwrightError


class EnginePool:
    """At most `max_resident` models are loaded at a time; `loads` counts how often each was."""

    def __init__(self, roles: Mapping[str, ModelConfig], max_resident: int = 1) -> None:
        self.roles = dict(roles)
        self.max_resident = max(1, max_resident)
        self.loads: Counter[str] = Counter()
        self.resident: dict[str, Engine] = {}
        self._fingerprints: dict[ModelConfig, str] = {}
        self._configs: dict[str, ModelConfig] = {}
        self._restarted: set[str] = set()

    def config(self, role: str) -> ModelConfig:
        """The model of `role`; an error with the fix if it has none."""
        if role not in self.roles:
            raise PairwrightError(f"the role {role!r} has no model: add `{role}:` under `models` in the recipe")
        return self.roles[role]

    def model(self, role: str) -> str:
        """The fingerprint of the role's model. Loads nothing."""
        config = self.config(role)
        if config not in self._fingerprints:
            self._fingerprints[config] = config.fingerprint()
        fingerprint = self._fingerprints[config]
        self._configs.setdefault(fingerprint, config)
        return fingerprint

    def require(self, role: str, needs: frozenset[str], who: str) -> None:
        """Refuse before anything is paid for if the role's engine cannot do what `who` needs of it."""
        lacking = sorted(needs - self.config(role).provides)
        if lacking:
            engine = getattr(self.config(role), "engine", "?")
            other = {"review": "people", "verify": "math_verify"}.get(lacking[0], "transformers")
            dropout = " and `attention_dropout: 0.1`" if DROPOUT in lacking else ""
            raise PairwrightError(
                f"{who} needs {', '.join(lacking)} of the role {role!r}, which the engine {engine!r} does not give: "
                f"set `engine: {other}`{dropout} for `models.{role}`, or give {who} another role"
            )

    def money(self, model: str, usage: Usage) -> float:
        """What `usage` of the model cost, in the currency of its prices."""
        return self._configs[model].money(usage)

    def label(self, model: str) -> str:
        """A short name of the model with this fingerprint."""
        return self._configs[model].label()

    def light(self, model: str) -> bool:
        """Does this model take no room?"""
        return self._configs[model].light

    def heavy(self) -> dict[str, Engine]:
        """The loaded models that take room."""
        return {m: e for m, e in self.resident.items() if not self.light(m)}

    def load(self, model: str, idle: set[str]) -> Engine:
        """The engine of `model`, loaded if need be; models in `idle` leave first when there is no room."""
        if model in self.resident:
            return self.resident[model]
        for other in [m for m in self.heavy() if m in idle and not self.light(model)]:
            if self.has_room():
                break
            self.resident.pop(other).close()
        self.resident[model] = self._start(model)
        return self.resident[model]

    def has_room(self) -> bool:
        """May one more model be loaded without another leaving?"""
        return len(self.heavy()) < self.max_resident

    def restart(self, model: str, error: Exception) -> Engine:
        """Start a dead engine again, once; the second death stops the build."""
        dead = self.resident.pop(model, None)
        if dead is not None:
            with contextlib.suppress(Exception):
                dead.close()
        if model in self._restarted or isinstance(error, EngineError):
            raise EngineError(
                f"the engine of {self.label(model)} died{' twice' if model in self._restarted else ''}: {error}. "
                "What is finished is kept: run the same command again to go on"
            ) from error
        self._restarted.add(model)
        self.resident[model] = self._start(model)
        return self.resident[model]

    def close(self) -> None:
        """Free every model."""
        while self.resident:
            self.resident.popitem()[1].close()

    def _start(self, model: str) -> Engine:
        self.loads[model] += 1
        config = self._configs[model]
        try:
            engine = config.load()
        except PairwrightError:
            raise
        except Exception as error:
            raise EngineError(f"cannot load {self.label(model)}: {type(error).__name__}: {error}") from error
        if config.fingerprint() != model:
            engine.close()
            raise EngineError(f"the model {self.label(model)} changed on disk while the build was running: run the command again")
        return engine
