"""Content hashes. Every id and every seed in Pairwright comes from here, so equal content has equal ids everywhere."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

ID_CHARS = 24  # 96 bits: among a thousand million rows the chance that two ids meet is below 1e-11


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, frozenset | set):
        return sorted(value)
    raise TypeError(f"cannot hash a {type(value).__name__}")


def canonical(value: Any) -> str:
    """One text for equal values: JSON with sorted keys, no spaces; tuples as lists, sets sorted, dataclasses by field."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_plain)


def digest(*parts: Any) -> str:
    """A hex id of `ID_CHARS` characters that depends on nothing but the content of `parts`."""
    return hashlib.blake2b(canonical(parts).encode("utf-8", "surrogatepass"), digest_size=ID_CHARS // 2).hexdigest()


def seed_of(*parts: Any) -> int:
    """A seed in [0, 2**31) that depends on nothing but the content of `parts`."""
    return int(digest("seed", *parts)[:8], 16) & 0x7FFFFFFF
