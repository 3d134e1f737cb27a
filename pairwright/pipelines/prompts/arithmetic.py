"""Arithmetic problems of any length and difficulty, made up on the spot, each with its exact answer.

The idea is RandomCalculation's (arXiv 2507.10532): a problem drawn at random is in nobody's training data, so a correct
answer was worked out and not remembered. Written from the paper's abstract; the forms of the problems are ours.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from pairwright.ids import seed_of
from pairwright.pipelines.prompts.rows import BadRow, Row, Source

Operator = Literal["+", "-", "*", "/"]
OPERATORS: tuple[Operator, ...] = ("+", "-", "*", "/")
MOST_DIGITS = 3000  # of all numbers of a problem together; Python turns no longer integers than 4300 digits into text


def _widen(value: Any) -> Any:
    return (value, value) if isinstance(value, int) else value


def _check_order(span: tuple[int, int]) -> tuple[int, int]:
    if not 1 <= span[0] <= span[1]:
        raise ValueError(f"{list(span)} is no range: give a whole number of at least 1, or [lowest, highest]")
    return span


Span = Annotated[tuple[int, int], BeforeValidator(_widen), AfterValidator(_check_order)]


class Arithmetic(Source):
    """`count` problems. `operations` (how many +, -, *, / a problem has) and `digits` (of each number in it) are a whole
    number or [lowest, highest], both included. Problem i depends on `seed`, the settings of this class and i only: a larger
    `count` keeps the first problems as they are."""

    source: Literal["arithmetic"] = "arithmetic"
    count: int = Field(100, ge=1)
    operations: Span = (2, 4)
    digits: Span = (1, 2)
    operators: tuple[Operator, ...] = Field(("+", "-", "*"), min_length=1)
    style: Literal["expression", "words", "mixed"] = "mixed"
    seed: int = 0

    @field_validator("operators")
    @classmethod
    def _in_order(cls, value: tuple[Operator, ...]) -> tuple[Operator, ...]:
        return tuple(operator for operator in OPERATORS if operator in value)

    @model_validator(mode="after")
    def _not_too_long(self) -> Arithmetic:
        if (self.operations[1] + 1) * self.digits[1] > MOST_DIGITS:
            raise ValueError(f"a problem may hold at most {MOST_DIGITS} digits: lower `operations` or `digits`")
        return self

    def label(self) -> str:
        return "arithmetic"

    def rows(self, base: Path) -> Iterator[tuple[str, Row | BadRow]]:
        for index in range(self.count):
            problem = make_problem(self, index)
            tags = ["math", "arithmetic", problem.style]
            yield f"arithmetic:{index}", {"prompt": problem.text, "reference": problem.reference, "tags": tags}


class Problem(NamedTuple):
    """A problem, its exact answer (an integer, or a fraction in lowest terms such as "7/3"), and which style it is in."""

    text: str
    reference: str
    style: str


def make_problem(config: Arithmetic, index: int) -> Problem:
    """Problem number `index`. The answer is never one of the numbers, nor one of the quotients, that the text holds."""
    settings = [config.seed, config.operations, config.digits, config.operators, config.style]
    for attempt in itertools.count():
        rng = random.Random(seed_of("arithmetic", *settings, index, attempt))
        style = rng.choice(("expression", "words")) if config.style == "mixed" else config.style
        text, value = (_expression if style == "expression" else _story)(config, rng)
        if str(value) not in _given(text):
            return Problem(f"{text} Give the result as an integer or as a fraction in lowest terms.", str(value), style)
    raise AssertionError("unreachable")


def _given(text: str) -> set[str]:
    quotients = (f"{over}/{under}" for over, under in re.findall(r"(?=\b(\d+) / (\d+))", text))
    return {*re.findall(r"\d+", text), *quotients}


def _number(config: Arithmetic, rng: random.Random) -> int:
    digits = rng.randint(*config.digits)
    return rng.randrange(10 ** (digits - 1), 10**digits)


def _apply(operator: Operator, left: Fraction, right: Fraction) -> Fraction:
    match operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            return left / right


# ---- nested expressions ----


class Term(NamedTuple):
    """A piece of an expression: its text, its value, and how tightly it binds (1 sum, 2 product, 3 number)."""

    text: str
    value: Fraction
    binding: int

    def inside(self, least: int) -> str:
        return self.text if self.binding >= least else f"({self.text})"


def _expression(config: Arithmetic, rng: random.Random) -> tuple[str, Fraction]:
    term = _term(config, rng, rng.randint(*config.operations))
    ask = rng.choice(("Compute {}.", "What is {}?", "Work out the exact value of {}."))
    return ask.format(term.text), term.value


def _term(config: Arithmetic, rng: random.Random, operations: int) -> Term:
    if operations == 0:
        number = _number(config, rng)
        return Term(str(number), Fraction(number), 3)
    before = rng.randrange(operations)
    left, right = _term(config, rng, before), _term(config, rng, operations - 1 - before)
    operator = rng.choice([o for o in config.operators if o != "/" or right.value != 0])
    binding = 1 if operator in "+-" else 2
    text = f"{left.inside(binding)} {operator} {right.inside(binding + 1)}"
    return Term(text, _apply(operator, left.value, right.value), binding)


# ---- chained stories ----

NAMES = ("Amara", "Benno", "Chioma", "Dev", "Elif", "Farid", "Greta", "Hiro", "Ines", "Jonas", "Kaya", "Luz")
STORIES: tuple[dict[str, str], ...] = (
    {
        "begin": "{name} thinks of the number {n}.",
        "+": "{name} adds {n} to it.",
        "-": "{name} takes {n} away from it.",
        "*": "{name} multiplies it by {n}.",
        "/": "{name} divides it by {n}.",
        "ask": "Which number does {name} have at the end?",
    },
    {
        "begin": "{name} plays a game in which scores may fall below zero and need not be whole; the score is {n}.",
        "+": "It rises by {n}.",
        "-": "It falls by {n}.",
        "*": "A bonus card multiplies the score by {n}.",
        "/": "A penalty card divides the score by {n}.",
        "ask": "What is the score now?",
    },
    {
        "begin": "A robot stands at mark {n} of a straight line that reaches below zero.",
        "+": "It rolls forward by {n}.",
        "-": "It rolls back by {n}.",
        "*": "It jumps to where its mark is multiplied by {n}.",
        "/": "It jumps to where its mark is divided by {n}.",
        "ask": "At which mark does the robot stand in the end?",
    },
)


def _story(config: Arithmetic, rng: random.Random) -> tuple[str, Fraction]:
    story, name = rng.choice(STORIES), rng.choice(NAMES)
    number = _number(config, rng)
    value, sentences = Fraction(number), [story["begin"].format(name=name, n=number)]
    for _ in range(rng.randint(*config.operations)):
        operator, number = rng.choice(config.operators), _number(config, rng)
        value = _apply(operator, value, Fraction(number))
        sentences.append(story[operator].format(name=name, n=number))
    return " ".join([*sentences, story["ask"].format(name=name)]), value
