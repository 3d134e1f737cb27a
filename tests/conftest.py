"""For every room: property tests without a deadline, for how busy the machine is must not decide a test."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("house", deadline=None)
settings.load_profile("house")
