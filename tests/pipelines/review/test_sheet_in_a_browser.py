"""The review sheet in a real browser: keys, what is kept, what is saved, and that nothing in a response comes alive."""

from __future__ import annotations

import json
import time

import pytest

from pairwright.engines.people import PeopleModel
from pairwright.engines.requests import Review, turns
from pairwright.pipelines.review.collect import Item
from pairwright.pipelines.review.export import export
from pairwright.pipelines.review.sheet import sheet
from pairwright.pipelines.review.take import take
from tests.pipelines.review.browser import CHROMIUM, browser
from tests.pipelines.review.people import questions
from tests.pipelines.review.test_sheet import NASTY

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")

LEFT, RIGHT = "#left .text", "#right .text"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    with browser(folder) as page:
        page.folder = folder
        yield page


def items(count, text=lambda i: (f"first {i}", f"second {i}"), instructions=""):
    people = PeopleModel(instructions=instructions)
    made = []
    for i in range(count):
        first, second = text(i)
        review = Review("human", turns(f"Question {i}?"), ((f"i{i}", first), (f"j{i}", second)), "Which is better?")
        made.append(Item(f"{i:024d}", people.fingerprint(), "p", review))
    return made, people


def opened(page, path, who):
    page.open(path)
    page.run("document.getElementById('who').value = ''")
    page.write(who)
    page.press("Enter")
    page.wait("!document.getElementById('pair').hidden")


def saved(page, press=True):
    before = set(page.folder.glob("answers-*.json"))
    page.press("s")
    until = time.monotonic() + 30
    while time.monotonic() < until:
        new = set(page.folder.glob("answers-*.json")) - before
        if new:
            return new.pop()
        time.sleep(0.05)
    raise AssertionError("nothing was downloaded")


def test_answers_given_by_keys_are_saved_imported_and_name_what_stood_on_that_side(page, asking, sampled, tmp_path):
    waiting = questions(sampled())
    export(asking(), tmp_path / "sheet.html")
    page.open(tmp_path / "sheet.html")
    assert "Prefer what is true." in page.text("#instructions")
    opened(page, tmp_path / "sheet.html", "  Ann   Example ")
    picked = []
    for key in "120x" * 3:
        picked.append({"1": page.text(LEFT), "2": page.text(RIGHT), "0": "tie", "x": "invalid"}[key])
        page.press(key)
    assert page.text("#count") == "Question 12 of 12, 12 answered" and "Everything is answered" in page.text("#said")
    path = saved(page)
    rows = json.loads(path.read_text())
    texts = {id: text for item in waiting.values() for id, text in item.review.candidates}
    assert [texts.get(r["choice"], r["choice"]) for r in rows] == picked
    assert {r["who"] for r in rows} == {"Ann Example"} and all(r["seconds"] >= 0 for r in rows)
    taken = take(asking(), [path])
    assert (taken.completed, taken.refused, taken.waiting) == (12, [], 0)


def test_arrows_move_notes_are_kept_and_a_reload_goes_on_where_it_stopped(page, tmp_path):
    made, people = items(4)
    (tmp_path / "sheet.html").write_text(sheet("moves", made, people))
    opened(page, tmp_path / "sheet.html", "Bob")
    page.press("ArrowRight", "ArrowRight", "1", "ArrowLeft", "n")
    page.write("the 1st is 0k, next")
    page.press("Escape", "ArrowRight", "2", "ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowLeft")
    assert page.text("#count") == "Question 1 of 4, 2 answered"
    opened(page, tmp_path / "sheet.html", "Bob")
    assert page.text("#count") == "Question 1 of 4, 2 answered"
    page.press("ArrowRight", "ArrowRight")
    assert page.run("document.getElementById('note').value") == "the 1st is 0k, next"
    assert page.run("document.querySelectorAll('[aria-pressed=true]').length") == 1
    [row] = [r for r in json.loads(saved(page).read_text()) if r["note"]]
    assert (row["item"], row["note"]) == (made[2].id, "the 1st is 0k, next")


def test_which_response_stands_left_is_drawn_anew_for_each_reviewer_and_stays_so(page, tmp_path):
    made, people = items(40)
    (tmp_path / "sheet.html").write_text(sheet("order", made, people))

    def seen(who):
        opened(page, tmp_path / "sheet.html", who)
        sides = []
        for _ in made:
            sides.append(page.text(LEFT).startswith("first"))
            page.press("ArrowRight")
        return sides

    cleo, dora = seen("Cleo"), seen("Dora")
    assert seen("cleo") == cleo, "the same person sees the same order again"
    assert 8 <= sum(cleo) <= 32 and 8 <= sum(a != b for a, b in zip(cleo, dora, strict=True)) <= 32


def test_nothing_in_a_response_comes_alive_and_no_network_is_asked(page, tmp_path):
    made, people = items(1, lambda i: (NASTY, "<b>bold</b>"), NASTY)
    (tmp_path / "sheet.html").write_text(sheet("nasty", made, people))
    page.events.clear()
    opened(page, tmp_path / "sheet.html", "<i>Eve</i>")
    shown = page.text(LEFT) + page.text(RIGHT)
    assert "<script>alert(1)</script>" in shown and "<b>bold</b>" in shown and page.text("#name") == "<i>Eve</i>"
    assert page.run("document.querySelectorAll('img, b, i').length") == 0
    asked = [e["params"]["request"]["url"] for e in page.events if e["method"] == "Network.requestWillBeSent"]
    assert asked and all(url.startswith(("file:", "blob:")) for url in asked)
    assert not [e for e in page.events if e["method"] in ("Page.javascriptDialogOpening", "Runtime.exceptionThrown")]
    page.run("fetch('http://127.0.0.1:9/').catch(() => null)")
    page.wait("true")
    assert [e for e in page.events if "Content Security Policy" in json.dumps(e)], "the policy lets nothing out"


def test_long_texts_scroll_inside_their_box_and_dark_is_dark(page, tmp_path):
    made, people = items(1, lambda i: ("word " * 20_000, "short"))
    (tmp_path / "sheet.html").write_text(sheet("long", made, people))
    opened(page, tmp_path / "sheet.html", "Fay")
    brightness = []
    for scheme in ("light", "dark"):
        page.picture(tmp_path / f"{scheme}.png", scheme)
        assert page.run("document.documentElement.scrollHeight <= innerHeight"), "the keys stay on the screen"
        colour = page.run("getComputedStyle(document.body).backgroundColor")
        brightness.append(sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(","))))
    assert page.run(f"[...document.querySelectorAll('{LEFT}, {RIGHT}')].some(e => e.scrollHeight > 2 * e.clientHeight)")
    assert brightness[0] > 600 and brightness[1] < 150


def test_a_saved_file_is_taken_up_again_in_another_browser(page, tmp_path):
    made, people = items(5)
    (tmp_path / "sheet.html").write_text(sheet("again", made, people))
    opened(page, tmp_path / "sheet.html", "Gus")
    page.press("1", "2", "0")
    path = saved(page)
    rows = json.loads(path.read_text())
    page.run("localStorage.clear()")
    page.open(tmp_path / "sheet.html")
    page.write("Gus")
    root = page.tell("DOM.getDocument")["root"]["nodeId"]
    node = page.tell("DOM.querySelector", nodeId=root, selector="#open")["nodeId"]
    page.tell("DOM.setFileInputFiles", files=[str(path)], nodeId=node)
    page.wait("document.getElementById('said').textContent.startsWith('3 answers are taken')")
    assert page.text("#count") == "Question 4 of 5, 3 answered"
    path.unlink()
    again = json.loads(saved(page).read_text())
    assert [(r["item"], r["choice"], r["left"]) for r in again] == [(r["item"], r["choice"], r["left"]) for r in rows]
