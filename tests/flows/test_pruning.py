"""What `prune` and `pin` say."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pairwright.errors import PairwrightError
from pairwright.flows.pruning import _size, pin, prune
from pairwright.storage.versions import Dataset
from tests.storage.sample_tables import commit


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dataset of four versions, made 40, 20, 1 and 0 days ago."""
    dataset = Dataset(tmp_path, "prefs")
    for days in (40, 20, 1, 0):
        commit(dataset, n=1, created=(datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="seconds"))
    return dataset.folder


def versions(folder: Path) -> list[int]:
    return Dataset(folder.parent, folder.name).versions()


def test_a_dry_run_says_what_would_go_and_removes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prune(str(folder), keep_last=1, dry_run=True)
    said = capsys.readouterr().out
    assert said.count("would go") == 4 and "3 versions would go" in said and "kept: the latest" in said
    assert versions(folder) == [1, 2, 3, 4]


def test_what_went_and_what_that_freed_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pin(str(folder), 1, note="the paper's")
    prune(str(folder), keep_within="30d", keep_every=None, as_json=True)
    said = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert (said["removed"], said["freed_bytes"], said["dry_run"]) == ([], 0, False)
    prune(str(folder), keep_within="12h")
    said_plainly = capsys.readouterr().out
    assert "2 versions removed" in said_plainly and "kept: pinned: the paper's" in said_plainly
    assert versions(folder) == [1, 4]
    pin(str(folder), 1, off=True)
    prune(str(folder), keep_last=1)
    assert versions(folder) == [4]


def test_mistakes_are_sentences(folder: Path) -> None:
    with pytest.raises(PairwrightError, match="say what to keep"):
        prune(str(folder))
    with pytest.raises(PairwrightError, match="'soon' is not a length of time"):
        prune(str(folder), keep_within="soon")
    with pytest.raises(PairwrightError, match="there is no dataset at"):
        prune(str(folder / "other"), keep_last=1)


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 * 2**30, "3.0 GiB"), (2**51, "2048.0 TiB")]
)
def test_sizes_are_readable(count: int, text: str) -> None:
    assert _size(count) == text
