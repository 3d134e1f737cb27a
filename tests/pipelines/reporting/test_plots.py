"""Plots stand inside a page: its colours, ids of their own, and names that stay text."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from pairwright.pipelines.quality.calibration import Bin
from pairwright.pipelines.reporting import plots
from pairwright.pipelines.reporting.histograms import Histogram

NASTY = "$x^{</svg><script>alert(1)</script>"
SHAPE = Histogram(np.arange(4.0), {"kept": np.array([1.0, 2, 3]), "dropped": np.array([0.0, 4, 1])}, 11, 0, 0, 0)
COLOURS = {"kept": "kept", "dropped": "dropped"}
ALL = {
    "histogram": lambda: plots.histogram(SHAPE, COLOURS, NASTY, "pairs", NASTY, {NASTY: 1.5}),
    "overlaid": lambda: plots.histogram(SHAPE, COLOURS, "x", "%", overlaid=True),
    "scatter": lambda: plots.scatter(np.arange(5.0), np.arange(5.0), "length (tokens)", "score", NASTY, zero=True),
    "heatmap": lambda: plots.heatmap([NASTY, "b"], [[1.0, None], [None, 1.0]]),
    "bars": lambda: plots.bars([NASTY, "b"], {"kept": [1, 2], "dropped": [0, 3]}, COLOURS, [NASTY, ""], "rows"),
    "reliability": lambda: plots.reliability([Bin(3, 0.6, 0.5), Bin(9, 0.9, 1.0)], NASTY),
}


@pytest.mark.parametrize("kind", ALL)
def test_a_plot_is_sound_has_the_pages_colours_only_and_no_markup_from_names(kind: str) -> None:
    svg = ALL[kind]()
    root = ET.fromstring(svg)
    assert root.tag == "svg" and root.get("viewBox")
    assert not re.search(r"(?:fill|stroke|color): #", svg), "every colour is a variable, so that dark and light are one plot"
    assert "var(--ink)" in svg
    assert not list(root.iter("script")) and not list(root.iter("image"))
    assert "http" not in svg and "@import" not in svg


@pytest.mark.parametrize("kind", ALL)
def test_the_same_numbers_give_the_same_plot(kind: str) -> None:
    assert ALL[kind]() == ALL[kind]()


def test_names_are_text_and_not_mathematics() -> None:
    texts = "".join(ET.fromstring(ALL["histogram"]()).itertext())
    assert "$x^{</svg><script>" in texts


def test_ids_of_two_plots_in_a_page_do_not_meet() -> None:
    ids = [set(re.findall(r' id="([^"]+)"', ALL[kind]())) for kind in ("scatter", "reliability")]
    assert ids[0] and ids[1] and not ids[0] & ids[1]
    for svg in (ALL["scatter"](), ALL["reliability"]()):
        assert set(re.findall(r'href="#([^"]+)"', svg)) <= set(re.findall(r' id="([^"]+)"', svg))
