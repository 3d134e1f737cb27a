"""A re-cut is the version that a build with the changed recipe makes, without a request; what cannot be one is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pairwright.engines.scripted import ScriptedEngine
from pairwright.errors import PairwrightError
from pairwright.pipelines.build import Build
from pairwright.pipelines.filters.base import Band
from pairwright.pipelines.recipe import Recipe, parse_recipe
from pairwright.pipelines.recut import PromptFiles, recipe_of, recut, stored_of, with_changes
from pairwright.storage.catalog import connect
from pairwright.storage.manifest import MANIFEST, Manifest
from pairwright.storage.parquet import read_table, write_table
from pairwright.storage.versions import Dataset
from tests.recipes import settings, step_settings, write_questions

Make = Callable[..., Build]
SYSTEM = "Answer briefly. Questions go to help@example.com."
ANNOTATORS = ["density_ratio", "displacement", "contrastive_prompt"]
FLIP = "{use: strength, name: turn, annotators: [density_ratio, contrastive_prompt], flip_quantile: 0.3, soften_quantile: 0.6}"
CHANGES: dict[str, list[str]] = {
    "pair rule": ["pair.rule=best_random", "pair.per_prompt=2"],
    "combine": ["combine.scores={density_ratio: 1, contrastive_prompt: 2}", "combine.rule=weighted"],
    "filters": ["filters=[{use: ches, max_quantile: 0.6}, {use: margin, min_quantile: 0.3}]"],
    "one filter": ["filters.margin.min_quantile=0.5"],
    "no filter": ["filters=[]"],
    "relabel": [f"relabel=[{FLIP}]"],
    "split": ["split.test=0.3", "split.by=cluster"],
    "ches": ["pair.ches.max=0.0", "pair.per_prompt=3"],
    "ches by quantile": ["pair.ches.quantile=0.3"],
    "prompts and texts": ["filters=[{use: pii}, {use: duplicate, key: prompt}, {use: contradiction}]"],
    "everything": [f"relabel=[{FLIP}]", "split={test: 0.4, by: prompt}", "filters=[{use: ches}, {use: pii, on_found: drop}]"],
}
JUDGED = {"search": {"use": "omega_prm", "k": 4, "searches": 4}, "budget": {"rollouts": 150}, "judge": {"mode": "choose"}}


@pytest.fixture
def base(tmp_path: Path) -> Dataset:
    """A dataset of pairs with one version."""
    return built(tmp_path)


def build_of(root: Path, **changes: Any) -> Build:
    about = {"sample": {"n": 4, "max_tokens": 40, "system": SYSTEM}, "filters": [{"use": "margin", "min_quantile": 0.1}]}
    policy = {"engine": "scripted", "faults": {"too_long": 0.1, "empty": 0.05, "cut": 0.05}}
    models = settings(root)["models"] | {"policy": policy}
    made = settings(root, annotators=ANNOTATORS, combine="density_ratio", models=models, **about) | changes
    return Build(parse_recipe(made, "the test's recipe"), root)


def built(root: Path, **changes: Any) -> Dataset:
    build = build_of(root, **changes)
    build.run()
    return build.dataset


def hashes(dataset: Dataset, n: int) -> tuple[str, str]:
    return dataset.manifest(n).logical_hash, dataset.manifest(n).exact_hash


def rows_of(dataset: Dataset, n: int) -> dict[str, dict[str, int]]:
    """What a version says of where its rows went."""
    return {f"{a.stage} {a.unit}": {"in": a.rows_in, "out": a.rows_out, **a.dropped} for a in dataset.manifest(n).accounting}


def as_built(build: Build, changes: list[str]) -> Recipe:
    """Build version 3 by the recipe of `build` with `changes`, and see that version 2 is the same and has that recipe."""
    ScriptedEngine.requests_seen.clear()
    recipe, dataset = with_changes(build.recipe, changes), build.dataset
    assert Build(recipe, build.base).run(force=True).version == 3 and not ScriptedEngine.requests_seen
    assert parse_recipe(dataset.manifest(2).recipe, "the recipe of version 2") == recipe
    assert rows_of(dataset, 2) == rows_of(dataset, 3)
    assert hashes(dataset, 2) == hashes(dataset, 3)
    return recipe


def inodes(dataset: Dataset, n: int, *tables: str) -> set[int]:
    return {path.stat().st_ino for table in tables for path in dataset.tables(n)[table]}


def test_the_same_settings_again_make_no_version(base: Dataset) -> None:
    for changes in ([], ["pair.margin=0"], ["filters.0.min_quantile=0.1"], ["filters.margin.min_quantile=0.1"]):
        result = recut(base, 1, changes)
        assert (result.version, result.new) == (1, False)
    assert base.versions() == [1]


def test_the_same_cut_of_an_older_version_makes_no_second_one(base: Dataset) -> None:
    assert recut(base, 1, ["pair.margin=1"]).new
    for n, changes in ((2, []), (2, ["pair.margin=1.0"]), (1, ["pair.margin=1"])):
        assert recut(base, n, changes) == recut(base, n, changes)
        assert (recut(base, n, changes).version, recut(base, n, changes).new) == (2, False)
    assert recut(base, 2, [], force=True).version == 3
    assert hashes(base, 3) == hashes(base, 2) and base.manifest(3).parents == [2]


@pytest.mark.parametrize("change", CHANGES)
def test_a_recut_is_what_a_build_with_its_recipe_makes(base: Dataset, tmp_path: Path, change: str) -> None:
    ScriptedEngine.requests_seen.clear()
    result = recut(base, 1, CHANGES[change])
    assert (result.version, result.new) == (2, True) and not ScriptedEngine.requests_seen
    recipe = as_built(build_of(tmp_path), CHANGES[change])
    assert base.manifest(2).parents == [1] and base.verify(2, deep=True) == []
    assert base.manifest(2).filters == [f.name for f in recipe.filters] and recipe != recipe_of(base, 1)


def test_what_was_stored_is_linked_and_not_copied(base: Dataset) -> None:
    recut(base, 1, ["pair.margin=1"])
    kept = ("prompts", "responses", "annotations")
    assert inodes(base, 1, *kept) == inodes(base, 2, *kept)
    assert not inodes(base, 1, "pairs", "preference", "unpaired") & inodes(base, 2, "pairs", "preference", "unpaired")
    cost, before = base.manifest(2).cost, base.manifest(1).cost
    assert cost == {stage: before[stage] for stage in before if not stage.startswith("this build")} and "sample" in cost


def test_a_recut_of_a_recut_is_a_recut_of_the_first(base: Dataset) -> None:
    recut(base, 1, ["pair.margin=1", "filters=[]"])
    recut(base, 2, ["pair.margin=0", "filters=[{use: margin, min_quantile: 0.1}]"])
    assert base.manifest(3).parents == [2] and hashes(base, 3) == hashes(base, 1)


def test_an_older_version_is_cut_with_its_own_recipe(base: Dataset) -> None:
    recut(base, 1, ["pair.rule=best_random"])
    result = recut(base, 1, ["filters=[]"])
    manifest = base.manifest(result.version)
    assert (result.version, manifest.parents) == (3, [1])
    assert manifest.recipe["pair"]["rule"] == "best_worst" and manifest.recipe["filters"] == []


def test_a_version_from_before_prompts_came_is_cut_as_it_is(base: Dataset, tmp_path: Path) -> None:
    built(tmp_path, prompts={"source": "builtin", "limit": 15})
    recut(base, 1, ["filters=[]"])
    assert [base.manifest(n).rows("prompts") for n in (1, 2, 3)] == [12, 15, 12]
    assert base.manifest(3).rows("responses") == base.manifest(1).rows("responses")


def test_a_part_of_another_recipes_cut_is_taken_whole_and_settings_come_on_top(base: Dataset, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("dataset: another\nmodels: {policy: nothing}\npair: {rule: best_random, margin: 1}\n")
    recut(base, 1, [str(other), "pair.margin=0.5"])
    recipe = base.manifest(2).recipe
    assert recipe["pair"] | {"rule": "best_random", "margin": 0.5} == recipe["pair"]
    assert all(recipe[part] == base.manifest(1).recipe[part] for part in ("combine", "relabel", "filters", "split"))
    assert (recipe["dataset"], recipe["sample"]) == ("fake", base.manifest(1).recipe["sample"])


def test_a_part_of_the_cut_that_another_recipe_lacks_stays(tmp_path: Path) -> None:
    recipe = build_of(tmp_path, pair={"margin": 0.5}, split={"test": 0.2}).recipe
    (tmp_path / "other.yaml").write_text("filters: [{use: margin, min: 0.1}]\n")
    changed = with_changes(recipe, [str(tmp_path / "other.yaml")])
    assert changed == recipe.model_copy(update={"filters": changed.filters}) and [f.name for f in changed.filters] == ["margin"]


def test_the_recipe_of_a_version_cuts_it_as_it_is_cut(tmp_path: Path) -> None:
    own = {"annotators": ["density_ratio"], "filters": [{"use": "correctness"}]}
    (tmp_path / "own.yaml").write_text(json.dumps(own))
    recipe = parse_recipe(settings(tmp_path, **own), "the test's recipe")
    stored = parse_recipe(json.loads(recipe.model_dump_json()), "the recipe of version 1")
    assert list(recipe.combine.scores if recipe.combine else ()) == ["density_ratio"]
    assert with_changes(stored, [str(tmp_path / "own.yaml")]) == recipe


@pytest.mark.parametrize("change", ["max=-0.02", "min=-1", "min_quantile=0.2"])
def test_a_limit_that_a_cut_sets_stands_alone_where_none_was_given(tmp_path: Path, change: str) -> None:
    recipe = build_of(tmp_path, filters=[{"use": "ches"}]).recipe
    stored = parse_recipe(json.loads(recipe.model_dump_json()), "the recipe of version 1")
    name, _, value = change.partition("=")
    (changed,) = with_changes(stored, [f"filters.ches.{change}"]).filters
    assert changed == build_of(tmp_path, filters=[{"use": "ches", name: float(value)}]).recipe.filters[0]


def test_how_much_uncertainty_selects_is_set_on_what_a_version_says(tmp_path: Path) -> None:
    rule = {"use": "uncertainty", "statistic": "ensemble", "annotators": ANNOTATORS[::2], "select": "hard"}
    stored = parse_recipe(json.loads(build_of(tmp_path, filters=[rule]).recipe.model_dump_json()), "the recipe of version 1")
    for change, limits in (("keep=0.3", {"min_quantile": 0.7}), ("select=easy", {"max_quantile": 0.5})):
        (changed,) = with_changes(stored, [f"filters.uncertainty.{change}"]).filters
        assert isinstance(changed, Band) and changed.limits == limits


def test_a_path_with_an_equals_sign_is_a_path(base: Dataset) -> None:
    path = base.path(1) / "cut.yaml"
    with pytest.raises(PairwrightError, match=r"there is no recipe at .*version=1/cut.yaml"):
        recut(base, 1, [str(path)])
    path.write_text("pair: {margin: 0.3}\n")
    assert with_changes(recipe_of(base, 1), [str(path)]).pair.margin == 0.3


def test_a_renamed_annotator_and_two_of_one_method_are_told_apart(tmp_path: Path) -> None:
    two = [{"use": "density_ratio", "name": "first"}, {"use": "density_ratio", "name": "second"}, "contrastive_prompt"]
    built(tmp_path)
    dataset = built(tmp_path, annotators=two, combine="second")
    recut(dataset, 2, ["combine=contrastive_prompt"])
    recut(dataset, 3, ["combine=first"])
    with connect(dataset, 4) as con:
        found = con.execute("SELECT annotator, count(*) FROM annotations GROUP BY ALL ORDER BY 1").fetchall()
    assert [name for name, _ in found] == ["contrastive_prompt", "first", "second"] and len({n for _, n in found}) == 1
    assert hashes(dataset, 4) != hashes(dataset, 3)
    assert dataset.manifest(4).rows("pairs") == dataset.manifest(2).rows("pairs")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (["sample.n=8"], "`sample` is not a part of the cut, and nothing is asked of a model here"),
        (["models.weak.seed=9"], "`models` is not a part of the cut"),
        (["annotators.density_ratio.reduction=mean"], "`annotators` is not a part of the cut"),
        (["dataset=other"], "`dataset` is not a part of the cut"),
        (["steps={}"], "is not a part of the cut"),
        (["pair.margn=1"], "unknown key `pair.margn`; did you mean `margin`?"),
        (["split.tset=0.5"], "unknown key `split.tset`"),
        (["pair.margin=-1"], "`pair.margin`: .*greater than or equal to 0"),
        (["pair.margin=[0"], r"the override 'pair.margin=\[0' has no value that is YAML"),
        (["pair.margin.x=1"], "goes into a single value"),
        (["filters.nothing.min=1"], "there is no item 'nothing'; the items are margin"),
        (["combine=displacment"], "`combine` uses 'displacment'.*did you mean `displacement`"),
        (["filters=[{use: strength, annotators: [density_ratio, follow_up], min: 0}]"], "the filter 'strength' uses 'follow_up'"),
        (["filters=[{use: ches, annotator: hidden}]"], "the annotator 'hidden' has no stored labels .there are density_ratio"),
        (["pair.ches.annotator=hidden"], "the annotator 'hidden' has no stored labels"),
        (["pair.ches={max: 1, quantile: 0.3}"], "`max` and `quantile` both set the budget"),
        (["nowhere.yaml"], "there is no recipe at nowhere.yaml"),
        (["pair.margin=1000"], r"nothing is left to publish: .*no_pair_above_margin \d+.*no version is written"),
    ],
)
def test_what_cannot_be_recut_is_refused_in_a_sentence(base: Dataset, changes: list[str], sentence: str) -> None:
    with pytest.raises(PairwrightError, match=sentence) as error:
        recut(base, 1, changes)
    assert "\n" not in str(error.value)
    assert base.versions() == [1] and not list((base.folder / "_staging").glob("*/"))


@pytest.mark.parametrize("text", ["dataset: x\n", "steps: omega\n", "steps: [1]\n", "steps: {search: puct}\n"])
def test_a_recipe_without_a_cut_is_refused(base: Dataset, tmp_path: Path, text: str) -> None:
    (tmp_path / "other.yaml").write_text(text)
    with pytest.raises(PairwrightError, match=r"other.yaml says nothing about how to cut: it needs one of combine, pair"):
        recut(base, 1, [str(tmp_path / "other.yaml")])


def test_a_version_that_is_not_there_is_refused(base: Dataset, tmp_path: Path) -> None:
    with pytest.raises(PairwrightError, match="has no version 7: it has 1"):
        recut(base, 7, ["pair.margin=1"])
    with pytest.raises(PairwrightError, match="has no version 1: it has none yet"):
        recut(Dataset(tmp_path, "nothing"), 1)


def as_written_before(dataset: Dataset, n: int) -> None:
    """Take from a version what came later: the newer columns of `pairs`, and the sums of files."""
    manifest, path = dataset.manifest(n), dataset.tables(n)["pairs"][0]
    table = read_table(path).drop_columns(["relabelled_by", "p_chosen", "split"])
    write_table(path, table, table.schema)
    old = json.loads(manifest.model_dump_json())
    for entry in old["files"]:
        del entry["logical_sum"], entry["exact_sum"]
    for part in ("relabel", "split"):
        del old["recipe"][part]
    del old["recipe"]["pair"]["ches"]
    (dataset.path(n) / MANIFEST).write_text(json.dumps(old))


def test_a_version_of_an_older_pairwright_is_recut(base: Dataset) -> None:
    recut(base, 1, ["pair.margin=1"])
    as_written_before(base, 1)
    assert recut(base, 1).new is True  # the latest is another cut
    recut(base, 1, ["pair.margin=1"], force=True)
    assert hashes(base, 4) == hashes(base, 2)
    assert all(entry.exact_sum for entry in base.manifest(4).files)


FULL: list[dict[str, Any]] = [
    {"pair": {"ches": {"max": 1.0}}},
    {"pair": {"ches": {"quantile": 0.2}}},
    {"split": {"test": 0.2}},
    {
        "filters": [
            {"use": "uncertainty", "statistic": "vote_entropy", "annotators": ["density_ratio", "contrastive_prompt"], "max": 1}
        ]
    },
    {
        "filters": [
            {
                "use": "uncertainty",
                "statistic": "ensemble",
                "annotators": ["density_ratio", "contrastive_prompt"],
                "select": "easy",
            }
        ]
    },
    {"filters": [{"use": "ches"}, {"use": "duplicate"}, {"use": "strength", "annotators": ANNOTATORS[::2], "min": 0}]},
    {
        "combine": {
            "scores": {"density_ratio": {}, "contrastive_prompt": {"margin": 0.2}},
            "rule": "heron",
            "order": ANNOTATORS[::2],
        }
    },
    {"relabel": [{"use": "strength", "annotators": ANNOTATORS[::2], "flip_quantile": 0.2}]},
    {"relabel": [{"use": "strength", "annotators": ANNOTATORS[::2], "flip_quantile": 0.2, "soft": "sigmoid"}]},
]


@pytest.mark.parametrize("cut", FULL, ids=str)
def test_the_recipe_in_a_manifest_is_the_recipe(tmp_path: Path, cut: dict[str, Any]) -> None:
    recipe = build_of(tmp_path, **cut).recipe
    written = json.loads(Manifest(dataset="x", recipe=json.loads(recipe.model_dump_json())).model_dump_json())["recipe"]
    assert parse_recipe(written, "the recipe of version 1") == recipe == with_changes(recipe, [])


def test_prompts_are_found_as_their_sources_have_them(base: Dataset, tmp_path: Path) -> None:
    prompts = stored_of(base, 1)[1].prompts
    assert isinstance(prompts, PromptFiles)
    expected = build_of(tmp_path).by_id
    assert dict(prompts) == expected and len(prompts) == 12
    ids = sorted(expected)
    assert prompts.many(ids[::-1]) == [expected[i] for i in ids[::-1]] and prompts.many([]) == []
    assert prompts.many([ids[3], ids[3]]) == [expected[ids[3]]] * 2
    assert "nobody" not in prompts and prompts.get("nobody") is None
    with pytest.raises(KeyError, match="nobody"):
        prompts.many([ids[0], "nobody"])
    with connect(base, 1) as con:
        assert con.execute("SELECT DISTINCT messages[1].content FROM prompts").fetchall() == [(SYSTEM,)]


def steps_of(root: Path, **changes: Any) -> Build:
    write_questions(root)
    return Build(parse_recipe(step_settings(root, **changes), "the test's recipe"), root)


@pytest.mark.parametrize(
    "changes",
    [
        ["steps.labels.threshold=1"],
        ["steps.labels.scores=hard", "steps.labels.truncate=false"],
        ["steps.labels.pairs={}", "steps.labels.compress=0.5"],
    ],
)
def test_step_labels_are_cut_again_as_a_build_would(tmp_path: Path, changes: list[str]) -> None:
    build = steps_of(tmp_path, steps=step_settings(tmp_path)["steps"] | {"system": SYSTEM})
    build.run()
    assert recut(build.dataset, 1, changes).new
    as_built(build, changes)
    assert build.dataset.manifest(2).rows("stepwise") > 0
    assert inodes(build.dataset, 1, "prompts", "steps") == inodes(build.dataset, 2, "prompts", "steps")
    assert recut(build.dataset, 1, changes, force=True).new and recut(build.dataset, 1, changes).new is False


def test_a_judged_version_of_step_labels_keeps_its_judgements(tmp_path: Path) -> None:
    build = steps_of(tmp_path, steps=JUDGED)
    build.run()
    recut(build.dataset, 1, ["steps.labels.truncate=false"])
    as_built(build, ["steps.labels.truncate=false"])
    assert inodes(build.dataset, 1, "annotations") == inodes(build.dataset, 2, "annotations")


def test_solutions_that_only_the_new_labels_reach_are_not_judged_and_say_so(tmp_path: Path) -> None:
    build = steps_of(tmp_path, steps=JUDGED | {"labels": {"threshold": 2}})
    build.run()
    recut(build.dataset, 1, ["steps.labels.threshold=0"])
    before, after = (rows_of(build.dataset, n)["consensus solution"] for n in (1, 2))
    assert after["not_judged"] == after["in"] - before["in"] > 0 and "not_judged" not in before


def both(root: Path, **changes: Any) -> Build:
    """Pairs and step labels in one dataset, the policy told something else for each."""
    write_questions(root)
    of_steps, of_pairs = step_settings(root), settings(root)
    made = of_steps | {
        "models": of_pairs["models"] | of_steps["models"],
        "sample": {"n": 4, "max_tokens": 512, "system": SYSTEM},
        "annotators": ["density_ratio"],
        "steps": JUDGED | {"system": "Think step by step."},
    }
    return Build(parse_recipe(made | changes, "the test's recipe"), root)


@pytest.mark.parametrize(
    "changes", [["pair.rule=best_random"], ["steps.labels.threshold=1"], ["split.test=0.3", "steps.labels.scores=soft"]]
)
def test_a_version_of_pairs_and_step_labels_is_cut_again_in_both_parts(tmp_path: Path, changes: list[str]) -> None:
    build = both(tmp_path)
    build.run()
    assert recut(build.dataset, 1, changes).version == 2
    as_built(build, changes)
    manifest = build.dataset.manifest(2)
    assert manifest.rows("preference") and manifest.rows("stepwise") and manifest.rows("pairs")
    assert set(manifest.cost) == {s for s in build.dataset.manifest(1).cost if not s.startswith("this build")}


def test_pairs_of_a_version_of_step_labels_are_refused(tmp_path: Path) -> None:
    build = steps_of(tmp_path)
    build.run()
    with pytest.raises(PairwrightError, match="`combine`, `relabel` and `filters` are about pairs of responses"):
        recut(build.dataset, 1, ["filters=[{use: margin, min: 0}]"])
    assert recut(build.dataset, 1).new is False
