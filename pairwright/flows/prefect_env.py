"""Is a Prefect API configured? Asked without importing Prefect, so that a plain build does not wait for it."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path


def api_configured() -> bool:
    """True if $PREFECT_API_URL is set, or the active Prefect profile sets it."""
    if os.environ.get("PREFECT_API_URL"):
        return True
    home = Path(os.environ.get("PREFECT_HOME") or Path.home() / ".prefect")
    path = Path(os.environ.get("PREFECT_PROFILES_PATH") or home / "profiles.toml")
    try:
        profiles = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError):
        return False
    active = os.environ.get("PREFECT_PROFILE") or profiles.get("active")
    return bool(profiles.get("profiles", {}).get(active, {}).get("PREFECT_API_URL"))
