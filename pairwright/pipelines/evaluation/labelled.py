"""Labelled data: prompts with responses of which people said which are right, read from many layouts into one."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pairwright.annotators.base import Group, Response
from pairwright.errors import PairwrightError
from pairwright.ids import digest
from pairwright.pipelines.evaluation.known import KNOWN_FILES, hhh, is_hhh, is_pandalm, pandalm
from pairwright.pipelines.prompts.readers import Jsonl, first_sentence
from pairwright.pipelines.prompts.rows import BadRow, Columns, Row, read_row

FORMATS = ("auto", "rows", "pandalm", "hhh")
GOLDS = ("better", "label", "correct", "first_error")


@dataclass(frozen=True, slots=True)
class Item:
    """One labelled group. `right`: places of the right responses; all of them if people called it a tie, None if they did not
    agree on anything."""

    id: str
    group: Group
    right: frozenset[int] | None
    subset: str | None = None
    language: str | None = None

    @property
    def gold(self) -> str | None:
        """What people said, in the words of a verdict: "a", "b", "tie"; of more than two responses "c", "a+d", ... as well."""
        return None if self.right is None else named(self.right, len(self.group.responses))


@dataclass(frozen=True, slots=True)
class Labelled:
    """A file of labelled data. `sha256`: of its bytes."""

    file: str
    format: str
    sha256: str
    items: list[Item]

    def drawn(self, limit: int | None) -> list[Item]:
        """The items in an order drawn from their ids, the first `limit` of them: fewer are always among more."""
        return sorted(self.items, key=lambda item: digest("evaluate", item.id))[:limit]


def named(best: Collection[int], n: int) -> str:
    """Which of n responses are best: "tie" if all are, else their letters."""
    if len(best) == n:
        return "tie"
    return "+".join(chr(97 + i) if i < 26 else f"r{i}" for i in sorted(best))


def read_labelled(path: Path, format: str = "auto") -> Labelled:
    """Read a file (JSONL, JSON, Parquet), or the folder of a known data set.

    A row of the format `rows`: {prompt or messages, responses, one of better | label | correct, id?, subset?, language?,
    reference?, tags?}, or {prompt?, chosen, rejected, ...} with texts, lists of messages, or lists of texts (the best of n).
    A lone chosen and rejected are put in the order of their ids, so that the place of a response says nothing about it.
    Raises PairwrightError, with the place, for a row that cannot be used.
    """
    if format not in FORMATS:
        raise PairwrightError(f"there is no format {format!r} of labelled data: choose one of {', '.join(FORMATS)}")
    path = _file(path.expanduser())
    rows = list(_rows(path))
    if not rows:
        raise PairwrightError(f"{path} holds no rows: give a file of labelled responses")
    if format == "auto":
        first = rows[0][1]
        format = "rows" if isinstance(first, BadRow) else "pandalm" if is_pandalm(first) else "hhh" if is_hhh(first) else "rows"
    spell: dict[str, Callable[[Row], Row]] = {"rows": lambda row: row, "pandalm": pandalm, "hhh": hhh}
    items: dict[str, Item] = {}
    places: dict[str, str] = {}
    for place, row in rows:
        try:
            if isinstance(row, BadRow):
                raise row
            item = _item(spell[format](row), items)
            if item.id in items:
                raise BadRow("same_id", f"has the id {item.id!r}, which {places[item.id]} has too: ids must differ")
        except BadRow as bad:
            raise PairwrightError(f"{place} {bad.detail}; correct the row or take it out") from None
        items[item.id], places[item.id] = item, place
    return Labelled(path.name, format, hashlib.sha256(path.read_bytes()).hexdigest(), list(items.values()))


def _file(path: Path) -> Path:
    if path.is_dir():
        found = [path / name for name in KNOWN_FILES if (path / name).is_file()]
        if len(found) != 1:
            raise PairwrightError(f"{path} is a folder: give the file of labelled data in it")
        return found[0]
    if not path.is_file():
        raise PairwrightError(f"there is no file {path}: give a file of labelled data (JSONL, JSON or Parquet)")
    return path


def _rows(path: Path) -> Iterator[tuple[str, Row | BadRow]]:
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            yield from ((f"{path.name}:row {i}", row) for i, row in enumerate(pq.read_table(path).to_pylist(), 1))
        elif path.suffix == ".json" and path.read_text(encoding="utf-8-sig").lstrip()[:1] == "[":
            for i, row in enumerate(json.loads(path.read_text(encoding="utf-8-sig")), 1):
                sound = isinstance(row, dict)
                yield f"{path.name}:row {i}", row if sound else BadRow("not_json", f"is not an object: {str(row)[:40]}")
        elif path.name.endswith((".json", ".jsonl", ".jsonl.gz")):
            yield from Jsonl(path=path.name).rows(path.parent)
        else:
            raise PairwrightError(f"{path} is neither JSONL, JSON nor Parquet: give it the ending of what it is")
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors, as are those of JSON and UTF-8
        raise PairwrightError(f"cannot read {path}: {first_sentence(error)}; replace the file") from error


def _item(row: Row, before: Collection[str]) -> Item:
    prompt, texts, right = _read(row)
    seen: Counter[str] = Counter()
    responses = []
    for text in texts:
        responses.append(Response(digest("response", prompt.prompt_id, text, seen[text]), text))
        seen[text] += 1
    if right is not None and len(right) < len(texts):
        both = {texts[i] for i in right} & {text for i, text in enumerate(texts) if i not in right}
        if both:
            raise BadRow("same_text", f"calls one text both right and wrong: {min(both)[:40]!r}")
    if "chosen" in row and len(texts) == 2 and responses[1].id < responses[0].id:
        responses.reverse()
        right = right and frozenset(1 - i for i in right)
    group = Group(prompt.prompt_id, prompt.messages, tuple(responses), prompt.reference, prompt.tags)
    subset = next((str(row[k]) for k in ("subset", "domain", "category") if row.get(k) is not None), None)
    language = None if row.get("language") is None else str(row["language"])
    return Item(_id(row, group, before), group, right, subset, language)


def _id(row: Row, group: Group, before: Collection[str]) -> str:
    given = row.get("id")
    if given is not None:
        if isinstance(given, bool) or not isinstance(given, str | int) or not str(given).strip():
            raise BadRow("bad_id", f"has the id {given!r}, which is neither text nor a number")
        return str(given)
    nth = 0
    while (made := digest("labelled", group.id, nth)) in before:  # equal rows are told apart, as people were asked twice
        nth += 1
    return made


def _read(row: Row) -> tuple[Any, list[str], frozenset[int] | None]:
    if "responses" in row and row["responses"] is not None:
        texts = _texts(row["responses"], "responses")
        right = _right(row, len(texts))
        return read_row(row, Columns(), ""), texts, right
    if row.get("chosen") is None or row.get("rejected") is None:
        has = ", ".join(map(repr, list(row)[:8])) or "nothing"
        raise BadRow("no_responses", f"has neither 'responses' nor both 'chosen' and 'rejected'; it has {has}")
    chosen, rejected = row["chosen"], row["rejected"]
    if isinstance(chosen, str) and isinstance(rejected, str):
        return read_row(row, Columns(), ""), _texts([chosen, rejected], "chosen and rejected"), frozenset([0])
    if not (isinstance(chosen, list) and isinstance(rejected, list) and chosen and rejected):
        raise BadRow("bad_responses", "has a chosen and rejected that are neither texts nor lists")
    if isinstance(chosen[0], str):
        texts = [*_texts(chosen, "chosen", 1), *_texts(rejected, "rejected", 1)]
        return read_row(row, Columns(), ""), texts, frozenset(range(len(chosen)))
    row, texts = _conversations(row, chosen, rejected)
    return read_row(row, Columns(), ""), texts, frozenset([0])


def _texts(value: Any, key: str, least: int = 2) -> list[str]:
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
        raise BadRow("bad_responses", f"has {key} that are not a list of texts")
    if len(value) < least:
        raise BadRow("bad_responses", f"has {len(value)} {key}: there is nothing to choose between")
    if any("\ud800" <= char <= "\udfff" for text in value for char in text):
        raise BadRow("bad_responses", f"has {key} that hold half a character, which no UTF-8 file can keep")
    return list(value)


def _conversations(row: Row, chosen: Sequence[Any], rejected: Sequence[Any]) -> tuple[dict[str, Any], list[str]]:
    """Chosen and rejected as messages: the last one is the response; what stands before it is the prompt, or a part of it."""
    for name, messages in (("chosen", chosen), ("rejected", rejected)):
        for message in messages:
            if not isinstance(message, Mapping) or not isinstance(message.get("content"), str):
                raise BadRow("bad_responses", f"has a message in {name} that is not an object with role and content")
        if messages[-1].get("role") != "assistant":
            raise BadRow("bad_responses", f"has a {name} that does not end with a turn of 'assistant'")
    before = [{"role": m.get("role"), "content": m["content"]} for m in chosen[:-1]]
    if before != [{"role": m.get("role"), "content": m["content"]} for m in rejected[:-1]]:
        raise BadRow("bad_responses", "has a chosen and a rejected that differ before their last turn")
    prompt = row.get("prompt") if row.get("prompt") is not None else row.get("messages") if not before else None
    if before:
        said = [prompt] if isinstance(prompt, str) else [m.get("content") for m in prompt or () if isinstance(m, Mapping)]
        if not set(said) <= {m["content"] for m in before}:
            raise BadRow("bad_responses", "has a prompt that is not the beginning of its chosen")
        prompt = before
    return {**row, "prompt": prompt, "messages": None}, _texts([chosen[-1]["content"], rejected[-1]["content"]], "responses")


def _right(row: Row, n: int) -> frozenset[int] | None:
    if row.get("undecided"):
        return None
    given = [key for key in GOLDS if row.get(key) is not None]
    if given == ["first_error"]:
        raise BadRow("steps", "labels steps (`first_error`), and whole responses are evaluated here")
    if len(given) != 1:
        raise BadRow("no_label", f"has {' and '.join(given) or 'none'} of better, label and correct: give exactly one")
    [key], value = given, row[given[0]]
    if key != "correct" and value == "tie":
        return frozenset(range(n))
    if key == "label":
        if n != 2 or value not in ("a", "b"):
            raise BadRow("bad_label", f"has the label {value!r} for {n} responses: it is 'a', 'b' or 'tie' for two of them")
        return frozenset(["ab".index(value)])
    places = value if key == "correct" else [value]
    if not isinstance(places, list | tuple) or not places or not all(_is_place(i, n) for i in places):
        raise BadRow("bad_label", f"has {key} = {value!r}: responses are counted from 0 to {n - 1}")
    return frozenset(places)


def _is_place(value: Any, n: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < n
