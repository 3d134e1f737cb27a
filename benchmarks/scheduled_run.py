"""Does a schedule really build? Serve a recipe every minute, with a Prefect home of its own, until its first version is there.

    python benchmarks/scheduled_run.py

Takes up to three minutes and needs no model, no network and no server. Prints how long each thing took, what the version holds,
and whether a process was left over; exits with 1 if no version came, or if a process stayed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from pairwright.storage.versions import Dataset

WAIT_S = 150
RECIPE = """
dataset: scheduled
root: data
prompts: {source: jsonl, path: prompts.jsonl}
models:
  policy: {engine: scripted}
  strong: {engine: scripted, seed: 1, quality: 0.9}
  weak: {engine: scripted, seed: 2, quality: 0.1}
annotators: [density_ratio]
"""


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "recipe.yaml").write_text(RECIPE)
        (folder / "prompts.jsonl").write_text("".join(json.dumps({"prompt": f"What is {i} + {i}?"}) + "\n" for i in range(50)))
        started = time.time()
        server = serve(folder)
        family: dict[int, psutil.Process] = {}
        try:
            version = wait_for_version(Dataset(folder / "data", "scheduled"), server, family)
        finally:
            left = stop(server, family)
        said = (folder / "log").read_text()
        if version is None:
            print(f"no version after {WAIT_S} s; the log ends in:\n{said[-3000:]}")
            return 1
        manifest = Dataset(folder / "data", "scheduled").manifest(version)
        print(f"version {version} was there {time.time() - started:.0f} s after the start: {manifest.rows('preference')} pairs")
        print(f"paid: {manifest.cost['this build: sample']['run']:.0f} requests for responses")
        print(f"processes left over: {left or 'none'}")
        print(f"lines in the log: {len(said.splitlines())}\n{said}")
        return 1 if left else 0


def serve(folder: Path) -> subprocess.Popen[bytes]:
    """`pairwright serve` in `folder`, with nothing of the user's own Prefect in sight."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    env |= {"PREFECT_HOME": str(folder / "prefect"), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "pairwright.flows.cli", "serve", "recipe.yaml", "--cron", "* * * * *"]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True)


def wait_for_version(dataset: Dataset, server: subprocess.Popen[bytes], family: dict[int, psutil.Process]) -> int | None:
    """The first version's number, or None if it does not come in time; notes every process the server starts meanwhile."""
    ends = time.time() + WAIT_S
    while time.time() < ends and server.poll() is None:
        family.update({p.pid: p for p in psutil.Process(server.pid).children(recursive=True)})
        if (version := dataset.latest()) is not None:
            return version
        time.sleep(0.5)
    return None


def stop(server: subprocess.Popen[bytes], family: dict[int, psutil.Process]) -> list[str]:
    """Ask twice, then insist; returns what still ran 20 seconds after the server was gone, and ends that too."""
    for sign in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        server.send_signal(sign)
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            print(f"did not stop on {sign.name}")
            continue
        break
    _, alive = psutil.wait_procs(list(family.values()), timeout=20)
    names = [" ".join(p.cmdline())[:100] for p in alive if p.is_running()]
    for process in alive:
        process.kill()
    return names


if __name__ == "__main__":
    sys.exit(main())
