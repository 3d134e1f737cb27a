"""Responses that somebody else made, in a file, as an engine: so that existing data can be annotated, filtered and cut again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from pairwright.engines.base import Engine, ModelConfig
from pairwright.engines.requests import Completion, Conversation, Failed, Generate, Generated, Request, Result, needs_of, turns
from pairwright.errors import PairwrightError
from pairwright.ids import digest

WANTED = "each row needs 'prompt' or 'messages', and 'responses' (a list of texts) or 'response' (one text)"
Texts = dict[str, list[str]]  # the key of a conversation -> its responses in the order of the file


class GivenModel(ModelConfig):
    """A file of responses: JSONL or Parquet, rows of {prompt or messages, responses: [text, ...]} or {..., response: text}.

    A prompt gets its responses in the order of the file, over all rows that hold its conversation; of more than are asked for the
    first. The system turn that the recipe adds (`sample.system`) need not be in the file; one of a prompt's own must.
    Temperature, seed and length limit change nothing: it has no fresh samples. How the responses ended and what their tokens were
    is not known, so every one counts as finished (`stop`), and other roles score the text. An annotator that scores the
    end-of-turn token scores one that nobody chose (`terminator: false` leaves it out).
    """

    engine: Literal["given"] = "given"
    path: str = Field(min_length=1, description="a .jsonl or .parquet file; relative to the working folder")
    system: str | None = Field(None, description="a system turn that the file may lack; default: the recipe's")

    provides: ClassVar[frozenset[str]] = frozenset({"generate"})
    light: ClassVar[bool] = True

    @property
    def file(self) -> Path:
        """Where the responses are. Raises PairwrightError if there is no such file."""
        file = Path(self.path).expanduser()
        if not file.is_file():
            raise PairwrightError(f"there is no file of responses at {file}: correct `path` of the model with `engine: given`")
        return file

    def fingerprint(self) -> str:
        """A hash of the file's content and the system turn; the file's name does not enter."""
        with self.file.open("rb") as handle:
            return digest("given", hashlib.file_digest(handle, "sha256").hexdigest(), self.system)

    def load(self) -> GivenEngine:
        """Reads the file. Raises PairwrightError, with the place, for a row that cannot be used."""
        return GivenEngine(self.file.name, read_responses(self.file), self.system)

    def label(self) -> str:
        return Path(self.path).name


class GivenEngine(Engine):
    """Answers what was given. A prompt that has no responses fails with `not_given`, one with too few with `too_few_given`."""

    window = 4096

    def __init__(self, name: str, texts: Texts, system: str | None = None) -> None:
        self.name, self.texts, self.system = name, texts, system
        self._asked: list[tuple[str, Request]] = []

    def submit(self, ticket: str, request: Request) -> None:
        self._asked.append((ticket, request))

    def step(self) -> list[tuple[str, Result]]:
        asked, self._asked = self._asked, []
        return [(ticket, self._answer(request)) for ticket, request in asked]

    def _answer(self, request: Request) -> Result:
        if not isinstance(request, Generate) or not needs_of(request) <= GivenModel.provides:
            return Failed("not_supported", "a file of responses only answers whole prompts")
        first = request.prompt[0] if request.prompt else None
        added = first is not None and first.role == "system" and first.content == self.system
        bare = request.prompt[1:] if added else request.prompt
        texts = self.texts.get(_key(request.prompt)) or self.texts.get(_key(bare)) or []
        if len(texts) < request.n:
            reason = "too_few_given" if texts else "not_given"
            return Failed(reason, f"{self.name} has {len(texts)} responses to this prompt, and {request.n} are asked for")
        return Generated(tuple(Completion(text, "stop") for text in texts[: request.n]))


def read_responses(path: Path) -> Texts:
    """The responses of a file by conversation."""
    found: Texts = {}
    for place, row in _rows(path):
        conversation, texts = _conversation(row, place), _texts(row, place)
        found.setdefault(_key(conversation), []).extend(texts)
    if not found:
        raise PairwrightError(f"{path} holds no responses: {WANTED}")
    return found


def _key(conversation: Conversation) -> str:
    return digest([[turn.role, turn.content] for turn in conversation])


def _conversation(row: Mapping[str, Any], place: str) -> Conversation:
    value = row.get("prompt") if row.get("prompt") is not None else row.get("messages")
    if isinstance(value, str):
        return turns(value)
    turn_like = isinstance(value, list) and all(isinstance(m, Mapping) for m in value)
    if not turn_like or not value or not all(isinstance(m.get(k), str) for m in value for k in ("role", "content")):
        raise PairwrightError(f"{place} has no conversation ({_columns(row)}): {WANTED}")
    return turns(value)


def _texts(row: Mapping[str, Any], place: str) -> list[str]:
    texts = row["responses"] if row.get("responses") is not None else [row.get("response")]
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise PairwrightError(f"{place} has no responses that are text ({_columns(row)}): {WANTED}")
    return texts


def _columns(row: Mapping[str, Any]) -> str:
    return f"it has {', '.join(map(repr, list(row)[:8])) or 'nothing'}"


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each row with its place."""
    if path.suffix not in (".jsonl", ".parquet"):
        raise PairwrightError(f"{path} is neither .jsonl nor .parquet: give responses in one of these formats")
    try:
        yield from _parquet(path) if path.suffix == ".parquet" else _jsonl(path)
    except (OSError, ValueError) as error:  # pyarrow's errors and those of UTF-8 are ValueErrors
        raise PairwrightError(f"cannot read {path}: {' '.join(str(error).split())[:200]}; replace the file") from error


def _jsonl(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if not isinstance(row, dict):
                raise PairwrightError(f"{path}:{number} is not a JSON object: {WANTED}")
            yield f"{path}:{number}", row


def _parquet(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        known = [name for name in ("prompt", "messages", "responses", "response") if name in names]
        if not {"prompt", "messages"} & set(known) or not {"responses", "response"} & set(known):
            raise PairwrightError(f"{path} has the columns {', '.join(names[:8])}: {WANTED}")
        numbers = count()
        for batch in file.iter_batches(1024, columns=known):
            yield from ((f"{path}:row {next(numbers)}", row) for row in batch.to_pylist())
