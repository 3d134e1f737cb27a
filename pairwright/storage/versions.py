"""Datasets: a name with immutable versions on disk. A version appears whole, by one rename, or not at all.

Layout: `<root>/<name>/version=<n>/<table>/train-00000-of-0000N.parquet`, beside the tables `_manifest.json` and a README.md
that `datasets` reads, and one README.md above all versions so that pointing at the dataset never mixes them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import itertools
import json
import re
import shutil
import uuid
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from pairwright import files
from pairwright.errors import PairwrightError
from pairwright.storage import card, hashing, parquet
from pairwright.storage.manifest import LABELS_ABSOLUTE, LABELS_RELATIVE, MANIFEST, FileEntry, Manifest

README = "README.md"
PINS = "_pins.json"
SHARD_ROWS = 500_000
TRAIN = "train"
Seals = dict[tuple[int, int, int], FileEntry]  # (device, inode, bytes) -> what is known of the file


class Dataset:
    """A named dataset below `root`; nothing is made on disk before the first version is staged."""

    def __init__(self, root: Path, name: str) -> None:
        self.name = files.check_name(name, "dataset name")
        self.folder = root / name

    def versions(self) -> list[int]:
        """The numbers of all whole versions, ascending."""
        found = (re.fullmatch(r"version=([1-9]\d*)", path.parent.name) for path in self.folder.glob(f"version=*/{MANIFEST}"))
        return sorted(int(match[1]) for match in found if match)

    def latest(self) -> int | None:
        """The highest version number, or None if there is no version yet."""
        return max(self.versions(), default=None)

    def path(self, n: int) -> Path:
        """The folder of version `n`."""
        if n not in (versions := self.versions()):
            has = f"it has {', '.join(map(str, versions))}" if versions else "it has none yet: build one first"
            raise PairwrightError(f"dataset {self.name} in {self.folder.parent} has no version {n}: {has}")
        return self.folder / f"version={n}"

    def manifest(self, n: int) -> Manifest:
        """The manifest of version `n`."""
        return Manifest.read(self.path(n) / MANIFEST)

    def tables(self, n: int) -> dict[str, list[Path]]:
        """The Parquet files of version `n` by table, as its manifest lists them. Raises PairwrightError if one is gone."""
        folder, manifest = self.path(n), self.manifest(n)
        found: dict[str, list[Path]] = {table: [] for table in manifest.tables()}
        for entry in manifest.files:
            path = folder / entry.path
            if not path.is_file():
                raise PairwrightError(
                    f"{path} is missing: restore it, or delete the whole folder {folder} to give up version {n}"
                )
            found[entry.path.partition("/")[0]].append(path)
        return found

    def verify(self, n: int, deep: bool = False) -> list[str]:
        """What differs from the manifest of version `n`, one sentence each; `deep` also reads every file again."""
        folder, entries = self.path(n), {entry.path: entry for entry in self.manifest(n).files}
        on_disk = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        problems = [f"{name} is not in the manifest" for name in sorted(on_disk.keys() - entries.keys() - {MANIFEST, README})]
        for name, entry in entries.items():
            if name not in on_disk:
                problems.append(f"{name} is missing")
            elif (size := on_disk[name].stat().st_size) != entry.bytes:
                problems.append(f"{name} has {size} bytes, the manifest says {entry.bytes}")
            elif deep and _sha256(on_disk[name]) != entry.sha256:
                problems.append(f"{name} has other content than when it was committed")
        return problems

    @contextlib.contextmanager
    def stage(self) -> Iterator[Staging]:
        """A new version in the making. Unless it is committed inside the `with` block, nothing of it stays."""
        folder = self._staging / uuid.uuid4().hex
        lock = folder.with_suffix(".lock")
        with contextlib.ExitStack() as held:
            with self._turn():
                held.enter_context(files.exclusive(lock, f"{folder} is in use"))
                folder.mkdir()
            try:
                yield Staging(self, folder)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
                lock.unlink(missing_ok=True)

    def clean_staging(self) -> int:
        """Remove what killed processes left behind, staged versions and temporary files; returns how many things went."""
        if not self.folder.exists():
            return 0
        removed = 0
        with self._turn():
            for lock in list(self._staging.glob("*.lock")):
                with contextlib.suppress(PairwrightError), files.exclusive(lock, "alive"):
                    shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                    lock.unlink(missing_ok=True)
                    removed += 1
            for path in self.folder.glob(f"{files.TEMPORARY}*"):
                path.unlink()
                removed += 1
        return removed

    def write_card(self) -> None:
        """Rewrite the README.md above the versions: one config per version and table, the latest `preference` as default."""
        with self._turn():
            self._write_card(self.versions())

    def remove(self, numbers: Collection[int]) -> None:
        """Take versions away for good, each whole and by one rename; a process killed in the middle leaves the others as they
        were, and its rest goes with the next `clean_staging`. The card forgets them first, so it never names what is gone.

        The latest version stays, so no number is given twice: raises PairwrightError if it is among `numbers`. Other versions
        lose nothing, for a version's files are its own or hard links, and a parent is only a number in a manifest.
        """
        with files.kind_os_errors(self.folder / README), self.stage() as trash, self._turn():
            versions = self.versions()
            if versions and versions[-1] in numbers:
                raise PairwrightError(
                    f"version {versions[-1]} is the latest of {self.folder}: it stays, or delete the whole dataset"
                )
            doomed = sorted(set(numbers) & set(versions))
            if doomed:
                self._write_card([n for n in versions if n not in doomed])
            for n in doomed:
                self.path(n).rename(trash.folder / f"version={n}")
                files.fsync_folder(self.folder)

    def pins(self) -> dict[int, str]:
        """The versions that are to be kept whatever a rule says, each with a note."""
        try:
            found = json.loads((self.folder / PINS).read_text(encoding="utf-8"))
            return {int(n): str(note) for n, note in found.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, AttributeError) as error:
            raise PairwrightError(
                f"{self.folder / PINS} is damaged ({error}): delete it, and pin again what is to be kept"
            ) from None

    def pin(self, n: int, note: str | None) -> None:
        """Keep version `n` whatever a rule says; a note of None takes the pin off."""
        self.path(n)
        with self._turn():
            pins = self.pins() | {n: note}
            kept = {str(k): text for k, text in sorted(pins.items()) if text is not None}
            files.write_text(self.folder / PINS, json.dumps(kept, indent=2, ensure_ascii=False) + "\n")

    def seals(self, versions: list[int]) -> Seals:
        """The sums of the files of `versions`, by what identifies a hard link to them.

        A hard link is the same file, so its sum is the one taken when it was first committed; should somebody have edited
        the file since, the old sum is the right one to keep, for then `verify` tells.
        """
        known: Seals = {}
        for n in set(versions):
            with contextlib.suppress(PairwrightError):  # removed, maybe only now: its files are then read again
                for entry in self.manifest(n).files:
                    with contextlib.suppress(FileNotFoundError):
                        known[_identity(self.path(n) / entry.path)] = entry
        return known

    def _write_card(self, versions: list[int]) -> None:
        files.write_text(self.folder / README, card.dataset_card(self.name, [self.manifest(n) for n in versions]))

    @property
    def _staging(self) -> Path:
        return self.folder / "_staging"

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait for one's turn at what processes must not do at once: begin or clear a staging folder, write the card."""
        with files.kind_os_errors(self._staging / "turn"):
            self._staging.mkdir(parents=True, exist_ok=True)
            with (self._staging / "turn").open("a") as handle:
                fcntl.flock(handle, fcntl.LOCK_EX)
                yield


class Staging:
    """A version in the making: a folder of tables, held by a lock that ends with its process."""

    def __init__(self, dataset: Dataset, folder: Path) -> None:
        self.dataset = dataset
        self.folder = folder
        self._begun: Counter[str] = Counter()  # files of each table

    def write(self, table: str, rows: parquet.Rows, schema: pa.Schema, shard_rows: int = SHARD_ROWS, split: str = TRAIN) -> int:
        """Append `rows` to a split of `table` in files of `shard_rows`, in bounded memory; no rows still make one empty file."""
        written = 0
        for _, part in itertools.groupby(_cut(rows, schema, shard_rows), key=lambda numbered: numbered[0]):
            written += parquet.write_table(self._next(table, split), (piece for _, piece in part), schema)
        return written

    def link(self, table: str, source: Path) -> int:
        """Append a finished Parquet file to `table` without copying it (or by copying, where links are not possible)."""
        count = parquet.rows(source)
        target = self._next(table)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.hardlink_to(source)
        except OSError:
            with files.whole_file(target) as temporary:
                shutil.copyfile(source, temporary)
        return count

    def commit(self, manifest: Manifest) -> int:
        """Seal the staged tables as the next version and return its number.

        Fills in `files`, both hashes, `dataset` and `version`. Raises AccountingError if a stage's rows do not add up.
        """
        for account in manifest.accounting:
            account.check()
        with files.kind_os_errors(self.dataset.folder / README):
            tables = self._number_shards()
            known = self.dataset.seals(manifest.parents)
            sealed = {path: known[_identity(path)] for paths in tables.values() for path in paths if _identity(path) in known}
            summed = {path: hashing.Sums(e.logical_sum, e.exact_sum) for path, e in sealed.items() if e.exact_sum}
            sums = hashing.sums_of(tables, summed)
            logical, exact = hashing.hashes(tables, sums)
            filled = {
                "dataset": self.dataset.name,
                "files": self._entries(tables, sums, sealed),
                "logical_hash": logical,
                "exact_hash": exact,
                "notes": [
                    *manifest.notes,
                    *([] if {LABELS_ABSOLUTE, LABELS_RELATIVE} & {*manifest.notes} else [LABELS_RELATIVE]),
                ],
            }
            n = self._rename(manifest.model_copy(update=filled))
        self.dataset.write_card()
        return n

    def _rename(self, manifest: Manifest) -> int:
        """Take the next free number. The rename decides: it fails if another process took that number meanwhile."""
        for n in itertools.count((self.dataset.latest() or 0) + 1):
            numbered = manifest.model_copy(update={"version": n})
            files.write_text(self.folder / README, card.version_card(numbered))
            numbered.write(self.folder / MANIFEST)
            try:
                self.folder.rename(self.dataset.folder / f"version={n}")
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                continue
            files.fsync_folder(self.dataset.folder)
            return n
        raise AssertionError("numbers do not end")

    def _next(self, table: str, split: str = TRAIN) -> Path:
        folder = self.folder / files.check_name(table, "table name")
        self._begun[table] += 1
        return folder / f"{split}-{self._begun[table] - 1:05d}.parquet"

    def _number_shards(self) -> dict[str, list[Path]]:
        """Give the shards their final names, which hold how many there are, and make the names durable."""
        tables: dict[str, list[Path]] = {}
        for folder in sorted(path for path in self.folder.iterdir() if path.is_dir()):
            tables[folder.name] = []
            for split in sorted({path.name.partition("-")[0] for path in folder.glob("*.parquet")}, key=lambda s: s != TRAIN):
                shards = sorted(folder.glob(f"{split}-*.parquet"))
                tables[folder.name] += [
                    shard.rename(folder / f"{split}-{i:05d}-of-{len(shards):05d}.parquet") for i, shard in enumerate(shards)
                ]
            files.fsync_folder(folder)
        files.fsync_folder(self.folder)
        return tables

    def _entries(
        self, tables: Mapping[str, list[Path]], sums: Mapping[Path, hashing.Sums], sealed: Mapping[Path, FileEntry]
    ) -> list[FileEntry]:
        kept = {path: sums[path] for paths in tables.values() if hashing.uniform(paths) for path in paths}
        return [
            FileEntry(
                path=path.relative_to(self.folder).as_posix(),
                rows=parquet.rows(path),
                bytes=path.stat().st_size,
                sha256=sealed[path].sha256 if path in sealed else _sha256(path),
                logical_sum=kept[path].logical if path in kept else "",
                exact_sum=kept[path].exact if path in kept else "",
            )
            for path in sums
        ]


def _cut(rows: parquet.Rows, schema: pa.Schema, size: int) -> Iterator[tuple[int, pa.Table]]:
    """Pieces of `rows` with the number of the shard each goes to; at least one piece."""
    at = 0
    for table in parquet.tables(rows):
        while table.num_rows:
            piece = table.slice(0, size - at % size)
            yield at // size, piece
            table, at = table.slice(piece.num_rows), at + piece.num_rows
    if at == 0:
        yield 0, schema.empty_table()


def _identity(path: Path) -> tuple[int, int, int]:
    stat = path.stat()
    return stat.st_dev, stat.st_ino, stat.st_size


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
