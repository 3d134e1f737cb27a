"""Re-cutting stored work: another pair rule and another filter over 100,000 stored responses, without a model.

Makes a dataset of synthetic responses (scripted engine, 8 per prompt) once, then times two re-cuts and one added annotator, each
a new version, each by the command line in a fresh process, and counts the requests that were sent.

    python benchmarks/recut.py [--responses 100000]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

RECIPE = {
    "dataset": "synthetic",
    "models": {
        "policy": {"engine": "scripted"},
        "strong": {"engine": "scripted", "seed": 1},
        "weak": {"engine": "scripted", "seed": 2},
    },
    "sample": {"n": 8, "max_tokens": 64},
    "annotators": ["density_ratio", "displacement"],
    "combine": "density_ratio",
    "pair": {"rule": "best_worst"},
    "filters": [{"use": "ches"}],
    "run": {"shard_prompts": 2000},
}


def build(folder: Path, *overrides: str) -> dict[str, object]:
    """One build in a fresh process: its seconds, the requests it sent, the pairs it kept."""
    started = time.monotonic()
    command = [sys.executable, "-m", "pairwright.flows.cli", "build", "recipe.yaml", "--no-prefect", "--json", *overrides]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    seconds = time.monotonic() - started
    made = json.loads(done.stdout)
    manifest = json.loads((folder / made["path"] / "_manifest.json").read_text())
    sent = {stage: int(cost["run"]) for stage, cost in manifest["cost"].items() if stage.startswith("this build")}
    kept = next(a["rows_out"] for a in manifest["accounting"] if a["stage"] == "filter")
    return {"version": made["version"], "seconds": round(seconds, 1), "requests": sent, "pairs kept": kept}


def main() -> None:
    """Build once, re-cut, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--responses", type=int, default=100_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recipe = RECIPE | {"root": name, "prompts": {"source": "arithmetic", "count": args.responses // 8, "operations": [3, 9]}}
        (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        figures = {
            "first build": build(folder),
            "another pair rule": build(folder, "pair.rule=best_random"),
            "another filter": build(folder, "filters=[{use: ches, max_quantile: 0.5}, {use: length_ratio, max: 2}]"),
            "one more annotator": build(folder, "annotators=[density_ratio, displacement, contrastive_prompt]"),
        }
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(json.dumps(figures | {"responses": args.responses, "peak GiB": round(peak, 2)}, indent=2))


if __name__ == "__main__":
    main()
