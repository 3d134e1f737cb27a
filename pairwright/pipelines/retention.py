"""Retention: which old versions go, by rule, and what that frees. The latest version and pinned ones always stay."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pairwright.errors import PairwrightError
from pairwright.storage.versions import Dataset

UNITS = {"h": "hours", "d": "days", "w": "weeks"}
NAMES = {"hourly": "1h", "daily": "1d", "weekly": "1w"}
MONDAY = datetime(1970, 1, 5, tzinfo=UTC)  # periods are counted from here, so `7d` is a week from Monday to Sunday


@dataclass(frozen=True)
class Keep:
    """What stays; a version stays if one of these says so. `last`: so many of the newest; `within`: those made that recently;
    `every`: the newest of each period of that length (UTC)."""

    last: int = 0
    within: timedelta | None = None
    every: timedelta | None = None

    def __post_init__(self) -> None:
        if self.last < 0:
            raise PairwrightError(f"--keep-last {self.last} keeps nothing that could be counted: give 1 or more")
        if not self.last and self.within is None and self.every is None:
            raise PairwrightError(
                "say what to keep: --keep-last 10, --keep-within 30d or --keep-every weekly (or several of them)"
            )


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a version. `kept_by`: the first reason to keep it; empty: it goes. `bytes`: on disk, shared ones too."""

    version: int
    created: str
    bytes: int
    kept_by: str


@dataclass(frozen=True)
class Pruning:
    """Every version's fate, in order, and the `bytes` on disk that no kept file shares and that are therefore freed."""

    fates: tuple[Fate, ...]
    freed: int

    @property
    def gone(self) -> list[int]:
        """The versions that go."""
        return [fate.version for fate in self.fates if not fate.kept_by]


def prune(dataset: Dataset, keep: Keep, now: datetime, dry_run: bool = False) -> Pruning:
    """Remove the versions that no rule keeps; with `dry_run` only say which.

    Safe while a build runs, and after a prune that was killed: what that left half-deleted is cleared away first.
    """
    if not dry_run:
        dataset.clean_staging()
    found = plan(dataset, keep, now)
    if found.gone and not dry_run:
        dataset.remove(found.gone)
    return found


def plan(dataset: Dataset, keep: Keep, now: datetime) -> Pruning:
    """What `prune` would do at the time `now`."""
    versions = dataset.versions()
    created = {n: dataset.manifest(n).created for n in versions}
    reasons = _reasons(created, keep, now, dataset.pins())
    fates = tuple(Fate(n, created[n], _bytes(dataset, [n], shared=True), reasons.get(n, "")) for n in versions)
    gone = [fate.version for fate in fates if not fate.kept_by]
    return Pruning(fates, _bytes(dataset, gone, shared=False))


def duration(text: str) -> timedelta:
    """`12h`, `30d`, `2w`, or hourly, daily, weekly."""
    match = re.fullmatch(r"([1-9]\d{0,5})([hdw])", NAMES.get(text, text))
    if match is None:
        raise PairwrightError(f"{text!r} is not a length of time: write 12h, 30d or 2w, or hourly, daily, weekly")
    return timedelta(**{UNITS[match[2]]: int(match[1])})


def _reasons(created: Mapping[int, str], keep: Keep, now: datetime, pins: Mapping[int, str]) -> dict[int, str]:
    """Why each version that stays does."""
    reasons: dict[int, str] = {}
    periods: set[int] = set()
    for place, n in enumerate(sorted(created, reverse=True)):
        made = datetime.fromisoformat(created[n]).astimezone(UTC)
        period = (made - MONDAY) // keep.every if keep.every else 0
        if place == 0:
            reasons[n] = "the latest"
        elif n in pins:
            reasons[n] = f"pinned{f': {pins[n]}' if pins[n] else ''}"
        elif place < keep.last:
            reasons[n] = f"one of the last {keep.last}"
        elif keep.within is not None and now - made <= keep.within:
            reasons[n] = "made recently"
        elif keep.every is not None and period not in periods:
            reasons[n] = "the newest of its period"
        periods.add(period)
    return reasons


def _bytes(dataset: Dataset, versions: Collection[int], shared: bool) -> int:
    """The bytes on disk of these versions' files, each file once; without `shared` only files that have no link elsewhere."""
    links: dict[tuple[int, int], int] = {}
    sizes: dict[tuple[int, int], tuple[int, int]] = {}
    for stat in _stats(dataset, versions):
        identity = stat.st_dev, stat.st_ino
        links[identity] = links.get(identity, 0) + 1
        sizes[identity] = stat.st_blocks * 512, stat.st_nlink
    return sum(size for identity, (size, all_links) in sizes.items() if shared or links[identity] == all_links)


def _stats(dataset: Dataset, versions: Collection[int]) -> Iterator[os.stat_result]:
    for n in versions:
        for path in dataset.path(n).rglob("*"):
            if path.is_file():
                yield path.stat()
