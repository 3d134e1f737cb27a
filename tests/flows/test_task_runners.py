"""Two workers on a cluster make what one process makes, pay for nothing twice, and leave no cluster behind."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from pairwright.errors import PairwrightError
from pairwright.flows.task_runners import NEEDS, tasks_on
from pairwright.pipelines.recipe import load_recipe
from tests.flows.flowing import last_run, manifest, without_prefect, write_recipe

pytestmark = pytest.mark.prefect


def needs(runner: str) -> None:
    """Skip if the runner is not installed."""
    if importlib.util.find_spec(NEEDS[runner][0]) is None:
        pytest.skip(f"{NEEDS[runner][0]} is not installed")


def offspring() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


@pytest.mark.parametrize("runner", ["ray", "dask"])
def test_two_workers_make_the_version_that_one_process_makes(flows: ModuleType, tmp_path: Path, runner: str) -> None:
    needs(runner)
    before, environment = offspring(), dict(os.environ)
    prompts = {"source": "arithmetic", "count": 200, "operations": [2, 4]}
    recipe = write_recipe(tmp_path, prompts=prompts, run={"shard_prompts": 20})

    flows.run_build(recipe, [f"run.runner={runner}", "run.workers=2", "run.spans=3"])

    plain, spread = without_prefect(recipe, tmp_path / "plain"), manifest(tmp_path)
    assert (spread.logical_hash, spread.exact_hash) == (plain.logical_hash, plain.exact_hash)
    paid = {stage: cost["run"] for stage, cost in spread.cost.items() if stage.startswith("this build")}
    assert paid == {"this build: sample": 200, "this build: annotate": 200 * 4 * 2}
    assert {f"{stage}-{i}-of-3" for stage in ("sample", "annotate") for i in range(3)} <= last_run(flows)[1].keys()
    _, left = psutil.wait_procs(offspring() - before, timeout=10)
    assert not [p for p in left if "resource_tracker" not in " ".join(p.cmdline())]
    assert not [name for name in dict(os.environ).keys() - environment.keys() if name.startswith(("RAY_AUTH", "OMP_", "PREFECT"))]


@pytest.mark.parametrize("runner", ["ray", "dask"])
def test_a_runner_that_is_not_installed_is_a_sentence_with_the_command(
    twelve: Path, monkeypatch: pytest.MonkeyPatch, runner: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    recipe = load_recipe(twelve, [f"run.runner={runner}"])
    with pytest.raises(
        PairwrightError, match=rf'`run.runner: {runner}` is not installed: run `pip install "pairwright\[{runner}\]"`'
    ):
        tasks_on(recipe).__enter__()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["run.workers=2"], "`workers` are processes of a `runner`: set `runner` to processes, ray or dask"),
        (["run.cluster=tcp://there:8786"], "`cluster` is the address of a Ray or Dask cluster: set `runner` to ray or dask"),
        (["run.runner=spark"], "`run.runner`"),
    ],
)
def test_settings_that_say_nothing_together_are_refused(twelve: Path, settings: list[str], sentence: str) -> None:
    with pytest.raises(PairwrightError, match=sentence):
        load_recipe(twelve, settings)


@pytest.mark.parametrize("cluster", ["127.0.0.1:9", "tcp://127.0.0.1:9", "ray://127.0.0.1:9", "nonsense", "host:port"])
def test_a_cluster_that_does_not_answer_is_a_sentence(flows: ModuleType, twelve: Path, cluster: str) -> None:
    runner = "dask" if cluster.startswith("tcp") else "ray"
    needs(runner)
    recipe = load_recipe(twelve, [f"run.runner={runner}", f"run.cluster={cluster}"])
    with pytest.raises(PairwrightError, match=f"no {runner} cluster could be had at {cluster} .*correct `run.cluster`"):
        tasks_on(recipe).__enter__()


def test_a_worker_process_that_is_killed_again_and_again_is_a_sentence(
    flows: ModuleType, twelve: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from concurrent.futures.process import BrokenProcessPool

    def broken(futures: object) -> None:
        raise BrokenProcessPool("a process was terminated abruptly")

    monkeypatch.setattr(flows, "wait", broken)
    with pytest.raises(PairwrightError, match="a process that worked on sample has died .*what is finished is kept"):
        flows.run_build(twelve, ["run.spans=2"])
