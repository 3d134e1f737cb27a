"""The small recipe on the scripted engine that many tests change a part of."""

from __future__ import annotations

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
