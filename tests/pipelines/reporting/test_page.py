"""The page: whatever texts hold they stay text, the file is bounded, and it asks nothing of a network."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from pairwright.pipelines.reporting.page import (
    KEPT,
    SHOWN,
    Example,
    Folded,
    Number,
    Page,
    Pane,
    Section,
    Table,
    Words,
    cell,
    render,
    share,
)

NASTY = "</pre></script><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7 * 7 }}<!-- & \u202e"


class Read(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.said: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.said.append(data)

    @property
    def text(self) -> str:
        return "".join(self.said)


def page(*blocks, title: str = "t") -> str:
    return render(Page(title, title, [Number("1", title)], [title], [Section("s", title, title, blocks)]))


def test_nothing_in_a_text_comes_alive() -> None:
    panes = [Pane("chosen", NASTY, NASTY, NASTY), Pane("rejected", "r", NASTY * 40)]
    blocks = (Example(NASTY, panes, panes, [NASTY]), Table([NASTY], [[NASTY]], NASTY), Folded(NASTY, NASTY), Words(NASTY))
    read = Read(page(*blocks, title=NASTY))
    assert not {"script", "img", "iframe", "link", "object"} & set(read.tags)
    assert NASTY in read.text and "49" not in read.text


@pytest.mark.parametrize("text", ["\n  first line is blank", "tab\there", "a" * SHOWN, "café \U0001f600"])
def test_a_text_is_shown_as_it_is(text: str) -> None:
    assert text in Read(page(Example("e", (), [Pane("chosen", "c", text)]))).text


def test_a_long_text_is_cut_the_rest_unfolds_and_what_is_left_out_is_counted() -> None:
    text = "".join(f"{i:06d}" for i in range(4000))
    read = Read(page(Example("e", (), [Pane("chosen", "c", text)])))
    assert "details" in read.tags
    assert text[:SHOWN] in read.text and text[SHOWN:KEPT] in read.text and text[KEPT:] not in read.text
    assert f"{len(text) - KEPT:,} are only in the dataset" in read.text


def test_an_open_column_is_not_shown_and_numbers_stand_to_the_right() -> None:
    table = Table(("name", "n", "nothing"), [("a", 1234, None), ("b", None, None)])
    assert table.head == [(0, "name", False), (1, "n", True)]
    shown = page(table)
    assert "nothing" not in shown and "1,234" in shown


def test_a_long_table_says_how_much_is_not_shown() -> None:
    assert "940 more rows are not shown" in page(Table(("i",), [(i,) for i in range(1000)]))


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (0, "0"), (1234567, "1,234,567"), (0.123456, "0.1235"), (123456.7, "123,457"), ("x", "x"), (True, "True")],
)
def test_cells(value, shown: str) -> None:
    assert cell(value) == shown


@pytest.mark.parametrize(
    ("part", "whole", "said"), [(0, 0, "–"), (1, 2, "50%"), (999, 1000, "99.90%"), (1, 1000, "0.10%"), (3, 3, "100%")]
)
def test_only_all_is_called_all(part: int, whole: int, said: str) -> None:
    assert share(part, whole) == said
