"""The words annotators put to a model: texts kept in `texts/*.yaml`, and where they go in a conversation."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from pairwright.engines.requests import Conversation, Turn


@cache
def texts(name: str) -> Any:
    """The content of `texts/<name>.yaml`; shared, so do not change it."""
    import yaml

    return yaml.safe_load((files("pairwright.annotators") / "texts" / f"{name}.yaml").read_text(encoding="utf-8"))


def with_system(prompt: Conversation, text: str) -> Conversation:
    """`prompt` with `text` as its one system turn, in place of any it had."""
    return (Turn("system", text), *(t for t in prompt if t.role != "system"))


def last_user_text(prompt: Conversation) -> str | None:
    """What the user said last, or None if the user says nothing in `prompt`."""
    return next((t.content for t in reversed(prompt) if t.role == "user"), None)


def with_last_user_text(prompt: Conversation, text: str) -> Conversation:
    """`prompt` with its last user turn saying `text`; unchanged if it has no user turn."""
    at = max((i for i, t in enumerate(prompt) if t.role == "user"), default=None)
    return prompt if at is None else (*prompt[:at], Turn("user", text), *prompt[at + 1 :])
