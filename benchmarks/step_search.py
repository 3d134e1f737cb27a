"""Tree search over many questions at once: how near to plain batched generation, and how far from a loop over questions?

One process, one loaded model. First the recipe's search stage (thousands of rollouts in flight, verification,
journal, Parquet); then the very prompts and prefixes the search asked for, as one plain `vllm.LLM.generate` call (of
every `--plain-every`-th question, for time's sake); then the same requests of every `--loop-every`-th question one
call at a time, at most 16 rollouts a call, one question after the other. Tokens are generated tokens; CPU seconds are
this process's. The version that the search leads to is published.

    python benchmarks/step_search.py [--questions 500] [--recipe configs/math_steps.yaml] [key=value ...]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from pairwright.engines.base import Engine
from pairwright.engines.pool import EnginePool
from pairwright.engines.requests import Generate, Request
from pairwright.engines.vllm_engine import VllmEngine
from pairwright.pipelines.build import Build
from pairwright.pipelines.recipe import load_recipe
from pairwright.pipelines.step_labels.log import read_logs
from pairwright.storage.parquet import read_table

A_CALL = 16


class Listening(EnginePool):
    """Keeps every request that is handed to a model, in order, with the rollouts it brought."""

    asked: list[Generate]

    def _start(self, model: str) -> Engine:
        engine = super()._start(model)
        submit = engine.submit

        def listening(ticket: str, request: Request) -> None:
            if isinstance(request, Generate):
                self.asked.append(request)
            submit(ticket, request)

        engine.submit = listening  # type: ignore[method-assign]
        return engine


def main() -> None:
    """Measure the three in one run and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=Path(__file__).parents[1] / "configs" / "math_steps.yaml")
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--plain-every", type=int, default=3)
    parser.add_argument("--loop-every", type=int, default=24)
    parser.add_argument("--root", type=Path, help="keep the dataset here; default: a temporary folder")
    parser.add_argument("overrides", nargs="*", help="settings of the recipe by dot-path")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = args.root or Path(folder)
        engine = [
            "models.policy.engine=vllm",
            "models.policy.dtype=bfloat16",
            f"prompts.0.count={args.questions}",
            f"root={root}",
        ]
        pool = Listening({})
        pool.asked = []
        build = Build(load_recipe(args.recipe, [*engine, *args.overrides]), args.recipe.parent, pool=pool)
        vllm = pool.load(pool.model("policy"), set())
        assert isinstance(vllm, VllmEngine)
        plain(vllm, [Generate("policy", build.prompts.prompts[0].messages, build.steps.sampling.left(0), 8)] * 4)  # warms up
        found: dict[str, Any] = {"search": search(build, vllm)}
        asked = list(pool.asked)
        order = {messages: i for i, messages in enumerate(dict.fromkeys(r.prompt for r in asked))}
        some = [r for r in asked if order[r.prompt] % args.plain_every == 0]
        found["plain"] = plain(vllm, some)
        few = sorted((r for r in asked if order[r.prompt] % args.loop_every == 0), key=lambda r: order[r.prompt])
        found["loop"] = loop(vllm, few)
        result = build.publish()
        manifest = build.dataset.manifest(result.version)
        report(found, build, manifest)


def measured(run: Any) -> dict[str, float]:
    """Tokens per second of `run`, which returns how many it generated."""
    cpu, wall = time.process_time(), time.monotonic()
    tokens = run()
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    return {"tokens": tokens, "cpu_s": round(cpu, 1), "wall_s": round(wall, 1), "per_cpu_s": tokens / cpu, "per_s": tokens / wall}


def search(build: Build, engine: VllmEngine) -> dict[str, float]:
    """The whole stage."""
    engine.llm.reset_prefix_cache()

    def run() -> int:
        build.search()
        return int(build.spent["search"]["generated"])

    return measured(run)


def plain(engine: VllmEngine, requests: list[Generate]) -> dict[str, float]:
    """Everything in one call."""
    engine.llm.reset_prefix_cache()
    return measured(lambda: generate(engine, requests))


def loop(engine: VllmEngine, requests: list[Generate]) -> dict[str, float]:
    """One request at a time, at most 16 rollouts a call."""
    engine.llm.reset_prefix_cache()
    calls = [Generate(r.role, r.prompt, r.sampling, min(A_CALL, r.n - at), r.seed + at, r.prefix_ids) for r in requests
             for at in range(0, r.n, A_CALL)]  # fmt: skip
    return measured(lambda: sum(generate(engine, [call]) for call in calls))


def generate(engine: VllmEngine, requests: list[Generate]) -> int:
    """`LLM.generate` as a script would call it; tokens made."""
    from vllm import SamplingParams

    prompts = [{"prompt_token_ids": engine.renderer.prompt_ids(r)} for r in requests]
    params = [
        SamplingParams(
            n=r.n,
            temperature=r.sampling.temperature,
            top_p=r.sampling.top_p,
            max_tokens=r.sampling.max_tokens,
            seed=r.seed,
            logprobs=0,
            detokenize=False,
        )
        for r in requests
    ]
    outputs = engine.llm.generate(prompts, params, use_tqdm=False)
    return sum(len(o.token_ids) for out in outputs for o in out.outputs)


def report(found: dict[str, Any], build: Build, manifest: Any) -> None:
    """The ratios, and what the dataset came to."""
    ratio = {
        f"{a} / {b}, tokens per {unit}": round(found[a][key] / found[b][key], 3)
        for a, b in (("search", "plain"), ("search", "loop"))
        for unit, key in (("CPU-second", "per_cpu_s"), ("second", "per_s"))
    }
    logs = [log for path in build.searches.files() for log in read_logs(read_table(path).to_pylist())]
    labelled = {
        row
        for path in build.dataset.tables(manifest.version)["stepwise"]
        for row in read_table(path, ["prompt_id"])["prompt_id"].to_pylist()
    }
    dataset = {
        "questions": len(logs),
        "questions with labelled solutions": len(labelled),
        **{table: manifest.rows(table) for table in ("steps", "stepwise", "step_preference")},
        "rollouts": sum(node.n for log in logs for node in log.nodes.values()),
    }
    print(json.dumps({"ratios": ratio, "dataset": dataset, "measured": found}, indent=2))
    print(json.dumps([a.model_dump() for a in manifest.accounting], indent=1))


if __name__ == "__main__":
    main()
