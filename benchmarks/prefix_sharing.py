"""What sharing prefixes saves the `transformers` engine: tokens computed against distinct tokens, and time against the plain way.

1. `follow_up`: 24 follow-ups x 4 responses x 16 prompts, through the runner and the engine, against one forward per
   (response, follow-up) with the same model, dtype and threads, timed side by side in this process (CPU seconds).
2. `density_ratio`: groups of 8 responses.

    python benchmarks/prefix_sharing.py [--prompts 16] [--plain-share 1]      (--plain-share 8 times every 8th plain forward)
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from pairwright.annotators.base import Annotator, Group, Response
from pairwright.annotators.density_ratio import DensityRatio
from pairwright.annotators.follow_up import FollowUp
from pairwright.engines.pool import EnginePool
from pairwright.engines.requests import Generate, Generated, Sampling, Score
from pairwright.engines.runner import Runner
from pairwright.engines.transformers_engine import TransformersEngine, TransformersModel
from pairwright.engines.tree_scoring import Counters
from pairwright.pipelines.prompts.builtin import Builtin
from pairwright.pipelines.prompts.sources import read_prompts

MODEL = TransformersModel(model="smollm2")


def sampled(pool: EnginePool, count: int, n: int, max_tokens: int) -> list[Group]:
    """Real groups: the model's own responses to built-in prompts."""
    prompts = read_prompts(Builtin(limit=count, shuffle_seed=1), Path()).prompts

    def ask(prompt: Any) -> Any:
        return (yield [Generate("policy", prompt.messages, Sampling(0.8, 0.95, 0, max_tokens), n, 0)])

    answers = dict(Runner(pool).run((p.prompt_id, ask(p)) for p in prompts))
    groups = []
    for p in prompts:
        (made,) = answers[p.prompt_id]
        assert isinstance(made, Generated)
        responses = [
            Response(f"{p.prompt_id}/{i}", c.text, c.token_ids, c.tokenizer, c.finish_reason)
            for i, c in enumerate(made.completions)
        ]
        groups.append(Group(p.prompt_id, p.messages, tuple(r for r in responses if r.text.strip())))
    return groups


def timed(pool: EnginePool, annotator: Annotator[Any], groups: list[Group]) -> tuple[Counters, float, float]:
    """Tokens computed, CPU seconds and wall seconds of annotating `groups`."""
    engine = pool.load(pool.model("policy"), set())
    assert isinstance(engine, TransformersEngine)
    engine.scorer.counters = Counters()
    cpu, wall = time.process_time(), time.monotonic()
    dict(Runner(pool).run((g.prompt_id, annotator.annotate(g)) for g in groups))
    return engine.scorer.counters, time.process_time() - cpu, time.monotonic() - wall


def plain(pool: EnginePool, annotator: Annotator[Any], groups: list[Group], share: int) -> tuple[int, float, float]:
    """One forward per request, only the needed logits: tokens, CPU and wall seconds; every `share`-th request, scaled up."""
    import torch

    engine = pool.load(pool.model("policy"), set())
    assert isinstance(engine, TransformersEngine)
    requests = [r for g in groups for r in next(annotator.annotate(g)) if isinstance(r, Score)]
    cpu, wall, tokens = time.process_time(), time.monotonic(), 0
    for request in requests[::share]:
        context, ids = engine.renderer.score_ids(request)
        with torch.inference_mode():
            logits = engine.model(torch.tensor([[*context, *ids]]), logits_to_keep=len(ids) + 1).logits[0, :-1].float()
            logits.log_softmax(-1)[torch.arange(len(ids)), torch.tensor(ids)].sum().item()
        tokens += len(context) + len(ids)
    scale = len(requests) / len(requests[::share])
    return round(tokens * scale), (time.process_time() - cpu) * scale, (time.monotonic() - wall) * scale


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--plain-share", type=int, default=1)
    args = parser.parse_args()
    pool = EnginePool(dict.fromkeys(("policy", "strong", "weak"), MODEL))
    groups = sampled(pool, args.prompts, 8, 160)
    four = [Group(g.prompt_id, g.prompt, g.responses[:4]) for g in groups]
    follow_up = FollowUp.configured()
    timed(pool, follow_up, four[:1])  # warm
    ours, cpu, wall = timed(pool, follow_up, four)
    tokens, plain_cpu, plain_wall = plain(pool, follow_up, four, args.plain_share)
    figures = {
        "follow_up": {
            "requests": sum(len(g.responses) for g in four) * 24,
            "tokens one forward per request": tokens,
            "tokens computed": ours.forwarded,
            "tokens that differ": ours.unique,
            "computed / differ": round(ours.forwarded / ours.unique, 3),
            "cpu seconds": round(cpu, 1),
            "plain cpu seconds": round(plain_cpu, 1),
            "faster, cpu": round(plain_cpu / cpu, 2),
            "faster, wall": round(plain_wall / wall, 2),
        }
    }
    ratio, cpu, wall = timed(pool, DensityRatio.configured(), groups)
    figures["density_ratio, groups of 8"] = {
        "tokens computed": ratio.forwarded,
        "tokens that differ": ratio.unique,
        "computed / differ": round(ratio.forwarded / ratio.unique, 3),
        "cpu seconds": round(cpu, 1),
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
