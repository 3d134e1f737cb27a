"""The small recipe on the scripted engine that many tests change a part of."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def settings(root: Path, **changes: Any) -> dict[str, Any]:
    """A small recipe; `changes` replace its parts."""
    return {
        "dataset": "fake",
        "root": str(root),
        "prompts": {"source": "builtin", "limit": 12},
        "models": {
            "policy": {"engine": "scripted"},
            "strong": {"engine": "scripted", "seed": 1, "quality": 0.9},
            "weak": {"engine": "scripted", "seed": 2, "quality": 0.1},
        },
        "sample": {"n": 4, "max_tokens": 40},
        "annotators": ["density_ratio"],
        "run": {"shard_prompts": 5},
    } | changes


def step_settings(root: Path, **changes: Any) -> dict[str, Any]:
    """A small recipe for step labels on the simulated solver; `changes` replace its parts."""
    return {
        "dataset": "steps",
        "root": str(root),
        "prompts": {"source": "jsonl", "path": str(root / "questions.jsonl")},
        "models": {
            "policy": {"engine": "solver", "error": 0.12},
            "judge": {"engine": "solver", "seed": 1},
            "verifier": {"engine": "exact"},
        },
        "steps": {"search": {"use": "omega_prm", "k": 4, "searches": 4}, "budget": {"rollouts": 150}},
        "run": {"shard_prompts": 4},
    } | changes


def write_questions(root: Path, count: int = 12, more: Iterable[dict[str, Any]] = ()) -> None:
    """Questions whose answer is 42, and what else is given."""
    rows = [{"prompt": f"Question {i}: what comes out?", "reference": "42"} for i in range(count)]
    root.mkdir(parents=True, exist_ok=True)
    (root / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, *more]))
