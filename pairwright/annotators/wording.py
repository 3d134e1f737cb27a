"""The words annotators put to a model: texts kept in `texts/*.yaml`, and where they go in a conversation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from pairwright.engines.requests import Conversation, Turn
from pairwright.ids import digest

OURS = re.compile(
    r"<(?=\s*/?\s*(?:prompt|response|response_[a-z0-9]+|reference|principle|question|checklist|item|criteria|solution|analysis"
    r"|verdict|score|scores|answer|think)\b)",
    re.IGNORECASE,
)
"""Where a tag of our templates begins."""


@cache
def texts(name: str) -> Any:
    """The content of `texts/<name>.yaml`; shared, so do not change it."""
    import yaml

    return yaml.safe_load(_source(name))


def hash_of(name: str) -> str:
    """A hash of `texts/<name>.yaml`, so that other words mean other labels."""
    return digest("wording", _source(name))


def rendered(template: str, **values: Any) -> str:
    """A jinja2 template with its values. The filter `quoted` makes text harmless that stands between our tags: a response can
    neither close its own tag nor open another. Raises ValueError, with the fault, when the template does not render."""
    try:
        return str(_compiled(template).render(**values))
    except Exception as error:  # whatever a user's expression does
        raise ValueError(f"the template does not render: {error}") from None


def check_template(template: str, names: Sequence[str]) -> str:
    """Return `template` if it renders with a text for each of `names` and shows every one of them; else raise ValueError."""
    marks = {name: f"[[{name}]]" for name in names}
    shown = rendered(template, **marks)
    lacking = [name for name, mark in marks.items() if mark not in shown]
    if lacking:
        raise ValueError(f"the template does not show {', '.join(lacking)}: put {{{{ {lacking[0]} | quoted }}}} into it")
    return template


def asked(text: str) -> Conversation:
    """A conversation of one user turn: how every judge is asked."""
    return (Turn("user", text.strip()),)


def told(prompt: Conversation) -> str:
    """A prompt as a judge reads it: its text, or who said what when it has several turns."""
    if len(prompt) == 1:
        return prompt[0].content.strip()
    return "\n\n".join(f"{turn.role}: {turn.content.strip()}" for turn in prompt)


@cache
def _compiled(template: str) -> Any:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=False)
    environment.filters["quoted"] = lambda text: OURS.sub("&lt;", str(text)).strip()
    return environment.from_string(template)


@cache
def _source(name: str) -> str:
    return (files("pairwright.annotators") / "texts" / f"{name}.yaml").read_text(encoding="utf-8")


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
