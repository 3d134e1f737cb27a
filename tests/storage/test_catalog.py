from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from pairwright.errors import PairwrightError
from pairwright.storage.catalog import connect
from pairwright.storage.manifest import Manifest, StageAccount
from pairwright.storage.schemas import PROMPTS, pairs_schema
from pairwright.storage.versions import Dataset
from tests.storage.sample_tables import commit, pair_row


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Versions with 4, 5 and 6 prompts; only to be read."""
    dataset = Dataset(tmp_path_factory.mktemp("it's a root"), "prefs")
    for n in (4, 5, 6):
        commit(dataset, n=n, recipe={"n": n} if n % 2 else {"other": {"deep": [n]}})
    return dataset


def test_a_table_is_the_latest_version_unless_another_is_asked_for(three: Dataset) -> None:
    assert connect(three).execute("SELECT count(*) FROM pairs").fetchall() == [(6,)]
    assert connect(three, 1).execute("SELECT count(*) FROM pairs").fetchall() == [(4,)]


def test_a_view_has_exactly_the_columns_of_its_table(three: Dataset) -> None:
    con = connect(three)
    assert [column[0] for column in con.execute("DESCRIBE prompts").fetchall()] == PROMPTS.names
    assert con.sql("SELECT * FROM prompts").to_arrow_table().num_rows == 6


def test_all_versions_and_one_of_them_can_be_asked(three: Dataset) -> None:
    con = connect(three)
    counts = con.execute("SELECT version, typeof(version), count(*) FROM responses_all GROUP BY ALL ORDER BY ALL").fetchall()
    assert counts == [(1, "INTEGER", 12), (2, "INTEGER", 15), (3, "INTEGER", 18)]
    assert con.execute("SELECT count(*) FROM responses_at(2)").fetchall() == [(15,)]
    assert con.execute("SELECT count(*) FROM responses_at(9)").fetchall() == [(0,)]


def test_one_version_is_read_without_touching_the_files_of_the_others(three: Dataset) -> None:
    con = connect(three)
    plan = con.execute("EXPLAIN SELECT * FROM pairs_at(2)").fetchall()[0][1]
    everything = con.execute("EXPLAIN SELECT * FROM pairs_all").fetchall()[0][1]
    assert (plan.upper().count("FUNCTION:"), everything.upper().count("FUNCTION:")) == (1, 3)


def test_versions_with_other_columns_are_put_together_by_name(dataset: Dataset) -> None:
    commit(dataset, n=2)
    with dataset.stage() as staging:
        pairs = pa.Table.from_pylist([pair_row(9) | {"novelty_score": 0.5}], schema=pairs_schema(["novelty"]))
        staging.write("pairs", pairs, pairs.schema)
        staging.commit(Manifest(dataset="prefs"))
    rows = connect(dataset).execute("SELECT version, length_score, novelty_score FROM pairs_all ORDER BY ALL").fetchall()
    assert rows == [(1, 0.5, None), (1, 0.5, None), (2, None, 0.5)]
    assert connect(dataset).execute("SELECT count(*) FROM prompts_all").fetchall() == [(2,)]


def test_no_folder_above_the_data_replaces_a_column(tmp_path: Path) -> None:
    dataset = Dataset(tmp_path / "source=evil" / "version=77" / "it's [a] *b", "prefs")
    commit(dataset, n=2)
    con = connect(dataset)
    assert con.execute("SELECT DISTINCT source, version FROM prompts_all").fetchall() == [("s", 1)]
    assert con.execute("SELECT DISTINCT source FROM prompts_at(1)").fetchall() == [("s",)]
    assert con.execute("SELECT version FROM manifests").fetchall() == [(1,)]


def test_manifests_have_a_row_a_version_whatever_their_recipes(three: Dataset) -> None:
    rows = connect(three).execute("SELECT version, logical_hash, recipe->>'$.n', len(files) FROM manifests").fetchall()
    assert [row[0] for row in rows] == [1, 2, 3]
    assert [row[1] for row in rows] == [three.manifest(n).logical_hash for n in (1, 2, 3)]
    assert [row[2:] for row in rows] == [(None, 6), ("5", 6), (None, 6)]


def test_the_funnel_has_a_row_a_version_stage_and_reason(dataset: Dataset) -> None:
    sample = StageAccount(stage="sample", unit="response", rows_in=12, rows_out=12)
    pair = StageAccount(stage="pair", unit="prompt", rows_in=4, rows_out=1, dropped={"tie": 2, "no_score": 1})
    commit(dataset, accounting=[sample, pair])
    commit(dataset)
    assert connect(dataset).execute("SELECT * FROM funnel ORDER BY version, stage, reason").fetchall() == [
        (1, "pair", "prompt", 4, 1, "no_score", 1),
        (1, "pair", "prompt", 4, 1, "tie", 2),
        (1, "sample", "response", 12, 12, None, 0),
    ]


def test_what_is_not_there_is_said_kindly(dataset: Dataset) -> None:
    with pytest.raises(PairwrightError, match="has no version yet"):
        connect(dataset)
    commit(dataset)
    with pytest.raises(PairwrightError, match="has no version 2"):
        connect(dataset, 2)
    shutil.rmtree(dataset.path(1) / "pairs")
    with pytest.raises(PairwrightError, match="is missing: restore it"):
        connect(dataset)
