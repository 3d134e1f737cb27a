"""From one row of whatever source to one prompt, or to the reason why it is none."""

from __future__ import annotations

import difflib
import math
from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from pairwright.engines.requests import Turn
from pairwright.ids import digest

ROLES = ("system", "user", "assistant")
USUAL_NAMES = {
    "prompt": ("instruction", "question", "problem", "query", "input", "text"),
    "messages": ("conversations", "conversation", "chat", "dialogue", "turns"),
}


@dataclass(frozen=True, slots=True)
class Prompt:
    """One thing to answer: a conversation that ends with a user turn. `count` equal rows were merged into it.

    `prompt_id` depends on the roles and contents of `messages` and on nothing else.
    """

    prompt_id: str
    messages: tuple[Turn, ...]
    reference: str | None = None
    tags: tuple[str, ...] = ()
    source: str = ""
    count: int = 1


class BadRow(Exception):
    """A row that holds no usable prompt: a short reason, and a detail that reads on after the row's place."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


Row = Mapping[str, Any]


class Columns(NamedTuple):
    """What the columns of a source are called."""

    prompt: str = "prompt"
    messages: str = "messages"
    reference: str = "reference"
    tags: str = "tags"


class Source(BaseModel):
    """One place prompts come from. Subclasses add a `source: Literal[...]` field, by which the recipe tells them apart.

    `shuffle_seed` puts the rows in an order that depends on the seed and each row's content only; `limit` then takes the
    first so many rows. `on_bad_row` says whether an unusable row stops the build or is dropped with its reason.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int | None = Field(None, ge=1)
    shuffle_seed: int | None = None
    on_bad_row: Literal["stop", "drop"] = "stop"

    @abstractmethod
    def label(self) -> str:
        """What to write into a prompt's `source`, e.g. "jsonl:prompts.jsonl"."""

    @abstractmethod
    def rows(self, base: Path) -> Iterator[tuple[str, Row | BadRow]]:
        """Yield each row with its place, e.g. ("prompts.jsonl:3", {...}); relative paths start at `base`."""

    def columns(self) -> Columns:
        """What the columns of the rows are called."""
        return Columns()


class TableSource(Source):
    """A source of rows with named columns. `prompt_column` holds a string or a list of {role, content}, `messages_column`
    such a list; a row whose prompt is missing (or null) uses its messages."""

    prompt_column: str = "prompt"
    messages_column: str = "messages"
    reference_column: str = "reference"
    tags_column: str = "tags"

    def columns(self) -> Columns:
        return Columns(self.prompt_column, self.messages_column, self.reference_column, self.tags_column)


def read_row(row: Row, columns: Columns, label: str) -> Prompt:
    """Make the prompt that `row` holds. Raises BadRow with one of the reasons no_text, bad_messages, bad_reference, bad_tags."""
    value = row.get(columns.prompt)
    if value is None:
        value = row.get(columns.messages)
    if value is None:
        raise BadRow("no_text", no_prompt_among(row.keys(), columns))
    messages = _messages(value)
    return Prompt(
        prompt_id=digest("prompt", [[turn.role, turn.content] for turn in messages]),
        messages=messages,
        reference=_reference(row.get(columns.reference)),
        tags=_tags(row.get(columns.tags)),
        source=label,
    )


def no_prompt_among(keys: Collection[str], columns: Columns) -> str:
    """Say that a row with these keys has no prompt, which keys it has, and which of them may have been meant."""
    wanted = {"prompt": columns.prompt, "messages": columns.messages}
    present = [name for name in wanted.values() if name in keys]
    if present:
        return f"has nothing in {' or '.join(map(repr, present))}"
    has = ", ".join(map(repr, list(keys)[:8])) or "nothing"
    text = f"has neither {columns.prompt!r} nor {columns.messages!r}; it has {has}"
    others = [key for key in keys if key not in (columns.reference, columns.tags)]
    for kind, name in wanted.items():
        guess = nearest(name, others) or next((key for key in USUAL_NAMES[kind] if key in others), None)
        if guess:
            return f"{text}; if {guess!r} is meant, set `{kind}_column: {guess}`"
    return text


def nearest(name: str, names: Collection[str]) -> str | None:
    """The one of `names` most like `name`, if any is at all like it."""
    folded = {other.casefold(): other for other in names}
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def _messages(value: Any) -> tuple[Turn, ...]:
    if isinstance(value, str):
        value = [{"role": "user", "content": value}]
    if not isinstance(value, list | tuple):
        raise BadRow("bad_messages", f"has a prompt that is neither text nor a list of messages but {_kind(value)}")
    if not value:
        raise BadRow("no_text", "has an empty list of messages")
    turns = tuple(_turn(message, number) for number, message in enumerate(value, 1))
    if turns[-1].role != "user":
        raise BadRow("bad_messages", f"ends with a turn of {turns[-1].role!r}; a prompt ends with a turn of 'user'")
    return turns


def _turn(message: Any, number: int) -> Turn:
    if not isinstance(message, Mapping):
        raise BadRow("bad_messages", f"has a message {number} that is not an object with role and content but {_kind(message)}")
    if "role" not in message or "content" not in message:
        has = ", ".join(map(repr, message)) or "nothing"
        raise BadRow("bad_messages", f"has a message {number} without 'role' and 'content'; it has {has}")
    role, content = message["role"], message["content"]
    if role not in ROLES:
        raise BadRow("bad_messages", f"has a message {number} of role {shorten(role)}; roles are {', '.join(ROLES)}")
    if not isinstance(content, str):
        raise BadRow("bad_messages", f"has a message {number} whose content is not text but {_kind(content)}")
    if not content.strip() and role != "system":
        raise BadRow("no_text", f"has no text in message {number}")
    return Turn(role, _encodable(content, "bad_messages"))


def _reference(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        if not value.strip():
            raise BadRow("bad_reference", "has a blank reference; make it null where there is none")
        return _encodable(value, "bad_reference")
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise BadRow("bad_reference", f"has a reference that is neither text nor a number but {_kind(value)}")
    if not math.isfinite(value):
        raise BadRow("bad_reference", f"has the reference {value}, which is not a number; make it null where there is none")
    return _number(value)


def _number(value: int | float | Decimal) -> str:
    """One text for equal numbers, so that 3 and 3.0 (the same column through another file format) agree."""
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else str(value)


def _tags(value: Any) -> tuple[str, ...]:
    tags = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(tags, list | tuple) or not all(isinstance(tag, str) for tag in tags):
        raise BadRow("bad_tags", f"has tags that are neither text nor a list of texts but {shorten(value)}")
    return tuple(dict.fromkeys(_encodable(tag, "bad_tags") for tag in tags))


def _encodable(text: str, reason: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadRow(reason, f"holds half a character ({text[error.start]!r}), which no UTF-8 file can keep") from None
    return text


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a truth value"
        case int() | float() | Decimal():
            return "a number"
        case str():
            return "text"
        case list() | tuple():
            return "a list"
        case Mapping():
            return "an object"
    return f"a {type(value).__name__}"


def shorten(value: Any) -> str:
    """`value` as it would be written in code, at most 40 characters long."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
