"""A search killed at random moments comes to the same trees, pays at most a tenth more, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from pairwright.storage.versions import Dataset
from tests.recipes import step_settings, write_questions

BUILD = [sys.executable, "-m", "pairwright.flows.cli", "build", "recipe.yaml", "--no-prefect", "--json"]


def write_recipe(folder: Path) -> None:
    write_questions(folder, 40)
    spent = {"delay_s": 0.02, "batch": 8, "spent_file": str(folder / "spent")}
    models = {
        "policy": {"engine": "solver", "error": 0.12, **spent},
        "judge": {"engine": "solver", "seed": 1, "judge_noise": 0.02, **spent},
        "verifier": {"engine": "exact"},
    }
    steps = step_settings(folder)["steps"] | {"judge": {"mode": "choose"}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(step_settings(folder, models=models, steps=steps)))


def run_to_the_end(folder: Path) -> dict[str, Any]:
    done = subprocess.run(BUILD, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def spent(folder: Path) -> int:
    return sum(int(line) for line in (folder / "spent").read_text().split())


@pytest.mark.kill
def test_a_search_killed_twenty_times_comes_to_the_same_trees_for_at_most_a_tenth_more(tmp_path: Path) -> None:
    write_recipe(tmp_path / "whole")
    whole = run_to_the_end(tmp_path / "whole")
    moments = random.Random(11)
    kills = 0
    for part in range(4):
        folder = tmp_path / f"killed{part}"
        write_recipe(folder)
        for _ in range(5):
            running = subprocess.Popen(BUILD, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(moments.uniform(0.9, 2.0))
            kills += running.poll() is None
            os.kill(running.pid, signal.SIGKILL)
            running.wait()
        resumed = run_to_the_end(folder)
        dataset = Dataset(folder, "steps")
        assert resumed["logical_hash"] == whole["logical_hash"]
        assert dataset.manifest(1).exact_hash == Dataset(tmp_path / "whole", "steps").manifest(1).exact_hash
        assert spent(folder) <= 1.1 * spent(tmp_path / "whole")
        assert dataset.verify(1, deep=True) == []
        assert not list((folder / "steps").rglob(".part-*"))
        assert not [p.pid for p in psutil.process_iter(["cwd"]) if p.info["cwd"] == str(folder)]
    assert kills >= 12, f"only {kills} of 20 kills hit a running build: the delays are too short for this machine"
