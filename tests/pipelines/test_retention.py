"""Old versions go by rule, the right ones, whole, and what they freed is what the disk says."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.errors import PairwrightError
from pairwright.pipelines.retention import Keep, duration, plan, prune
from pairwright.storage.catalog import connect
from pairwright.storage.manifest import MANIFEST
from pairwright.storage.versions import Dataset
from tests.storage.sample_tables import commit
from tests.storage.test_versions import child

NOW = datetime(2026, 3, 12, 12, tzinfo=UTC)  # a Thursday


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset(tmp_path, "prefs")


def made(dataset: Dataset, *days_ago: float) -> Dataset:
    """One version for each, the oldest first."""
    for days in days_ago:
        commit(dataset, n=1, created=(NOW - timedelta(days=days)).isoformat(timespec="seconds"))
    return dataset


def disk(folder: Path) -> int:
    """The bytes that the files below `folder` take, each file once."""
    found = {(s.st_dev, s.st_ino): s.st_blocks * 512 for s in (p.stat() for p in folder.rglob("*") if p.is_file())}
    return sum(found.values())


def stays(dataset: Dataset, keep: Keep) -> dict[int, str]:
    return {fate.version: fate.kept_by for fate in plan(dataset, keep, NOW).fates if fate.kept_by}


def test_each_rule_keeps_its_own_and_says_so(dataset: Dataset) -> None:
    made(dataset, 40, 11, 9, 8, 3, 2, 0.5)
    assert stays(dataset, Keep(last=2)) == {6: "one of the last 2", 7: "the latest"}
    assert stays(dataset, Keep(within=timedelta(days=9))) == dict.fromkeys((3, 4, 5, 6), "made recently") | {7: "the latest"}
    weekly = stays(dataset, Keep(every=duration("weekly")))
    assert weekly == dict.fromkeys((1, 2, 4), "the newest of its period") | {7: "the latest"}
    assert stays(dataset, Keep(last=2, every=duration("weekly"))).keys() == {1, 2, 4, 6, 7}


def test_a_week_is_from_monday_to_sunday(dataset: Dataset) -> None:
    made(dataset, 11, 10.9, 4, 3.4, 3.6)  # Sun 1st 12:00, Sun 1st 14:24 | Sun 8th 12:00 | Mon 9th 02:24 | Sun 8th 21:36
    assert stays(dataset, Keep(every=duration("7d"))).keys() == {2, 4, 5}


def test_a_pinned_version_stays_until_the_pin_is_taken_off(dataset: Dataset) -> None:
    made(dataset, 3, 2, 1)
    dataset.pin(1, "the run in the paper")
    assert stays(dataset, Keep(last=1)) == {1: "pinned: the run in the paper", 3: "the latest"}
    dataset.pin(1, None)
    assert stays(dataset, Keep(last=1)).keys() == {3} and dataset.pins() == {}
    with pytest.raises(PairwrightError, match="has no version 9"):
        dataset.pin(9, "")


@given(st.lists(st.integers(0, 200), max_size=12), st.integers(0, 4), st.integers(1, 60), st.integers(1, 60))
def test_more_rules_keep_more_and_the_latest_always_stays(days: list[int], last: int, within: int, every: int) -> None:
    from pairwright.pipelines.retention import _reasons

    created = {n: (NOW - timedelta(days=d)).isoformat() for n, d in enumerate(sorted(days, reverse=True), 1)}
    rules = {"last": last, "within": timedelta(days=within), "every": timedelta(days=every)}
    alone = [_reasons(created, Keep(**{name: rule}), NOW, {}).keys() for name, rule in rules.items() if rule]
    together = _reasons(created, Keep(**rules), NOW, {}).keys()
    assert together == set().union(*alone)
    assert len(together) >= min(last, len(created)) and (not created or max(created) in together)


def test_what_is_freed_is_what_the_disk_says_and_shared_files_are_not_counted(dataset: Dataset) -> None:
    made(dataset, 3, 2, 1)
    shared = next(dataset.path(1).glob("responses/*.parquet"))
    with dataset.stage() as staging:
        staging.link("responses", shared)
        staging.commit(dataset.manifest(1).model_copy(update={"parents": [1]}))
    before, forecast = disk(dataset.folder), prune(dataset, Keep(last=1), NOW, dry_run=True)
    assert disk(dataset.folder) == before and dataset.versions() == [1, 2, 3, 4]

    pruned = prune(dataset, Keep(last=1), NOW)

    assert pruned == forecast and pruned.gone == [1, 2, 3]
    card = (dataset.folder / "README.md").stat().st_blocks * 512
    assert abs(before - disk(dataset.folder) - pruned.freed) <= card
    assert pruned.freed < sum(f.bytes for f in pruned.fates if not f.kept_by)
    assert dataset.verify(4, deep=True) == []


def test_what_is_left_works_on_and_no_number_is_given_twice(dataset: Dataset) -> None:
    made(dataset, 5, 4, 3, 2)
    dataset.pin(2, "")
    prune(dataset, Keep(last=1), NOW)

    assert dataset.versions() == [2, 4]
    assert commit(dataset, n=1, parents=[3, 4]) == 5, "a parent that is gone is only a number"
    with connect(dataset) as con:
        assert con.execute("SELECT DISTINCT version FROM prompts_all ORDER BY 1").fetchall() == [(2,), (4,), (5,)]
        assert con.execute("SELECT count(*) FROM prompts_at(3)").fetchall() == [(0,)]
    card = (dataset.folder / "README.md").read_text()
    assert all(f"version={n}/" in card for n in (2, 4, 5)) and not any(f"version={n}/" in card for n in (1, 3))
    assert dataset.seals([1, 2]).keys() == dataset.seals([2]).keys()


def test_the_latest_is_never_removed(dataset: Dataset) -> None:
    dataset.remove([1])
    assert prune(dataset, Keep(last=1), NOW).fates == ()
    made(dataset, 2, 1)
    with pytest.raises(PairwrightError, match="version 2 is the latest .*: it stays"):
        dataset.remove([1, 2])
    assert dataset.versions() == [1, 2]
    dataset.remove([7])
    assert dataset.versions() == [1, 2]


def test_a_version_may_be_pruned_while_another_is_being_made(dataset: Dataset) -> None:
    made(dataset, 3, 2, 1)
    with dataset.stage() as staging:
        staging.link("responses", next(dataset.path(3).glob("responses/*.parquet")))
        assert prune(dataset, Keep(last=1), NOW).gone == [1, 2]
        assert staging.commit(dataset.manifest(3).model_copy(update={"parents": [2, 3]})) == 4
    assert dataset.verify(4, deep=True) == []


KILLED = {
    "before the first rename": "Path.rename = lambda *a: stop()",
    "between two renames": "old, seen = Path.rename, []\nPath.rename = lambda *a: stop() if seen else (seen.append(1), old(*a))",
    "while bytes are deleted": "shutil.rmtree = lambda path, **_: (next(Path(path).rglob('*.parquet')).unlink(), stop())",
}


@pytest.mark.kill
@pytest.mark.parametrize("moment", KILLED)
def test_a_prune_that_is_killed_leaves_whole_versions_and_the_next_one_finishes_it(dataset: Dataset, moment: str) -> None:
    made(dataset, 4, 3, 2, 1)
    lines = ["import shutil, time", "def stop():", "    print('there', flush=True)", "    time.sleep(60)"]
    program = [*lines, *KILLED[moment].splitlines(), "dataset.remove([1, 2, 3])"]
    process = child("\n".join(f"    {line}" for line in program), dataset)
    assert process.stdout is not None and process.stdout.readline() == "there\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()

    assert 4 in dataset.versions() and (dataset.folder / "version=4" / MANIFEST).exists()
    for n in dataset.versions():
        assert dataset.verify(n, deep=True) == []
    connect(dataset).close()
    listed = [n for n in range(1, 5) if f"version={n}/" in (dataset.folder / "README.md").read_text()]
    assert set(listed) <= set(dataset.versions()), "the card names nothing that is gone"

    prune(dataset, Keep(last=1), NOW)
    assert dataset.versions() == [4]
    assert [p.name for p in (dataset.folder / "_staging").iterdir()] == ["turn"]
    assert commit(dataset, n=1) == 5


def test_a_rule_that_keeps_nothing_and_a_length_that_is_none_are_refused() -> None:
    with pytest.raises(PairwrightError, match="say what to keep: --keep-last 10"):
        Keep()
    assert duration("12h") == timedelta(hours=12) and duration("2w") == duration("weekly") * 2
    for text in ("", "d", "0d", "3x", "-1d", "1.5d", "monthly"):
        with pytest.raises(PairwrightError, match="is not a length of time: write 12h, 30d or 2w"):
            duration(text)


def test_damaged_pins_are_a_sentence_and_nothing_goes(dataset: Dataset) -> None:
    made(dataset, 2, 1)
    (dataset.folder / "_pins.json").write_text("{torn")
    with pytest.raises(PairwrightError, match="_pins.json is damaged"):
        prune(dataset, Keep(last=1), NOW)
    assert dataset.versions() == [1, 2]
