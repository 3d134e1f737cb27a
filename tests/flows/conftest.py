"""A Prefect server for all tests of this room that need one, and a small recipe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.flows.flowing import add_prompts, write_recipe


@pytest.fixture(scope="session")
def flows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The flows' module, with a Prefect server that lives as long as the tests and leaves the user's own Prefect alone."""
    from pairwright.flows import prefect_flow

    from prefect import settings  # isort: skip - after the module, which sets Prefect's defaults
    from prefect.testing.utilities import prefect_test_harness  # isort: skip

    home = tmp_path_factory.mktemp("prefect")
    paths = {settings.PREFECT_LOCAL_STORAGE_PATH: home / "results", settings.PREFECT_MEMO_STORE_PATH: home / "memo"}
    with settings.temporary_settings(paths), prefect_test_harness(server_startup_timeout=120):
        yield prefect_flow


@pytest.fixture
def twelve(tmp_path: Path) -> Path:
    """A recipe over 12 prompts."""
    add_prompts(tmp_path, range(12))
    return write_recipe(tmp_path)
