"""Reading answers: files that a sheet saved, JSONL records that were filled in, Argilla's records.

Row by row: a bad row is refused with its file, line and reason, and the good ones count.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pairwright.engines.requests import Opinion
from pairwright.errors import PairwrightError

LONGEST_NAME = 100
VERDICTS = ("tie", "invalid")
_NEXT = re.compile(r"^[\s\[,]*(?=\{)", re.MULTILINE)  # a row begins a line


@dataclass(frozen=True, slots=True)
class Place:
    """A row of a file; lines count from 1."""

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that does not count. Reasons: not_json, no_item, unknown_item, other_sheet, no_name, unknown_choice, contradiction,
    late."""

    place: Place
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What somebody said of a question, as far as a row alone can tell."""

    place: Place
    item: str
    sheet: str | None
    opinion: Opinion


@dataclass
class Read:
    """What a file holds. `empty`: rows that nobody filled in."""

    answers: list[Answer]
    refused: list[Refused]
    empty: int = 0


def read_answers(paths: Sequence[Path]) -> Read:
    """The answers of several files. Raises PairwrightError if a file cannot be read at all."""
    found = Read([], [])
    for path in paths:
        try:
            text = path.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise PairwrightError(
                f"{path} is not a text file in UTF-8 (byte {error.start}): give the file a sheet saved"
            ) from None
        except OSError as error:
            raise PairwrightError(f"cannot read the answers in {path}: {error.strerror}") from None
        for place, value in _rows(str(path), text):
            if isinstance(value, Refused):
                found.refused.append(value)
                continue
            for row in _argilla(value) if isinstance(value.get("responses"), Mapping) else [value]:
                read = _answer(place, row)
                if isinstance(read, Answer):
                    found.answers.append(read)
                elif read is None:
                    found.empty += 1
                else:
                    found.refused.append(read)
    return found


def _rows(file: str, text: str) -> Iterator[tuple[Place, Mapping[str, Any] | Refused]]:
    """The objects of a JSON list or of JSONL, one after the other; what is broken ends where the next line begins with one,
    and a list's element that is no object ends where it ends. A list that begins a line is no element of the one before."""
    decoder, at, number, in_list = json.JSONDecoder(), 0, 0, False
    while at < len(text):
        begins = text[at] == "[" and (not in_list or text[at - 1] == "\n")
        if begins or text[at].isspace() or text[at] in "],":
            in_list = begins or (in_list and text[at] != "]")
            at += 1
            continue
        number += 1
        place = Place(file, text.count("\n", 0, at) + 1)
        try:
            if text[at] != "{" and not in_list:
                raise ValueError
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            line_end = text.find("\n", at)
            further = _NEXT.search(text, line_end + 1) if line_end >= 0 else None
            at = further.end() if further else len(text)
            last = text.count("\n", 0, at) + (further is None and not text.endswith("\n"))
            lines = f"line {place.line} is" if last <= place.line else f"lines {place.line} to {last} are"
            yield place, Refused(place, "not_json", f"{lines} cut off, damaged, or no answer")
            continue
        is_row = isinstance(value, dict)
        yield place, value if is_row else Refused(place, "not_json", f"row {number} is no answer: it is not a JSON object")


def _argilla(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The answers of an Argilla record: one a user, unless it is a draft or was discarded. The users' ids are their names. The
    record says which response was which."""
    metadata = record["metadata"] if isinstance(record.get("metadata"), Mapping) else {}
    said: dict[str, dict[str, Any]] = {}
    for name in ("choice", "note"):
        given = record["responses"].get(name)
        for value in given if isinstance(given, list) else []:
            if isinstance(value, Mapping) and value.get("status") in (None, "submitted"):
                said.setdefault(str(value.get("user_id") or ""), {})[name] = value.get("value")
    about = {"item": record.get("id"), "sheet": metadata.get("sheet"), "ids": [metadata.get("id_1"), metadata.get("id_2")]}
    return [about | {"who": who} | values for who, values in said.items()] or [about | {"choice": ""}]


def _answer(place: Place, row: Mapping[str, Any]) -> Answer | Refused | None:
    """The answer a row holds, why it holds none, or None if nobody has filled it in."""
    choice = str(row.get("choice") if row.get("choice") is not None else "").strip()
    item, sheet, who = row.get("item"), row.get("sheet"), " ".join(_text(row.get("who")).split())
    if not isinstance(item, str) or not item:
        return Refused(place, "no_item", "the row has no `item`: it is not from a sheet of Pairwright")
    if not choice:
        return None
    if not who or len(who) > LONGEST_NAME:
        return Refused(place, "no_name", f"`who` must be a name of at most {LONGEST_NAME} characters")
    if choice in ("1", "2"):
        ids = row.get("ids")
        if not (isinstance(ids, list) and len(ids) == 2 and all(isinstance(i, str) for i in ids)):
            return Refused(place, "unknown_choice", f"the row does not say which response is number {choice}: `ids` is missing")
        choice = ids[int(choice) - 1]
    opinion = Opinion(who, choice, _text(row.get("note")).strip(), _seconds(row.get("seconds")))
    return Answer(place, item, sheet if isinstance(sheet, str) and sheet else None, opinion)


def without_contradictions(answers: Iterable[Answer]) -> tuple[list[Answer], list[Refused], int]:
    """One answer a person and question. Who said two different things of one has all of that refused; saying the same again is
    counted and changes nothing. Names that differ in case only are one person."""
    by_person: dict[tuple[str, str], list[Answer]] = {}
    for answer in answers:
        by_person.setdefault((answer.item, answer.opinion.who.casefold()), []).append(answer)
    kept: list[Answer] = []
    refused: list[Refused] = []
    again = 0
    for mine in by_person.values():
        if len({a.opinion.choice for a in mine}) == 1:
            kept.append(next((a for a in mine if a.opinion.note), mine[0]))
            again += len(mine) - 1
            continue
        for a in mine:
            other = next(b for b in mine if b.opinion.choice != a.opinion.choice)
            detail = f"{a.opinion.who} answers otherwise in {other.place.file}:{other.place.line}; neither counts"
            refused.append(Refused(a.place, "contradiction", detail))
    return kept, refused, again


def _text(value: Any) -> str:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _seconds(value: Any) -> float:
    sound = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
    return float(value) if sound else 0.0
