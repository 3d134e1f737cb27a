"""Locating the first mistake in given solutions by Monte Carlo, against people; then after consensus with a judge.

Data: BIG-Bench-Mistake, multistep_arithmetic (`mistake_index`: 0-based first wrong step, null: none). Taken are the
first `--wrong` chains with a mistake and a wrong answer and the first `--right` chains without a mistake and with the
right answer, in file order; nothing else is selected. Every chain's steps are cut as given; from each prefix `--k`
rollouts by the completer, left to right until the first step without a right one. Then the same model judges every
chain; kept are those on which both agree. As in ProcessBench: accuracy on wrong chains (the very step), on right
chains (none found), and their harmonic mean F1.

    python benchmarks/first_mistake.py --model qwen2.5-coder-1.5b-instruct-q4_k_m.gguf --data .../process_bigbench_mistake
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
from collections import Counter
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from pairwright.annotators.steps.base import Budget, RolloutSampling, SearchSettings
from pairwright.annotators.steps.judge import JudgeConfig, Judgement, judge
from pairwright.annotators.steps.monte_carlo import MonteCarlo, MonteCarloConfig, grow_given
from pairwright.annotators.steps.segment import Cut, Delimiter
from pairwright.annotators.steps.tree import Piece, Question, Tree
from pairwright.engines.folders import resolve_folder
from pairwright.engines.journal import Journal
from pairwright.engines.models import model_config
from pairwright.engines.pool import EnginePool
from pairwright.engines.rendering import Renderer
from pairwright.engines.requests import turns
from pairwright.engines.runner import Broken, Runner
from pairwright.engines.verification.models import MathVerifier
from pairwright.pipelines.step_labels.config import LabelConfig
from pairwright.pipelines.step_labels.consensus import compared, retention
from pairwright.pipelines.step_labels.log import read_logs
from pairwright.pipelines.step_labels.stepwise import Labelled, labelled

ASK = (
    "Work out the value of the expression {expression}\nGo step by step, each step on one line. End with a line that says: "
    "So the answer is N, where N is the value."
)

SEEN = 5


def main() -> None:
    """Locate, judge, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--engine", default="vllm")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data" / "process_bigbench_mistake")
    parser.add_argument("--wrong", type=int, default=44)
    parser.add_argument("--right", type=int, default=44)
    parser.add_argument("--k", type=int, default=8)
    parser.add_argument("--judge", choices=["text", "choose"], default="text")
    parser.add_argument("--journal", type=Path, default=Path(__file__).parent / "out" / "first_mistake")
    args = parser.parse_args()
    chains = read(args.data / "multistep_arithmetic.jsonl", args.wrong, args.right)
    config = model_config({"engine": args.engine, "model": args.model, "dtype": args.dtype, "max_length": 2048})
    pool = EnginePool({"policy": config, "judge": config, "verifier": MathVerifier()})
    runner = Runner(pool, Journal(args.journal))
    renderer = Renderer.from_folder(resolve_folder(args.model, None))
    settings = SearchSettings(
        segment=Delimiter(delimiter="\n", min_step_tokens=1),
        sampling=RolloutSampling(temperature=0.7, top_p=0.95, max_tokens=700),
        budget=Budget(rollouts=1000),
    )
    method = MonteCarlo(MonteCarloConfig(k=args.k, schedule="until_first_error"))
    given = {c["id"]: question_of(c) for c in chains}
    seen = {c["id"] for c in [*chains[:SEEN], *chains[args.wrong : args.wrong + SEEN]]}
    trees = done(runner, ((i, grow_given(q, settings, method, piece(renderer, c))) for i, (q, c) in zipped(given, chains)))
    asked = JudgeConfig(mode=args.judge, max_tokens=700)
    judgements = done(runner, ((c["id"], judge(given[c["id"]].prompt, c["steps"], asked, 0)) for c in chains))
    runner.journal.close() if runner.journal else None
    pool.close()
    report(chains, trees, judgements, runner)
    print(f"\nWithout the first {SEEN} of each kind, whose replies were looked at when the judge was worded:")
    fresh = [c for c in chains if c["id"] not in seen]
    report(fresh, {c["id"]: trees[c["id"]] for c in fresh}, {c["id"]: judgements[c["id"]] for c in fresh}, runner)


def zipped(given: dict[str, Question], chains: list[dict[str, Any]]) -> Any:
    """(id, (question, chain))."""
    return [(c["id"], (given[c["id"]], c)) for c in chains]


def read(path: Path, wrong: int, right: int) -> list[dict[str, Any]]:
    """The chains that take part."""
    rows = [json.loads(line) | {"id": f"chain-{i}"} for i, line in enumerate(path.read_text().splitlines())]
    bad = [r for r in rows if r["mistake_index"] is not None and r["answer"] != r["target"]]
    good = [r for r in rows if r["mistake_index"] is None and r["answer"] == r["target"]]
    return [*itertools.islice(bad, wrong), *itertools.islice(good, right)]


def question_of(chain: dict[str, Any]) -> Question:
    """The problem as the completer sees it."""
    return Question(chain["id"], turns(ASK.format(expression=chain["input"].removesuffix("=").strip())), chain["target"])


def piece(renderer: Renderer, chain: dict[str, Any]) -> Piece:
    """The given steps, tokenised one by one, a line each."""
    texts = [step.strip() + "\n" for step in chain["steps"]]
    ids = [renderer.ids(text) for text in texts]
    ends = zip(itertools.accumulate(map(len, ids)), itertools.accumulate(map(len, texts)), strict=True)
    return Piece(tuple(i for step in ids for i in step), "".join(texts), tuple(Cut(*end) for end in ends))


def done(runner: Runner, tasks: Any) -> dict[str, Any]:
    """Every task's value by id."""
    found = {}
    for key, value in runner.run(tasks):
        if isinstance(value, Broken):
            raise value.error
        found[str(key)] = value
        print(f"{len(found)} done, {runner.stats.generated:,} tokens made", flush=True)
    return found


def report(chains: list[dict[str, Any]], trees: dict[str, Tree], judgements: dict[str, Judgement], runner: Runner) -> None:
    """The table."""
    truth = {c["id"]: c["mistake_index"] for c in chains}
    found: dict[str, Labelled] = {}
    reasons: Counter[str] = Counter()
    for i, tree in trees.items():
        (log,) = read_logs(list(tree.rows("monte_carlo", "", "policy")))
        solutions, why = labelled(log, LabelConfig(truncate=False))
        reasons.update([*why.values(), *([log.root.reason] if log.root.reason else [])])
        if solutions:
            found[i] = solutions[0]
    mc = {i: s.first_error for i, s in found.items()}
    said = {i: j.index for i, j in judgements.items() if j.reason is None}
    kinds = {i: compared(mc[i], judgements[i]) for i in mc}
    kept = {i: mc[i] for i, kind in kinds.items() if kind in ("both_none", "same_error")}
    print("\n| | chains | wrong: the very step | right: none found | F1 |\n|---|---|---|---|---|")
    for name, verdicts in (("Monte Carlo", mc), ("the judge alone", said), ("after consensus", kept)):
        print(f"| {name} | {len(verdicts)} of {len(truth)} | {line(verdicts, truth)} |")
    always = dict.fromkeys(truth)
    print(f"| always 'none' | {len(truth)} | {line(always, truth)} |")
    by_solution = {found[i].solution_id: judgements[i] for i in found}
    table = retention(found.values(), by_solution)
    print(f"\nretention {table.kept} of {table.solutions}: {dict(table.kinds)}")
    lean = Counter(
        "early" if e is not None and (truth[i] is None or e < truth[i]) else "late" for i, e in mc.items() if e != truth[i]
    )
    print(f"Monte Carlo's misses: {dict(lean)}; without a label: {dict(reasons)}; judge unparsed: "
          f"{sum(j.reason is not None for j in judgements.values())}")  # fmt: skip
    print(f"{runner.stats.generated:,} tokens generated in this run, {runner.stats.from_journal} answers from the journal")


def line(verdicts: dict[str, int | None], truth: dict[str, int | None]) -> str:
    """Accuracy on wrong and on right chains, with counts, and F1."""
    parts = []
    for wrong in (True, False):
        mine = [i for i in verdicts if (truth[i] is not None) == wrong]
        parts.append((sum(verdicts[i] == truth[i] for i in mine), len(mine)))
    rates = [hit / of if of else math.nan for hit, of in parts]
    f1 = 2 * rates[0] * rates[1] / sum(rates) if sum(rates) else 0.0
    return " | ".join([*(f"{hit}/{of} = {rate:.1%}" for (hit, of), rate in zip(parts, rates, strict=True)), f"{f1:.1%}"])


if __name__ == "__main__":
    main()
