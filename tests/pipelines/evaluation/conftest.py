"""Labelled files in a temporary folder, and the oracle's annotators by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pairwright.annotators import registry

ORACLES = ("Oracle", "Worth", "Silent", "Faulty")


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Write rows as JSONL and return the path."""

    def write(rows: list[dict[str, Any]], name: str = "labelled.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write


@pytest.fixture
def oracles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the oracle's annotators known as oracle, worth, silent and faulty."""
    for name in ORACLES:
        monkeypatch.setitem(registry.BUILT_IN, name.lower(), f"tests.pipelines.evaluation.oracle:{name}")
