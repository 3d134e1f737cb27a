"""What a build and its data look like in a terminal."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.panel import Panel
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Column, Table
from rich.text import Text

from pairwright.engines.runner import Stats
from pairwright.pipelines.progress import Progress

WIDEST = 10_000
SAY_EVERY_S = 30.0
SHORT = 16  # a column whose texts are no longer than this is never broken

out = Console()
err = Console(stderr=True)


class BarProgress(Progress):
    """A bar per stage: units done, time gone, time left, tokens per second, what the journal saved, money."""

    def __init__(self, console: Console = err) -> None:
        self.bars = Bars(
            TextColumn("{task.description}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=12),
            TextColumn("{task.completed:.0f}/{task.total:.0f} {task.fields[unit]}", table_column=Column(no_wrap=True)),
            TimeRemainingColumn(elapsed_when_finished=True, compact=True, table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[facts]}", style="dim", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
            console=console,
            expand=True,
            refresh_per_second=2,
        )
        self.tasks: dict[str, Any] = {}
        self.said = time.monotonic()

    @contextlib.contextmanager
    def shown(self) -> Iterator[BarProgress]:
        """Draw while the `with` block runs."""
        with self.bars:
            yield self

    def begin(self, stage: str, total: int, unit: str) -> None:
        self._say(f"{stage}: {total:,} {unit} to do")
        self.tasks[stage] = self.bars.add_task(stage, total=total, unit=unit, facts="loading the model" if total else "")

    def advance(self, stage: str, done: int, stats: Stats) -> None:
        if time.monotonic() - self.said > SAY_EVERY_S:
            self._say(f"{stage}: {done:,} done, {stats.tokens:,} tokens, {stats.failed} failed")
        task = self.bars.tasks[self.tasks[stage]]
        speed = stats.tokens / task.elapsed if task.elapsed else 0
        facts = [f"{speed:,.0f} tokens/s" if stats.tokens else "", f"{stats.failed} failed" if stats.failed else ""]
        facts += [f"{stats.from_journal} from the journal" if stats.from_journal else ""]
        facts += [f"cost {stats.money:,.2f}" if stats.money else ""]
        self.bars.update(self.tasks[stage], completed=done, facts=", ".join(f for f in facts if f))

    def end(self, stage: str, note: str) -> None:
        self._say(f"{stage}: {note}")
        task = self.bars.tasks[self.tasks[stage]]
        self.bars.update(self.tasks[stage], completed=task.total or 1, total=task.total or 1, facts=note)

    def _say(self, line: str) -> None:
        """Where nobody sees bars, as in a file, the same as lines: when a stage begins and ends, and twice a minute."""
        self.said = time.monotonic()
        if not self.bars.console.is_terminal:
            self.bars.console.print(line, highlight=False, soft_wrap=True)

    def note(self, text: str) -> None:
        self.bars.console.print(f"note: {text}", style="yellow", highlight=False)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table; numbers to the right. One that is too wide for the terminal is cut into tables below each other, whose rows are
    numbered; where output is no terminal, lines may be as long as they are."""
    shown = _table(title, columns, rows)
    wants = Measurement.get(out, out.options.update_width(WIDEST), shown)
    if not out.is_terminal:
        Console(file=out.file, width=max(out.width, wants.maximum)).print(shown)
    elif wants.minimum <= out.width:
        out.print(shown)
    else:
        for here in _fitting(columns, rows):
            numbered = [(i, *(row[k] for k in here)) for i, row in enumerate(rows, 1)]
            out.print(_table(title, ("#", *(columns[k] for k in here)), numbered))
            title = ""


def _fitting(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[list[int]]:
    """The places of the columns that stand beside each other, for as many tables as it takes."""
    found, room = [list[int]()], 0
    for k, column in enumerate(columns):
        one = _table("", (column,), [(row[k],) for row in rows])
        wide = Measurement.get(out, out.options.update_width(WIDEST), one).minimum + 2
        if found[-1] and room + wide > out.width - len(str(len(rows))) - 2:
            found.append([])
            room = 0
        found[-1].append(k)
        room += wide
    return found


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    shown = Table(title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for i, column in enumerate(columns):
        numbers = all(isinstance(row[i], int | float) or row[i] is None for row in rows) and bool(rows)
        short = numbers or max((len(str(row[i])) for row in rows), default=0) <= SHORT
        shown.add_column(column, justify="right" if numbers else "left", overflow="fold", no_wrap=short)
    for row in rows:
        shown.add_row(*[_cell(value) for value in row])
    return shown


def _cell(value: Any) -> Text:
    if isinstance(value, float):
        return Text(f"{value:,.4g}")
    return Text("" if value is None else f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value))


def funnel(title: str, accounting: Sequence[Any]) -> None:
    """The row accounting: how many rows each stage got, gave, and dropped for which reason."""
    rows = [
        (a.stage, a.unit, a.rows_in, a.rows_out, ", ".join(f"{r} {n}" for r, n in sorted(a.dropped.items(), key=lambda i: -i[1])))
        for a in accounting
    ]
    table(title, ("stage", "unit", "in", "out", "dropped for"), rows)


def built(manifest: Any, path: Any) -> None:
    """Where the rows of a new version went, what it holds, and where it is."""
    funnel(f"{manifest.dataset} version {manifest.version}", manifest.accounting)
    views = [t for t in ("preference", "stepwise", "step_preference") if t in manifest.tables()]
    print(f"\n{', '.join(f'{manifest.rows(t):,} {t} rows' for t in views)} in {path}")


@contextlib.contextmanager
def working(text: str) -> Iterator[None]:
    """A line that says what is being done and for how long."""
    with Bars(TextColumn("{task.description}"), TimeElapsedColumn(), console=err, transient=True) as bars:
        bars.add_task(text, total=None)
        yield


def conversation(messages: Sequence[Mapping[str, Any]]) -> Text:
    """Turns, one under the other."""
    text = Text()
    for i, m in enumerate(messages):
        text.append(f"{'' if i == 0 else chr(10)}{m['role']}: ", style="bold")
        text.append(str(m["content"]))
    return text


def prompt(messages: Sequence[Mapping[str, Any]], title: str) -> None:
    """A prompt in a box."""
    out.print(Panel(conversation(messages), title=Text(title), title_align="left", border_style="cyan"))


def response(text: str | None, title: str, subtitle: str = "", good: bool | None = None) -> None:
    """A response in a box; green if chosen, red if rejected."""
    style = "white" if good is None else "green" if good else "red"
    body = Text("(no text)", style="dim") if text is None else Text(text)
    if subtitle:
        body = Text("\n\n").join([body, Text(subtitle, style="dim")])  # on the frame it would be cut where it is long
    out.print(Panel(body, title=Text(title), title_align="left", border_style=style))


def pair(row: Mapping[str, Any]) -> None:
    """One row of the preference view."""
    prompt(row["prompt"], f"prompt {row['prompt_id']}")
    response(row["chosen"][-1]["content"], "chosen", f"score {row['score_chosen']:.3f}", good=True)
    response(
        row["rejected"][-1]["content"], f"rejected (margin {row['margin']:.3f})", f"score {row['score_rejected']:.3f}", good=False
    )
