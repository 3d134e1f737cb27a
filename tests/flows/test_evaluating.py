"""The command `evaluate` as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from pairwright.engines.scripted import ScriptedEngine
from pairwright.errors import PairwrightError
from pairwright.flows.evaluating import evaluate
from tests.recipes import settings


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run the command on a small recipe and twenty pairs; its output, or the error it ends with."""
    monkeypatch.chdir(tmp_path)
    rows = [{"prompt": f"Q{i}", "chosen": f"word {i} more", "rejected": f"other {i}"} for i in range(20)]
    Path("pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("recipe.yaml").write_text(yaml.safe_dump(settings(Path("data"), annotators=["density_ratio", "displacement"])))
    app = typer.Typer()
    app.command()(evaluate)
    ScriptedEngine.requests_seen.clear()

    def made(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["recipe.yaml", *arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    return made


def test_it_prints_a_table_and_writes_beside_the_dataset(run):
    said = run("pairs.jsonl", "--limit", "12")
    assert "| density_ratio |" in said and "| longer wins |" in said and "12 of 20 items" in said
    folder = Path("data/fake/_evaluate/pairs")
    assert {p.name for p in folder.iterdir()} >= {"items.jsonl", "report.json", "report.md", "journal"}
    assert len((folder / "items.jsonl").read_text().splitlines()) == 24


def test_json_is_the_report(run):
    found = json.loads(run("pairs.jsonl", "--json", "--out", "here", "annotators.density_ratio.reduction=mean"))
    assert found["annotators"]["density_ratio"]["settings"]["reduction"] == "mean"
    assert found == json.loads(Path("here/report.json").read_text())


def test_a_dry_run_counts_and_asks_nothing(run):
    [strong, weak] = json.loads(run("pairs.jsonl", "--dry-run", "--json"))
    assert (strong["role"], strong["items"], strong["requests"], weak["requests"]) == ("strong", 20, 40, 40)
    assert not ScriptedEngine.requests_seen.get("scripted-1") and not Path("data").exists()


def test_mistakes_are_one_sentence(run):
    with pytest.raises(PairwrightError, match="there is no file"):
        run("absent.jsonl")
    with pytest.raises(PairwrightError, match="no annotator 'denisty_ratio'"):
        run("pairs.jsonl", "--annotator", "denisty_ratio")
    Path("pairs.jsonl").write_text('{"prompt": "Q"}\n')
    with pytest.raises(PairwrightError, match=r"pairs.jsonl:1 "):
        run("pairs.jsonl")


def test_the_module_imports_nothing_heavy():
    heavy = "torch", "pyarrow", "pydantic", "jinja2"
    code = f"import sys, pairwright.flows.evaluating; print([m for m in {heavy} if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
