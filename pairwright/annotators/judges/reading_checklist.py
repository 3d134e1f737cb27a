"""Read a written checklist, and the reply to one of its questions."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Sequence

from pairwright.annotators.judges.reading import Unread, nothing_in

LEAST, MOST = 2, 8  # questions of a checklist
SIMILAR = 85  # of 100; questions at least so alike in what they are about are one
BLOCK = re.compile(r"<\s*checklist\s*>((?:(?!<\s*checklist\s*>).)*?)<\s*/\s*checklist\s*>", re.IGNORECASE | re.DOTALL)
MARK = re.compile(r"^[\s\"'*_`>\[(\-–•]*(?:\d{1,2}\s*[.):]\s*)?[\s\"'*_`]*|[\s\"'*_`,\])]*$")
OPEN = re.compile(r"(?:what|which|who|whom|whose|how|why|when|where)\b", re.IGNORECASE)  # not a question for yes or no
FILLER = frozenset(re.findall(r"\w+", "a an the this that its it is are was be do does has have of to in answer response reply"))
NEGATIONS = frozenset(("not", "no", "never", "without", "avoid", "avoids"))
ANSWER = re.compile(r"<\s*answer\s*>[\s*_`]*(yes|no)[\s*_`.]*<\s*/\s*answer\s*>", re.IGNORECASE)
MENTION = re.compile(r"<\s*answer\b", re.IGNORECASE)
ALONE = re.compile(r"\W*(yes|no)\W*", re.IGNORECASE)


def items_in(text: str) -> tuple[str, ...] | Unread:
    """The different yes/no questions of a written checklist, the first `MOST`: one on a line, or a JSON list; between the last
    checklist tags, or anywhere if there are none. Unread: no_checklist (fewer than `LEAST`), refused."""
    blocks = BLOCK.findall(text)
    items = distinct(_questions(blocks[-1] if blocks else text))[:MOST]
    return items if len(items) >= LEAST else nothing_in(text, "no_checklist")


def distinct(items: Sequence[str]) -> tuple[str, ...]:
    """`items` without those that ask what an earlier one asks: the same but for filler words, order and small changes. Questions
    with different numbers or negations are different ones."""
    from rapidfuzz.fuzz import token_sort_ratio

    kept: list[tuple[str, str, list[str]]] = []
    for item in items:
        words = [word for word in re.findall(r"\w+", item.lower()) if word not in FILLER]
        marks = sorted(word for word in words if word[0].isdigit() or word in NEGATIONS)
        about = " ".join(words)
        if not any(marks == others and token_sort_ratio(about, other) >= SIMILAR for _, other, others in kept):
            kept.append((item, about, marks))
    return tuple(item for item, _, _ in kept)


def yes_in(text: str) -> bool | Unread:
    """Is the answer yes: in <answer></answer>, or the only word. Unread: no_verdict, two_verdicts (they differ), refused."""
    found = {word.lower() for word in ANSWER.findall(text)}
    if len(found) > 1:
        return Unread("two_verdicts")
    if not found and not MENTION.search(text) and (alone := ALONE.fullmatch(text)):
        found = {alone[1].lower()}
    return found == {"yes"} if found else nothing_in(text, "no_verdict")


def _questions(text: str) -> list[str]:
    lines = text.splitlines()
    listed = re.search(r"\[.*\]", text, re.DOTALL)
    if listed:
        with contextlib.suppress(ValueError, RecursionError):
            lines = [line for line in json.loads(listed[0]) if isinstance(line, str)]
    questions = [" ".join(MARK.sub("", line).split()) for line in lines]
    return [q for q in questions if q.endswith("?") and not OPEN.match(q)]
