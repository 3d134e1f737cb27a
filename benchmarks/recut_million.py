"""Re-cutting a million stored responses (8 per prompt, 5 annotators) without a model, then the README's five queries.

Each re-cut is the command `pairwright recut` in a fresh process, whose seconds and peak memory are its own. `--prompts` takes
several sizes: side by side they show whether memory grows with the data.

    python benchmarks/recut_million.py [--prompts 125000] [--each 8] [--keep FOLDER]
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

from pairwright.storage.catalog import connect
from pairwright.storage.versions import Dataset

sys.path.insert(0, str(Path(__file__).resolve().parent))
from synthetic_version import make

CUTS = {
    "pair rule": ["pair.rule=best_percentile", "pair.percentile=20"],
    "filters": [
        "filters=[{use: ches}, {use: length_ratio, max: 2}, {use: margin, min_quantile: 0.2}, "
        "{use: floor, chosen: {follow_up: 0}}]",
    ],
    "texts": [
        "filters=[{use: near_identical}, {use: strength, annotators: [density_ratio, follow_up, implicit_reward], min: 0}]",
    ],
}
README = Path(__file__).resolve().parents[1] / "README.md"


def queries() -> dict[str, str]:
    """The README's SQL: comment -> query."""
    block = README.read_text(encoding="utf-8").split("```sql\n")[1].split("```")[0]
    parts = (part.strip().partition("\n") for part in block.split(";") if part.strip())
    return {comment.removeprefix("-- "): sql for comment, _, sql in parts}


def recut(dataset: Dataset, changes: list[str]) -> dict[str, float]:
    """One re-cut in a fresh process."""
    command = [sys.executable, "-m", "pairwright.flows.cli", "recut", str(dataset.folder), "--version", "1", "--json", *changes]
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        said = process.stdout.read() if process.stdout else ""
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"the re-cut failed: {changes}")
    manifest = dataset.manifest(json.loads(said)["version"])
    assert not any(stage.startswith("this build") for stage in manifest.cost), "a model was asked"
    return {
        "seconds": round(time.monotonic() - started, 1),
        "cpu seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak GiB": round(used.ru_maxrss / 2**20, 2),
        "pairs kept": manifest.rows("preference"),
    }


def main() -> None:
    """Make, re-cut, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, nargs="+", default=[125_000])
    parser.add_argument("--each", type=int, default=8)
    parser.add_argument("--cuts", nargs="+", default=list(CUTS), choices=list(CUTS))
    parser.add_argument("--keep", type=Path, help="a folder that keeps what was made")
    args = parser.parse_args()
    for prompts in args.prompts:
        with tempfile.TemporaryDirectory() as name:
            root = (args.keep or Path(name)) / str(prompts)
            dataset = Dataset(root, "synthetic")
            if dataset.latest() is None:
                dataset = make(root, prompts, args.each)
            figures: dict[str, object] = {"prompts": prompts, "responses": prompts * args.each}
            figures |= {what: recut(dataset, CUTS[what]) for what in args.cuts}
            with connect(dataset) as con:
                for what, sql in queries().items():
                    started = time.monotonic()
                    con.execute(sql).fetchall()
                    figures[f"query: {what}"] = f"{time.monotonic() - started:.2f} s"
        print(json.dumps(figures, indent=2), flush=True)


if __name__ == "__main__":
    main()
