"""Are two answers equal? As words where they are words, else in mathematics by math-verify, which this module alone imports.

Runs inside a worker: sympy can take for ever on a tower of powers, so nothing here is called where it cannot be killed.
"""

from __future__ import annotations

import functools
import re
from typing import Any

from pairwright.engines.verification.answers import NUMBER, balanced, boxed, tidy
from pairwright.engines.verification.words import NAMED, chosen, measured, same_words

Verdict = tuple[str, str | None]  # outcome, and why if it is `unparsed`

_SEPARATOR = r"(?:\{,\}|,\\!|\\[,;:! ]|~| )"
_GROUPED = re.compile(rf"(?<![\d.,])\d{{1,3}}(?:{_SEPARATOR}\d{{3}})+(?!\d)")
_SEPARATORS = re.compile(_SEPARATOR)
_MIXED = re.compile(r"(?<![\w.])(\d+) (\d+) ?/ ?(\d+)(?![\w.])")
_SCIENTIFIC = re.compile(r"(?<![\w\\])(\d+(?:\.\d+)?)[eE]([+-]?\d+)(?!\w)")
_ALL_TEXT = re.compile(r"\\(?:text|textbf|mathrm|mbox)\{([^{}]*\d[^{}]*)\}")
_PRICE = re.compile(r"(-?) ?\\?[$€£] ?(?=[\d.])([^$]*)")
_NUMBER = re.compile(NUMBER)
_NAMES = re.compile(rf"(?<![\\A-Za-z])({'|'.join(NAMED)})(?![A-Za-z]) ?")
_WRAPPING = re.compile(r"\\(?:text|math|mbox|operator)")


def bare(reference: str) -> str:
    """A reference without its box or delimiters."""
    return boxed(reference) or tidy(reference)


def fold(text: str) -> str:
    """Text whose case and white space do not matter."""
    return " ".join(text.split()).casefold()


def plain(answer: str) -> str:
    """`answer` in a form that math-verify reads as it is meant: left alone, 0.9.0 takes `1 234` for 235, `3 1/2` for 2, `10**3`
    for 10, `5\\,000` for 0, `1e5` for 5e, and for variables the marbles of `5 marbles` and the letters of `sin 2`."""
    answer = answer.replace("**", "^").replace("\u2212", "-").replace("\u2013", "-")
    if whole := _ALL_TEXT.fullmatch(answer):
        answer = whole.group(1)
    if price := _PRICE.fullmatch(answer):
        answer = price.group(1) + price.group(2)
    answer = _GROUPED.sub(lambda m: _SEPARATORS.sub("", m.group()), answer)
    answer = _MIXED.sub(r"\1\\frac{\2}{\3}", answer)
    answer = _SCIENTIFIC.sub(r"\1 \\cdot 10^{\2}", answer)
    found = measured(answer)
    if found and not found.product and _NUMBER.fullmatch(found.quantity) and len(answer.removeprefix(found.quantity).strip()) > 1:
        answer = found.quantity  # a single letter may be a variable
    return (answer if _WRAPPING.search(answer) else _NAMES.sub(r"\\\1 ", answer)).strip()


def same_mathematics(reference: str, answer: str) -> Verdict:
    """Is `answer` equal to `reference`, as words if one of them is to be read so (see `same_words`), else mathematically? Two
    measures are equal only if their units are. Not symmetric: the reference's form decides what is compared."""
    from math_verify import verify

    reference = bare(reference)
    answer = chosen(reference, answer)
    if (same := same_words(reference, answer)) is not None:
        return "right" if same else "wrong", None
    one, other = measured(reference), measured(answer)
    if one and other:
        if one.unit != other.unit:
            return "wrong", None
        reference, answer = one.quantity, other.quantity
    gold = _parsed(reference)
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
