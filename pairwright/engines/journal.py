"""The journal: an append-only log of finished requests. A restarted build replays it and pays for nothing twice.

One line per answer: checksum of all the rest, request key, result as JSON (arrays in base64). Every process appends to a segment
of its own, so no two writers meet; a line torn by a crash fails its checksum and is ignored. Only successes are kept: a failure
is tried again.
"""

from __future__ import annotations

import base64
import json
import os
import time
import uuid
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pairwright.engines.requests import (
    Chosen,
    Completion,
    Failed,
    Generated,
    Opinion,
    Result,
    Reviewed,
    Scored,
    Usage,
    Verified,
)
from pairwright.files import kind_os_errors

HEAD = 8 + 1 + 24 + 1  # checksum, space, key, space
SYNC_EVERY_S = 2.0


class Journal:
    """The answers of all segments in `folder`. Memory: one small entry per answer; the answers themselves stay on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.torn = 0
        self._places: dict[str, tuple[int, int, int]] = {}  # key -> segment, offset of the payload, length
        self._segments: list[Path] = []
        self._readers: dict[int, Any] = {}
        self._writer: Any = None
        self._synced = time.monotonic()
        for path in sorted(folder.glob("*.journal")) if folder.exists() else []:
            self._index(path)

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    def get(self, key: str) -> Result | None:
        """The answer to the request with this key, or None."""
        place = self._places.get(key)
        if place is None:
            return None
        segment, offset, length = place
        if segment == len(self._segments) - 1 and self._writer is not None:
            self._writer.flush()
        reader = self._readers.get(segment) or self._readers.setdefault(segment, self._segments[segment].open("rb"))
        reader.seek(offset)
        return decode(json.loads(reader.read(length)))

    def put(self, key: str, result: Result) -> None:
        """Append an answer. From the next `flush` on it survives a killed process; see `flush` for a power cut."""
        if isinstance(result, Failed) or key in self._places:
            return
        payload = json.dumps(encode(result), separators=(",", ":")).encode()
        with kind_os_errors(self.folder / "journal"):
            writer = self._writer or self._open()
            offset = writer.tell() + HEAD
            line = b" %s %s\n" % (key.encode(), payload)
            writer.write(b"%08x" % zlib.crc32(line) + line)
        self._places[key] = (len(self._segments) - 1, offset, len(payload))

    def flush(self) -> None:
        """Hand what was put to the operating system, and to the disk if it is time."""
        if self._writer is None:
            return
        with kind_os_errors(self.folder / "journal"):
            self._writer.flush()
            if time.monotonic() - self._synced > SYNC_EVERY_S:
                os.fsync(self._writer.fileno())
                self._synced = time.monotonic()

    def close(self) -> None:
        """Flush to the disk and close."""
        if self._writer is not None:
            with kind_os_errors(self.folder / "journal"):
                self._writer.flush()
                os.fsync(self._writer.fileno())
                self._writer.close()
            self._writer = None
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()

    def _open(self) -> Any:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.journal"
        self._segments.append(path)
        self._writer = path.open("wb", buffering=1 << 16)
        return self._writer

    def _index(self, path: Path) -> None:
        segment, offset = len(self._segments), 0
        self._segments.append(path)
        with path.open("rb") as handle:
            for line in handle:
                if line[:8] == b"%08x" % zlib.crc32(line[8:]):
                    self._places[line[9:33].decode()] = (segment, offset + HEAD, len(line) - HEAD - 1)
                else:
                    self.torn += 1
                offset += len(line)


def encode(result: Result) -> dict[str, Any]:
    """A result as plain JSON values."""
    u = result.usage
    head: dict[str, Any] = {"t": type(result).__name__, "u": [u.tokens, u.forwarded, u.generated, u.seconds]}
    match result:
        case Generated():
            return head | {
                "c": [
                    [
                        c.text,
                        c.finish_reason,
                        _pack(c.token_ids, np.int32),
                        _pack(c.logprobs, np.float64),
                        c.tokenizer,
                        _pack(c.ends, np.int32),
                    ]
                    for c in result.completions
                ]
            }
        case Scored():
            arrays = (result.logprobs, result.entropy, result.self_certainty, result.hidden_sum)
            return head | {"i": _pack(result.token_ids, np.int32), "a": [_pack(a, np.float32) for a in arrays]}
        case Chosen():
            return head | {"p": list(result.logprobs)}
        case Verified():
            return head | {"v": [result.outcome, result.answer, result.reason]}
        case Reviewed():
            return head | {"o": [[o.who, o.choice, o.note, o.seconds] for o in result.opinions]}
    raise TypeError(f"a {type(result).__name__} is not kept in the journal")


def decode(value: dict[str, Any]) -> Result:
    """The result that `encode` made `value` from, bit for bit."""
    usage = Usage(*value["u"])
    match value["t"]:
        case "Generated":
            made = [
                Completion(text, finish, _ints(ids), _floats(logprobs), tokenizer, _ints(ends[0]) if ends else None)
                for text, finish, ids, logprobs, tokenizer, *ends in value["c"]
            ]
            return Generated(tuple(made), usage)
        case "Scored":
            logprobs, entropy, certainty, hidden = (_unpack(a, np.float32) for a in value["a"])
            return Scored(_ints(value["i"]) or (), logprobs, entropy, certainty, hidden, usage)
        case "Chosen":
            return Chosen(tuple(value["p"]), usage)
        case "Verified":
            outcome, answer, reason = value["v"]
            return Verified(outcome, answer, reason, usage)
        case "Reviewed":
            return Reviewed(tuple(Opinion(*o) for o in value["o"]), usage)
    raise ValueError(f"the journal holds an answer of unknown kind {value['t']!r}")


def _pack(values: Sequence[float] | np.ndarray[Any, Any] | None, dtype: Any) -> str | None:
    return None if values is None else base64.b64encode(np.asarray(values, dtype).tobytes()).decode()


def _unpack(text: str | None, dtype: Any) -> Any:
    return None if text is None else np.frombuffer(base64.b64decode(text), dtype)


def _ints(text: str | None) -> tuple[int, ...] | None:
    return None if text is None else tuple(_unpack(text, np.int32).tolist())


def _floats(text: str | None) -> tuple[float, ...] | None:
    return None if text is None else tuple(_unpack(text, np.float64).tolist())
