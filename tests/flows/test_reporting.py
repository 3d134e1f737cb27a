"""The commands `report` and `compare` as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from pairwright.errors import PairwrightError
from pairwright.flows.reporting import compare, report
from pairwright.storage.versions import Dataset
from tests.storage.sample_tables import commit, pair_row


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run a command beside a dataset `data/demo` with two versions; its output, or the error it ends with."""
    monkeypatch.chdir(tmp_path)
    dataset = Dataset(tmp_path / "data", "demo")
    commit(dataset, n=8)
    commit(dataset, n=8, pairs=[pair_row(i, dropped_by="length" if i < 3 else None) for i in range(8)])
    app = typer.Typer()
    app.command()(report)
    app.command()(compare)

    def made(*arguments: str) -> str:
        result = CliRunner().invoke(app, list(arguments))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    return made


def test_report_writes_a_page_and_says_the_numbers(run) -> None:
    said = run("report", "demo")
    assert "pairs kept" in said and "wrote demo-v2.html" in said
    assert Path("demo-v2.html").read_text().startswith("<!doctype html>")


def test_report_of_an_older_version_elsewhere_for_a_program(run) -> None:
    said = json.loads(run("report", "data/demo", "--version", "1", "--out", "pages/one.html", "--json"))
    assert said["version"] == 1 and Path(said["path"]).exists()
    assert {n["label"]: n["value"] for n in said["numbers"]}["pairs kept"] == "8"


def test_a_page_that_is_there_stays_unless_forced(run) -> None:
    run("report", "demo")
    with pytest.raises(PairwrightError, match="demo-v2.html is there already.*--force"):
        run("report", "demo")
    run("report", "demo", "--force")


def test_compare_says_what_became_of_the_pairs_and_writes_a_page_if_asked(run) -> None:
    said = " ".join(run("compare", "demo@1", "data/demo").split())
    assert "kept in both" in said and "dropped by length" in said
    assert not list(Path().glob("*.html"))
    found = json.loads(run("compare", "demo@1", "demo@2", "--out", "diff.html", "--json"))
    assert [(f["fate"], f["n"]) for f in found["pairs"]] == [("kept in both", 5), ("lost", 3)]
    assert Path("diff.html").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("report", "nothing"), "no dataset"),
        (("report", "demo", "--version", "7"), "has no version 7"),
        (("report", "demo", "--against", "ann"), "no labels of 'ann'"),
        (("compare", "demo@x", "demo"), "as in demo@2"),
        (("compare", "demo@1", "demo@3"), "has no version 3"),
    ],
)
def test_mistakes_are_one_sentence(run, arguments, said) -> None:
    with pytest.raises(PairwrightError, match=said) as error:
        run(*arguments)
    assert "\n" not in str(error.value)
