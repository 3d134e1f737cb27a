"""A build that waits for people, and files with their answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pairwright.annotators.registry import BUILT_IN
from pairwright.pipelines.build import Build
from pairwright.pipelines.recipe import parse_recipe
from tests.pipelines.review.people import PERSON, people_settings


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BUILT_IN, "person", PERSON)


@pytest.fixture
def asking(tmp_path: Path) -> Callable[..., Build]:
    """Make a build that asks people; the same folder each time."""
    return lambda **changes: Build(parse_recipe(people_settings(tmp_path, **changes), "the test's recipe"), tmp_path)


@pytest.fixture
def sampled(asking: Callable[..., Build]) -> Callable[..., Build]:
    """The same, its stages run, so that its questions wait."""

    def made(**changes: Any) -> Build:
        build = asking(**changes)
        with build.alone():
            build.sample()
            build.annotate()
        return build

    return made


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write rows to a file as a sheet does: a JSON list, one row a line."""

    def written(name: str, *rows: dict[str, Any]) -> Path:
        path = tmp_path / name
        path.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")
        return path

    return written
