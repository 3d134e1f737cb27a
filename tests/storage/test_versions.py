from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pairwright.errors import PairwrightError
from pairwright.storage import hashing
from pairwright.storage.manifest import MANIFEST, AccountingError, Manifest, StageAccount
from pairwright.storage.parquet import read_table, write_table
from pairwright.storage.schemas import PROMPTS, UNPAIRED
from pairwright.storage.versions import Dataset
from tests.storage.sample_tables import commit, prompts, written

HERE = Path(__file__).parent


def child(code: str, dataset: Dataset) -> subprocess.Popen[str]:
    """A Python process with `dataset` at hand."""
    start = f"""
    import os, sys
    from pathlib import Path
    sys.path.insert(0, {str(HERE)!r})
    from sample_tables import *
    dataset = Dataset(Path({str(dataset.folder.parent)!r}), {dataset.name!r})
    """
    program = textwrap.dedent(start) + textwrap.dedent(code)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", program], **pipes)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_new_dataset_has_no_versions_and_makes_no_folder(dataset: Dataset) -> None:
    assert dataset.versions() == [] and dataset.latest() is None and dataset.clean_staging() == 0
    assert not dataset.folder.exists()
    with pytest.raises(PairwrightError, match=r"prefs .* has no version 1: it has none yet"):
        dataset.path(1)


@pytest.mark.parametrize("name", ["a/b", "../x", "", ".hidden", "a b"])
def test_a_name_that_cannot_be_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PairwrightError, match="cannot be a folder name"):
        Dataset(tmp_path, name)


def test_a_commit_is_numbered_described_and_verified(dataset: Dataset) -> None:
    assert [commit(dataset, recipe={"seed": 1}), commit(dataset, n=5, parents=[1])] == [1, 2]
    assert dataset.versions() == [1, 2] and dataset.latest() == 2
    manifest = dataset.manifest(2)
    assert (manifest.version, manifest.dataset, manifest.parents) == (2, "prefs", [1])
    assert {table: manifest.rows(table) for table in manifest.tables()} == {
        "annotations": 15,
        "pairs": 5,
        "preference": 5,
        "prompts": 5,
        "responses": 15,
        "unpaired": 10,
    }
    assert (dataset.path(2) / "preference" / "train-00000-of-00001.parquet").is_file()
    assert dataset.verify(1, deep=True) == dataset.verify(2, deep=True) == []
    assert list((dataset.folder / "_staging").iterdir()) == [dataset.folder / "_staging" / "turn"]


def test_version_ten_comes_after_version_nine(dataset: Dataset) -> None:
    first = commit(dataset)
    for n in range(2, 11):
        shutil.copytree(dataset.path(first), dataset.folder / f"version={n}")
    (dataset.folder / "version=99").mkdir()
    (dataset.folder / "version=old").mkdir()
    assert dataset.versions() == list(range(1, 11))
    assert commit(dataset) == 11


def test_equal_content_has_equal_hashes_and_other_content_has_others(dataset: Dataset) -> None:
    for n in (4, 4, 5):
        commit(dataset, n=n)
    one, two, three = (dataset.manifest(n) for n in (1, 2, 3))
    assert (one.logical_hash, one.exact_hash) == (two.logical_hash, two.exact_hash)
    assert one.logical_hash != three.logical_hash and one.exact_hash != three.exact_hash
    assert len(one.logical_hash) == len(one.exact_hash) == 24 and one.logical_hash != one.exact_hash


def test_a_number_taken_meanwhile_is_skipped(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(dataset)
    before = snapshot(dataset.path(1))
    monkeypatch.setattr(Dataset, "latest", lambda self: None)  # as if version 1 appeared just after we looked
    assert commit(dataset, n=2) == 2
    assert dataset.manifest(2).version == 2
    assert snapshot(dataset.path(1)) == before


def test_a_stream_is_cut_into_numbered_shards(dataset: Dataset) -> None:
    table = prompts(25)
    with dataset.stage() as staging:
        assert staging.write("prompts", table.to_batches(max_chunksize=4), PROMPTS, shard_rows=10) == 25
        assert staging.write("prompts", table.slice(0, 1), PROMPTS) == 1
        assert staging.write("unpaired", [], UNPAIRED) == 0
        n = staging.commit(Manifest(dataset="prefs"))
    paths = dataset.tables(n)["prompts"]
    assert [path.name for path in paths] == [f"train-{i:05d}-of-00004.parquet" for i in range(4)]
    assert pa.concat_tables([read_table(path) for path in paths[:3]]).combine_chunks().equals(table.combine_chunks())
    assert [entry.rows for entry in dataset.manifest(n).files] == [10, 10, 5, 1, 0]
    assert read_table(dataset.tables(n)["unpaired"][0]).schema.equals(UNPAIRED)


def test_writing_holds_no_more_than_a_row_group_of_the_stream(dataset: Dataset) -> None:
    alive: list[int] = []

    def stream() -> Iterator[pa.Table]:
        base = pa.total_allocated_bytes()
        for _ in range(60):
            alive.append(pa.total_allocated_bytes() - base)
            table = prompts(1000)
            yield table

    size = prompts(1000).nbytes
    with dataset.stage() as staging:
        staging.write("prompts", stream(), PROMPTS, shard_rows=100_000)
    assert max(alive) < 50 * size  # the whole stream is 60 tables; a row group is 20


def test_an_unchanged_file_is_linked_and_not_hashed_again(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(dataset)
    source = dataset.tables(1)["responses"][0]
    monkeypatch.setattr("pairwright.storage.versions._sha256", lambda path: pytest.fail(f"{path} was read again"))
    with dataset.stage() as staging:
        assert staging.link("responses", source) == 12
        staging.commit(Manifest(dataset="prefs", parents=[1]))
    assert source.samefile(dataset.tables(2)["responses"][0])
    sums = [{e.path: e.sha256 for e in dataset.manifest(n).files} for n in (1, 2)]
    assert sums[1] == {"responses/train-00000-of-00001.parquet": sums[0]["responses/train-00000-of-00001.parquet"]}


@pytest.fixture
def summed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tables of all files whose rows are read to sum them up, as that happens."""
    read: list[str] = []
    take = hashing._sums

    def counted(con: Any, paths: list[Path], columns: Any) -> dict[Path, str]:
        read.extend(path.parent.name for path in paths)
        return take(con, paths, columns)

    monkeypatch.setattr(hashing, "_sums", counted)
    return read


def child_of(dataset: Dataset, parent: int, *left_out: str) -> Manifest:
    """Commit a version that links the tables of `parent` and has prompts of its own."""
    with dataset.stage() as staging:
        for table, paths in dataset.tables(parent).items():
            for path in [] if table in ("prompts", *left_out) else paths:
                staging.link(table, path)
        staging.write("prompts", prompts(9), PROMPTS)
        return dataset.manifest(staging.commit(Manifest(dataset="prefs", parents=[parent])))


def as_read(dataset: Dataset, n: int) -> tuple[str, str]:
    """Both hashes, from the files themselves."""
    return hashing.logical_hash(dataset.tables(n)), hashing.exact_hash(dataset.tables(n))


def test_a_linked_file_is_summed_by_what_its_parent_says(dataset: Dataset, summed: list[str]) -> None:
    commit(dataset)
    assert {"annotations", "responses", "prompts", "pairs"} < set(summed)
    summed.clear()
    manifest = child_of(dataset, 1)
    assert set(summed) == {"prompts"}
    assert (manifest.logical_hash, manifest.exact_hash) == as_read(dataset, 2)
    assert manifest.logical_hash != dataset.manifest(1).logical_hash
    sums = [{e.path: (e.logical_sum, e.exact_sum) for e in dataset.manifest(n).files} for n in (1, 2)]
    assert all(sums[1][path] == sums[0][path] for path in sums[1] if not path.startswith("prompts"))


def test_where_the_parent_says_no_sums_they_are_taken(dataset: Dataset, summed: list[str]) -> None:
    commit(dataset)
    expected = {e.path: (e.logical_sum, e.exact_sum) for e in dataset.manifest(1).files}
    old = json.loads((dataset.path(1) / MANIFEST).read_text())
    for entry in old["files"]:
        del entry["logical_sum"], entry["exact_sum"]
    (dataset.path(1) / MANIFEST).write_text(json.dumps(old))
    summed.clear()
    manifest = child_of(dataset, 1)
    assert set(summed) == {path.partition("/")[0] for path in expected}
    assert (manifest.logical_hash, manifest.exact_hash) == as_read(dataset, 2)
    found = {e.path: (e.logical_sum, e.exact_sum) for e in manifest.files}
    assert all(found[path] == expected[path] for path in found if not path.startswith("prompts"))
    summed.clear()
    child_of(dataset, 2)
    assert set(summed) == {"prompts"}


def test_the_sum_of_a_file_that_lacked_a_column_among_its_like_is_not_handed_on(dataset: Dataset, tmp_path: Path) -> None:
    narrow = tmp_path / "narrow.parquet"
    write_table(narrow, prompts(5).drop_columns(["source"]), pa.schema([f for f in PROMPTS if f.name != "source"]))
    with dataset.stage() as staging:
        staging.write("prompts", prompts(3), PROMPTS)
        staging.link("prompts", narrow)
        staging.commit(Manifest(dataset="prefs"))
    with dataset.stage() as staging:
        staging.link("prompts", dataset.tables(1)["prompts"][1])
        staging.commit(Manifest(dataset="prefs", parents=[1]))
    for n in (1, 2):
        assert (dataset.manifest(n).logical_hash, dataset.manifest(n).exact_hash) == as_read(dataset, n)


def test_an_edited_file_that_was_linked_keeps_its_sums_and_is_told_of(dataset: Dataset) -> None:
    commit(dataset)
    path = dataset.tables(1)["responses"][0]
    path.write_bytes(path.read_bytes().replace(b"parquet-cpp-arrow", b"parquet-cpp-ARROW"))
    manifest = child_of(dataset, 1)
    assert dataset.verify(2, deep=True) == ["responses/train-00000-of-00001.parquet has other content than when it was committed"]
    entry = next(e for e in manifest.files if e.path.startswith("responses"))
    assert entry in dataset.manifest(1).files


def test_splits_are_numbered_apart_and_train_comes_first(dataset: Dataset) -> None:
    with dataset.stage() as staging:
        for split, rows in (("test", 2), ("train", 3), ("test", 4)):
            staging.write("prompts", prompts(rows), PROMPTS, split=split)
        n = staging.commit(Manifest(dataset="prefs"))
    names = ["train-00000-of-00001.parquet", "test-00000-of-00002.parquet", "test-00001-of-00002.parquet"]
    assert [path.name for path in dataset.tables(n)["prompts"]] == names
    assert [entry.rows for entry in dataset.manifest(n).files] == [3, 2, 4] and dataset.manifest(n).rows("prompts") == 9


def test_where_links_are_not_possible_the_file_is_copied(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError("another disk")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    source = written(tmp_path, "prompts", prompts(3))[0]
    with dataset.stage() as staging:
        staging.link("prompts", source)
        staging.commit(Manifest(dataset="prefs"))
    copied = dataset.tables(1)["prompts"][0]
    assert not source.samefile(copied) and copied.read_bytes() == source.read_bytes()
    assert dataset.verify(1, deep=True) == []


def test_a_damaged_file_is_not_linked(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 nothing")
    with dataset.stage() as staging, pytest.raises(PairwrightError, match=r"x\.parquet is not readable"):
        staging.link("prompts", tmp_path / "x.parquet")


def test_a_file_with_a_whole_footer_and_broken_pages_is_found_before_it_is_committed(dataset: Dataset, tmp_path: Path) -> None:
    source = written(tmp_path, "prompts", prompts(100))[0]
    broken = source.read_bytes()
    source.write_bytes(broken[:4] + bytes(1000) + broken[1004:])
    with dataset.stage() as staging:
        staging.link("prompts", source)
        with pytest.raises(PairwrightError, match=r"cannot read .*train-00000-of-00001\.parquet .*delete the damaged file"):
            staging.commit(Manifest(dataset="prefs"))
    assert dataset.versions() == []


@pytest.mark.parametrize("fails", ["in the block", "in the accounts", "never committed"])
def test_what_is_not_committed_leaves_nothing(dataset: Dataset, fails: str) -> None:
    commit(dataset)
    before = snapshot(dataset.folder)
    wrong = StageAccount(stage="pair", unit="prompt", rows_in=3, rows_out=1, dropped={"tie": 1})
    try:
        with dataset.stage() as staging:
            staging.write("prompts", prompts(3), PROMPTS)
            if fails == "in the block":
                raise RuntimeError
            if fails == "in the accounts":
                staging.commit(Manifest(dataset="prefs", accounting=[wrong]))
    except (RuntimeError, AccountingError) as error:
        assert fails != "never committed", error
    assert snapshot(dataset.folder) == before


def test_verify_says_what_differs(dataset: Dataset) -> None:
    n = commit(dataset)
    tables = dataset.tables(n)
    tables["prompts"][0].unlink()
    tables["pairs"][0].write_bytes(b"short")
    edited = bytearray(tables["responses"][0].read_bytes())
    edited[len(edited) // 2] ^= 1
    tables["responses"][0].write_bytes(edited)
    (dataset.path(n) / "pairs" / "train-00001-of-00001.parquet").write_bytes(b"stray")
    shallow, deep = dataset.verify(n), dataset.verify(n, deep=True)
    assert [line.partition("/")[0] + ":" + line.partition(" ")[2].partition(",")[0] for line in shallow] == [
        "pairs:is not in the manifest",
        "pairs:has 5 bytes",
        "prompts:is missing",
    ]
    assert set(deep) - set(shallow) == {"responses/train-00000-of-00001.parquet has other content than when it was committed"}


def test_an_edit_of_a_linked_file_is_found_in_every_version_that_has_it(dataset: Dataset) -> None:
    commit(dataset)
    path = dataset.tables(1)["prompts"][0]
    path.write_bytes(path.read_bytes().replace(b"parquet-cpp-arrow", b"parquet-cpp-ARROW"))  # in place: all links see it
    with dataset.stage() as staging:
        staging.link("prompts", path)
        staging.commit(Manifest(dataset="prefs", parents=[1]))
    assert all("prompts" in line for n in (1, 2) for line in dataset.verify(n, deep=True))
    assert len(dataset.verify(1, deep=True)) == len(dataset.verify(2, deep=True)) == 1


def test_missing_files_and_versions_are_named_with_the_fix(dataset: Dataset) -> None:
    commit(dataset)
    with pytest.raises(PairwrightError, match="has no version 7: it has 1"):
        dataset.manifest(7)
    dataset.tables(1)["pairs"][0].unlink()
    with pytest.raises(PairwrightError, match=r"train-00000-of-00001\.parquet is missing: restore it, or delete"):
        dataset.tables(1)


@pytest.mark.kill
def test_a_kill_while_staging_leaves_old_versions_whole_and_is_cleaned_up(dataset: Dataset) -> None:
    commit(dataset)
    before = snapshot(dataset.path(1))
    process = child(
        """
        def stream():
            for i in range(10):
                yield prompts(1000)
                if i == 5:
                    print("half", flush=True)
                    sys.stdin.read()
        with dataset.stage() as staging:
            staging.write("prompts", stream(), PROMPTS, shard_rows=2000)
        """,
        dataset,
    )
    assert process.stdout is not None and process.stdout.readline() == "half\n"
    staged = [path for path in (dataset.folder / "_staging").iterdir() if path.is_dir()]
    assert len(staged) == 1 and any(staged[0].rglob("*.parquet"))
    assert dataset.clean_staging() == 0 and staged[0].exists()  # it is alive, so it stays
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (dataset.folder / ".part-left").write_text("a README.md that was never finished")
    assert staged[0].exists()
    assert dataset.clean_staging() == 2
    assert [path.name for path in (dataset.folder / "_staging").iterdir()] == ["turn"]
    assert not (dataset.folder / ".part-left").exists()
    assert dataset.versions() == [1] and snapshot(dataset.path(1)) == before
    assert commit(dataset) == 2


@pytest.mark.kill
def test_a_kill_just_before_the_rename_makes_no_version(dataset: Dataset) -> None:
    commit(dataset)
    code = """
    os_rename = Path.rename
    def rename(self, target):
        if "version=" in str(target):
            os.kill(os.getpid(), 9)
        return os_rename(self, target)
    Path.rename = rename
    commit(dataset, n=2)
    """
    process = child(code, dataset)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert any((dataset.folder / "_staging").glob(f"*/{MANIFEST}"))
    assert dataset.versions() == [1]
    assert dataset.clean_staging() == 1
    assert commit(dataset) == 2 and dataset.verify(2, deep=True) == []


def test_processes_that_commit_at_once_get_different_versions_and_lose_nothing(dataset: Dataset) -> None:
    code = """
    print("ready", flush=True)
    sys.stdin.readline()
    print(*[commit(dataset, n=int({size}) + i) for i in range(3)], flush=True)
    """
    workers = [child(code.replace("{size}", str(size)), dataset) for size in (10, 20, 30)]
    for worker in workers:
        assert worker.stdout is not None and worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    got = [[int(word) for word in worker.communicate()[0].split()] for worker in workers]
    assert sorted(n for numbers in got for n in numbers) == dataset.versions() == list(range(1, 10))
    for size, numbers in zip((10, 20, 30), got, strict=True):
        assert [dataset.manifest(n).rows("prompts") for n in numbers] == [size, size + 1, size + 2]
        assert [line for n in numbers for line in dataset.verify(n, deep=True)] == []
    assert "version=9/preference/train-*" in (dataset.folder / "README.md").read_text()
    assert not [path for path in (dataset.folder / "_staging").iterdir() if path.is_dir()]
