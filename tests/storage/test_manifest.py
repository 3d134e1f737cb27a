from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.errors import PairwrightError
from pairwright.storage.manifest import AccountingError, FileEntry, Manifest, StageAccount

counts = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(0, 1000))


@given(out=st.integers(0, 10**6), dropped=counts)
def test_rows_in_are_rows_out_plus_rows_dropped(out: int, dropped: dict[str, int]) -> None:
    whole = out + sum(dropped.values())
    StageAccount(stage="pair", unit="prompt", rows_in=whole, rows_out=out, dropped=dropped).check()
    with pytest.raises(AccountingError, match="stage pair"):
        StageAccount(stage="pair", unit="prompt", rows_in=whole + 1, rows_out=out, dropped=dropped).check()


def test_a_negative_count_does_not_mend_an_account() -> None:
    with pytest.raises(AccountingError):
        StageAccount(stage="pair", unit="prompt", rows_in=3, rows_out=4, dropped={"x": -1}).check()


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    manifest = Manifest(
        dataset="prefs",
        version=3,
        recipe={"pair": {"rule": "best_worst", "ñ": None}},
        models={"policy": {"label": "small", "fingerprint": "f"}},
        parents=[2],
        accounting=[StageAccount(stage="sample", unit="response", rows_in=8, rows_out=7, dropped={"empty": 1})],
        cost={"sample": {"tokens": 10.0, "seconds": 0.5}},
        files=[FileEntry(path="pairs/train-00000-of-00001.parquet", rows=4, bytes=10, sha256="0" * 64)],
    )
    manifest.write(tmp_path / "_manifest.json")
    again = Manifest.read(tmp_path / "_manifest.json")
    assert again == manifest
    assert again.rows("pairs") == 4 and again.rows("pair") == 0 and again.tables() == ["pairs"]
    assert again.created.endswith("+00:00")


@pytest.mark.parametrize("text", ["", "{", '{"dataset": 3}', '{"dataset": "x", "colour": "red"}'])
def test_a_damaged_manifest_is_named_with_the_fix(tmp_path: Path, text: str) -> None:
    path = tmp_path / "version=4" / "_manifest.json"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(PairwrightError, match=r"_manifest\.json is damaged .* or delete the folder version=4"):
        Manifest.read(path)


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(PairwrightError, match=r"_manifest\.json is missing"):
        Manifest.read(tmp_path / "_manifest.json")
