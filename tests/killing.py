"""Builds killed at random moments: each must come to what an undisturbed one comes to, and leave nothing behind."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from pairwright.storage.versions import Dataset

BUILD = [sys.executable, "-m", "pairwright.flows.cli", "build", "recipe.yaml", "--no-prefect", "--json"]


def survives_twenty_kills(root: Path, write_recipe: Callable[[Path], None], name: str, seed: int) -> None:
    """Kill builds of dataset `name` twenty times over four folders that `write_recipe` fills; compare each with a whole one."""
    write_recipe(root / "whole")
    whole = run_to_the_end(root / "whole")
    moments = random.Random(seed)
    kills = 0
    for part in range(4):
        folder = root / f"killed{part}"
        write_recipe(folder)
        for _ in range(5):
            running = subprocess.Popen(BUILD, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(moments.uniform(0.9, 2.0))
            kills += running.poll() is None
            running.kill()
            running.wait()
        resumed = run_to_the_end(folder)
        dataset = Dataset(folder, name)
        assert resumed["logical_hash"] == whole["logical_hash"]
        assert dataset.manifest(1).exact_hash == Dataset(root / "whole", name).manifest(1).exact_hash
        assert spent(folder) <= 1.1 * spent(root / "whole")
        assert dataset.verify(1, deep=True) == []
        assert not [p for p in (folder / name / "_staging").iterdir() if p.is_dir()]
        assert not list((folder / name).rglob(".part-*"))
        assert not [p.pid for p in psutil.process_iter(["cwd"]) if p.info["cwd"] == str(folder)]
    assert kills >= 12, f"only {kills} of 20 kills hit a running build: the delays are too short for this machine"


def run_to_the_end(folder: Path) -> dict[str, Any]:
    """What a build that nobody disturbs prints."""
    done = subprocess.run(BUILD, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def spent(folder: Path) -> int:
    """The tokens that all processes of this folder have spent."""
    return sum(int(line) for line in (folder / "spent").read_text().split())
