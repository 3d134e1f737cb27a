"""How busy the machine is must not decide a test."""

from __future__ import annotations
