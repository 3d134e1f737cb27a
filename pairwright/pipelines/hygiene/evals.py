"""Evaluation files: the items that must not be learnt, read from JSONL, JSON, CSV or Parquet."""

from __future__ import annotations

import csv
import glob
import hashlib
import io
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pairwright.errors import PairwrightError
from pairwright.pipelines.prompts.readers import Jsonl, find_files, first_sentence
from pairwright.pipelines.prompts.rows import BadRow, Row, nearest

USUAL = (
    *("question", "problem", "prompt", "instruction", "query", "input", "text"),
    *("turns", "messages", "conversations", "conversation", "chat"),
)
ENDINGS = (".jsonl", ".jsonl.gz", ".json", ".csv", ".parquet")


@dataclass(frozen=True, slots=True)
class EvalItem:
    """One item of an evaluation. `place`: its file, by its name and folder, and the line or row, so that it is the same on every
    machine; `texts`: those of its fields that hold any."""

    file: str
    place: str
    texts: tuple[str, ...]


class EvalFile(BaseModel):
    """A file of evaluation items, or a glob of several, and the columns that hold what a prompt would hold. A relative path
    starts at the working folder and is made absolute, so that a version knows where to look."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    fields: tuple[str, ...] = Field(
        (), description="such as question and passage; none: the first of a usual name that holds text"
    )

    @model_validator(mode="before")
    @classmethod
    def _spell_out(cls, data: Any) -> Any:
        data = {"path": data} if isinstance(data, str) else data
        if isinstance(data, Mapping) and isinstance(data.get("fields"), str):
            data = {**data, "fields": [data["fields"]]}
        return anchored(data, Path.cwd())

    def files(self) -> list[Path]:
        """The files it stands for."""
        parts = Path(self.path).parts
        fixed = list(takewhile(lambda part: not glob.has_magic(part), parts[:-1]))
        folder = Path(*fixed)
        return [folder / name for name in find_files(str(Path(*parts[len(fixed) :])), folder)]

    def digests(self) -> list[tuple[str, str]]:
        """(name and folder, SHA-256) of each file: equal on every machine that has it."""
        return [(_short(path), _sha256(path)) for path in self.files()]

    def items(self) -> list[EvalItem]:
        """All items. Raises PairwrightError where a file cannot be read, has none of the columns, or no text in them."""
        return [item for path in self.files() for item in self._items_of(path)]

    def _items_of(self, path: Path) -> Iterator[EvalItem]:
        rows = list(_rows(path))
        columns = list(dict.fromkeys(name for _, row in rows for name in row if isinstance(name, str)))
        if not rows:
            raise PairwrightError(f"{path} holds no items: give a file of evaluation items")
        filled = [name for name in columns if any(_text(row.get(name)).strip() for _, row in rows)]
        if not filled:
            raise PairwrightError(f"{path} has no text in any column, {_has(columns)}: give texts, lists of them, or messages")
        fields = self.fields or _usual(path, columns, filled)
        for name in fields:
            if name not in columns:
                meant = nearest(name, columns) or columns[0]
                raise PairwrightError(f"{path} has no column {name!r}, {_has(columns)}: write `fields: [{meant}]`, say")
        if not set(fields) & set(filled):
            empty = ", ".join(map(repr, fields))
            raise PairwrightError(
                f"{path} has no text under {empty}; with text {_has(filled)}: write `fields: [{filled[0]}]`, say"
            )
        for place, row in rows:
            texts = (_text(row.get(name)) for name in fields)
            place = _short(path) + place.removeprefix(str(path))
            yield EvalItem(str(path), place, tuple(text for text in texts if text.strip()))


def anchored(evals: Any, folder: Path) -> Any:
    """What a recipe says under `evals`, its relative paths starting at `folder`."""
    if isinstance(evals, list | tuple):
        return [anchored(item, folder) for item in evals]
    if isinstance(evals, Mapping) and isinstance(evals.get("path"), str):
        return {**evals, "path": anchored(evals["path"], folder)}
    return str(folder / Path(evals).expanduser()) if isinstance(evals, str) else evals


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise PairwrightError(f"cannot read {path}: {error.strerror}; make it readable or correct its path") from None


def _short(path: Path) -> str:
    return "/".join(path.parts[-2:])


def _usual(path: Path, columns: Sequence[str], filled: Sequence[str]) -> tuple[str, ...]:
    by_name = {name.casefold(): name for name in reversed(filled)}
    found = next((by_name[name] for name in USUAL if name in by_name), None)
    if found is None:
        raise PairwrightError(
            f"{path} has no text in a column of a usual name such as question or prompt, {_has(columns)}: "
            f"say which hold what a prompt would hold, as in `{{path: {path}, fields: [{filled[0]}]}}`"
        )
    return (found,)


def _has(columns: Collection[str]) -> str:
    names = list(columns)
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return f"it has {', '.join(map(repr, names[:12]))}{more}" if names else "it has none"


def _text(value: Any) -> str:
    """The text of a cell: of messages what users say, of a list all of it, of any other object none."""
    if isinstance(value, Mapping):
        said = value.get("content", value.get("value"))
        speaker = str(value.get("role", value.get("from", "user"))).casefold()
        return _text(said) if speaker in ("user", "human") else ""
    if isinstance(value, list | tuple):
        return "\n".join(filter(None, map(_text, value)))
    return "" if value is None else str(value)


def _rows(path: Path) -> Iterator[tuple[str, Row]]:
    """(place, row) of each row of a file."""
    try:
        if path.name.endswith((".jsonl", ".jsonl.gz")):
            yield from map(_sound, Jsonl(path=str(path)).rows(Path()))
        elif path.suffix == ".json":
            yield from map(_sound, _numbered(path, _list_in(json.loads(path.read_text(encoding="utf-8-sig")), path)))
        elif path.suffix == ".csv":
            yield from _numbered(path, csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))
        elif path.suffix == ".parquet":
            import pyarrow.parquet as pq

            yield from _numbered(path, pq.read_table(path).to_pylist())
        else:
            raise PairwrightError(f"{path} is none of {', '.join(ENDINGS)}: give it the ending of what it is")
    except json.JSONDecodeError as error:
        raise PairwrightError(f"{path} is not JSON ({error.msg} in line {error.lineno}): name it .jsonl if it is that") from None
    except (OSError, ValueError, csv.Error) as error:  # pyarrow's errors are ValueErrors, as are those of UTF-8
        raise PairwrightError(f"cannot read {path}: {first_sentence(error)}; replace the file or correct its path") from None


def _numbered(path: Path, rows: Any) -> Iterator[tuple[str, Any]]:
    return ((f"{path}:row {i}", row) for i, row in enumerate(rows, 1))


def _sound(placed: tuple[str, Any]) -> tuple[str, Row]:
    place, row = placed
    if isinstance(row, BadRow):
        raise PairwrightError(f"{place} {row.detail}; correct the line or take it out")
    if not isinstance(row, Mapping):
        raise PairwrightError(f"{place} is not an object but {str(row)[:40]!r}: give a list of objects with named columns")
    return place, row


def _list_in(data: Any, path: Path) -> list[Any]:
    """The rows of a JSON file: the list it is, or the only list of objects in it, such as under `data`."""
    if isinstance(data, Mapping):
        lists = [value for value in data.values() if isinstance(value, list) and value and isinstance(value[0], Mapping)]
        if len(lists) == 1:
            return lists[0]
    if not isinstance(data, list):
        raise PairwrightError(f"{path} holds no list of objects with named columns: make it one, or JSONL")
    return data
