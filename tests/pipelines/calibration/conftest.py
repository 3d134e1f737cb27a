"""Simulated judges of labelled items."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pairwright.ids import seed_of
from pairwright.pipelines.calibration.judged import Judged


@pytest.fixture(scope="session")
def simulated() -> Callable[..., list[list[Judged]]]:
    """Answers of two judges to `n` items, some of which are hard for both. skill: 0 guesses; what a judge is sure of is right
    more often. silent: share of items the first judge says nothing readable about."""

    def make(n: int, run: int = 0, skill: tuple[float, float] = (0.5, 1.2), silent: float = 0.0) -> list[list[Judged]]:
        rng = np.random.default_rng(seed_of("simulated", n, run))
        ease, stages = rng.normal(0, 0.6, n), []
        for j, mean in enumerate(skill):
            signal = mean + ease + rng.normal(0, 0.8, n)  # above 0: the judge is right
            p = 1 / (1 + np.exp(-3 * np.abs(signal)))
            quiet = rng.random(n) < (silent if j == 0 else 0.0)
            stages.append(
                [
                    Judged(
                        f"{run}-{i}",
                        None if quiet[i] else float(p[i]),
                        bool(signal[i] > 0 and not quiet[i]),
                        cost_tokens=10.0 ** (j + 1),
                        features={} if quiet[i] else {"confidence": float(p[i]), "margin": float(abs(signal[i])), "same": 1.0},
                    )
                    for i in range(n)
                ]
            )
        return stages

    return make
