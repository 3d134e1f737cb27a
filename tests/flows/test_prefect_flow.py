"""Under Prefect a build does what it does without: the same versions, nothing paid for twice, one sentence for a mistake."""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

from pairwright.engines.runner import Stats
from pairwright.engines.scripted import ScriptedModel
from pairwright.errors import PairwrightError
from pairwright.pipelines.build import Build
from pairwright.pipelines.recipe import Recipe, load_recipe
from pairwright.pipelines.store import Shelf
from tests.flows.flowing import MODELS, add_prompts, last_run, manifest, without_prefect, write_recipe

pytestmark = pytest.mark.prefect

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def recipe(twelve: Path) -> Path:
    return twelve


def raised(error: Exception) -> Any:
    raise error


# ---- the same versions ----


def test_the_flow_makes_the_version_that_a_plain_build_makes(flows: ModuleType, recipe: Path, tmp_path: Path) -> None:
    result = flows.run_build(recipe)
    plain = without_prefect(recipe, tmp_path / "plain")

    assert (result.version, result.new) == (1, True)
    assert manifest(tmp_path).logical_hash == plain.logical_hash
    assert manifest(tmp_path).exact_hash == plain.exact_hash
    assert manifest(tmp_path).build_key == plain.build_key
    paid = {stage: cost["run"] for stage, cost in manifest(tmp_path).cost.items() if stage.startswith("this build")}
    assert paid == {stage: plain.cost[stage]["run"] for stage in paid} and len(paid) == 2


def test_spans_change_neither_the_version_nor_what_is_paid(flows: ModuleType, recipe: Path, tmp_path: Path) -> None:
    flows.run_build(recipe, ["run.spans=3"])
    plain = without_prefect(recipe, tmp_path / "plain")

    assert manifest(tmp_path).exact_hash == plain.exact_hash
    assert manifest(tmp_path).cost["this build: sample"]["run"] == 12
    assert {f"{stage}-{i}-of-3" for stage in ("sample", "annotate") for i in range(3)} <= last_run(flows)[1].keys()


def test_tasks_may_run_in_other_processes(flows: ModuleType, recipe: Path, tmp_path: Path) -> None:
    flows.run_build(recipe, ["run.runner=processes", "run.workers=2"])

    assert manifest(tmp_path).exact_hash == without_prefect(recipe, tmp_path / "plain").exact_hash
    assert {f"{stage}-{i}-of-2" for stage in ("sample", "annotate") for i in range(2)} <= last_run(flows)[1].keys()


def test_a_model_is_loaded_once_however_many_tasks_use_it(
    flows: ModuleType, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads, load = Counter[str](), ScriptedModel.load
    monkeypatch.setattr(ScriptedModel, "load", lambda model: loads.update([model.label()]) or load(model))

    flows.run_build(recipe, ["run.spans=3", "run.max_resident=3"])

    assert loads == {"scripted-0": 1, "scripted-1": 1, "scripted-2": 1}


# ---- nothing is paid for twice ----


def test_a_second_run_asks_only_for_prompts_that_are_new(flows: ModuleType, recipe: Path, tmp_path: Path) -> None:
    flows.run_build(recipe)
    add_prompts(tmp_path, range(12, 17))

    result = flows.run_build(recipe)

    assert (result.version, result.new) == (2, True)
    assert manifest(tmp_path).rows("prompts") == 17
    assert manifest(tmp_path).cost["this build: sample"]["run"] == 5
    assert manifest(tmp_path).cost["this build: annotate"]["run"] == 5 * 4 * 2


def test_a_run_with_nothing_new_makes_no_version(flows: ModuleType, recipe: Path, tmp_path: Path) -> None:
    first = flows.run_build(recipe)
    again = flows.run_build(recipe)
    forced = flows.run_build(recipe, force=True)

    assert [(r.version, r.new) for r in (first, again, forced)] == [(1, True), (1, False), (2, True)]
    assert not [stage for stage in manifest(tmp_path).cost if stage.startswith("this build")]


def test_prompts_that_arrive_during_a_build_wait_for_the_next_one(
    flows: ModuleType, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = Build.sample
    monkeypatch.setattr(Build, "sample", lambda build, span: add_prompts(tmp_path, range(12, 14)) or sample(build, span))

    flows.run_build(recipe)
    assert manifest(tmp_path).rows("prompts") == 12
    monkeypatch.undo()
    flows.run_build(recipe)
    assert manifest(tmp_path).rows("prompts") == 14


# ---- what goes wrong ----


def test_an_engine_that_dies_for_good_is_retried_and_the_build_completes(
    flows: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_prompts(tmp_path, range(12))
    dying = MODELS["policy"] | {"faults": {"die_after": 8, "die_twice": True}}
    recipe = write_recipe(tmp_path, models=MODELS | {"policy": dying})
    monkeypatch.setattr(flows.sample, "retry_delay_seconds", [0])

    result = flows.run_build(recipe)

    run, tasks = last_run(flows)
    assert result == flows.Result(1, new=True) and run.state.is_completed()
    assert tasks["sample-0-of-1"].run_count == 2
    assert manifest(tmp_path).cost["this build: sample"]["run"] == 4, "the other 8 were answered before the engine died"


def test_a_task_that_breaks_off_leaves_no_requests_behind_for_its_retry(
    flows: ModuleType, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, errors = Shelf.add, [OSError("the disk was away for a moment")]
    monkeypatch.setattr(Shelf, "add", lambda shelf, rows: raised(errors.pop()) if errors else add(shelf, rows))
    monkeypatch.setattr(flows.sample, "retry_delay_seconds", [0])

    flows.run_build(recipe, ["run.shard_prompts=1"])

    assert last_run(flows)[1]["sample-0-of-1"].run_count == 2
    assert manifest(tmp_path).exact_hash == without_prefect(recipe, tmp_path / "plain").exact_hash


@pytest.mark.parametrize(
    ("overrides", "task", "sentence"),
    [
        (["prompts=[{source: jsonl, path: prompt.jsonl}]"], "prepare", "there is no file prompt.jsonl"),
        (["filters=[{use: margin, min: 1000}]"], "publish", "nothing is left to publish"),
    ],
)
def test_a_users_mistake_fails_at_once_with_one_sentence(
    flows: ModuleType, recipe: Path, caplog: pytest.LogCaptureFixture, overrides: list[str], task: str, sentence: str
) -> None:
    with caplog.at_level(logging.INFO), pytest.raises(PairwrightError, match=sentence) as caught:
        flows.run_build(recipe, overrides)

    run, tasks = last_run(flows)
    assert run.state.is_failed() and run.state.message == str(caught.value) and "\n" not in run.state.message
    assert tasks[task].state.is_failed() and tasks[task].run_count == 1
    assert not [record for record in caplog.records if record.exc_info or "Traceback" in record.getMessage()]


def test_a_recipe_with_a_mistake_starts_no_task(flows: ModuleType, recipe: Path) -> None:
    with pytest.raises(PairwrightError, match=r"unknown key `sample.m`"):
        flows.run_build(recipe, ["sample.m=8"])

    run, tasks = last_run(flows)
    assert run.name == "build-recipe" and run.state.is_failed() and not tasks


def test_a_dataset_that_is_being_built_is_left_alone(flows: ModuleType, recipe: Path) -> None:
    other = Build(load_recipe(recipe), recipe.parent)
    with other.alone(), pytest.raises(PairwrightError, match="another build of .* is running"):
        flows.run_build(recipe)
    assert other.dataset.versions() == []


def test_a_model_that_is_replaced_while_a_build_runs_stops_it_before_anything_mixes(
    flows: ModuleType, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    freeze = flows.TaskBuild.freeze

    def freeze_and_replace(build: Any) -> None:
        freeze(build)
        models = json.loads(build.frozen_models.read_text())
        build.frozen_models.write_text(json.dumps(models | {"strong": "another"}))

    monkeypatch.setattr(flows.TaskBuild, "freeze", freeze_and_replace)
    with pytest.raises(PairwrightError, match="the model of 'strong', scripted-1, is not the one this build began with.*again"):
        flows.run_build(recipe)

    _, tasks = last_run(flows)
    assert tasks["sample-0-of-1"].run_count == 1
    assert not list(recipe.parent.glob("data/*/_work/sample/*/*.parquet"))


def test_one_span_is_the_work_of_one_process_at_a_time(flows: ModuleType, recipe: Path) -> None:
    builds = [flows.TaskBuild(load_recipe(recipe), recipe.parent) for _ in range(2)]
    builds[0].work.mkdir(parents=True)
    seen: list[str] = []

    def second() -> None:
        with builds[1].claim("sample", (0, 2)):
            seen.append("second")

    with builds[0].claim("sample", (0, 2)):
        other = threading.Thread(target=second)
        other.start()
        with builds[1].claim("sample", (1, 2)):
            seen.append("another span")
        other.join(0.3)
        seen.append("first is done")
    other.join()
    assert seen == ["another span", "first is done", "second"]


# ---- what a user sees ----


def test_a_build_leaves_its_accounting_and_a_page_about_the_version(flows: ModuleType, recipe: Path, tmp_path: Path) -> None:
    from prefect.artifacts import Artifact

    flows.run_build(recipe)

    run, _ = last_run(flows)
    table, page = (Artifact.get(f"pairwright-sums-1-{kind}") for kind in ("rows", "version"))
    assert table.flow_run_id == page.flow_run_id == run.id and run.name == "build-Sums_1"
    rows = {row["stage"]: row for row in json.loads(table.data)}
    assert (rows["prompts"]["rows in"], rows["sample"]["rows out"]) == (12, 48)
    assert f'load_dataset("{tmp_path}/data/Sums_1/version=1", "preference", split="train")' in page.data
    assert manifest(tmp_path).logical_hash in page.data and "this build: annotate" in page.data


def test_progress_is_said_at_most_every_thirty_seconds(flows: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, said = [0.0], []
    monkeypatch.setattr(flows, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    progress = flows.LogProgress(SimpleNamespace(info=lambda text, *values: said.append(text % values)))

    progress.begin("sample", 2000, "prompts")
    for second in range(100):
        clock[0] = float(second)
        progress.advance("sample", second, Stats(tokens=1000 * second))
    progress.end("sample", "done")

    assert [line.partition(",")[0] for line in said[1:-1]] == [f"sample: {n} of 2" for n in (31, 62, 93)]


def test_a_schedule_is_refused_without_a_server_or_with_a_wrong_cron_expression(
    flows: ModuleType, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with pytest.raises(PairwrightError, match="'every night' is not a cron expression.*'0 2"):
        flows.serve(recipe, "every night")
    with pytest.raises(PairwrightError, match="prefect server start"):
        flows.serve(recipe, "0 2 * * *")
    with pytest.raises(PairwrightError, match=r"unknown key `sample.m`"):
        flows.serve(recipe, "0 2 * * *", ["sample.m=8"])


@pytest.mark.parametrize("path", [*REPOSITORY.glob("configs/*.yaml"), REPOSITORY / "pairwright/flows/starter.yaml"], ids=str)
def test_a_task_gets_the_very_recipe_that_the_flow_read(path: Path) -> None:
    recipe = load_recipe(path)
    sent = json.loads(json.dumps(recipe.model_dump(mode="json", exclude_unset=True)))

    received = Recipe.model_validate(sent)

    assert received == recipe
    assert [p.model_fields_set for p in received.prompts] == [p.model_fields_set for p in recipe.prompts]


def test_the_deployment_of_this_repository_fits_the_flow(flows: ModuleType) -> None:
    [nightly] = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())["deployments"]
    path, _, name = nightly["entrypoint"].partition(":")

    assert (REPOSITORY / path).samefile(flows.__file__) and getattr(flows, name) is flows.build_flow
    assert flows.build_flow.validate_parameters(nightly["parameters"])["force"] is False
