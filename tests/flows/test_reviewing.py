"""`pairwright review` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from pairwright.annotators.registry import BUILT_IN
from pairwright.errors import PairwrightError
from pairwright.flows.reviewing import app
from pairwright.pipelines.build import Build
from pairwright.pipelines.recipe import load_recipe
from tests.pipelines.review.people import PERSON, longer, people_settings, questions, row


@pytest.fixture
def said(tmp_path, monkeypatch):
    """Run `pairwright review ...` beside a recipe whose stages have run; (exit code, what it printed)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(BUILT_IN, "person", PERSON)
    Path("recipe.yaml").write_text(yaml.safe_dump(people_settings(Path("data"))))
    build = waiting()
    with build.alone():
        build.sample()
        build.annotate()

    def run(*arguments: str):
        done = CliRunner().invoke(app, arguments)
        if isinstance(done.exception, PairwrightError):
            raise done.exception
        return done.exit_code, done.output

    return run


def waiting() -> Build:
    return Build(load_recipe(Path("recipe.yaml")), Path())


def test_export_says_how_many_questions_wait_and_import_what_became_of_the_rows(said):
    code, out = said("export", "recipe.yaml", "sheet.html")
    assert (code, out.strip()) == (0, "12 questions about 4 prompts for reviewers in sheet.html")
    rows = [row(item, "Ann", longer(item)) for item in questions(waiting()).values()]
    rows[3]["choice"] = "the left one"
    Path("answers.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    code, out = said("import", "recipe.yaml", "answers.jsonl")
    assert code == 1, "a script must notice that a row was refused"
    assert "answers.jsonl:4" in out and "unknown_choice" in out and "build again to use them" in out
    code, out = said("import", "recipe.yaml", "answers.jsonl", "--json")
    found = json.loads(out)
    assert (found["again"], found["waiting"], len(found["refused"])) == (11, 1, 1)


def test_when_everything_is_answered_there_is_nothing_to_export(said):
    rows = [row(item, "Ann", longer(item)) for item in questions(waiting()).values()]
    Path("answers.json").write_text(json.dumps(rows))
    assert said("import", "recipe.yaml", "answers.json")[0] == 0
    assert said("export", "recipe.yaml", "sheet.html")[1].strip() == "no question waits for people: nothing is written"
    assert not Path("sheet.html").exists()


def test_settings_of_the_build_are_given_to_the_review_too(said):
    assert said("export", "recipe.yaml", "sheet.jsonl", "--format", "jsonl", "--set", "prompts.limit=2")[1].startswith(
        "6 questions"
    )


def test_a_mistake_is_one_sentence(said):
    with pytest.raises(PairwrightError, match="there is no recipe at recipe.yml: did you mean recipe.yaml"):
        said("export", "recipe.yml", "sheet.html")
