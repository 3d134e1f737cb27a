from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from pairwright.annotators import registry
from pairwright.annotators.base import Annotator
from pairwright.errors import PairwrightError

REPOSITORY = Path(__file__).resolve().parents[2]
PLUGINS = REPOSITORY / "tests" / "plugins"


MADE_OF_OTHERS = {
    "jury": "members",
    "domain_router": "default",
    "cascade": "stages",
    "budgeted": "cheap",
    "fresh_sample": "rater",
}


@pytest.mark.parametrize("name", sorted(registry.BUILT_IN.keys() - MADE_OF_OTHERS.keys()))
def test_every_built_in_annotator_loads_and_needs_no_settings(name):
    method = registry.load(name)
    assert issubclass(method, Annotator)
    assert isinstance(method.configured().roles(), dict)


@pytest.mark.parametrize("name", MADE_OF_OTHERS)
def test_annotators_made_of_others_ask_for_them(name):
    with pytest.raises(ValidationError, match=MADE_OF_OTHERS[name]):
        registry.load(name).configured()


def test_the_built_in_names_are_those_of_the_project_file():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["pairwright.annotators"] == registry.BUILT_IN


def test_built_in_annotators_are_found_when_the_package_metadata_is_stale(monkeypatch):
    monkeypatch.setattr(registry, "entry_points", lambda group: importlib.metadata.EntryPoints())
    assert registry.available()["follow_up"] == "pairwright"
    assert registry.load("follow_up").__name__ == "FollowUp"


def test_an_unknown_name_is_answered_with_the_nearest_and_all_others():
    with pytest.raises(PairwrightError, match=r"'folow_up': did you mean 'follow_up'\? There are .*density_ratio"):
        registry.load("folow_up")
    with pytest.raises(PairwrightError, match=r"'qqq': there are .*density_ratio"):
        registry.load("qqq")


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    """Install both plug-ins into a folder of their own, and run code in a Python that sees it."""
    home = tmp_path_factory.mktemp("plugins")
    installed = home / "installed"
    for name in ("pairwright-example", "pairwright-broken"):
        source = shutil.copytree(PLUGINS / name, home / name)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        offline = ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(installed)]
        done = subprocess.run([*pip, *offline, str(source)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def run(code: str):
        path = os.pathsep.join([str(installed), str(REPOSITORY)])
        python = [sys.executable, "-c", code]
        done = subprocess.run(python, capture_output=True, text=True, cwd=home, env=os.environ | {"PYTHONPATH": path})
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_installed_annotators_are_listed_with_their_distribution_though_one_is_broken(ask):
    found = ask("import json; from pairwright.annotators.registry import available; print(json.dumps(available()))")
    assert found["word_count"] == "pairwright-example"
    assert found["broken"] == "pairwright-broken"
    assert found["density_ratio"] == "pairwright"
    assert found["follow_up"] == "pairwright and pairwright-broken"
    assert list(found) == sorted(found)


def test_an_installed_annotator_labels_a_group(ask):
    code = """
import json
from pairwright.annotators.alone import groups
from pairwright.annotators.registry import load
generator = load("word_count").configured({"at_most": 3}).annotate(groups(["Hi"], [["one two", "", "a b c d"]])[0])
try:
    next(generator)
except StopIteration as end:
    print(json.dumps([(a.score, a.reason) for a in end.value]))
"""
    assert ask(code) == [[2.0, None], [None, "empty_response"], [3.0, None]]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("broken", ["pairwright-broken 0.0.7", "pairwright_broken:Broken", "ImportError", "a_missing_dependency", "pip install"]),
        ("not_an_annotator", ["pairwright-broken 0.0.7", "json:JSONEncoder", "is not a subclass of"]),
        ("half_written", ["pairwright-broken 0.0.7", "does not define annotate, roles"]),
        ("follow_up", ["claimed by pairwright and pairwright-broken 0.0.7", "uninstall"]),
    ],
)
def test_a_plug_in_that_cannot_be_used_is_named_in_one_sentence_with_the_fix(ask, name, says):
    code = f"""
import json
from pairwright.annotators.registry import load
from pairwright.errors import PairwrightError
try:
    load({name!r})
except PairwrightError as error:
    print(json.dumps(str(error)))
"""
    sentence = ask(code)
    assert [part for part in says if part not in sentence] == []
    assert "\n" not in sentence
