"""kill -9 at random moments of a real build (the demo's recipe, the small model): does it come to the same version?

python benchmarks/kill_demo.py [--kills 3] [--prompts 8]
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]


def command(root: Path, prompts: int) -> list[str]:
    """One build of the demo's recipe below `root`."""
    settings = [f"root={root}", f"prompts.0.limit={prompts}", "filters.ches.on_missing=keep", "run.shard_prompts=4"]
    return [sys.executable, "-m", "pairwright.flows.cli", "build", "configs/demo.yaml", "--no-prefect", "--json", *settings]


def finish(root: Path, prompts: int) -> tuple[str, float, dict[str, float]]:
    """Build to the end: the logical hash, the seconds, the engine tokens of this process."""
    started = time.monotonic()
    done = subprocess.run(command(root, prompts), cwd=HERE, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    made = json.loads(done.stdout)
    manifest = json.loads((Path(made["path"]) / "_manifest.json").read_text())
    spent = {stage: cost["tokens"] for stage, cost in manifest["cost"].items() if stage.startswith("this build")}
    return made["logical_hash"], time.monotonic() - started, spent


def main() -> None:
    """Build whole, build killed, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=8)
    args = parser.parse_args()
    moments = random.Random(3)
    with tempfile.TemporaryDirectory() as name:
        whole, seconds, spent = finish(Path(name) / "whole", args.prompts)
        print(f"undisturbed: {seconds:.0f} s, tokens {spent}, logical hash {whole[:16]}", flush=True)
        root = Path(name) / "killed"
        for _ in range(args.kills):
            running = subprocess.Popen(
                command(root, args.prompts), cwd=HERE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            moment = moments.uniform(0.15, 0.5) * seconds
            time.sleep(moment)
            alive = running.poll() is None
            running.kill()
            running.wait()
            print(f"killed after {moment:.0f} s ({'running' if alive else 'already finished'})", flush=True)
        resumed, seconds, spent = finish(root, args.prompts)
        left = [str(p) for p in root.rglob("*") if p.name.startswith(".part-") or (p.parent.name == "_staging" and p.is_dir())]
        print(f"resumed: {seconds:.0f} s, tokens {spent}, logical hash {resumed[:16]}")
        print(f"equal: {resumed == whole}; left behind: {left or 'nothing'}")


if __name__ == "__main__":
    main()
