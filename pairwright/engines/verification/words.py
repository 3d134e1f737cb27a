"""Answers that are words, dates, times or measures. As formulas they would be products of letters in any order: `no` would be
`on`, `2023-05-01` would be 2017, and `5 m` would be `5 cm`, for math-verify drops the units it knows.

A product is written with single letters, two letters or a few consonants: `x`, `ab`, `xyz`, and with three letters close behind a
number: `2abc`. What may be one stays mathematics.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from pairwright.engines.verification.answers import NUMBER

_WRAPPED = re.compile(r"\\(?:text[a-z]*|mathrm|mathbf|mathit|mathsf|mbox) ?\{([^{}]*)\}")
_BLANK = re.compile(r"\\[,;:! ]|[~$\s]")
_PRICE = re.compile(r"-? ?(?:\\\$|[€£]|\$[^$]*$)")
_WORDS = re.compile(r"[\"()\[\]]*[^\W\d_]{2,}(?:[ .,;:!?\"()\[\]/-]+[^\W\d_]{2,})*[\"()\[\]]*")
_WORD = re.compile(r"[^\W\d_]+")
_ARTICLE = re.compile(r"\b(?:a|an|the) (?=[^\W\d_]{2})")
_PRODUCT = re.compile(r".|[a-df-hj-np-tv-z]{2}|[b-df-hj-np-tv-z]{3,4}")  # not `no`, which has a vowel that is seldom a variable
_DATE = re.compile(r"\d{4}([-/.])\d{1,2}\1\d{1,2}|\d{1,2}([-/.])\d{1,2}\2(?:\d{4}|\d\d)")
_TIME = re.compile(r"\d{1,2}:[0-5]\d(?::[0-5]\d)?(?: ?[ap]\.? ?m\.?)?")
_RATIO = re.compile(r"\d{1,2}:\d\d")  # or a time
_NUMBER = re.compile(f"({NUMBER})")
_QUANTITY = r"-? ?(?:[\d./ (){}^]|,(?=\}?\d{3})|\\(?:[dt]?frac|sqrt|cdot|times|left|right|pi)(?![A-Za-z]))*(?:[\d})]|\\pi)"
_MEASURED = re.compile(rf"(?:[A-Za-z] ?= ?)?({_QUANTITY})( ?[A-Za-z][A-Za-z',./ -]*)")  # no sum, no list
_BETWEEN = re.compile(r"(?:,| and)*[, ]*$")
_LETTER = re.compile(r"\(?[A-Z]\)?")
_CHOICE = re.compile(r"\(?([A-Z])\)[.,:;]? \w|([A-Z]),? (?:because|since|as)\b")

_NAMED = """
sin cos tan cot csc arcsin arccos arctan sinh cosh tanh log ln exp pi alpha beta gamma delta epsilon theta lambda mu rho sigma tau
phi psi omega"""
_COUNTED = """
sqrt root times plus minus over to and or squared cubed hundred thousand million billion trillion dozen percent mod choose base
in"""
_ABBREVIATED = """
meter m metre, kilometer km kilometre, centimeter cm centimetre, millimeter mm millimetre, nanometer nm, inch inche, foot ft feet,
yard yd, mile mi, square sq, gram g, kilogram kg, milligram mg, pound lb, ounce oz, liter l litre, milliliter ml, second s sec,
millisecond ms, minute min, hour h hr, mile_per_hour mph, kilometer_per_hour kmh kph, hertz hz, kilohertz khz, megahertz mhz,
gigahertz ghz, watt w, kilowatt kw, kilowatt_hour kwh, kilobyte kb, megabyte mb, gigabyte gb, terabyte tb, rpm rpm, ppm ppm,
bps bps, piece pc, degree deg, am am, pm pm, th st nd rd th"""
NAMED = _NAMED.split()  # what LaTeX has a command for
_READ = {*NAMED, "infinity", "and", "or"}  # of the words that are no products, those that stand in formulas
_NOT_UNITS = {*NAMED, *_COUNTED.split()}
_UNITS = {short: unit for unit, *shorts in map(str.split, _ABBREVIATED.split(",")) for short in shorts}


class Measure(NamedTuple):
    """A number, or a formula without letters, and the name of the unit after it; `product`: sorted letters instead of one."""

    quantity: str
    unit: str
    product: bool = False


def same_words(reference: str, answer: str) -> bool | None:
    """Are two answers equal as words? Case, spaces, articles and punctuation do not matter. None if neither is to be read as
    words. `3:10` is a time beside words or another time, else a ratio, which is mathematics."""
    gold, given = _said(reference), _said(answer)
    wanted, found = _key(gold), _key(given)
    if wanted is None and found is None:
        return None
    if (wanted is None and _RATIO.fullmatch(given)) or (found is None and _RATIO.fullmatch(gold)):
        return None
    return wanted == found


def measured(answer: str) -> Measure | None:
    """`answer` as one quantity with a unit: one of those known by their abbreviation, or words that are no products, functions or
    numerals. So `2 km` and `5 marbles` have one, `2xy` has a product, and `2 pi`, `2 million` and prices have neither."""
    found = None if _PRICE.match(answer) else _MEASURED.fullmatch(_said(answer))
    if found is None:
        return None
    quantity, text = found.groups()
    if unit := _unit(text):
        return Measure(quantity, unit)
    letters = text.replace(" ", "").casefold()
    product = letters.isalpha() and not _NOT_UNITS & {*text.casefold().split()}
    return Measure(quantity, "".join(sorted(letters)), product=True) if product else None


def chosen(reference: str, answer: str) -> str:
    """The letter of `answer` if the reference is a letter and `answer` says more after its own: `(B) because A is wrong`."""
    found = _CHOICE.match(_said(answer)) if _LETTER.fullmatch(_said(reference)) else None
    return answer if found is None else found[1] or found[2]


def _said(answer: str) -> str:
    """What is said, without what it is dressed in."""
    for _ in range(2):
        answer = _WRAPPED.sub(r" \1 ", answer)
    return " ".join(_BLANK.sub(" ", answer).replace("'", "").replace("\u2019", "").split()).strip(" .,;:!?*")


def _key(said: str) -> str | None:
    """What is compared of words, a date, a time, or several measures; None for anything else."""
    folded = _ARTICLE.sub("", said.casefold())
    if _DATE.fullmatch(folded) or _TIME.fullmatch(folded):
        return "-".join(part.lstrip("0") for part in re.findall(r"\d+|[ap]", folded))
    if _WORDS.fullmatch(folded):
        words = _WORD.findall(folded)
        return None if all(_PRODUCT.fullmatch(word) or word in _READ for word in words) else " ".join(words)
    begin, *parts = _NUMBER.split(folded)
    units = [_unit(_BETWEEN.sub("", text)) for text in parts[1::2]]
    if begin or len(units) < 2 or None in units:
        return None
    return " ".join(f"{number} {unit}" for number, unit in zip(parts[::2], units, strict=True))


def _unit(text: str) -> str | None:
    """The full name of the unit in `text`, which begins with the blank before it, if there is one."""
    words = _WORD.findall(text.casefold().replace(".", "").replace("/", " per "))
    own = [word for word in words if word != "per"]
    if not own or _NOT_UNITS & {*own} or not re.fullmatch(r"[\w,./ -]+", text):
        return None
    shortest = 3 if text[0] == " " else 4
    product = all(len(word) < shortest or _PRODUCT.fullmatch(word) for word in own)
    spaced = len(own) > 1 and min(map(len, own)) == 1 and "/" not in text  # `l w`, where `m` and `m/s` are units
    if product and (spaced or not all(map(_name, own))):
        return None
    return " ".join(_name(word) or re.sub("(?<=[^s]{3})s$", "", word) for word in words).replace("_", " ")


def _name(word: str) -> str | None:
    return _UNITS.get(word) or _UNITS.get(word.removesuffix("s"))
