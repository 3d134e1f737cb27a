"""The report in a real browser: nothing is fetched, nothing comes alive, dark is dark, and it fits a narrow screen."""

from __future__ import annotations

import pytest

from pairwright.pipelines.reporting.compare import compare
from pairwright.pipelines.reporting.report import report, write
from tests.pipelines.reporting.test_page import NASTY
from tests.pipelines.reporting.test_report import bare
from tests.pipelines.review.browser import CHROMIUM, browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("browser")) as page:
        yield page


def sized(page, scheme, width):
    page.tell("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    page.tell("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)


def complaints(page):
    asked = [e["params"]["request"]["url"] for e in page.events if e["method"] == "Network.requestWillBeSent"]
    said = [
        e for e in page.events if e["method"] in ("Page.javascriptDialogOpening", "Runtime.exceptionThrown", "Log.entryAdded")
    ]
    return [url for url in asked if not url.startswith("file:")] + said


@pytest.mark.parametrize("what", ["pairs", "steps", "compared"])
def test_it_fits_the_screen_fetches_nothing_and_dark_is_dark(page, pairs, steps, tmp_path, what):
    made = {
        "pairs": lambda: report(pairs),
        "steps": lambda: report(steps),
        "compared": lambda: compare((pairs, 1), (pairs, 2))[1],
    }
    write(made[what](), tmp_path / "page.html")
    page.events.clear()
    brightness = {}
    for scheme, width in (("light", 1280), ("dark", 1280), ("light", 400)):
        sized(page, scheme, width)
        page.open(tmp_path / "page.html")
        assert page.run("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out"
        assert page.run("[...document.querySelectorAll('figure svg')].every(s => s.getBoundingClientRect().width > 250)")
        brightness[scheme] = [
            sum(map(int, page.run(f"getComputedStyle(document.querySelector('{where}')).{what}")[4:-1].split(",")[:3]))
            for where, what in (("body", "backgroundColor"), ("figure svg text", "fill"))
        ]
    assert brightness["light"][0] > 600 > 300 > brightness["light"][1]
    assert brightness["dark"][0] < 150 and brightness["dark"][1] > 300
    assert not complaints(page)


def test_a_hostile_response_does_nothing(page, tmp_path):
    write(report(bare(tmp_path, NASTY)), tmp_path / "page.html")
    page.events.clear()
    page.open(tmp_path / "page.html")
    assert page.run("document.querySelectorAll('script, img').length") == 0
    assert page.run(f"document.body.innerText.includes({NASTY[:40]!r})")
    assert not complaints(page)


def test_long_texts_unfold_without_a_script(page, tmp_path):
    write(report(bare(tmp_path, "word " * 1000)), tmp_path / "page.html")
    page.open(tmp_path / "page.html")
    before = page.run("document.documentElement.scrollHeight")
    page.run("document.querySelector('.pane summary').click()")
    assert page.run("document.documentElement.scrollHeight") > before
