from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pairwright.storage.card import hub_card
from pairwright.storage.manifest import LABELS_ABSOLUTE, LABELS_RELATIVE, Manifest, StageAccount
from pairwright.storage.schemas import PREFERENCE, PROMPTS
from pairwright.storage.versions import Dataset
from tests.storage.sample_tables import commit, pair_row, prompts, table


def front(path: Path) -> dict[str, Any]:
    """The YAML above a README.md's text."""
    _, head, _ = path.read_text().split("---\n", 2)
    return yaml.safe_load(head)


def default(configs: list[dict[str, Any]]) -> list[str]:
    return [config["config_name"] for config in configs if config.get("default")]


def test_a_versions_card_has_a_config_a_table_with_preference_as_default(dataset: Dataset) -> None:
    commit(dataset)
    meta = front(dataset.path(1) / "README.md")
    files = {config["config_name"]: config["data_files"] for config in meta["configs"]}
    assert files == {name: [{"split": "train", "path": f"{name}/train-*"}] for name in dataset.tables(1)}
    assert default(meta["configs"]) == ["preference"]
    assert meta["license"] == "unknown" and meta["size_categories"] == ["n<1K"]
    assert meta["tags"] == ["preference", "dpo", "synthetic", "on-policy"]
    assert meta["task_categories"] == ["text-generation"]


def test_the_datasets_card_names_the_latest_version_and_every_one(dataset: Dataset) -> None:
    commit(dataset)
    commit(dataset)
    configs = front(dataset.folder / "README.md")["configs"]
    paths = {config["config_name"]: config["data_files"][0]["path"] for config in configs}
    assert default(configs) == ["preference"]
    assert paths["preference"] == paths["v2-preference"] == "version=2/preference/train-*"
    assert paths["v1-pairs"] == "version=1/pairs/train-*"
    assert len(configs) == len(paths) == 18


def test_the_card_tells_what_became_of_the_rows_and_who_judged(dataset: Dataset) -> None:
    account = StageAccount(stage="pair", unit="prompt", rows_in=9, rows_out=4, dropped={"tie | draw": 3, "no_score": 2})
    commit(
        dataset,
        accounting=[account],
        models={"policy": {"label": "small-1", "fingerprint": "abc"}, "judge": {"label": "big"}},
        recipe={"annotators": {"ratio": {"method": "density_ratio"}, "length": {}}},
    )
    text = (dataset.path(1) / "README.md").read_text()
    assert "| pair | prompt | 9 | 4 | tie \\| draw: 3, no_score: 2 |\n" in text
    assert "| policy | small-1 | abc |\n| judge | big |  |\n" in text
    assert "| ratio | density_ratio |  |\n| length |  |  |\n" in text
    assert dataset.manifest(1).logical_hash in text


@pytest.mark.parametrize(
    "given, told",
    [
        (["ratio"], ("ratio", "ratio", "")),
        ([{"use": "density_ratio", "name": "ratio"}], ("ratio", "density_ratio", "")),
        ([{"method": "ratio"}], ("ratio", "ratio", "")),
        ({"ratio": None}, ("ratio", "", "")),
        ([{"use": "graded", "name": "", "top": 10, "template": "a|b"}], ("graded", "graded", 'top=10, template="a|b"')),
    ],
)
def test_a_recipe_may_list_its_annotators_in_several_ways(dataset: Dataset, given: Any, told: tuple[str, str, str]) -> None:
    commit(dataset, recipe={"annotators": given})
    row = " | ".join(cell.replace("|", "\\|") for cell in told)
    assert f"| {row} |\n" in (dataset.path(1) / "README.md").read_text()


def test_a_card_says_what_the_labels_are_not_and_leaves_the_licence_open(dataset: Dataset) -> None:
    commit(dataset)
    text = (dataset.path(1) / "README.md").read_text()
    limits = text.partition("## What it does not say\n")[2]
    assert LABELS_RELATIVE in limits and "no licence is chosen here" in limits


def test_responses_that_were_given_are_not_called_on_policy(dataset: Dataset) -> None:
    commit(dataset, recipe={"models": {"policy": {"engine": "given"}}})
    commit(dataset, recipe={"models": {"policy": {"engine": "vllm"}}})
    for n, said, tagged in ((1, "responses that were given", False), (2, "responses sampled from the policy itself", True)):
        assert said in (dataset.path(n) / "README.md").read_text()
        assert ("on-policy" in front(dataset.path(n) / "README.md")["tags"]) is tagged


def split_version(dataset: Dataset, test: int) -> None:
    """A version with three pairs to train on and `test` held out."""
    kept = [pair_row(i) for i in range(5)]
    rows = {"train": kept[:3], "test": kept[3 : 3 + test]}
    with dataset.stage() as staging:
        staging.write("prompts", prompts(5), PROMPTS)
        for split, part in rows.items():
            made = [{**row, **TURNS} for row in part]
            staging.write("preference", table(made, PREFERENCE), PREFERENCE, split=split)
        staging.commit(Manifest(dataset=dataset.name))


TURNS = {
    "prompt": [{"role": "user", "content": "q"}],
    "chosen": [{"role": "assistant", "content": "a"}],
    "rejected": [{"role": "assistant", "content": "b"}],
}


def test_every_split_with_rows_is_listed_and_loaded(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for offline in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(offline, "1")
    from datasets import load_dataset

    split_version(dataset, test=2)
    split_version(dataset, test=0)
    both = [{"split": split, "path": f"preference/{split}-*"} for split in ("train", "test")]
    files = [{c["config_name"]: c["data_files"] for c in front(dataset.path(n) / "README.md")["configs"]} for n in (1, 2)]
    assert files[0]["preference"] == both and files[1]["preference"] == both[:1]
    text = (dataset.path(1) / "README.md").read_text()
    assert "| `preference` | 5 | train: 3, test: 2 |\n" in text
    assert 'test = load_dataset("path/to/version=1", name="preference", split="test")' in text
    loaded = load_dataset(str(dataset.path(1)), "preference", cache_dir=str(tmp_path / "cache"))
    assert {split: rows.num_rows for split, rows in loaded.items()} == {"train": 3, "test": 2}
    loaded = load_dataset(str(dataset.folder), "v1-preference", cache_dir=str(tmp_path / "cache"))
    assert loaded["test"].num_rows == 2


def test_on_the_hub_a_card_names_the_repository_its_tag_and_the_licence(dataset: Dataset) -> None:
    commit(dataset)
    text = (dataset.path(1) / "README.md").read_text()
    there = hub_card(text, 1, "me/prefs", "cc-by-4.0")
    assert 'load_dataset("me/prefs", revision="v1", name="preference", split="train")' in there
    assert "\nlicense: cc-by-4.0\n" in there and "path/to/version" not in there
    assert "\nlicense: unknown\n" in hub_card(text, 1, "me/prefs")


def test_it_is_always_said_whether_unpaired_labels_are_absolute(dataset: Dataset) -> None:
    commit(dataset)
    commit(dataset, notes=[LABELS_ABSOLUTE])
    commit(dataset, notes=[LABELS_RELATIVE])
    assert [dataset.manifest(n).notes for n in (1, 2, 3)] == [[LABELS_RELATIVE], [LABELS_ABSOLUTE], [LABELS_RELATIVE]]
    for n in (1, 2, 3):
        assert f"- {dataset.manifest(n).notes[0]}\n" in (dataset.path(n) / "README.md").read_text()


def test_datasets_loads_a_version_and_the_dataset_without_mixing_versions(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for offline in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(offline, "1")
    from datasets import load_dataset

    commit(dataset, n=4)
    commit(dataset, n=7, pairs=[pair_row(i, dropped_by="length") for i in range(3)])
    commit(dataset, n=6)

    def load(folder: Path, *name: str) -> Any:
        loaded = load_dataset(str(folder), *name, cache_dir=str(tmp_path / "cache"))
        assert list(loaded) == ["train"]
        return loaded["train"]

    row = load(dataset.path(1), "preference")[2]
    assert row["prompt"] == [{"role": "user", "content": "Question 2: what's “2” | twice?"}]
    assert row["chosen"] == [{"role": "assistant", "content": "Answer 0 to 2.\n"}]
    assert load(dataset.path(1)).num_rows == 4
    assert load(dataset.folder).num_rows == load(dataset.folder, "preference").num_rows == 6
    assert load(dataset.folder, "v1-preference").num_rows == 4
    with pytest.raises(ValueError, match="'v2-unpaired' not found"):
        load(dataset.folder, "v2-unpaired")  # it has no rows
    assert load(dataset.folder, "v2-pairs").num_rows == 3
    for name in dataset.tables(3):
        assert load(dataset.path(3), name).num_rows == dataset.manifest(3).rows(name)


def test_the_card_says_when_people_have_judged(dataset: Dataset) -> None:
    commit(dataset, recipe={"models": {"judge": {"engine": "scripted"}}})
    commit(dataset, recipe={"models": {"judge": {"engine": "scripted"}, "human": {"engine": "people"}}})
    made = [front(dataset.path(n) / "README.md")["annotations_creators"] for n in (1, 2)]
    assert made == [["machine-generated"], ["machine-generated", "expert-generated"]]
