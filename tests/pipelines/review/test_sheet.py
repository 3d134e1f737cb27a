"""A sheet stands alone, and shows as text whatever a response holds."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from pairwright.engines.people import PeopleModel
from pairwright.engines.requests import Review, turns
from pairwright.errors import PairwrightError
from pairwright.pipelines.review.collect import Item
from pairwright.pipelines.review.export import export
from pairwright.pipelines.review.records import argilla_records, argilla_settings, jsonl
from pairwright.pipelines.review.sheet import sheet
from pairwright.pipelines.review.take import take
from tests.pipelines.review.people import questions

TAGS = '</script><script>alert(1)</script><!-- <img src="http://example.org/x.png" onerror=alert(1)>'
NASTY = TAGS + " {{data}} {{policy}} \u2028 \ud800"
PEOPLE = PeopleModel(instructions=NASTY)


def item(first: str = "one", second: str = "two", id: str = "0" * 24) -> Item:
    return Item(id, PEOPLE.fingerprint(), "p", Review("human", turns(NASTY), (("i", first), ("j", second)), "Which?", NASTY))


class Tags(HTMLParser):
    """Every tag of a page with its attributes, and the text within scripts."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.scripts = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] == "script":
            self.scripts[-1] += data


def test_responses_are_data_and_come_out_of_the_page_as_they_went_in():
    page = Tags(sheet("fake", [item(NASTY, "two")], PEOPLE))
    assert [tag for tag, _ in page.tags].count("script") == 2 and "img" not in dict(page.tags)
    data = json.loads(page.scripts[0])
    assert data["instructions"] == data["items"][0]["prompt"][0]["content"] == data["items"][0]["candidates"][0]["text"] == NASTY


def test_the_page_refers_to_nothing_outside_itself():
    page = Tags(sheet("fake", [item()], PEOPLE))
    assert not [about for _, about in page.tags if {"src", "href", "action"} & set(about)]
    [policy] = [about["content"] for tag, about in page.tags if about.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "unsafe" not in policy


def test_the_policy_knows_the_page_s_own_script_and_style_by_their_hashes():
    page = sheet("fake", [item()], PEOPLE)
    for kind in ("script", "style"):
        [text] = re.findall(f"<{kind}>(.*?)</{kind}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in page


def test_records_hide_the_order_and_an_answer_by_number_finds_its_response(sampled, asking, tmp_path):
    waiting = questions(sampled())
    path = tmp_path / "records.jsonl"
    assert export(asking(), path, "jsonl").questions == 12
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    first = [r["ids"] == [id for id, _ in waiting[r["item"]].review.candidates] for r in rows]
    assert {True, False} == set(first), "which response comes first is drawn"
    texts = {id: text for i in waiting.values() for id, text in i.review.candidates}
    assert all([texts[id] for id in r["ids"]] == [r["response_1"], r["response_2"]] for r in rows)
    for r in rows[:10]:
        r |= {"who": "Ann", "choice": "2", "note": r["ids"][1]}
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    taken = take(asking(), [path])
    assert (taken.completed, taken.empty, taken.refused) == (10, 2, [])
    build = asking()
    build.run()
    said = [json.loads(r["raw"])[0] for f in build.annotations["person"].files() for r in _rows(f) if r["raw"] and r["other_id"]]
    assert len([s for s in said if s["choice"] == s["note"]]) >= 6


def _rows(path):
    from pairwright.storage.parquet import read_table

    return [r for r in read_table(path).to_pylist() if r["valid"]]


def test_argilla_records_with_its_users_answers_are_read_back(sampled, asking, tmp_path):
    sampled()
    path = tmp_path / "argilla.json"
    found = export(asking(), path, "argilla")
    records = json.loads(path.read_text())
    assert [p.name for p in found.paths] == ["argilla.json", "argilla.json.settings.json"] and len(records) == 12
    for record in records[:3]:
        record["responses"] = {
            "choice": [{"value": "1", "user_id": "u-1"}, {"value": "tie", "user_id": "u-2", "status": "submitted"}],
            "note": [{"value": "why", "user_id": "u-2"}],
        }
    path.write_text(json.dumps(records))
    taken = take(asking(), [path])
    assert (taken.new, taken.completed, taken.empty, taken.refused) == (6, 3, 9, [])


def test_argilla_s_settings_name_every_field_question_and_metadata_of_its_records():
    [record], settings = json.loads(argilla_records([item()])), json.loads(argilla_settings([item()], PEOPLE))
    assert {f["name"] for f in settings["fields"]} >= set(record["fields"])
    assert {m["name"] for m in settings["metadata"]} == set(record["metadata"])
    assert [q["name"] for q in settings["questions"]] == ["choice", "note"]
    assert [o["value"] for o in settings["questions"][0]["settings"]["options"]] == ["1", "2", "tie", "invalid"]
    assert json.loads(jsonl([item()], PEOPLE))["people"] == 1


def test_nothing_is_written_when_nothing_waits_nor_over_a_file_that_is_there(asking, sampled, tmp_path):
    path = tmp_path / "sheet.html"
    assert export(asking(), path).questions == 0 and not path.exists()
    sampled()
    export(asking(), path)
    with pytest.raises(PairwrightError, match="sheet.html is there already"):
        export(asking(), path)
    assert export(asking(), path, force=True).questions == 12
    with pytest.raises(PairwrightError, match="no review format 'pdf': choose html, jsonl, argilla"):
        export(asking(), tmp_path / "sheet.pdf", "pdf")


def test_of_several_people_one_sheet_is_written_at_a_time(sampled, asking, tmp_path):
    models = {"policy": {"engine": "scripted"}} | {role: {"engine": "people", "name": role} for role in ("crowd", "experts")}
    both = [{"use": "person", "role": "crowd"}, {"use": "person", "name": "expert", "role": "experts"}]
    sampled(models=models, annotators=both)
    build = asking(models=models, annotators=both)
    with pytest.raises(PairwrightError, match="wait for crowd and experts: say which sheet"):
        export(build, tmp_path / "sheet.html")
    assert export(build, tmp_path / "sheet.html", people="experts").questions == 12
    with pytest.raises(PairwrightError, match="no people called 'expert': it asks crowd, experts"):
        export(build, tmp_path / "other.html", people="expert")
