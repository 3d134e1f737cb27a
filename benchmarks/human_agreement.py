"""How often the density ratio of Qwen2.5-Coder-Instruct 1.5B over 0.5B picks the reply that people preferred (pref_pandalm).

Pairs with a majority label and no tie, in an order drawn from their ids; the first `--pairs` of them.
Beside it: "longer wins" and the strong model's plain likelihood, on the same pairs. Two readings of the same scores: with the
end-of-turn token that is added to each reply, and without it (`terminator: false`), for these replies were written by other
models and how they ended is not recorded.
Answers are journalled: a stopped run goes on.

    python benchmarks/human_agreement.py --models DIR --data ../shared/data/pref_pandalm [--engine vllm] [--pairs 160]
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

from pairwright.annotators.alone import groups
from pairwright.annotators.base import Annotating
from pairwright.annotators.density_ratio import DensityRatio
from pairwright.engines.journal import Journal
from pairwright.engines.models import model_config
from pairwright.engines.pool import EnginePool
from pairwright.engines.requests import Scored
from pairwright.engines.runner import Runner, Stats
from pairwright.ids import digest

LIMITS: dict[str, dict[str, int]] = {"transformers": {}, "vllm": {"max_length": 4096}}  # what a CPU's gibibyte of cache holds
OUT = Path(__file__).parent / "out"
STRONG, WEAK = (f"qwen2.5-coder-{size}-instruct-q4_k_m.gguf" for size in ("1.5b", "0.5b"))


def labelled(path: Path, count: int) -> list[dict[str, Any]]:
    """`count` rows with `prompt`, two `responses` and `better` (0 or 1)."""
    rows = []
    for r in json.loads((path / "testset-v1.json").read_text()):
        votes = Counter(r[f"annotator{i}"] for i in (1, 2, 3))
        label, most = votes.most_common(1)[0]
        texts = [str(r["response1"]).strip(), str(r["response2"]).strip()]
        prompt = "\n\n".join(part for part in (str(r["instruction"] or ""), str(r["input"] or "")) if part.strip())
        if most >= 2 and label in (1, 2) and all(texts) and texts[0] != texts[1]:
            rows.append({"id": digest("pandalm", r["idx"]), "prompt": prompt, "responses": texts, "better": label - 1})
    return sorted(rows, key=lambda r: r["id"])[:count]


def token_scores(task: Annotating) -> Generator[Any, Any, tuple[list[Scored], list[Scored]]]:
    """Run a density ratio and return what the strong and the weak model said of each response, token by token."""
    strong = yield next(task)
    weak = yield task.send(strong)
    task.close()
    return list(strong), list(weak)


def wilson(right: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % Wilson interval of a proportion."""
    p, d = right / n, 1 + z * z / n
    half = z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    return (p + z * z / (2 * n) - half) / d, (p + z * z / (2 * n) + half) / d


def main() -> None:
    """Score, compare, print, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True, help="the folder with the two GGUF files")
    parser.add_argument("--data", type=Path, required=True, help="the folder pref_pandalm")
    parser.add_argument("--engine", default="transformers", choices=["transformers", "vllm"])
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--pairs", type=int, default=160)
    args = parser.parse_args()
    rows = labelled(args.data, args.pairs)
    models = {
        role: model_config({"engine": args.engine, "model": str(args.models / name), "dtype": args.dtype} | LIMITS[args.engine])
        for role, name in (("strong", STRONG), ("weak", WEAK))
    }
    started = time.monotonic()

    def told(stats: Stats) -> None:
        print(
            f"\r{stats.run + stats.from_journal} of {4 * len(rows)} requests, {time.monotonic() - started:.0f} s",
            end="",
            flush=True,
        )

    annotator, asked = DensityRatio.configured(), groups([r["prompt"] for r in rows], [r["responses"] for r in rows])
    runner = Runner(EnginePool(models, max_resident=1), Journal(OUT / "human_agreement.journal"), on_progress=told)
    done = dict(runner.run((i, token_scores(annotator.annotate(g))) for i, g in enumerate(asked)))
    verdicts: dict[str, list[float]] = {}
    for i, row in enumerate(rows):
        strong, weak = done[i]
        gaps = [s.logprobs - w.logprobs for s, w in zip(strong, weak, strict=True)]
        measures = {
            "density ratio, sum, without terminator": [float(g[:-1].sum()) for g in gaps],
            "density ratio, sum": [float(g.sum()) for g in gaps],
            "density ratio, mean": [float(g.mean()) for g in gaps],
            "terminator alone": [float(g[-1]) for g in gaps],
            "longer wins": [float(len(t)) for t in row["responses"]],
            "likelihood, mean": [s.mean for s in strong],
        }
        for name, (first, second) in measures.items():
            right = 0.5 if first == second else float((second > first) == row["better"])
            verdicts.setdefault(name, []).append(right)
    print(f"\n{len(rows)} pairs, engine {args.engine}, {args.dtype}, {time.monotonic() - started:.0f} s")
    figures = {}
    for name, hits in verdicts.items():
        low, high = wilson(sum(hits), len(hits))
        figures[name] = {"agreement": sum(hits) / len(hits), "low": low, "high": high, "pairs": len(hits)}
        print(f"  {name:<40} {100 * sum(hits) / len(hits):5.1f} %  [{100 * low:.1f}, {100 * high:.1f}]")
    OUT.mkdir(exist_ok=True)
    (OUT / f"human_agreement-{args.engine}.json").write_text(json.dumps({"figures": figures, "verdicts": verdicts}, indent=1))


if __name__ == "__main__":
    main()
