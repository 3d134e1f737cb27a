"""The command line as a user meets it: what it prints, and what each mistake gets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from pairwright.flows import cli
from tests.recipes import settings


class Said(NamedTuple):
    """What a command gave."""

    code: int
    out: str
    err: str


Run = Callable[..., Said]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in a temporary folder; the recipe, if given, is written to recipe.yaml first."""
    monkeypatch.chdir(tmp_path)

    def made(*arguments: str, recipe: dict[str, Any] | str | None = None) -> Said:
        if recipe is not None:
            Path("recipe.yaml").write_text(recipe if isinstance(recipe, str) else yaml.safe_dump(recipe))
        monkeypatch.setattr(sys, "argv", ["pairwright", *arguments])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        return Said(code, *capsys.readouterr())

    return made


def recipe(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    return settings(tmp_path / "data", **changes)


def refused(said: Said, *parts: str) -> None:
    """The command failed with one sentence that holds all `parts`, and no traceback."""
    assert said.code == 1
    assert "Traceback" not in said.err + said.out
    assert said.err.count("error: ") == 1
    for part in parts:
        assert part in said.err, said.err


def test_build_query_versions_diff_explain_and_show_work_one_after_the_other(run: Run, tmp_path: Path) -> None:
    assert run("build", "recipe.yaml", "--no-prefect", recipe=recipe(tmp_path)).code == 0
    made = json.loads(run("build", "recipe.yaml", "--no-prefect", "--json", "pair.rule=best_random").out)
    assert (made["version"], made["new"]) == (2, True)
    assert json.loads(run("query", "data/fake", "select count(*) as n from preference", "--json").out) == [{"n": 12}]
    assert [v["version"] for v in json.loads(run("versions", "data/fake", "--verify", "--json").out)] == [1, 2]
    assert "pair.rule" in run("diff", "data/fake", "1", "2").out
    assert "density_ratio" in run("explain", "data/fake").out
    shown = json.loads(run("show", "data/fake", "--json").out)
    assert len(shown["responses"]) == 4 and shown["pairs"] and shown["responses"][0]["annotations"]
    assert "response 0" in run("show", "data/fake").out


def test_nothing_new_is_said_so(run: Run, tmp_path: Path) -> None:
    run("build", "recipe.yaml", "--no-prefect", recipe=recipe(tmp_path))
    assert "nothing to do" in run("build", "recipe.yaml", "--no-prefect").out


def test_preview_shows_pairs_without_a_version_and_its_work_counts(run: Run, tmp_path: Path) -> None:
    said = run("preview", "recipe.yaml", "--prompts", "2", recipe=recipe(tmp_path))
    assert said.out.count("chosen") == 2 and not list(tmp_path.glob("data/fake/version=*"))
    manifest = json.loads(
        Path(json.loads(run("build", "recipe.yaml", "--no-prefect", "--json").out)["path"], "_manifest.json").read_text()
    )
    assert manifest["cost"]["this build: sample"]["run"] == 10


def test_init_writes_a_recipe_that_is_valid_and_does_not_overwrite(run: Run) -> None:
    from pairwright.pipelines.recipe import load_recipe

    assert run("init").code == 0
    assert load_recipe(Path("recipe.yaml")).dataset == "first"
    refused(run("init"), "recipe.yaml is there already", "--force")


def test_the_recipes_in_configs_are_valid() -> None:
    from pairwright.pipelines.recipe import load_recipe

    paths = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
    assert paths
    for path in paths:
        load_recipe(path)


def test_schema_is_json_and_names_the_parts_of_a_recipe(run: Run) -> None:
    assert {"dataset", "prompts", "models", "sample", "annotators", "pair", "filters"} <= set(
        json.loads(run("schema").out)["properties"]
    )


def test_help_imports_nothing_heavy() -> None:
    code = """
import sys
sys.argv = ["pairwright", "--help"]
try:
    import pairwright.flows.cli
    pairwright.flows.cli.main()
except SystemExit:
    heavy = ("torch", "transformers", "vllm", "prefect", "duckdb", "pyarrow", "numpy", "datasets", "pydantic")
    print([module for module in heavy if module in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")


MISTAKES: list[tuple[dict[str, Any], list[str], list[str]]] = [
    ({"sampel": {"n": 2}}, [], ["unknown key `sampel`", "did you mean `sample`"]),
    ({"sample": {"n": "many"}}, [], ["`sample.n`", "integer", "'many'"]),
    ({}, ["sample.temprature=1"], ["unknown key `sample.temprature`", "did you mean `temperature`"]),
    ({}, ["annotators.0.reducton=mean"], ["annotators.0.reducton", "did you mean `reduction`"]),
    ({}, ["sample.n"], ["has no '='"]),
    ({"dataset": "a/b"}, [], ["dataset 'a/b' cannot be a folder name", "use letters"]),
    ({"annotators": ["density_ration"]}, [], ["no annotator is called 'density_ration'", "density_ratio"]),
    ({"filters": [{"use": "chess"}]}, [], ["`filters.0`", "did you mean `ches`"]),
    ({"models": {"policy": {"engine": "scripted"}}}, [], ["'strong'", "has no model", "add `strong:` under `models`"]),
    ({"models": {"policy": "/no/such/model", "strong": "policy", "weak": "policy"}}, [], ["there is no model at /no/such/model"]),
    ({"models": {"policy": "strong", "strong": "policy", "weak": "policy"}}, [], ["in a circle"]),
    ({"prompts": {"source": "jsonl", "path": "none.jsonl"}}, [], ["none.jsonl"]),
    ({"combine": "follow_up"}, [], ["`combine` uses 'follow_up'"]),
]


@pytest.mark.parametrize(("changes", "overrides", "parts"), MISTAKES)
def test_a_mistake_in_the_recipe_gets_one_sentence_with_its_place(
    run: Run, tmp_path: Path, changes: dict[str, Any], overrides: list[str], parts: list[str]
) -> None:
    refused(run("build", "recipe.yaml", "--no-prefect", *overrides, recipe=recipe(tmp_path, **changes)), *parts)


@pytest.mark.parametrize(
    ("lines", "parts"),
    [
        ('{"prompt": "fine"}\nnot json\n', ["p.jsonl:2", "on_bad_row"]),
        ('{"prompt": ""}\n', ["p.jsonl:1"]),
        ('{"prompt": "fine", "reference": []}\n', ["p.jsonl:1", "reference"]),
        ('{"promt": "fine"}\n', ["p.jsonl", "promt"]),
        ("", ["no rows"]),
    ],
)
def test_bad_prompts_are_named_by_file_and_line(run: Run, tmp_path: Path, lines: str, parts: list[str]) -> None:
    (tmp_path / "p.jsonl").write_text(lines)
    prompts = {"source": "jsonl", "path": "p.jsonl"}
    refused(run("build", "recipe.yaml", "--no-prefect", recipe=recipe(tmp_path, prompts=prompts)), *parts)


def test_a_missing_recipe_and_one_that_is_not_yaml_are_said_plainly(run: Run) -> None:
    refused(run("build", "recpe.yaml"), "there is no recipe at recpe.yaml")
    refused(run("build", "recipe.yaml", recipe="a: [1"), "is not YAML")
    refused(run("build", "recipe.yaml", recipe="[]"), "holds no settings")


def test_a_dataset_or_version_that_is_not_there_is_said_plainly(run: Run, tmp_path: Path) -> None:
    refused(run("query", "nowhere", "select 1"), "there is no dataset at data/nowhere")
    run("build", "recipe.yaml", "--no-prefect", recipe=recipe(tmp_path))
    refused(run("query", "data/fake", "select 1", "--version", "9"), "has no version 9")
    refused(run("query", "data/fake", "selec 1"), "DuckDB says")
    refused(run("show", "data/fake", "zzz"), "no prompt of fake has an id that begins with 'zzz'")


def test_an_edited_version_is_named_and_the_exit_code_says_so(run: Run, tmp_path: Path) -> None:
    run("build", "recipe.yaml", "--no-prefect", recipe=recipe(tmp_path))
    next((tmp_path / "data/fake/version=1/preference").glob("*.parquet")).write_bytes(b"edited")
    said = run("versions", "data/fake")
    assert said.code == 1 and "manifest says" in said.err and "restore it" in said.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_output_folder_is_said_plainly(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o500)
    refused(run("build", "recipe.yaml", "--no-prefect", recipe=recipe(tmp_path)), "cannot write to", "make it writable")


def test_an_output_folder_that_cannot_be_made_is_said_plainly(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file, not a folder")
    refused(
        run("build", "recipe.yaml", "--no-prefect", recipe=recipe(tmp_path)), "cannot make the folder", "choose another `root`"
    )


def test_a_full_disk_stops_with_one_sentence_and_nothing_is_lost(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    from pairwright.storage import parquet

    def full(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(parquet, "_writer", full)
        refused(
            run("build", "recipe.yaml", "--no-prefect", recipe=recipe(tmp_path)), "disk", "full", "run the same command again"
        )
    said = run("build", "recipe.yaml", "--no-prefect", "--json")
    manifest = json.loads(Path(json.loads(said.out)["path"], "_manifest.json").read_text())
    cost = manifest["cost"]["this build: sample"]
    assert cost["from_journal"] >= 5 and cost["from_journal"] + cost["run"] == 12, "what was answered before is not asked again"
