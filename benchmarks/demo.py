"""The main job, shown: build `configs/demo.yaml`, then look at rows, the funnel and a DuckDB answer. Run by `make demo`."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
QUESTION = (
    "select c.annotator, count(*) as pairs, round(avg((c.score > r.score)::int), 2) as agrees_with_the_pair "
    "from pairs join annotations c on c.subject_id = chosen_id "
    "join annotations r on r.subject_id = rejected_id and r.annotator = c.annotator group by c.annotator order by 1"
)


def pairwright(*arguments: str) -> None:
    """Run one command as a user would, and show it."""
    print(f"\n$ pairwright {' '.join(a if ' ' not in a else repr(a) for a in arguments)}", flush=True)
    done = subprocess.run([sys.executable, "-m", "pairwright.flows.cli", *arguments], cwd=HERE)
    if done.returncode:
        sys.exit(done.returncode)


def main() -> None:
    """Build and look."""
    started = time.monotonic()
    pairwright("build", "configs/demo.yaml", *sys.argv[1:])
    pairwright("query", "demo/demo", "select prompt[-1].content[:60] as prompt, chosen[1].content[:60] as chosen, "
               "rejected[1].content[:60] as rejected, round(margin, 2) as margin from preference limit 4")  # fmt: skip
    pairwright("explain", "demo/demo")
    pairwright("query", "demo/demo", QUESTION)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"\n{time.monotonic() - started:.0f} s, peak memory {peak:.1f} GiB. Next: pairwright show demo/demo; README.md")


if __name__ == "__main__":
    main()
