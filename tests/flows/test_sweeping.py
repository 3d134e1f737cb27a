from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from pairwright.errors import PairwrightError
from pairwright.flows import screen, sweeping
from pairwright.flows.sweeping import said, sweep
from pairwright.pipelines.build import Build
from pairwright.pipelines.recipe import parse_recipe
from tests.recipes import settings

app = typer.Typer()
app.command()(sweep)


@pytest.fixture(autouse=True)
def _a_wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "out", Console(width=200))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A dataset with two annotators."""
    recipe = settings(tmp_path, annotators=["density_ratio", "contrastive_prompt"], combine="density_ratio")
    Build(parse_recipe(recipe, "the test's recipe"), tmp_path).run()
    return tmp_path / "fake"


def told(data: Path, *arguments: str) -> str:
    """What the command prints; its errors are raised."""
    return CliRunner().invoke(app, [str(data), *arguments], catch_exceptions=False).output


def test_the_table_marks_what_the_version_is_and_makes_none(data: Path) -> None:
    out = told(data, "pair.margin=[0, 5]", "--against", "contrastive_prompt")
    [now] = [line for line in out.splitlines() if line.startswith("* ") and "cut" not in line]
    assert now.split()[1:4] == ["0", "12", "12"]
    assert "no request was sent" in out
    assert [p.name for p in data.glob("version=*")] == ["version=1"]


def test_json_and_csv_hold_the_same_rows(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    out = told(
        data, "pair.margin=[0, 5]", "pair.rule=[best_random]", "--json", "--csv", str(file), "--against", "contrastive_prompt"
    )
    rows = json.loads(out[out.index("[\n") :])
    lines = list(csv.DictReader(file.read_text().splitlines()))
    assert [row["settings"] for row in rows] == [{}, *({"pair.margin": m, "pair.rule": "best_random"} for m in (0, 5))]
    assert [int(line["kept"]) for line in lines] == [row["kept"] for row in rows]
    assert [float(line["agreement"]) for line in lines] == [row["agreement"] for row in rows]
    assert [line["pair.rule"] for line in lines] == ["", '"best_random"', '"best_random"']


def test_a_dry_run_lists_the_points_and_cuts_none(data: Path) -> None:
    out = told(data, "pair.percentile=[null, 50]", "--dry-run")
    assert "2 points" in out and "would be cut" in out and "note 1: " in out and "kept" not in out
    points = json.loads(told(data, "pair.percentile=[null, 50]", "--dry-run", "--json"))
    assert [point["refused"] is None for point in points] == [True, False]


def test_what_is_given_for_all_points_comes_first(data: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.yaml").write_text("pair: {rule: best_percentile}\n")
    out = told(data, "pair.percentile=[null, 50]", "--with", str(tmp_path / "cut.yaml"), "--with", "pair.margin=1", "--json")
    rows = json.loads(out[out.index("[\n") :])
    assert [row["note"] for row in rows] == [None, None, None]


def test_a_large_grid_must_be_forced(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PairwrightError, match="the grid has 501 points, more than 500: give fewer values, or say --force"):
        told(data, f"pair.margin={list(range(501))}")
    monkeypatch.setattr(sweeping, "MOST", 1)
    assert "2 points" in told(data, "pair.margin=[0, 1]", "--dry-run", "--force")


def test_agreement_with_an_annotator_that_was_read_is_said_to_prove_nothing(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = CliRunner().invoke(app, [str(data), "pair.margin=[0]", "--against", "density_ratio"], catch_exceptions=False)
    assert "combine reads density_ratio itself" in " ".join((result.output + result.stderr + capsys.readouterr().err).split())


def test_values_are_said_shortly() -> None:
    assert said([{"use": "margin", "min": 1}, {"use": "ches"}]) == "margin(min=1), ches"
    assert (said([]), said(None), said(0.5), said("auto")) == ("none", "null", "0.5", "auto")
