"""For every room: property tests without a deadline, for how busy the machine is must not decide a test."""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("house", deadline=None)
settings.load_profile("house")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that at the end no worker waits for the other."""
    long = {item.path for item in items if item.get_closest_marker("kill") or item.get_closest_marker("prefect")}
    items.sort(key=lambda item: item.path not in long)
