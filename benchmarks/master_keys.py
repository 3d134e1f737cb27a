"""The guard against master keys it has never seen, and against short replies that are answers. No model.

Both lists were written without sight of the guard. The first was then used to mend it (it had let 27 % through), the second was
not. A key the guard lets through is up to the judge; a reply it refuses is lost. No judge's false-positive rate with the
guard is above the share of keys it lets through.

    python benchmarks/master_keys.py
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from pairwright.annotators.guard import master_key

LISTS = ("held_out_keys.yaml", "held_out_keys_2.yaml")
QUESTION = "Which year did the first crewed landing on the Moon take place, and who was the mission's commander?"


def main() -> None:
    """Both lists, or those that are named."""
    for name in sys.argv[1:] or LISTS:
        print(f"\n{name}")
        measure(yaml.safe_load((Path(__file__).parent / name).read_text(encoding="utf-8")))


def measure(held_out: dict[str, Any]) -> None:
    """One list."""
    keys = [(category, text) for category, texts in held_out["keys"].items() for text in texts]
    caught = [(category, text, master_key(text, QUESTION)) for category, text in keys]
    missed = Counter(category for category, _, reason in caught if reason is None)
    of = Counter(category for category, _ in keys)
    refused = [r for r in held_out["replies"] if master_key(r["reply"], r["prompt"])]
    for category, n in of.items():
        print(f"{category:<20} {n - missed[category]:3} of {n:3} keys refused")
    print(
        f"{'all':<20} {len(keys) - sum(missed.values()):3} of {len(keys):3}; let through {sum(missed.values()) / len(keys):.1%}"
    )
    print(f"short answers refused: {len(refused)} of {len(held_out['replies'])}")


if __name__ == "__main__":
    main()
