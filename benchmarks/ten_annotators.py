"""Ten annotators on one build against ten builds with one annotator each: how often is a model loaded, and what does it take?

The responses are sampled once, by the embedded small model; then every build runs in a process of its own over a copy of them,
with an empty journal: first all ten annotators together, then each alone. Wall time is that of the whole process, imports and
loading included.

    python benchmarks/ten_annotators.py [--prompts 6]
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pairwright.files import write_text

POLICY = {"engine": "transformers", "model": "smollm2"}
WEAK = {"engine": "transformers", "model": "smollm2", "layers": 24}
ANNOTATORS: list[dict[str, Any]] = [
    {"use": "density_ratio"},
    {"use": "implicit_reward", "reference": "weak"},
    {"use": "follow_up", "role": "policy", "per_category": 2},
    {"use": "contrastive_prompt", "role": "policy"},
    {"use": "pairwise", "role": "policy"},
    {"use": "graded", "role": "policy"},
    {"use": "yes_no", "role": "policy"},
    {"use": "additive", "role": "policy", "ask": "choose"},
    {"use": "attributes", "role": "policy"},
    {"use": "cream", "previous": "weak", "reference": "weak"},
]


def recipe(root: Path, prompts: int, annotators: list[dict[str, Any]]) -> dict[str, Any]:
    """A recipe over the built-in prompts."""
    return {
        "dataset": "ten",
        "root": str(root),
        "prompts": {"source": "builtin", "limit": prompts},
        "models": {"policy": POLICY, "strong": "policy", "weak": WEAK},
        "sample": {"n": 3, "max_tokens": 60},
        "annotators": annotators,
        "combine": annotators[0]["use"],
    }


def run(root: Path, prompts: int, annotators: list[dict[str, Any]]) -> dict[str, Any]:
    """Annotate in a fresh process; seconds, and how often each model was loaded."""
    path = root.with_suffix(".yaml")
    write_text(path, json.dumps(recipe(root, prompts, annotators)))
    began = time.monotonic()
    done = subprocess.run([sys.executable, __file__, "--work", str(path)], check=True, capture_output=True, text=True)
    return {"seconds": time.monotonic() - began, **json.loads(done.stdout.splitlines()[-1])}


def work(path: Path) -> None:
    """The process: sampling if nobody has sampled, then annotating."""
    from pairwright.pipelines.build import Build
    from pairwright.pipelines.recipe import load_recipe

    build = Build(load_recipe(path), path.parent)
    build.check()
    with build.alone():
        build.sample()
        sampled = build.pool.loads.copy()
        build.annotate()
    loads = {build.pool.label(model): n for model, n in (build.pool.loads - sampled).items()}
    print(json.dumps({"loads": loads, "requests": build.spent.get("annotate", {}).get("run", 0)}))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=6)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        return work(args.work)
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base"
        from pairwright.pipelines.build import Build
        from pairwright.pipelines.recipe import parse_recipe

        build = Build(parse_recipe(recipe(base, args.prompts, ANNOTATORS[:1]), "base"), Path(folder))
        with build.alone():
            build.sample()

        def fresh(name: str) -> Path:
            root = Path(folder) / name
            shutil.copytree(base / "ten" / "_work" / "sample", root / "ten" / "_work" / "sample")
            return root

        together = run(fresh("together"), args.prompts, ANNOTATORS)
        alone = {a["use"]: run(fresh(a["use"]), args.prompts, [a]) for a in ANNOTATORS}
    total = sum(one["seconds"] for one in alone.values())
    print(f"together: {together['seconds']:.1f} s, {together['requests']} requests, loads {together['loads']}")
    for name, one in alone.items():
        print(f"  {name:<20} {one['seconds']:6.1f} s, {one['requests']:4} requests, loads {one['loads']}")
    print(f"the ten alone: {total:.1f} s; together / alone = {together['seconds'] / total:.2f}")


if __name__ == "__main__":
    main()
