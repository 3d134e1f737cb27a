"""Do two workers make what one process makes? One recipe built without Prefect, on two processes, on Ray and on Dask.

    python benchmarks/two_workers.py [--prompts 300] [--model smollm2] [--runners local processes ray dask]

Each build is a fresh process with a root and a Prefect server of its own, in a temporary folder. Prints for each the seconds,
what was paid for, both hashes of the version and the processes left over; exits with 1 if a logical hash differs or a process is
left.
Without --model the scripted engine answers, so the seconds are those of the runner alone: a cluster pays off when models work for
minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import yaml

from pairwright.storage.versions import Dataset

SCRIPTED = {
    "policy": {"engine": "scripted"},
    "strong": {"engine": "scripted", "seed": 1, "quality": 0.9},
    "weak": {"engine": "scripted", "seed": 2, "quality": 0.1},
}
RUNNERS = ("local", "processes", "ray", "dask")


def recipe(args: argparse.Namespace) -> dict[str, Any]:
    """Sums; with a model, the weak role is its first layers."""
    models: dict[str, Any] = SCRIPTED
    if args.model:
        models = {"policy": args.model, "strong": "policy", "weak": {"model": args.model, "layers": 8}}
    return {
        "dataset": "two_workers",
        "prompts": {"source": "arithmetic", "count": args.prompts, "operations": [2, 4]},
        "models": models,
        "sample": {"n": 4, "max_tokens": 32},
        "annotators": ["density_ratio"],
        "pair": {"drop_cut": False},
        "run": {"shard_prompts": max(1, args.prompts // 8), "spans": 4},
    }


def build(folder: Path, runner: str) -> dict[str, Any]:
    """One build in a fresh process."""
    how = ["--no-prefect"] if runner == "local" else ["--prefect", f"run.runner={runner}", "run.workers=2"]
    env = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    env |= {
        "PREFECT_HOME": str(folder / runner / "prefect"),
        "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(folder / runner / "results"),
    }
    env |= {"PREFECT_MEMO_STORE_PATH": str(folder / runner / "memo")}
    root = folder / runner / "data"
    root.parent.mkdir()
    command = [sys.executable, "-m", "pairwright.flows.cli", "build", "recipe.yaml", f"root={root}", *how, "--json"]
    started, log = time.monotonic(), folder / f"{runner}.log"
    with log.open("wb") as said:
        running = subprocess.Popen(command, cwd=folder, env=env, stdout=said, stderr=said)
    seen: dict[int, psutil.Process] = {}
    while running.poll() is None:
        seen |= {p.pid: p for p in psutil.Process(running.pid).children(recursive=True)}
        time.sleep(0.5)
    seconds = time.monotonic() - started
    if running.returncode:
        sys.exit(f"{runner}: {log.read_text()[-2000:]}")
    _, left = psutil.wait_procs(list(seen.values()), timeout=15)
    manifest = Dataset(root, "two_workers").manifest(1)
    paid = {stage.removeprefix("this build: "): int(c["run"]) for stage, c in manifest.cost.items() if stage.startswith("this")}
    return {
        "seconds": round(seconds, 1),
        "requests": paid,
        "pairs": manifest.rows("preference"),
        "logical hash": manifest.logical_hash,
        "exact hash": manifest.exact_hash,
        "left over": [" ".join(p.cmdline())[:80] for p in left],
    }


def main() -> int:
    """Build side by side and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=300)
    parser.add_argument("--model", help="a folder, a hub name or smollm2; default: the scripted engine")
    parser.add_argument("--runners", nargs="+", choices=RUNNERS, default=RUNNERS)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe(args)))
        found = {runner: build(folder, runner) for runner in args.runners}
    print(json.dumps(found, indent=2))
    same = len({figures["logical hash"] for figures in found.values()}) == 1
    print(f"the same rows and decisions everywhere: {'yes' if same else 'NO'}")
    return 0 if same and not any(figures["left over"] for figures in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
