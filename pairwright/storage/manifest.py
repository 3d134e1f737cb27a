"""The manifest: what a version is made of, where it came from, what it cost, and which rows fell out on the way and why."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pairwright import __version__
from pairwright.errors import PairwrightError
from pairwright.files import write_text

MANIFEST = "_manifest.json"
LABELS_ABSOLUTE = "unpaired labels are absolute: each response was judged good or bad on its own"
LABELS_RELATIVE = "unpaired labels are relative: true means chosen over another response to the same prompt, not good in itself"


class Record(BaseModel):
    """A part of a manifest; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid")


class AccountingError(ValueError):
    """Rows went missing, or came from nowhere, without a reason: a defect of a stage, never the user's mistake."""


class StageAccount(Record):
    """What one stage did to the number of rows. `unit` says what a row is (prompt, response, pair ...)."""

    stage: str
    unit: str
    rows_in: int
    rows_out: int
    dropped: dict[str, int] = Field(default_factory=dict)

    def check(self) -> None:
        """Raise AccountingError unless rows in = rows out + rows dropped by a named reason."""
        gone = sum(self.dropped.values())
        if self.rows_in != self.rows_out + gone or min(self.rows_in, self.rows_out, *self.dropped.values()) < 0:
            raise AccountingError(
                f"stage {self.stage}: {self.rows_in} {self.unit} rows in, but {self.rows_out} out and {gone} dropped with reasons"
            )


class FileEntry(Record):
    """One file of a version; `path` is relative to the version's folder, with forward slashes."""

    path: str
    rows: int
    bytes: int
    sha256: str
    logical_sum: str = ""  # what the file adds to the version's two hashes, so that a link to it need not be read again
    exact_sum: str = ""


class Manifest(Record):
    """Everything known about a version. `version`, `files` and both hashes are filled when it is committed."""

    dataset: str
    version: int = 0
    created: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))  # ISO 8601, UTC
    pairwright: str = __version__
    recipe: dict[str, Any] = Field(default_factory=dict)
    models: dict[str, dict[str, Any]] = Field(default_factory=dict)  # role -> label, fingerprint
    parents: list[int] = Field(default_factory=list)
    accounting: list[StageAccount] = Field(default_factory=list)
    cost: dict[str, dict[str, float]] = Field(default_factory=dict)  # stage -> tokens, generated, forwarded, seconds, ...
    build_key: str = ""  # hash of the stages' fingerprints, the prompts and the cut: an equal key needs no new version
    logical_hash: str = ""
    exact_hash: str = ""
    files: list[FileEntry] = Field(default_factory=list)
    filters: list[str] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)

    def rows(self, table: str) -> int:
        """The number of rows of `table` in this version."""
        return sum(entry.rows for entry in self.files if entry.path.startswith(f"{table}/"))

    def tables(self) -> list[str]:
        """The names of this version's tables, in the order of `files`."""
        return list(dict.fromkeys(entry.path.partition("/")[0] for entry in self.files))

    def write(self, path: Path) -> None:
        """Write the manifest to `path`, whole or not at all."""
        write_text(path, self.model_dump_json(indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read a manifest; raises PairwrightError if it is missing or damaged."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise PairwrightError(f"{path} is missing: restore it, or delete the folder {path.parent.name}") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            raise PairwrightError(
                f"{path} is damaged or from another version of Pairwright ({where}: {first['msg']}): "
                f"restore it, or delete the folder {path.parent.name}"
            ) from None
