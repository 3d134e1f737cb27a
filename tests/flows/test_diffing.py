from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from pairwright.errors import PairwrightError
from pairwright.flows.diffing import diff
from pairwright.pipelines.build import Build
from pairwright.pipelines.recipe import parse_recipe
from tests.recipes import settings

Make = Callable[..., int]
app = typer.Typer()
app.command()(diff)


@pytest.fixture
def build(tmp_path: Path) -> Make:
    """Build the small recipe with changes; the version's number."""

    def made(**changes: Any) -> int:
        return Build(parse_recipe(settings(tmp_path, **changes), "the test's recipe"), tmp_path).run().version

    return made


def said(*arguments: str) -> str:
    """What the command prints; its errors are raised."""
    return CliRunner().invoke(app, arguments, catch_exceptions=False).output


def test_causes_are_counted_and_shown_by_examples(build: Make, tmp_path: Path) -> None:
    build()
    build(pair={"margin": 4.0}, filters=[{"use": "margin", "min_quantile": 0.5}])
    out = said(str(tmp_path / "fake"), "1", "2")
    assert "pair.margin" in out and "filter margin" in out and "pair rule" in out
    assert "filter margin, 3 of 5 (--all for all)" in out
    assert "dropped in prompt" in out and "kept -> dropped by margin: margin" in out
    assert "--all" not in said(str(tmp_path / "fake"), "1", "2", "--all")


def test_json_holds_what_the_tables_hold(build: Make, tmp_path: Path) -> None:
    build()
    build(filters=[{"use": "margin", "min_quantile": 0.5}])
    found = json.loads(said("fake", "1", "2", "--root", str(tmp_path), "--json", "--all"))
    assert found["causes"] == [{"cause": "filter margin", "changes": 6, "prompts": 6, "kept_before": 6, "kept_after": 0}]
    assert len(found["changes"]) == 6 and {row["before"] for row in found["changes"]} == {"kept"}
    assert found["responses"] == {"added": 0, "removed": 0} and found["recipe"]["filters.0.use"] == [None, "margin"]


def test_equal_versions_are_said_to_be_equal(build: Make, tmp_path: Path) -> None:
    build()
    out = said(str(tmp_path / "fake"), "1", "1")
    assert "settings: all equal" in out and "every pair is the same in both versions" in out


def test_a_dataset_or_version_that_is_not_there_is_named(build: Make, tmp_path: Path) -> None:
    with pytest.raises(PairwrightError, match=r"there is no dataset at .*nothing: give its folder, or its name and --root"):
        said("nothing", "1", "2", "--root", str(tmp_path))
    build()
    with pytest.raises(PairwrightError, match="has no version 7: it has 1"):
        said("fake", "1", "7", "--root", str(tmp_path))
