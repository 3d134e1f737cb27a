"""A build in a temporary folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pairwright.engines.scripted import ScriptedEngine
from pairwright.pipelines.build import Build
from pairwright.pipelines.recipe import parse_recipe
from tests.recipes import settings


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Build]:
    """Make a build; the same folder each time."""

    def made(base: Path | None = None, **changes: Any) -> Build:
        return Build(parse_recipe(settings(tmp_path, **changes), "the test's recipe"), base or tmp_path)

    return made


@pytest.fixture(autouse=True)
def _uncounted() -> None:
    ScriptedEngine.requests_seen.clear()
