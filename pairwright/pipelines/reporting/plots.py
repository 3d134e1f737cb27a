"""Plots as SVG that stands inside a page: text stays text, colours are the page's, so light and dark are one plot.

Matplotlib draws each meaning in a colour that occurs nowhere else, and the SVG gets the page's CSS variable in its place. Colours
are those of Okabe and Ito, which the colour-blind can tell apart.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from pairwright.ids import digest
from pairwright.pipelines.quality.calibration import Bin
from pairwright.pipelines.reporting.histograms import Floats, Histogram

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 5.4  # inches of 72 CSS pixels: legible at its own size on a telephone
SHORT = 28  # characters of a name in a plot
MEANINGS = (
    "ink", "quiet", "line", "box",
    "kept", "dropped", "other", "plain", "chosen", "rejected", "before", "after",
)  # fmt: skip
PAINT = {meaning: f"#fe{i:02x}ef" for i, meaning in enumerate(MEANINGS)}
SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "pairwright",
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name with dollars is a name
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": PAINT["ink"],
    "axes.labelcolor": PAINT["ink"],
    "axes.edgecolor": PAINT["line"],
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.formatter.useoffset": False,
    "xtick.color": PAINT["line"],
    "ytick.color": PAINT["line"],
    "xtick.labelcolor": PAINT["quiet"],
    "ytick.labelcolor": PAINT["quiet"],
    "grid.color": PAINT["line"],
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
}


def short(name: str, most: int = SHORT) -> str:
    """A name that fits into a plot."""
    return name if len(name) <= most else name[: most - 1] + "…"


def histogram(
    found: Histogram,
    colours: Mapping[str, str],
    xlabel: str,
    ylabel: str,
    title: str = "",
    marks: Mapping[str, float] | None = None,
    overlaid: bool = False,
) -> str:
    """Counts by bin, one series on top of the other; if `overlaid`, each in per cent of its own rows and from the ground.
    `colours`: series -> its meaning; `marks`: words -> where on the x axis a line stands."""

    def draw(ax: Axes) -> None:
        base = np.zeros(len(found.edges) - 1)
        for series, meaning in colours.items():
            counts = found.counts.get(series, np.zeros(len(base)))
            colour, label = PAINT[meaning], f"{short(series)} ({int(counts.sum()):,})"
            if overlaid:
                share = 100 * counts / max(1, counts.sum())
                dashes = (0, (3, 1.5)) if meaning == "before" else "solid"
                ax.stairs(share, found.edges, fill=True, color=colour, alpha=0.2)
                ax.stairs(share, found.edges, color=colour, linewidth=1.8, linestyle=dashes, label=label)
            else:
                ax.stairs(base + counts, found.edges, baseline=base, fill=True, color=colour, label=label)
                base = base + counts
        for words, at in (marks or {}).items():
            ax.axvline(at, color=PAINT["ink"], linewidth=1.1, linestyle=(0, (4, 2)), label=short(words, 40))
        _grid(ax, "y")
        ax.set_ylim(bottom=0)
        ax.yaxis.get_major_locator().set_params(integer=not overlaid)  # type: ignore[call-arg]
        _labels(ax, xlabel, ylabel, title)
        _legend(ax)

    return _svg(draw, height=2.7)


def scatter(x: Floats, y: Floats, xlabel: str, ylabel: str, title: str = "", zero: bool = False) -> str:
    """A cloud of points. `zero`: with lines through zero."""

    def draw(ax: Axes) -> None:
        if zero:
            ax.axhline(0, color=PAINT["quiet"], linewidth=0.8)
            ax.axvline(0, color=PAINT["quiet"], linewidth=0.8)
        many = len(x) > 200
        size, alpha = (5, 0.4) if many else (8, 0.6)
        ax.plot(x, y, linestyle="none", marker=".", markersize=size, markeredgewidth=0, color=PAINT["plain"], alpha=alpha)
        _grid(ax, "both")
        _labels(ax, xlabel, ylabel, title)

    return _svg(draw, height=2.7)


def heatmap(names: Sequence[str], values: Sequence[Sequence[float | None]], low: float = 0.0, high: float = 1.0) -> str:
    """A square of shares, from `low` (blank) to `high` (full); None is left open."""
    size = len(names)

    def draw(ax: Axes) -> None:
        from matplotlib.patches import Rectangle

        for i, row in enumerate(values):
            for j, value in enumerate(row):
                if value is not None:
                    alpha = 0.55 * min(1.0, max(0.0, (value - low) / (high - low)))
                    ax.add_patch(Rectangle((j - 0.48, i - 0.48), 0.96, 0.96, facecolor=PAINT["plain"], alpha=alpha))
                said = "–" if value is None else f"{value:.2f}"
                ax.text(j, i, said, ha="center", va="center", fontsize=9.5 if size < 8 else 7)
        ax.set_xlim(-0.5, size - 0.5)
        ax.set_ylim(size - 0.5, -0.5)
        ax.set_yticks(range(size), [short(n, 20) for n in names])
        ax.set_xticks(range(size), [short(n, 20) for n in names], rotation=35, ha="right", rotation_mode="anchor")
        ax.tick_params(length=0)
        for side in ax.spines.values():
            side.set_visible(False)

    return _svg(draw, height=min(6.5, 1.6 + 0.42 * size))


def bars(
    labels: Sequence[str], parts: Mapping[str, Sequence[float]], colours: Mapping[str, str], notes: Sequence[str], xlabel: str
) -> str:
    """Lying bars, a label above each and a note at its right: legible on a narrow screen however long the labels are. `parts`:
    series -> one number a bar, put side by side."""
    count = len(labels)

    def draw(ax: Axes) -> None:
        places = np.arange(count)
        left = np.zeros(count)
        for series, numbers in parts.items():
            ax.barh(places, numbers, left=left, height=0.36, color=PAINT[colours[series]], label=series)
            left = left + np.asarray(numbers, np.float64)
        top = float(left.max(initial=0)) or 1.0
        for place, label, note in zip(places, labels, notes, strict=True):
            ax.text(0, place - 0.28, short(label, 40), va="bottom", ha="left")
            ax.text(top, place - 0.28, short(note, 40), va="bottom", ha="right", color=PAINT["quiet"])
        ax.set_xlim(0, top)
        ax.set_ylim(count - 0.6, -0.85)
        ax.spines["left"].set_visible(False)
        _labels(ax, xlabel, "", "")
        ax.set_yticks([])
        if len(parts) > 1:
            _legend(ax)

    return _svg(draw, height=1.0 + 0.42 * count)


def reliability(bins: Sequence[Bin], title: str) -> str:
    """How often the annotator was right against how sure it was: on the diagonal it can be believed. The area of a point goes
    with the square root of the number of its rows."""

    def draw(ax: Axes) -> None:
        ax.plot([0.5, 1], [0.5, 1], color=PAINT["quiet"], linewidth=1, linestyle=(0, (4, 2)), label="as sure as right")
        sure, right = [b.confidence for b in bins], [b.accuracy for b in bins]
        most = max(b.n for b in bins)
        ax.plot(sure, right, color=PAINT["plain"], linewidth=1.2, clip_on=False)
        ax.scatter(
            sure,
            right,
            s=[14 + 90 * (b.n / most) ** 0.5 for b in bins],
            color=PAINT["plain"],
            label="found",
            zorder=3,
            clip_on=False,
        )
        ax.set_xlim(0.48, 1.02)
        ax.set_ylim(-0.02, 1.02)
        _grid(ax, "both")
        _labels(ax, "confidence (probability)", "right (share)", title)
        _legend(ax)

    return _svg(draw, height=2.9)


def _grid(ax: Axes, axis: str) -> None:
    ax.grid(True, axis=axis)  # type: ignore[arg-type]
    ax.tick_params(length=0)


def _labels(ax: Axes, xlabel: str, ylabel: str, title: str) -> None:
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    if title:
        ax.set_title(short(title, 48))


def _legend(ax: Axes) -> None:
    if ax.get_legend_handles_labels()[0]:
        ax.figure.legend(loc="outside lower left", ncols=2, columnspacing=1.4, handlelength=1.2)


def _svg(draw: Callable[[Axes], None], height: float) -> str:
    """The drawing as an <svg> element whose ids are its own, so that many can stand in one page."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(SETTINGS), _quiet():
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        draw(figure.add_subplot())
        text = io.StringIO()
        FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None})
    return _inline(text.getvalue())


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a font may lack a letter of a name; the reader's browser will have it
        yield


def _inline(svg: str) -> str:
    """What matplotlib wrote, as a part of a page: colours and fonts of the page, ids that no other plot has."""
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r' xmlns(?::xlink)?="[^"]*"', "", svg).replace("xlink:href", "href")
    key = digest(svg)[:8]
    used = set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", svg))
    svg = re.sub(r' id="([^"]+)"', lambda m: f' id="{key}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r"(url\(#|href=\"#)", rf"\g<1>{key}-", svg)
    svg = re.sub(r"font-family: [^;\"]+", "font-family: inherit", svg)
    svg = re.sub(r"font: ([\w. ]*?[\d.]+px) [^;\"]+", r"font: \1 var(--font)", svg)
    for meaning, colour in PAINT.items():
        svg = svg.replace(colour, f"var(--{meaning})")
    return re.sub(r' width="[\d.]+pt" height="[\d.]+pt"', ' aria-hidden="true"', svg, count=1).strip()
