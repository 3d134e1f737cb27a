"""A build asks people, stops without their answers, and uses them when they are imported."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from pairwright.annotators.registry import BUILT_IN
from pairwright.engines.journal import Journal
from pairwright.engines.requests import Reviewed
from pairwright.engines.scripted import ScriptedEngine
from pairwright.errors import PairwrightError
from pairwright.pipelines.estimate import estimate
from pairwright.pipelines.explain import explain
from pairwright.pipelines.progress import Progress
from pairwright.pipelines.review.collect import collect
from pairwright.pipelines.review.export import export
from pairwright.pipelines.review.take import read_pending, take
from pairwright.storage.catalog import connect
from tests.pipelines.review.people import longer, questions, row, shorter

KNOCKOUT = [{"use": "person", "comparisons": "knockout"}]


class Heard(Progress):
    """Remembers what a build says."""

    def __init__(self):
        self.said = {}
        self.notes = []

    def end(self, stage, note):
        self.said[stage] = note

    def note(self, text):
        self.notes.append(text)


def tree(folder):
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in folder.rglob("*")}


def pending(build):
    return read_pending(build.work / "review" / "pending.json")


def test_answers_imported_while_a_build_is_stopped_are_used_counted_and_shown(asking, write, tmp_path):
    first = asking()
    first.progress = Heard()
    with pytest.raises(PairwrightError, match="nothing is left to publish"):
        first.run()
    assert first.progress.notes == ["4 groups wait for people: `pairwright review export` writes the sheet they answer on"]
    waiting = questions(first)
    assert export(asking(), tmp_path / "sheet.html").questions == len(waiting) == 12
    answers = write("answers.json", *(row(item, "Ann", longer(item), note="more of it") for item in waiting.values()))
    taken = take(asking(), [answers])
    assert (taken.new, taken.completed, taken.waiting, taken.refused) == (12, 12, 0, [])
    ScriptedEngine.requests_seen.clear()
    again = asking()
    again.progress = Heard()
    result = again.run()
    assert "12 answered by the journal" in again.progress.said["annotate"] and not again.progress.notes[1:]
    assert sum(ScriptedEngine.requests_seen.values()) == 0
    with connect(again.dataset, result.version) as con:
        [(rows, seconds, valid)] = con.execute(
            "select count(*), sum(seconds), bool_and(valid) from annotations where other_id is not null"
        ).fetchall()
        assert rows == 12 and valid and 0 < seconds <= 24
        raw = con.execute("select raw from annotations where other_id is not null limit 1").fetchone()[0]
        pairs = con.execute("select chosen[1].content, rejected[1].content from preference").fetchall()
    assert json.loads(raw)[0]["who"] == "Ann" and json.loads(raw)[0]["note"] == "more of it"
    assert len(pairs) == 4 and all(len(chosen) >= len(rejected) for chosen, rejected in pairs)
    assert not asking().run().new


def test_collecting_asks_nobody_and_writes_nothing(sampled):
    build = sampled()
    before, loads = tree(build.dataset.folder), dict(build.pool.loads)
    assert len(questions(build)) == 12
    assert tree(build.dataset.folder) == before and dict(build.pool.loads) == loads


def test_questions_can_be_asked_before_a_build_has_annotated(asking):
    build = asking()
    with build.alone():
        build.sample()
    assert len(questions(build)) == 12


def test_questions_that_follow_from_answers_are_asked_when_those_are_there(sampled, asking, write):
    sampled(annotators=KNOCKOUT, sample={"n": 4, "max_tokens": 40})
    build = asking(annotators=KNOCKOUT, sample={"n": 4, "max_tokens": 40})
    first = questions(build)
    assert len(first) == 8  # two matches of the first round in each of four groups, and no final yet
    taken = take(build, [write("round1.json", *(row(i, "Ann", longer(i)) for i in first.values()))])
    assert (taken.completed, taken.waiting) == (8, 4)
    finals = questions(build)
    assert len(finals) == 4 and not finals.keys() & first.keys()
    winners = {longer(i) for i in first.values()}
    assert all(id in winners for i in finals.values() for id, _ in i.review.candidates)


@pytest.mark.parametrize("annotated", [True, False])
def test_people_are_asked_where_a_judge_failed_once_a_build_has_found_that_out(asking, monkeypatch, annotated):
    monkeypatch.setitem(BUILT_IN, "escalating", "tests.pipelines.review.people:Escalating")
    judge = {"engine": "scripted", "seed": 5, "faults": {"too_long": 0.5}}
    models = {"policy": {"engine": "scripted"}, "human": {"engine": "people"}, "judge": judge}
    build = asking(models=models, annotators=["escalating"], prompts={"source": "builtin", "limit": 12})
    with build.alone():
        build.sample()
        if annotated:
            build.annotate()
    found = collect(build, Journal(build.work / "journal"))
    if annotated:
        assert 0 < found.groups < 12 and len(found.items) == 3 * found.groups and found.held == 0
    else:
        assert (found.groups, len(found.items), found.held) == (0, 0, 12)


def test_two_people_who_disagree_are_both_kept(sampled, asking, write):
    two = [{"use": "person", "people": 2}]
    items = questions(sampled(annotators=two))
    ann = write("ann.json", *(row(i, "Ann", longer(i)) for i in items.values()))
    bob = write("bob.json", *(row(i, "Bob", shorter(i), note="no") for i in items.values()))
    assert take(asking(annotators=two), [ann, bob]).completed == 12
    build = asking(annotators=two)
    with pytest.raises(PairwrightError, match="all_scores_equal 4"):
        build.run()
    journal = Journal(build.work / "journal")
    for item in items.values():
        said = journal.get(item.id)
        assert isinstance(said, Reviewed)
        assert [(o.who, o.choice, o.note) for o in said.opinions] == [("Ann", longer(item), ""), ("Bob", shorter(item), "no")]


def test_answers_of_too_few_people_are_kept_and_a_later_import_completes_them(sampled, asking, write):
    two = [{"use": "person", "people": 2}]
    items = list(questions(sampled(annotators=two)).values())
    build = asking(annotators=two)
    taken = take(build, [write("ann.json", *(row(i, "Ann", longer(i)) for i in items))])
    assert (taken.new, taken.completed, taken.partial, taken.waiting) == (12, 0, 12, 12)
    assert len(questions(build)) == 12
    taken = take(build, [write("bob.json", *(row(i, "Bob", longer(i)) for i in items[:5]))])
    assert (taken.new, taken.completed, taken.partial, taken.waiting) == (5, 5, 7, 7)
    assert set(pending(build)) == set(questions(build)) and build.run().new is True


def test_importing_the_same_file_again_changes_nothing(sampled, asking, write):
    two = [{"use": "person", "people": 2}]
    items = list(questions(sampled(annotators=two)).values())
    ann = write("ann.json", *(row(i, "Ann", longer(i)) for i in items))
    bob = write("bob.json", *(row(i, "Bob", longer(i)) for i in items[:3]))
    build = asking(annotators=two)
    take(build, [ann, bob])
    before = pending(build)
    taken = take(build, [ann, bob, ann])
    assert (taken.new, taken.again, taken.completed, taken.refused) == (0, 27, 0, []) and pending(build) == before


def test_wanting_more_people_keeps_what_was_said(sampled, asking, write):
    items = list(questions(sampled()).values())
    take(asking(), [write("ann.json", *(row(i, "Ann", longer(i)) for i in items))])
    two = asking(annotators=[{"use": "person", "people": 2}])
    taken = take(two, [write("bob.json", *(row(i, "Bob", longer(i)) for i in questions(two).values()))])
    assert (taken.new, taken.completed, taken.waiting) == (12, 12, 0)


KILLED = """
import os, signal, sys
from pathlib import Path
from pairwright.annotators.registry import BUILT_IN
from pairwright.pipelines.build import Build
from pairwright.pipelines.recipe import load_recipe
from pairwright.pipelines.review import take as module
BUILT_IN["person"] = "pairwright.annotators.judges.person:Person"
module.write_text = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
module.take(Build(load_recipe(Path("recipe.yaml")), Path()), [Path(p) for p in sys.argv[1:]])
"""


@pytest.mark.kill
def test_an_import_killed_between_journal_and_pending_answers_loses_nothing(sampled, asking, write, tmp_path):
    two = [{"use": "person", "people": 2}]
    build = sampled(annotators=two)
    items = list(questions(build).values())
    take(asking(annotators=two), [write("ann.json", *(row(i, "Ann", longer(i)) for i in items))])
    bob = write("bob.json", *(row(i, "Bob", longer(i)) for i in items[:6]))
    (tmp_path / "recipe.yaml").write_text(json.dumps(json.loads(build.recipe.model_dump_json(exclude_unset=True))))
    run = [sys.executable, "-c", KILLED, str(bob)]
    died = subprocess.run(run, cwd=tmp_path, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert len(pending(build)) == 12, "it was killed before the pending answers were written anew"
    assert len(questions(build)) == 6, "the journal holds what is complete"
    taken = take(asking(annotators=two), [bob])
    assert (taken.new, taken.again, taken.waiting, taken.partial) == (0, 6, 6, 6)
    assert set(pending(build)) == set(questions(build))


def test_what_waits_for_people_is_counted_explained_and_costs_a_build_no_time(asking):
    build = asking()
    [work] = [w for w in estimate(build).work if w.role == "human"]
    assert (work.left.requests, work.left.asked, work.seconds, work.money) == (12, 0, 0.0, 0.0)
    assert "a build does not wait" in work.note
    assert [plan.missing for plan in explain(build)][:2] == [4, 4]


def test_a_build_that_asks_nobody_is_told_how_to_ask(asking):
    build = asking(annotators=["contrastive_prompt"], models={"policy": {"engine": "scripted"}})
    with pytest.raises(PairwrightError, match="no annotator of fake asks people: add one such as `person`"):
        collect(build, Journal(build.work / "journal"))


def test_a_damaged_file_of_partial_answers_says_what_to_do(sampled, write):
    build = sampled()
    path = build.work / "review" / "pending.json"
    path.parent.mkdir()
    path.write_text('{"i": [["Ann",')
    with pytest.raises(PairwrightError, match=r"pending.json is damaged: delete it"):
        take(build, [write("answers.json")])
