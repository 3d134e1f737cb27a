"""Shelves: what a stage has finished, kept by what it depends on, so that nothing is paid for twice.

A shelf is a folder named by a stage's fingerprint (the settings and models its rows depend on); its Parquet files each hold the
rows of some finished keys (prompts or groups), whole or not at all. What is left to do is an anti-join of keys.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pairwright.files import write_text
from pairwright.ids import digest
from pairwright.storage.parquet import is_sound, read_table, write_table

ABOUT = "_about.json"


class Shelf:
    """The finished rows of one stage under one fingerprint. `about`: the settings behind the fingerprint, for `explain`."""

    def __init__(self, folder: Path, schema: pa.Schema, key: str, about: Mapping[str, Any]) -> None:
        self.fingerprint = digest(about)
        self.folder, self.schema, self.key, self.about = folder / self.fingerprint, schema, key, about
        self.set_aside: list[Path] = []

    def files(self) -> list[Path]:
        """The finished files. One that cannot be read is set aside (renamed), so that its rows are made again."""
        found = []
        for path in sorted(self.folder.glob("*.parquet")):
            if is_sound(path):
                found.append(path)
            else:
                self.set_aside.append(path.rename(path.with_suffix(".damaged")))
        return found

    def keys(self) -> set[str]:
        """The keys that are done."""
        done: set[str] = set()
        for path in self.files():
            done.update(read_table(path, [self.key])[self.key].unique().to_pylist())
        return done

    def announce(self) -> None:
        """Write down which settings this shelf is for, before anything of it is finished."""
        if not (self.folder / ABOUT).exists():
            write_text(self.folder / ABOUT, json.dumps(self.about, indent=2, sort_keys=True, default=str))

    def add(self, rows: Sequence[Mapping[str, Any]]) -> Path:
        """Keep the rows of some finished keys as one new file."""
        self.announce()
        path = self.folder / f"{digest(sorted({row[self.key] for row in rows}))}.parquet"
        write_table(path, pa.Table.from_pylist(list(rows), schema=self.schema), self.schema)
        return path

    def forget(self, reasons: frozenset[str]) -> int:
        """Take off the shelf every key that has a row with one of `reasons`, so that it is made again; how many there were."""
        forgotten = 0
        for path in self.files():
            table = read_table(path, [self.key, "reason"])
            gone = table.filter(pc.is_in(table["reason"], pa.array(reasons, pa.string())))[self.key].unique()
            if len(gone):
                rows = read_table(path)
                write_table(path, rows.filter(pc.invert(pc.is_in(rows[self.key], gone))), self.schema)
                forgotten += len(gone)
        return forgotten

    def failed(self, reasons: frozenset[str]) -> list[str]:
        """The keys that have a row with one of `reasons`, sorted. Changes nothing."""
        wanted, found = pa.array(reasons, pa.string()), set[str]()
        for path in filter(is_sound, self.folder.glob("*.parquet")):
            table = read_table(path, [self.key, "reason"])
            found.update(table.filter(pc.is_in(table["reason"], wanted))[self.key].to_pylist())
        return sorted(found)

    def others(self) -> list[dict[str, Any]]:
        """The settings of the other shelves of this stage, newest first."""
        abouts = [p for p in self.folder.parent.glob(f"*/{ABOUT}") if p.parent != self.folder]
        return [json.loads(p.read_text()) for p in sorted(abouts, key=lambda p: -p.stat().st_mtime)]


def differences(old: Any, new: Any, path: str = "") -> Iterable[str]:
    """What changed between two nested settings, as `dotted.path old -> new`."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
    elif old != new:
        yield f"{path}: {_short(old)} -> {_short(new)}"


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) < 60 else text[:57] + "..."
