"""A page of a report: sections of tables, figures and examples, and the one HTML file that shows them.

The page runs no script and asks no network, and its content policy forbids both; whatever a response holds stays text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal, TypeAlias

import jinja2

Cell: TypeAlias = str | int | float | None
Kind: TypeAlias = Literal["prompt", "chosen", "rejected", "good", "bad", "tail"]
SHOWN = 1500  # characters of a text that are shown at once
KEPT = 5000  # characters of a text that are in the page
ROWS = 60  # rows of a table


@dataclass(frozen=True)
class Number:
    """One of the five numbers at the top."""

    value: str
    label: str
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """A plot as SVG. caption: one sentence on what to look for; alt: what is to be seen, for those who cannot see it."""

    svg: str
    caption: str
    alt: str


@dataclass(frozen=True)
class Table:
    """Rows of cells; None is an open cell, and a column of open cells is not shown. beside: narrow enough for half a page."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    beside: bool = False

    @property
    def head(self) -> list[tuple[int, str, bool]]:
        """Of the columns that hold anything: the place, the name, and whether it is all numbers."""
        cells = [[row[i] for row in self.rows if row[i] is not None] for i in range(len(self.columns))]
        numeric = [all(isinstance(value, int | float) for value in column) for column in cells]
        return [(i, name, numeric[i]) for i, name in enumerate(self.columns) if cells[i] or not self.rows]

    @property
    def shown(self) -> Sequence[Sequence[Cell]]:
        """The rows that the page has room for."""
        return self.rows[:ROWS]


@dataclass(frozen=True)
class Pane:
    """A text of an example; note: numbers about it."""

    kind: Kind
    title: str
    text: str
    note: str = ""

    @property
    def parts(self) -> tuple[str, str, int]:
        """What is shown, what can be unfolded, and how many characters are left out."""
        text = self.text.rstrip()
        if len(text) <= SHOWN * 1.1:
            return text, "", 0
        return text[:SHOWN], text[SHOWN:KEPT], max(0, len(text) - KEPT)


@dataclass(frozen=True)
class Example:
    """Texts to read: what was asked, and what came, side by side or (`stacked`) one below the other."""

    title: str
    asked: Sequence[Pane]
    answers: Sequence[Pane]
    facts: Sequence[str] = ()
    stacked: bool = False


@dataclass(frozen=True)
class Folded:
    """Something long to unfold."""

    title: str
    text: str


@dataclass(frozen=True)
class Words:
    """A paragraph."""

    text: str


Block: TypeAlias = Figure | Table | Example | Folded | Words


@dataclass(frozen=True)
class Section:
    """A part of the page. Without blocks, `lead` says why there is nothing."""

    id: str
    title: str
    lead: str
    blocks: Sequence[Block] = ()


@dataclass(frozen=True)
class Page:
    """A whole report."""

    title: str
    subtitle: str
    numbers: Sequence[Number]
    remarks: Sequence[str]
    sections: Sequence[Section]


def render(page: Page) -> str:
    """The page as HTML."""
    return _template().render(page=page)


def cell(value: Cell) -> str:
    """A cell as text: whole numbers with commas, others with four digits."""
    if isinstance(value, bool | str):
        return str(value)
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def share(part: float, whole: float) -> str:
    """`part` of `whole` in per cent; only what is exactly none or all is called so."""
    if not whole:
        return "–"
    percent = 100 * part / whole
    digits = 0 if 1 <= percent <= 99 or percent in (0, 100) else 2
    return f"{percent:.{digits}f}%"


@cache
def _template() -> jinja2.Template:
    house = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    house.filters["cell"] = cell
    house.tests["a"] = lambda block, name: type(block).__name__ == name
    return house.from_string((resources.files("pairwright.pipelines.reporting") / "page.html").read_text(encoding="utf-8"))
