"""What OpenAI-compatible servers say, in our words: completions, labels, scored rows, and which option a refusal is about."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pairwright.engines.rendering import Unscorable
from pairwright.engines.requests import Completion, Conversation

FLOOR = -9999.0  # servers send this where they have no log-probability; it is never one
TOP = 20  # most entries of `top_logprobs` the protocol allows
TOO_LONG = re.compile(r"context.{0,9}(length|size|window)|maximum.{0,9}length|max_model_len|too long", re.IGNORECASE)


def messages(prompt: Conversation) -> list[dict[str, str]]:
    """The conversation as a chat endpoint reads it."""
    return [{"role": turn.role, "content": turn.content} for turn in prompt]


def completion(choice: Any, tokenizer: str | None) -> Completion:
    """Text and, where offered, the log-probabilities of its tokens. A chat endpoint tells neither ids nor the terminator; a
    vLLM server asked for `return_token_ids` tells both."""
    if choice.finish_reason == "content_filter":
        raise Unscorable("content_filter", "the server's content filter cut a completion")
    ids = getattr(choice, "token_ids", None) if tokenizer else None
    logprobs = tuple(float(row.logprob) for row in (choice.logprobs and choice.logprobs.content) or ())
    known = bool(logprobs) and min(logprobs) > FLOOR and (ids is None or len(ids) == len(logprobs))
    return Completion(
        choice.message.content or "",
        "length" if choice.finish_reason == "length" else "stop",
        None if ids is None else tuple(ids),
        logprobs if known else None,
        None if ids is None else tokenizer,
    )


def label_logprob(label: str, top: Iterable[Any]) -> float | None:
    """The entry equal to the label, else the most probable one that differs from it in spaces only."""
    known = [(entry.token, float(entry.logprob)) for entry in top if entry.logprob > FLOOR]
    exact = [p for token, p in known if token == label]
    return max(exact or [p for token, p in known if token.strip() == label.strip()], default=None)


def vllm_rows(rows: Sequence[Mapping[str, Any] | None], ids: Sequence[int]) -> list[float | None]:
    """The log-probability of each id; None where its row is missing or is of another id. Rows map ids, as text, to entries."""
    if len(rows) != len(ids):
        return []
    return [float(row[str(i)]["logprob"]) if row and str(i) in row else None for row, i in zip(rows, ids, strict=True)]


def refused_option(message: str, sent: Mapping[str, Any]) -> str | None:
    """The option a refusal is about, if it is one that can be left out or said in another way."""
    text = message.lower()
    if "max_completion_tokens" in text and "max_tokens" in sent:
        return "max_tokens"
    if "logprob" in text and "logprobs" in sent:
        return "logprobs"
    return "n" if sent.get("n", 1) > 1 and re.search(r"\bn\b|choice", text) else None


def adapted(body: Mapping[str, Any], without: set[str]) -> dict[str, Any]:
    """`body` without the options in `without`; the limit on tokens is kept under its newer name."""
    sent = {k: v for k, v in body.items() if k not in without}
    if "max_tokens" in without:
        sent["max_completion_tokens"] = body["max_tokens"]
    return sent
