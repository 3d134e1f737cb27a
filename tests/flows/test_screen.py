from __future__ import annotations

import io

import pytest
from rich.console import Console

from pairwright.flows import screen

COLUMNS = tuple(f"figure{i}" for i in range(12))
ROWS = [tuple(1000 * k + i for i in range(12)) for k in range(3)]


def shown(monkeypatch: pytest.MonkeyPatch, width: int, terminal: bool) -> list[str]:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=terminal, color_system=None)
    monkeypatch.setattr(screen, "out", console)
    screen.table("title", COLUMNS, ROWS)
    return file.getvalue().splitlines()


def test_a_table_that_is_too_wide_for_the_terminal_is_shown_in_parts_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, 60, terminal=True)
    assert all(len(line) <= 60 for line in lines)
    words = " ".join(lines).split()
    assert all(words.count(name) == 1 for name in COLUMNS)
    assert all(f"{value:,}" in words for row in ROWS for value in row)


def test_where_output_is_no_terminal_lines_are_as_long_as_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, 60, terminal=False)
    assert len(lines) == 2 + len(ROWS)
    assert all(f"{value:,}" in lines[2 + i].split() for i, row in enumerate(ROWS) for value in row)


def test_a_table_that_fits_is_one_table(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(shown(monkeypatch, 200, terminal=True)) == 2 + len(ROWS)
