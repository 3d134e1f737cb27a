r"""Where a solution's final answer is: in the last \boxed{...}, else after words that announce it, else the last formula, else
the last number.

Every search here takes time linear in the text, whatever the text is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

LONGEST = 2000  # characters; a longer answer is not compared
SEARCHED = 100_000  # characters at the end of a text, in whose whole lines an answer that is not boxed is looked for
NUMBER = (
    r"(?:(?<![\w)])-)?(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)"  # -1,234.5
    r"(?:[eE][+-]?\d+)?(?: ?/ ?\d+)?(?: ?\\?%)?"
)

_BRACES = re.compile(r"\\boxed[ \t]{0,3}\{|\\.|[{}]", re.DOTALL)
_ANNOUNCED = re.compile(
    r"^[ \t]{0,3}#{1,6}[ \t]{0,3}(?:final[ \t]{1,3})?answer\b|^####[ \t]|\banswer[ \t]{1,3}is\b|\banswer\*{0,2}[ \t]{0,3}:",
    re.IGNORECASE | re.MULTILINE,
)
_DELIMITER = re.compile(r"\$\$|\$|\\\(|\\\)|\\\[|\\\]|\\.|\n", re.DOTALL)
_CLOSED_BY = {"$$": "$$", "$": "$", r"\(": r"\)", r"\[": r"\]"}
_BETWEEN = re.compile(r"\s*(?:,|,?\s*(?:and|or)\b)\s*")
_SENTENCE_END = re.compile(r"\.(?=\s)|\n")
_EMPHASIS = re.compile(r"(?<![\w)])\*\*(?=\S)([^*\n]{1,200})(?<=\S)\*\*")
_NUMBER = re.compile(NUMBER)


def extract(text: str, cut: bool = False) -> str | None:
    r"""The final answer of a solution, tidied; None if there is none. `cut`: the text ended by the length limit, so only a closed
    \boxed{...} counts. The order is that of math-verify and the Qwen parsers; never "is the reference somewhere in it"."""
    answer = boxed(text)
    if answer is None and not cut:
        end = text if len(text) <= SEARCHED else text[-SEARCHED:].partition("\n")[2]  # no half of a formula is an answer
        answer = _announced(end) or _last_formula(end) or _last_number(end)
    return answer


def boxed(text: str) -> str | None:
    r"""What is in the last \boxed{...} that is closed and not empty."""
    start = text.find(r"\boxed")
    if start < 0:
        return None
    opened: list[int] = []  # where the content of a box begins; -1 for another brace
    last, content = -1, ""
    for match in _BRACES.finditer(text, start):
        mark = match.group()
        if mark == "}":
            began = opened.pop() if opened else -1
            if began > last and (inside := tidy(text[began : match.start()])):
                last, content = began, inside
        elif mark[-1] == "{" and mark != r"\{":
            opened.append(match.end() if len(mark) > 1 else -1)
    return content or None


def balanced(text: str) -> bool:
    """Is every brace closed, and none closed that was not open?"""
    depth = 0
    for match in _BRACES.finditer(text):
        mark = match.group()
        depth += (mark[-1] == "{" and mark != r"\{") - (mark == "}")
        if depth < 0:
            return False
    return depth == 0


def tidy(answer: str) -> str:
    """`answer` on one line, without emphasis, a full stop at its end, or delimiters around it."""
    answer = " ".join(answer.split())
    for _ in range(4):
        before = answer
        answer = answer.strip("* ")
        shorter = answer.rstrip(" .,;:")
        answer = answer if shorter.endswith("\\") else shorter
        spans = list(_formulas(answer)) if answer[:1] in ("$", "\\") and len(answer) <= 2 * LONGEST else []
        if len(spans) == 1 and spans[0][:2] == (0, len(answer)):
            answer = answer[spans[0][2] : -spans[0][2]].strip()
        if answer == before:
            break
    return answer


def shortened(answer: str) -> str:
    """The beginning of an answer that is too long to keep."""
    return answer[:80] + " ..."


def _announced(text: str) -> str | None:
    """What follows the last words that announce an answer: its first sentence, or the first formulas in that."""
    end = max((match.end() for match in _ANNOUNCED.finditer(text)), default=None)
    if end is None:
        return None
    tail = text[end:].lstrip(" \t\r\n:")
    stop = _SENTENCE_END.search(tail)
    sentence = tail[: stop.start()] if stop else tail
    begins_with_formula = tail.lstrip("* ").startswith(("$", r"\(", r"\["))  # which may hold full stops and new lines
    formula = next(_groups(tail if begins_with_formula else sentence), None)
    return formula or tidy(_EMPHASIS.sub(r"\1", sentence)) or None


def _last_formula(text: str) -> str | None:
    last = None
    for last in _groups(text):  # noqa: B007
        pass
    return last


def _last_number(text: str) -> str | None:
    last = None
    for last in _NUMBER.finditer(text):  # noqa: B007
        pass
    return last.group().strip() if last else None


def _groups(text: str) -> Iterator[str]:
    """The formulas of a text; those that are joined by a comma, `and` or `or` are one answer."""
    start, end, alone = 0, -1, ""
    for begins, ends, width in _formulas(text):
        if end >= 0 and begins - end <= 12 and _BETWEEN.fullmatch(text, end, begins):
            end, alone = ends, ""
            continue
        if end >= 0 and (found := alone or tidy(text[start:end])):
            yield found
        start, end, alone = begins, ends, tidy(text[begins + width : ends - width])
    if end >= 0 and (found := alone or tidy(text[start:end])):
        yield found


def _formulas(text: str) -> Iterator[tuple[int, int, int]]:
    """Start, end and width of the delimiters of every formula. A dollar that a space precedes and no space follows opens one, or
    the price in "$5 or $x$" would swallow what is between."""
    opener, begins = "", 0
    for match in _DELIMITER.finditer(text):
        mark, at = match.group(), match.start()
        opens = mark in _CLOSED_BY
        if mark == "$" and opener in ("", "$"):
            opens = not opener or ((at == 0 or text[at - 1] in " \n(") and not text[match.end() : match.end() + 1].isspace())
            opens = opens and match.end() < len(text)
        if opener and mark == _CLOSED_BY[opener] and not (mark == "$" and opens):
            yield begins, match.end(), len(mark)
            opener = ""
        elif opens and opener in ("", "$"):
            opener, begins = mark, at
        elif mark == "\n" and opener == "$":
            opener = ""
