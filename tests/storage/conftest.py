from __future__ import annotations

from pathlib import Path

import pytest

from pairwright.storage.versions import Dataset


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset(tmp_path / "it's a root", "prefs")
