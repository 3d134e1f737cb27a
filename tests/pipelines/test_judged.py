"""Relabelling, filters and the split see every pair as it is published, whatever was looked at in one go."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pairwright.annotators.displacement import ches_between
from pairwright.engines.requests import Turn as Turned
from pairwright.errors import PairwrightError
from pairwright.ids import digest
from pairwright.pipelines.build import Build
from pairwright.pipelines.cut import Stored, cut
from pairwright.pipelines.filters.base import FilterScores, Floats, PairColumns
from pairwright.pipelines.hygiene.split import split_of
from pairwright.pipelines.pairs import pair_id
from pairwright.pipelines.prompts.rows import Prompt
from pairwright.pipelines.recipe import Recipe, parse_recipe
from pairwright.pipelines.relabel import Relabel, Treatment
from pairwright.pipelines.stored import Annotations
from pairwright.storage.catalog import connect
from tests.pipelines.made_tables import Tables, outcome, recipe, response, shelved, some
from tests.recipes import settings

BATTERY: list[dict[str, Any]] = [
    {"use": "margin", "min_quantile": 0.1},
    {"use": "length_ratio", "max_quantile": 0.9},
    {"use": "length_balance", "bins": 3},
    {"use": "near_identical", "threshold": 0.9},
    {"use": "ches"},
    {"use": "consensus", "annotators": ["a", "b", "jury"]},
    {"use": "consensus", "name": "learnt", "annotators": ["a", "b", "jury"], "rule": "one_coin", "on_missing": "keep"},
    {"use": "strength", "annotators": ["a", "b"], "min_quantile": 0.2},
    {"use": "verdict", "annotator": "jury", "on_missing": "keep"},
    {"use": "consistency", "annotator": "jury", "of": "orders", "on_missing": "keep"},
    {"use": "duplicate"},
    {"use": "duplicate", "name": "same_prompt", "key": "prompt"},
    {"use": "duplicate", "name": "same_chosen", "key": "chosen", "similarity": 1},
    {"use": "contradiction"},
    {"use": "implicit_margin", "min_quantile": 0.05},
    {"use": "outlier"},
    {"use": "fused_margin", "annotators": ["a", "b"], "min_quantile": 0.1},
    {"use": "difficulty", "max_quantile": 0.9},
    {"use": "floor", "chosen": {"b": -1}},
    {"use": "uncertainty", "statistic": "ensemble", "annotators": ["a", "b"], "max_quantile": 0.9},
    {"use": "uncertainty", "name": "votes", "statistic": "vote_entropy", "annotators": ["a", "b", "jury"], "max": 0.5},
    {"use": "uncertainty", "name": "surest", "statistic": "ensemble", "annotators": ["a", "b"], "select": "easy", "keep": 0.9},
    {"use": "uncertainty", "name": "split", "statistic": "vote_entropy", "annotators": ["a", "b"], "select": "hard", "keep": 0.9},
    {"use": "pii"},
]
STRENGTH = {"use": "strength", "name": "turn", "annotators": ["a", "b"], "flip_quantile": 0.3, "soften_quantile": 0.6}


class Turn(Relabel):
    """Turn pairs around whose margin is below a limit and soften those it leaves, or what it turns as well."""

    use: Literal["turn"] = "turn"
    below: float
    p: float | None = None
    both: bool = False

    def score(self, pairs: PairColumns) -> FilterScores:
        """The margin; missing where it is exactly 1."""
        return FilterScores.of([None if m == 1 else m for m in pairs.margin.tolist()], "it is one")

    def treat(self, values: Floats) -> Treatment:
        """As its settings say."""
        flip = values < self.below
        soft = np.full(len(values), np.nan if self.p is None else self.p)
        return Treatment(flip, soft if self.both else np.where(flip, np.nan, soft))


class TurnAtOnce(Turn):
    """The same, over all pairs at once."""

    whole = True
    use: Literal["turn_at_once"] = "turn_at_once"  # type: ignore[assignment]


def ruled(asked: Recipe, *rules: Relabel) -> Recipe:
    return asked.model_copy(update={"relabel": list(rules)})


def by_response(stored: Stored, asked: Recipe) -> dict[frozenset[str], dict[str, Any]]:
    """The pairs of a cut by the two responses, whichever is chosen."""
    return {frozenset((row["chosen_id"], row["rejected_id"])): row for row in cut(stored, asked).pairs.to_pylist()}


@pytest.mark.parametrize("relabel", [[], [STRENGTH]], ids=["as_cut", "relabelled"])
def test_every_filter_says_the_same_whatever_the_slabs_and_files(tmp_path: Path, relabel: list[Any]) -> None:
    tables = some(2, groups=40)
    asked = recipe(filters=BATTERY, relabel=relabel, pair={"per_prompt": 2}, split={"test": 0.3})
    plain = outcome(shelved(tmp_path / "plain", tables), asked)
    assert len({row["dropped_by"] for row in plain[0]}) > 3
    names = {row["name"] for row in map(dict, BATTERY) if "name" in row} | {f["use"] for f in BATTERY if "name" not in f}
    assert {key.removesuffix("_score") for key in plain[0][0] if key.endswith("_score")} == names
    for shuffle, slab_rows, row_group in ((1, 1, 2), (2, 7, 20_000)):
        stored = shelved(tmp_path / str(shuffle), tables, shuffle, slab_rows, row_group)
        assert outcome(stored, asked) == plain, (shuffle, slab_rows, row_group)


def test_where_nobody_counted_tokens_lengths_are_those_in_characters(tmp_path: Path) -> None:
    tables = some(1, groups=60)
    for row in tables.responses:
        row["tokens"] = None
    filters = [{"use": "length_ratio", "max": 3}, *({"use": "length_balance", "name": u, "unit": u} for u in ("tokens", "chars"))]
    rows = cut(shelved(tmp_path, tables), recipe(filters=filters)).pairs.to_pylist()
    texts = {row["response_id"]: row["text"] for row in tables.responses}
    assert len({row["tokens_score"] for row in rows}) > 3
    for row in rows:
        c, r = len(texts[row["chosen_id"]]), len(texts[row["rejected_id"]])
        assert row["tokens_score"] == row["chars_score"] == c - r
        assert row["length_ratio_score"] == max(c, r) / min(c, r)


def test_filters_and_rules_over_no_pair_at_all_say_nothing(tmp_path: Path) -> None:
    asked = recipe(filters=BATTERY, relabel=[STRENGTH], pair={"margin": 1000}, split={"test": 0.3})
    made = cut(shelved(tmp_path, some(2)), asked)
    assert (made.rows, made.kept_rows, made.dropped_by, made.splits) == (0, 0, {}, ["train"])
    assert made.pairs.num_rows == 0 and set(made.dropped.values()) >= {"no_pair_above_margin"}


@hypothesis_settings(max_examples=8)
@given(seed=st.integers(0, 10**6), below=st.sampled_from([0.5, 1.5, 100.0]), kind=st.sampled_from([Turn, TurnAtOnce]))
def test_a_turned_pair_is_the_same_pair_the_other_way_around(seed: int, below: float, kind: type[Turn]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        stored, asked = shelved(Path(folder), some(seed), seed, slab_rows=7), recipe(pair={"per_prompt": 2})
        before, after = by_response(stored, asked), by_response(stored, ruled(asked, kind(below=below)))
        assert before.keys() == after.keys()
        for two, old in before.items():
            new = after[two]
            if old["margin"] == 1 or old["margin"] >= below:
                assert new == old and new["relabelled_by"] is None and new["margin"] > 0
                continue
            assert (new["chosen_id"], new["rejected_id"]) == (old["rejected_id"], old["chosen_id"])
            assert (new["score_chosen"], new["score_rejected"]) == (old["score_rejected"], old["score_chosen"])
            assert new["margin"] == -old["margin"] < 0 and new["relabelled_by"] == kind(below=0).name and new["p_chosen"] is None
            assert new["pair_id"] == pair_id(new["prompt_id"], new["chosen_id"], new["rejected_id"]) != old["pair_id"]


def test_each_rule_sees_the_pairs_as_the_one_before_left_them(tmp_path: Path) -> None:
    stored, asked = shelved(tmp_path, some(3, groups=30), slab_rows=7), recipe()
    first, second = Turn(below=2, name="first"), TurnAtOnce(below=-1, name="second")
    margins = {two: row["margin"] for two, row in by_response(stored, asked).items()}
    fates = Counter[str]()
    for two, row in by_response(stored, ruled(asked, first, second)).items():
        m = margins[two]
        turned = m < 2 and m != 1  # by the first; then its margin is -m, and the second turns what is below -1
        back = turned and -m < -1
        assert row["margin"] == (-m if turned and not back else m)
        assert row["relabelled_by"] == ("second" if back else "first" if turned else None)
        fates[str(row["relabelled_by"])] += 1
    assert fates.keys() == {"first", "second", "None"}


def test_a_soft_label_is_of_the_response_that_is_chosen_in_the_end(tmp_path: Path) -> None:
    stored, asked = shelved(tmp_path, some(3, groups=30)), recipe()
    margins = {two: row["margin"] for two, row in by_response(stored, asked).items()}

    def soft(*rules: Relabel) -> dict[str, set[Any]]:
        """What pairs of small and of other margins get."""
        found: dict[str, set[Any]] = {"small": set(), "large": set(), "one": set()}
        for two, row in by_response(stored, ruled(asked, *rules)).items():
            m = margins[two]
            found["one" if m == 1 else "small" if m < 2 else "large"].add(
                (row["p_chosen"], row["relabelled_by"], row["margin"] < 0)
            )
        return found

    softened = Turn(below=-100, p=0.75, name="softened")
    assert soft(softened) == {
        "small": {(0.75, "softened", False)},
        "large": {(0.75, "softened", False)},
        "one": {(None, None, False)},
    }
    then_turned = soft(softened, Turn(below=2, name="turned"))
    assert then_turned["small"] == {(None, "turned", True)} and then_turned["large"] == {(0.75, "softened", False)}
    both = soft(softened, Turn(below=2, p=0.6, both=True, name="turned"))
    assert both["small"] == {(0.6, "turned", True)} and both["large"] == {(0.6, "turned", False)}
    turned_first = soft(Turn(below=2, name="turned"), Turn(below=-100, p=0.9, name="softened"))
    assert turned_first["small"] == {(0.9, "softened", True)}


@pytest.mark.parametrize("key, value, use", [("chosen_floor", 0.5, "floor"), ("ches", {"max": -0.5}, "ches")])
def test_a_promise_of_the_pair_rule_that_turning_would_break_is_refused(key: str, value: Any, use: str) -> None:
    with pytest.raises(PairwrightError, match=f"`pair.{key}` picks pairs before the relabelling 'turn'.*use the filter `{use}`"):
        recipe(pair={key: value}, relabel=[STRENGTH])
    assert recipe(pair={key: value}, relabel=[STRENGTH | {"flip_quantile": None}]).relabel


def test_filters_see_the_turned_pair(tmp_path: Path) -> None:
    tables = some(4, groups=40)
    stored = shelved(tmp_path, tables, slab_rows=7)
    filters = [
        {"use": "margin", "min": -100},
        {"use": "verdict", "annotator": "jury", "on_missing": "keep"},
        {"use": "ches", "max_quantile": 1, "on_missing": "keep"},
        {"use": "strength", "annotators": ["b", "jury"], "standardise": "none", "min": -100, "on_missing": "keep"},
        {"use": "consistency", "annotator": "jury", "of": "orders", "on_missing": "keep"},
        {"use": "implicit_margin", "min": -100},
        {"use": "floor", "chosen": {"b": 0}, "on_missing": "keep"},
    ]
    asked = recipe(filters=filters)
    said = Annotations(stored).at(stored.whole)
    verdicts, parts, b = said.comparisons("jury").verdicts, said.parts("displacement"), said.scores("b")
    before, after = by_response(stored, asked), by_response(stored, ruled(asked, Turn(below=100)))
    met = Counter[str]()
    for two, row in after.items():
        c, r, old = row["chosen_id"], row["rejected_id"], before[two]
        if old["margin"] == 1:
            continue
        assert row["margin_score"] == row["margin"] < 0
        assert row["implicit_margin_score"] == -old["implicit_margin_score"]
        assert row["consistency_score"] == old["consistency_score"]
        assert row["ches_score"] == ches_between(parts, c, r)
        assert row["floor_score"] == b[c][0]
        met["ches"] += row["ches_score"] != old["ches_score"]
        if row["verdict_score"] is not None:
            assert row["verdict_score"] == {1.0: 0.75, 0.0: 0.25, 0.5: 0.5}[verdicts[c, r]] == 1 - old["verdict_score"]
            assert (row["dropped_by"] == "verdict") == (verdicts[c, r] < 1)
            met["verdict"] += 1
        if row["strength_score"] is not None:
            assert row["strength_score"] == -old["strength_score"]
            met["strength"] += row["strength_score"] != 0
    assert min(met[name] for name in ("ches", "verdict", "strength")) > 2


def published(tmp_path: Path, **changes: Any) -> Build:
    annotators = ["density_ratio", "contrastive_prompt", "displacement"]
    made = settings(tmp_path, annotators=annotators, combine="density_ratio", prompts={"source": "builtin", "limit": 30})
    build = Build(parse_recipe(made | changes, "the test's recipe"), tmp_path)
    build.run()
    return build


def test_a_turned_pair_is_published_with_both_texts_and_labels_on_the_right_side(tmp_path: Path) -> None:
    rule = STRENGTH | {"annotators": ["density_ratio", "contrastive_prompt"], "soften_top": 0.2}
    build = published(tmp_path, relabel=[rule], pair={"per_prompt": 1})
    with connect(build.dataset, 1) as con:
        rows = con.execute(
            "SELECT f.margin, f.p_chosen, f.chosen[1].content = c.text, f.rejected[1].content = r.text, u.label, v.label, "
            "p.margin = f.margin AND p.p_chosen IS NOT DISTINCT FROM f.p_chosen AND p.pair_id = f.pair_id, p.relabelled_by, "
            "f.score_chosen - f.score_rejected, f.prompt_id, f.chosen_id, f.rejected_id, f.pair_id "
            "FROM preference f JOIN pairs p USING (pair_id) "
            "JOIN responses c ON c.response_id = f.chosen_id JOIN responses r ON r.response_id = f.rejected_id "
            "JOIN unpaired u ON u.response_id = f.chosen_id JOIN unpaired v ON v.response_id = f.rejected_id"
        ).fetchall()
        scores = dict(con.execute("SELECT subject_id, score FROM annotations WHERE annotator = 'density_ratio'").fetchall())
    assert len(rows) == build.dataset.manifest(1).rows("pairs") == 30
    for margin, p, chosen, rejected, up, down, same, by, gap, prompt_id, c, r, pair in rows:
        assert chosen and rejected and same and (up, down) == (True, False) and gap == margin == scores[c] - scores[r]
        assert pair == pair_id(prompt_id, c, r) and (by == "turn") == (margin < 0 or p is not None)
    assert sum(row[0] < 0 for row in rows) >= 2 and sum(row[1] is not None for row in rows) >= 2


def test_a_version_says_what_each_relabelling_did(tmp_path: Path) -> None:
    rule = STRENGTH | {"annotators": ["density_ratio", "contrastive_prompt"]}
    build = published(tmp_path, relabel=[rule], pair={"per_prompt": 1})
    manifest = build.dataset.manifest(1)
    with connect(build.dataset, 1) as con:
        turned, softened = con.execute("SELECT count(*) FILTER (margin < 0), count(p_chosen) FROM pairs").fetchone() or ()
    accounts = {a.stage: (a.unit, a.rows_in, a.rows_out) for a in manifest.accounting}
    assert accounts["relabel turn"] == ("pair", 30, 30)
    assert f"relabel turn: turned {turned}, softened {softened}, not scored 0" in manifest.notes and turned and softened
    stored, asked = shelved(tmp_path, some(3, groups=30)), recipe()
    ones = sum(row["margin"] == 1 for row in by_response(stored, asked).values())
    (treated,) = cut(stored, ruled(asked, Turn(below=-100))).treated
    assert ones and str(treated) == f"relabel turn: turned 0, softened 0, not scored {ones} (mostly: it is one)"


def test_a_prompt_is_on_one_side_of_the_split_whatever_filters_and_rules_do(tmp_path: Path) -> None:
    stored = shelved(tmp_path, some(6, groups=40), slab_rows=7)
    found: list[dict[str, str]] = []
    for more in ({}, {"filters": BATTERY}, {"relabel": [STRENGTH]}, {"pair": {"rule": "best_random", "per_prompt": 3}}):
        rows = cut(stored, recipe(split={"test": 0.3, "by": "prompt"}, **({"pair": {"per_prompt": 3}} | more))).pairs.to_pylist()
        sides = {row["prompt_id"]: row["split"] for row in rows}
        assert all(sides[row["prompt_id"]] == row["split"] for row in rows) and set(sides.values()) == {"train", "test"}
        found.append(sides)
    assert all(sides == found[0] for sides in found)
    assert {row["split"] for row in cut(stored, recipe()).pairs.to_pylist()} == {"train"}


def test_a_split_is_published_as_files_of_both_splits_that_datasets_reads(tmp_path: Path) -> None:
    import datasets

    build = published(tmp_path, split={"test": 0.3, "by": "prompt"})
    folder = build.dataset.path(1)
    for table in ("preference", "unpaired"):
        assert [p.name for p in sorted((folder / table).iterdir())] == [
            "test-00000-of-00001.parquet",
            "train-00000-of-00001.parquet",
        ]
    with connect(build.dataset, 1) as con:
        expected = con.execute("SELECT split, list(pair_id) FROM pairs WHERE keep GROUP BY split").fetchall()
    for where, name in ((folder, "preference"), (build.dataset.folder, "preference"), (build.dataset.folder, "v1-preference")):
        loaded = datasets.load_dataset(str(where), name, cache_dir=str(tmp_path / "cache"))
        assert {split: set(rows["pair_id"]) for split, rows in loaded.items()} == {s: set(ids) for s, ids in expected}
    labelled = datasets.load_dataset(str(folder), "unpaired", cache_dir=str(tmp_path / "cache"))
    assert not set(labelled["train"]["prompt_id"]) & set(labelled["test"]["prompt_id"]) and len(labelled["test"])


def test_the_logical_hash_covers_the_split(tmp_path: Path) -> None:
    hashes = set()
    for seed in (0, 0, 1):
        build = published(tmp_path, split={"test": 0.5, "by": "prompt", "seed": seed})
        hashes.add(build.dataset.manifest(build.dataset.latest() or 0).logical_hash)
    assert len(hashes) == 2 and build.dataset.versions() == [1, 2]


def test_a_split_that_leaves_no_pair_to_train_on_is_refused(tmp_path: Path) -> None:
    build = published(tmp_path)
    pairs = cut(build.stored(), build.recipe).pairs.to_pylist()
    best, ids = max(pairs, key=lambda row: row["margin"])["prompt_id"], [(row["prompt_id"], "") for row in pairs]
    seed = next(s for s in range(1000) if split_of(ids, 0.3, "prompt", s)[best] == "test")
    only_the_best = [{"use": "margin", "min_quantile": 1}]
    with pytest.raises(PairwrightError, match="the split leaves no pair to train on: lower `split.test`, or keep more pairs"):
        published(tmp_path, split={"test": 0.3, "by": "prompt", "seed": seed}, filters=only_the_best)
    assert build.dataset.versions() == [1] and not list((build.dataset.folder / "_staging").glob("*.lock"))


def test_no_pair_rule_moves_a_prompt_by_taking_the_pairs_of_its_near_duplicates(tmp_path: Path) -> None:
    chance, tables = random.Random(3), Tables()
    mould = "Tell me in a few plain words what the colour of the house number {} in this street is and why, {}"
    for i in range(60):
        prompt = Prompt(digest("prompt", i), (Turned("user", mould.format(i // 5, "abcde"[i % 5])),))
        tables.group(prompt, [response(prompt, k, f"It is shade {i} {k}.") for k in range(4)], chance)
    stored = shelved(tmp_path, tables)

    def sides(**rule: Any) -> dict[str, str]:
        rows = cut(stored, recipe(split={"test": 0.3, "similarity": 0.8}, pair=rule)).pairs.to_pylist()
        return {row["prompt_id"]: row["split"] for row in rows}

    every, fewer = sides(), sides(margin=1.75)
    assert set(every.values()) == {"train", "test"} and 5 < len(fewer) < len(every) and fewer.items() <= every.items()
