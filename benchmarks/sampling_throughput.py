"""The whole sampling stage against bare `vllm.LLM.generate`: tokens per CPU-second on the same prompts, settings and seeds.

One process, one loaded model, the two in turn, prefix cache emptied before each; the stage includes rendering, the runner, the
journal and the Parquet files.

    python benchmarks/sampling_throughput.py [--prompts 64] [--n 4] [--rounds 3] [--dtype bfloat16]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from pairwright.engines.pool import EnginePool
from pairwright.engines.requests import Generate
from pairwright.engines.vllm_engine import VllmEngine
from pairwright.ids import seed_of
from pairwright.pipelines.build import Build
from pairwright.pipelines.recipe import parse_recipe


def main() -> None:
    """Measure in turn and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--n", type=int, default=4)
    parser.add_argument("--max-tokens", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--dtype", default="bfloat16")
    args = parser.parse_args()
    recipe = {
        "dataset": "throughput",
        "prompts": {"source": "builtin", "limit": args.prompts, "shuffle_seed": 3},
        "models": {"policy": {"engine": "vllm", "model": args.model, "dtype": args.dtype}},
        "sample": {"n": args.n, "temperature": 0.8, "top_p": 0.95, "max_tokens": args.max_tokens},
        "annotators": ["contrastive_prompt"],
    }
    pool = EnginePool({})
    rounds = []
    for i in range(args.rounds + 1):
        with tempfile.TemporaryDirectory() as folder:
            build = Build(parse_recipe(recipe | {"root": folder}, "recipe"), Path(), pool=pool)
            engine = pool.load(pool.model("policy"), set())
            assert isinstance(engine, VllmEngine)
            bare = bare_speed(engine, engine.llm, build)
            engine.llm.reset_prefix_cache()
            cpu, wall = time.process_time(), time.monotonic()
            build.sample()
            cpu, wall = time.process_time() - cpu, time.monotonic() - wall
            stage = {"tokens": build.spent["sample"]["generated"], "cpu": cpu, "wall": wall}
            engine.llm.reset_prefix_cache()
        if i:  # the first round warms up
            rounds.append((bare, stage))
            print(
                f"round {i}: bare {bare['tokens'] / bare['cpu']:.1f}, stage {stage['tokens'] / stage['cpu']:.1f} tokens/CPU-s",
                flush=True,
            )
    ratios = {unit: [(s["tokens"] / s[unit]) / (b["tokens"] / b[unit]) for b, s in rounds] for unit in ("cpu", "wall")}
    figures = {f"stage / bare, tokens per {unit}-second": [round(r, 3) for r in ratio] for unit, ratio in ratios.items()}
    figures["median, cpu"] = [round(statistics.median(ratios["cpu"]), 3)]
    print(json.dumps(figures | {"prompts": args.prompts, "n": args.n, "tokens": rounds[0][0]["tokens"]}, indent=2))


def bare_speed(engine: VllmEngine, llm: Any, build: Build) -> dict[str, float]:
    """Tokens, CPU and wall seconds of one `LLM.generate` call with everything in it at once."""
    from vllm import SamplingParams

    config = build.recipe.sample
    requests = [
        Generate("policy", p.messages, config.sampling, config.n, seed_of("sample", config.seed, p.prompt_id))
        for p in build.prompts.prompts
    ]
    prompts = [{"prompt_token_ids": engine.renderer.prompt_ids(r)} for r in requests]
    params = [
        SamplingParams(
            n=r.n,
            temperature=config.temperature,
            top_p=config.top_p,
            max_tokens=config.max_tokens,
            seed=r.seed,
            logprobs=0,
            detokenize=False,
        )
        for r in requests
    ]
    cpu, wall = time.process_time(), time.monotonic()
    outputs = llm.generate(prompts, params, use_tqdm=False)
    tokens = sum(len(o.token_ids) for out in outputs for o in out.outputs)
    return {"tokens": tokens, "cpu": time.process_time() - cpu, "wall": time.monotonic() - wall}


if __name__ == "__main__":
    main()
