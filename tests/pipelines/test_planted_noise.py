from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from pairwright.pipelines.recut import recut
from pairwright.storage.parquet import read_table
from pairwright.storage.versions import Dataset

N = 400
FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def noise():
    sys.path.insert(0, str(FOLDER))
    try:
        import planted_noise

        yield planted_noise
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def case(noise, tmp_path_factory):
    root = tmp_path_factory.mktemp("planted")
    return root / "slips-0", noise.measured(root, N, "slips", 0)


@pytest.mark.parametrize("flips", ["slips", "close", "length"])
def test_what_is_planted_is_planted_exactly(noise, flips):
    pairs = noise.planted(N, flips, 1)
    assert [int(kind.sum()) for kind in (pairs.flipped, pairs.ambiguous, pairs.origin >= 0)] == [80, 40, 20]
    copies = np.flatnonzero(pairs.origin >= 0)
    around = (pairs.margin[copies] > 0) != (pairs.margin[pairs.origin[copies]] > 0)
    assert around.tolist() == pairs.turned[copies].tolist()
    assert int(around.sum()) == 5


def test_dropping_or_turning_just_the_flipped_pairs_leaves_no_wrong_label(noise, case):
    pairs = case[1].pairs
    none = np.zeros(N, bool)
    for found in (noise.figures(pairs, pairs.flipped, none), noise.figures(pairs, none, pairs.flipped)):
        assert found.wrong == 0
        assert found.flipped == (1, 1)
        assert found.ambiguous == (0, 0)
    assert noise.figures(pairs, none, none).wrong == pytest.approx(0.2)


def test_only_copies_are_found_to_be_copies_and_all_that_are_equal_are_found(case):
    pairs, dropped = case[1].pairs, case[1].dropped[""]
    copies = np.flatnonzero(pairs.origin >= 0)
    related = {*copies.tolist(), *pairs.origin[copies].tolist()}
    equal = [i for i in copies.tolist() if pairs.texts[i] == pairs.texts[pairs.origin[i]]]
    for name, turned in (("duplicate", False), ("contradiction", True)):
        assert set(np.flatnonzero(dropped[name]).tolist()) <= related
        mine = [i for i in equal if pairs.turned[i] == turned]
        assert mine
        assert all(sum(dropped[name][[i, pairs.origin[i]]]) == 1 + turned for i in mine)


def test_raters_find_flips_that_no_margin_tells_of(case):
    strength, margin, lot = (case[1].figures("", [name]).flipped[1] for name in ("strength_30", "margin_30", "by lot, 30 %"))
    assert strength > 0.6
    assert margin < 0.5
    assert lot < 0.5


def test_the_command_recut_keeps_what_the_benchmark_counts(noise, case):
    folder, measured = case
    rule = "{use: strength, annotators: [careful, careless, twin_a, twin_b, wordy]"
    changes = [f"relabel=[{rule}, flip_quantile: 0.1}}]", f"filters=[{rule}, min: 0, name: s}}, {{use: duplicate}}]"]
    dataset = Dataset(folder, "planted")
    made = recut(dataset, 1, changes).version
    rows = [row for path in dataset.tables(made)["pairs"] for row in read_table(path).to_pylist()]
    kept = {row["prompt_id"] for row in rows if row["keep"]}
    turned = {row["prompt_id"] for row in rows if row["margin"] < 0}
    tables = measured.dropped["flip lowest tenth"]
    dropped = tables["strength"] | tables["duplicate"]
    assert kept == {p for p, gone in zip(measured.pairs.prompts, dropped, strict=True) if not gone}
    assert turned == {p for p, t in zip(measured.pairs.prompts, measured.turned["flip lowest tenth"], strict=True) if t}


def test_the_plan_that_is_chosen_keeps_half_and_leaves_the_fewest_wrong_labels(noise, case):
    costs = noise.costs(case[1])
    able = costs[costs[:, 0] >= noise.LEAST]
    one, _, two, *_ = (row for row in noise.winners([case[1]]) if row[0].startswith("fewest wrong"))
    assert float(two[3].split()[0]) <= float(one[3].split()[0]) < 20
    assert float(one[2]) >= 50
    assert 100 * able[:, 1].min() <= float(two[3].split()[0]) + 0.05
