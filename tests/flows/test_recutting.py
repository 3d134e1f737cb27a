"""`pairwright recut`: what it prints, what it leaves alone, and what is left of one that is killed."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from pairwright.errors import PairwrightError
from pairwright.flows import screen
from pairwright.flows.recutting import recut
from pairwright.pipelines.build import Build
from pairwright.pipelines.recipe import parse_recipe
from pairwright.pipelines.recut import recut as cut_again
from pairwright.storage.versions import Dataset
from tests.recipes import settings

RECUT = [sys.executable, "-m", "pairwright.flows.cli", "recut"]
app = typer.Typer()
app.command()(recut)


@pytest.fixture(autouse=True)
def _a_wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "out", Console(width=200))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a dataset that nobody touches."""
    root = tmp_path_factory.mktemp("made")
    recipe = settings(root, annotators=["density_ratio", "contrastive_prompt"], combine="density_ratio")
    Build(parse_recipe(recipe, "the test's recipe"), root).run()
    return root


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(made / "fake", tmp_path / "fake"))


def told(data: Path, *arguments: str) -> str:
    """What the command prints; its errors are raised."""
    return CliRunner().invoke(app, [str(data), *arguments], catch_exceptions=False).output


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file with its size and time."""
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()}


def test_a_recut_says_where_rows_went_and_where_it_is(data: Path) -> None:
    out = told(data, "pair.margin=5")
    manifest = Dataset(data.parent, "fake").manifest(2)
    assert manifest.parents == [1] and manifest.recipe["pair"]["margin"] == 5
    assert f"{manifest.rows('preference')} preference rows in {data / 'version=2'}" in out and "no_pair_above_margin" in out


def test_the_same_again_is_nothing_to_do_unless_it_is_forced(data: Path) -> None:
    told(data, "pair.margin=5")
    before = snapshot(data)
    for arguments in ([], ["pair.margin=5"], ["--version", "1", "--with", "pair.margin=5"]):
        assert f"nothing to do: {data / 'version=2'} is already what these settings come to" in told(data, *arguments)
    assert snapshot(data) == before
    assert str(data / "version=3") in told(data, "--force")


def test_json_names_the_version(data: Path) -> None:
    for new in (True, False):
        found = json.loads(told(data, "pair.margin=5", "--json"))
        manifest = Dataset(data.parent, "fake").manifest(2)
        assert found == {"version": 2, "new": new, "path": str(data / "version=2"), "logical_hash": manifest.logical_hash}


def test_a_dry_run_says_what_would_change_and_changes_nothing(data: Path) -> None:
    before = snapshot(data)
    out = told(data, "pair.margin=5", "split.test=0.2", "--dry-run")
    assert "version 1 of fake would be cut again" in out and "nothing was changed" in out
    rows = [line.split() for line in out.splitlines()]
    assert any(row[:1] == ["pair.margin"] and row[-2:] == ["0.0", "5.0"] for row in rows)
    assert any(row[:1] == ["split.test"] and row[-1] == "0.2" for row in rows)
    with pytest.raises(PairwrightError, match="`sample` is not a part of the cut"):
        told(data, "sample.n=9", "--dry-run")
    assert snapshot(data) == before


def test_recipes_come_before_settings_and_an_older_version_can_be_named(data: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.yaml").write_text("pair: {rule: best_random, margin: 3}\n")
    told(data, "filters=[{use: margin, min_quantile: 0.5}]")
    told(data, "pair.margin=2", "--with", str(tmp_path / "cut.yaml"), "--version", "1")
    manifest = Dataset(data.parent, "fake").manifest(3)
    assert manifest.parents == [1] and manifest.recipe["filters"] == []
    assert (manifest.recipe["pair"]["rule"], manifest.recipe["pair"]["margin"]) == ("best_random", 2)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["pair.margin=1", "--version", "9"], "has no version 9: it has 1"),
        (["--with", "nowhere.yaml"], "there is no recipe at nowhere.yaml"),
        (["pair.margin"], "there is no recipe at pair.margin"),
        (["annotators=[]"], "add `annotators`|needs `annotators`|is not a part of the cut|are about pairs"),
    ],
)
def test_a_mistake_is_one_sentence(data: Path, arguments: list[str], sentence: str) -> None:
    with pytest.raises(PairwrightError, match=sentence) as error:
        told(data, *arguments)
    assert "\n" not in str(error.value) and Dataset(data.parent, "fake").versions() == [1]


def test_a_dataset_without_a_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fake").mkdir()
    with pytest.raises(PairwrightError, match="has no version yet: build one first"):
        told(tmp_path / "fake")


def running(data: Path, *arguments: str) -> subprocess.Popen[str]:
    """A re-cut in a process of its own."""
    return subprocess.Popen([*RECUT, str(data), *arguments, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_recuts_at_once_both_land(data: Path) -> None:
    processes = [running(data, f"pair.margin={margin}") for margin in (1, 2)]
    found: list[dict[str, Any]] = []
    for process in processes:
        out, err = process.communicate()
        assert process.returncode == 0, err
        found.append(json.loads(out))
    dataset = Dataset(data.parent, "fake")
    assert sorted(one["version"] for one in found) == [2, 3] == dataset.versions()[1:]
    for margin, one in zip((1, 2), found, strict=True):
        manifest = dataset.manifest(one["version"])
        assert manifest.recipe["pair"]["margin"] == margin and dataset.verify(one["version"], deep=True) == []
        assert one["logical_hash"] == manifest.logical_hash
    assert "version=3/preference/train-*" in (data / "README.md").read_text()
    left_nothing(data)


def left_nothing(data: Path) -> None:
    assert [path.name for path in (data / "_staging").iterdir()] == ["turn"]
    assert not list(data.rglob(".part-*"))


@pytest.mark.kill
def test_a_recut_killed_at_any_moment_leaves_a_whole_version_or_none(data: Path) -> None:
    dataset, moments = Dataset(data.parent, "fake"), random.Random(11)
    taken, hits = at_work(data, "pair.margin=0.5", None), 0
    for i in range(10):
        change, before = f"pair.margin={1 + i / 10}", dataset.versions()
        hits += at_work(data, change, taken * moments.uniform(0, 1)) is None
        assert len(dataset.versions()) in (len(before), len(before) + 1)
        assert [line for n in dataset.versions() for line in dataset.verify(n, deep=True)] == []
        after = cut_again(dataset, 1, [change])
        left_nothing(data)
        again = cut_again(dataset, 1, [change], force=True)
        known = [dataset.manifest(n) for n in (after.version, again.version)]
        assert known[0].logical_hash == known[1].logical_hash and known[0].exact_hash == known[1].exact_hash
        assert dataset.verify(after.version, deep=True) == []
        for n in dataset.versions()[1:]:
            shutil.rmtree(dataset.path(n))  # so that every time is like the first
    assert hits >= 4, f"only {hits} of 10 kills hit a recut at work"


def at_work(data: Path, change: str, moment: float | None) -> float | None:
    """Cut in a process of its own and kill it `moment` seconds after it has begun; the seconds it took, None if it was killed."""
    code = f"""
import sys, time
from pathlib import Path
from pairwright.pipelines.recut import recut
from pairwright.storage.versions import Dataset
print("begins", flush=True)
begun = time.monotonic()
recut(Dataset(Path({str(data.parent)!r}), "fake"), 1, [{change!r}])
print(time.monotonic() - begun, flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "begins\n"
    if moment is not None:
        time.sleep(moment)
        process.kill()
    said = process.communicate()[0]
    return float(said) if said else None


@pytest.mark.kill
def test_what_a_recut_killed_while_staging_left_is_gone_with_the_next_command(data: Path) -> None:
    code = f"""
import os
from pathlib import Path
from pairwright.pipelines.recut import recut
from pairwright.storage.versions import Dataset, Staging
Staging.commit = lambda self, manifest: os.kill(os.getpid(), 9)
recut(Dataset(Path({str(data.parent)!r}), "fake"), 1, ["pair.margin=1"])
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    dataset = Dataset(data.parent, "fake")
    [staged] = [path for path in (data / "_staging").iterdir() if path.is_dir()]
    assert any(staged.rglob("*.parquet")) and dataset.versions() == [1]
    assert not cut_again(dataset, 1).new  # even one with nothing to do
    left_nothing(data)
    assert cut_again(dataset, 1, ["pair.margin=1"]).version == 2
