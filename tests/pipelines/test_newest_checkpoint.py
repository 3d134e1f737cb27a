"""A recipe over a folder of checkpoints: a new one means new responses, the same one costs nothing, the version says which."""

from __future__ import annotations

import importlib.util
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from pairwright.engines.folders import EMBEDDED, resolve_folder
from pairwright.errors import PairwrightError
from pairwright.pipelines.build import Build
from pairwright.pipelines.explain import explain
from pairwright.pipelines.progress import Progress
from pairwright.pipelines.recipe import parse_recipe
from tests.recipes import settings


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    """An empty folder of checkpoints."""
    if importlib.util.find_spec(EMBEDDED["smollm2"][0]) is None:
        pytest.skip("the embedded small model is not installed")
    made = tmp_path / "checkpoints"
    made.mkdir()
    return made


def train(checkpoints: Path, step: int) -> Path:
    """A tiny random model as a checkpoint that is whole; another step is another model."""
    import torch
    import transformers

    sizes = {"vocab_size": 49152, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.LlamaConfig(**sizes, num_key_value_heads=1, bos_token_id=1, eos_token_id=2, pad_token_id=2)
    torch.manual_seed(step)
    folder = checkpoints / f"step-{step}"
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    for file in resolve_folder("smollm2").iterdir():
        if file.name.startswith(("tokenizer", "chat_template", "special_tokens")):
            shutil.copy(file, folder)
    for file in folder.iterdir():
        os.utime(file, (time.time() - 1000 + step,) * 2)
    return folder


class Notes(Progress):
    """Remembers what a build says."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def build(root: Path, checkpoints: Path, **changes: Any) -> Build:
    models = settings(root)["models"] | {"policy": {"model": f"{checkpoints}/*"}}
    sampled, pair = {"n": 2, "max_tokens": 4}, {"drop_cut": False}
    recipe = settings(root, prompts={"source": "builtin", "limit": 3}, models=models, sample=sampled, pair=pair, **changes)
    return Build(parse_recipe(recipe, "the test's recipe"), root, Notes())


def paid(made: Build) -> int:
    """How many requests for responses went to the model."""
    return int(made.spent.get("sample", {}).get("run", 0))


def test_a_new_checkpoint_means_new_responses_and_the_same_one_costs_nothing(tmp_path: Path, checkpoints: Path) -> None:
    with pytest.raises(PairwrightError, match="there is no checkpoint at .*: check the path in the recipe's `models`"):
        build(tmp_path, checkpoints)
    train(checkpoints, 1)

    first = build(tmp_path, checkpoints)
    assert (first.run().version, paid(first)) == (1, 3)
    again = build(tmp_path, checkpoints)
    assert (again.run().new, paid(again)) == (False, 0)

    folder = train(checkpoints, 2)
    plan = {p.stage: p for p in explain(build(tmp_path, checkpoints))}
    assert plan["sample"].missing == 3 and "step-1 -> step-2" in plan["sample"].why
    second = build(tmp_path, checkpoints)
    assert (second.run().version, paid(second)) == (2, 3)
    assert second.progress.said[0] == "policy is step-2, the newest whole checkpoint"  # type: ignore[attr-defined]

    manifests = [second.dataset.manifest(n) for n in (1, 2)]
    assert [m.models["policy"]["label"] for m in manifests] == ["step-1", "step-2"]
    assert manifests[1].models["policy"]["model"] == str(folder) == manifests[1].recipe["models"]["policy"]["model"]
    assert manifests[0].models["policy"]["fingerprint"] != manifests[1].models["policy"]["fingerprint"]


def test_the_same_weights_under_another_name_cost_nothing(tmp_path: Path, checkpoints: Path) -> None:
    train(checkpoints, 1)
    build(tmp_path, checkpoints).run()
    shutil.copytree(checkpoints / "step-1", checkpoints / "final")
    for file in (checkpoints / "final").iterdir():
        os.utime(file, (time.time() - 100,) * 2)

    again = build(tmp_path, checkpoints)
    assert again.recipe.models["policy"].label() == "final"
    assert (again.run().new, paid(again)) == (False, 0)


def test_a_checkpoint_that_comes_while_a_build_runs_waits_for_the_next_one(tmp_path: Path, checkpoints: Path) -> None:
    train(checkpoints, 1)
    running = build(tmp_path, checkpoints)
    train(checkpoints, 2)
    running.run()
    assert running.dataset.manifest(1).models["policy"]["label"] == "step-1"


def test_a_checkpoint_that_is_replaced_while_a_build_runs_stops_it(tmp_path: Path, checkpoints: Path) -> None:
    train(checkpoints, 1)
    running = build(tmp_path, checkpoints)
    begun = running.samples.fingerprint
    other = train(checkpoints, 2)
    shutil.copy(other / "model.safetensors", checkpoints / "step-1" / "model.safetensors")
    with pytest.raises(PairwrightError, match="step-1 changed on disk while the build was running: run the command again"):
        running.run()
    assert running.dataset.versions() == [] and not running.samples.files()
    assert build(tmp_path, checkpoints).samples.fingerprint != begun
