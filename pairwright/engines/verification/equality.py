"""Are two answers equal? In mathematics by math-verify, which this module alone imports; else as text.

Runs inside a worker: sympy can take for ever on a tower of powers, so nothing here is called where it cannot be killed.
"""

from __future__ import annotations

import functools
import re
from typing import Any

from pairwright.engines.verification.answers import NUMBER, balanced, boxed, tidy

Verdict = tuple[str, str | None]  # outcome, and why if it is `unparsed`

_SEPARATOR = r"(?:\{,\}|,\\!|\\[,;:! ]|~| )"
_GROUPED = re.compile(rf"(?<![\d.,])\d{{1,3}}(?:{_SEPARATOR}\d{{3}})+(?!\d)")
_SEPARATORS = re.compile(_SEPARATOR)
_MIXED = re.compile(r"(?<![\w.])(\d+) (\d+) ?/ ?(\d+)(?![\w.])")
_SCIENTIFIC = re.compile(r"(?<![\w\\])(\d+(?:\.\d+)?)[eE]([+-]?\d+)(?!\w)")
_ALL_TEXT = re.compile(r"\\(?:text|textbf|mathrm|mbox)\{([^{}]*\d[^{}]*)\}")
_PRICE = re.compile(r"(-?) ?\\?[$€£] ?(?=[\d.])([^$]*)")
_MEASURED = re.compile(rf"({NUMBER}) ?[A-Za-z][A-Za-z',/ -]+")
_NOT_UNITS = frozenset(
    [
        "pi",
        "sin",
        "cos",
        "tan",
        "log",
        "ln",
        "exp",
        "sqrt",
        "root",
        "times",
        "plus",
        "minus",
        "over",
        "to",
        "and",
        "or",
        "squared",
        "cubed",
        "hundred",
        "thousand",
        "million",
        "billion",
        "dozen",
        "percent",
        "mod",
        "choose",
        "base",
        "in",
    ]
)


def bare(reference: str) -> str:
    """A reference without its box or delimiters."""
    return boxed(reference) or tidy(reference)


def fold(text: str) -> str:
    """Text whose case and white space do not matter."""
    return " ".join(text.split()).casefold()


def plain(answer: str) -> str:
    """`answer` in a form that math-verify reads as it is meant: left alone, 0.9.0 takes `1 234` for 235, `3 1/2` for 2, `10**3`
    for 10, `5\\,000` for 0, `1e5` for 5e and the marbles of `5 marbles` for variables."""
    answer = answer.replace("**", "^").replace("\u2212", "-").replace("\u2013", "-")
    if whole := _ALL_TEXT.fullmatch(answer):
        answer = whole.group(1)
    if price := _PRICE.fullmatch(answer):
        answer = price.group(1) + price.group(2)
    answer = _GROUPED.sub(lambda m: _SEPARATORS.sub("", m.group()), answer)
    answer = _MIXED.sub(r"\1\\frac{\2}{\3}", answer)
    answer = _SCIENTIFIC.sub(r"\1 \\cdot 10^{\2}", answer)
    measured = _MEASURED.fullmatch(answer)
    if measured and not _NOT_UNITS & set(re.findall("[a-z]+", answer.lower())):
        answer = measured.group(1)
    return answer.strip()


def same_mathematics(reference: str, answer: str) -> Verdict:
    """Is `answer` mathematically equal to `reference`? Not symmetric: the reference's form decides what is compared."""
    from math_verify import verify

    gold = _parsed(bare(reference))
    if gold is None:
        return "unparsed", "reference_unparsed"
    target = _parsed(answer)
    if target is None:
        return "unparsed", "answer_unparsed"
    if gold[1] == target[1] or verify(gold[0], target[0], timeout_seconds=None, raise_on_error=True):
        return "right", None
    return "wrong", None


@functools.lru_cache(maxsize=64)
def _parsed(answer: str) -> tuple[Any, str] | None:
    """The expression and the text it was read from; None if it cannot be read or is no value."""
    import sympy
    from math_verify import parse

    text = plain(answer)
    if not text or not balanced(text):
        return None
    marked = text if "$" in text.replace(r"\$", "") or r"\(" in text or r"\[" in text else f"${text}$"
    found = parse(marked, parsing_timeout=None, raise_on_error=True)
    expression = next((part for part in found if not isinstance(part, str)), None)
    if expression is None or expression.has(sympy.nan, sympy.zoo):
        return None
    return expression, text
