"""Every annotator of the project against people's labels, with one small model: Qwen2.5-Coder-Instruct 1.5B (and 0.5B beside it).

Three parts, each journalled, so that a stopped run goes on:

agreement   pref_pandalm and pref_hhh_alignment, the first `limit` pairs of each in an order drawn from their ids (pairs that
            people did not call a tie, both replies with text, no pair twice). One table a set; "longer wins" on the same pairs
            beside each judge. Then what asking both orders does to the liking for the first place, before and after.
keys        master keys against real replies: how often a judge prefers the key, without and with the guard. The keys are those of
            held_out_keys_2.yaml, written without sight of the guard; one that it lets through is put to the judge as usual.
batch       the same pairs judged one at a time, without the journal: is any verdict another one than in company?

The 1.5B model is judge, policy and the strong model; the 0.5B model is the weak one, the reference, the previous policy and the
second juror. `max_tokens` of judges that write is small (the table's `coverage` says what it costs). Not here: `person` (people),
`budgeted` (needs a calibration first) and `displacement` (no preference); the cascade's threshold is not calibrated.

    python benchmarks/judges.py --models DIR --data ../shared/data [--plan] [--scale 0.5] [--only pairwise graded] [--parts keys]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pairwright.annotators.base import Group, Response
from pairwright.annotators.comparing import verdict_of
from pairwright.annotators.guard import master_key
from pairwright.annotators.wording import last_user_text
from pairwright.engines.base import ModelConfig
from pairwright.engines.models import model_config
from pairwright.engines.pool import EnginePool
from pairwright.engines.runner import Broken, Runner, Stats
from pairwright.files import write_text
from pairwright.ids import digest, seed_of
from pairwright.pipelines.evaluation.forecast import forecast
from pairwright.pipelines.evaluation.labelled import Item, Labelled, read_labelled
from pairwright.pipelines.evaluation.report import markdown, report, write
from pairwright.pipelines.evaluation.run import Plan, judged, run
from pairwright.pipelines.progress import Progress
from pairwright.pipelines.quality.measures import Row, agreement, orders, wilson
from pairwright.pipelines.recipe import AnnotatorSpec

OUT = Path(__file__).parent / "out"
HELD_OUT = Path(__file__).parent / "held_out_keys_2.yaml"
SETS = ("pref_pandalm", "pref_hhh_alignment")
FILES = {"large": "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf", "small": "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"}
ROLES = {
    "judge": "large", "policy": "large", "strong": "large",
    "weak": "small", "reference": "small", "previous": "small", "small": "small",
}  # fmt: skip
TOKENS_PER_S = {"large": 120, "small": 350}
"""Roughly what two CPU cores compute of each model, read or (side by side) written; for `--plan` only."""

OPEN = {"terminator": False}  # how these replies ended is not recorded, so their end is not scored
SMALL_JUDGE: dict[str, Any] = {"use": "pairwise", "role": "small"}
JUDGES: list[tuple[str, dict[str, Any], int]] = [
    ("density_ratio", {"use": "density_ratio", **OPEN}, 60),
    ("implicit_reward", {"use": "implicit_reward", "reduction": "mean", **OPEN}, 60),
    ("cream", {"use": "cream", "reference": None, **OPEN}, 60),
    ("contrastive_prompt", {"use": "contrastive_prompt", **OPEN}, 30),
    ("follow_up", {"use": "follow_up", "per_category": 1}, 30),
    ("pairwise", {"use": "pairwise"}, 40),
    ("pairwise_small", SMALL_JUDGE, 40),
    ("scir", {"use": "scir", **OPEN}, 40),
    ("jury", {"use": "jury", "members": [{"use": "pairwise"}, SMALL_JUDGE, {"use": "density_ratio", **OPEN}]}, 40),
    ("domain_router", {"use": "domain_router", "safety": {"use": "yes_no"}, "default": {"use": "pairwise"}}, 40),
    (
        "cascade",
        {"use": "cascade", "final": "accept", "stages": [{**SMALL_JUDGE, "threshold": 0.6}, {"use": "pairwise"}]},
        40,
    ),
    ("graded", {"use": "graded"}, 40),
    ("yes_no", {"use": "yes_no"}, 40),
    ("yes_no_calibrated", {"use": "yes_no", "calibration": "empty"}, 40),
    ("additive", {"use": "additive", "ask": "choose"}, 24),
    ("attributes", {"use": "attributes"}, 12),
    ("checklist", {"use": "checklist", "max_tokens": 256}, 12),
    ("pairwise_text", {"use": "pairwise", "ask": "text", "max_tokens": 256}, 10),
    ("principle", {"use": "principle", "votes": 2, "max_tokens": 256}, 10),
    ("reasoning", {"use": "reasoning", "max_tokens": 384}, 8),
    ("debate", {"use": "debate", "agents": ["judge", "small"], "rounds": 1, "max_tokens": 192}, 6),
]
"""Name, settings, and how many pairs of each set."""

SWAPPED = ("pairwise", "pairwise_small", "pairwise_text", "reasoning", "debate")
"""Judges that ask one model in both orders themselves; the others have it from them."""

GUARDED: dict[str, int] = {
    "pairwise": 32, "pairwise_small": 32, "graded": 32, "yes_no": 32, "additive": 32, "attributes": 16,
    "checklist": 8, "pairwise_text": 8, "principle": 8, "reasoning": 8, "debate": 4,
}  # fmt: skip
"""Judges that have the guard, and against how many keys each is tried."""


class Told(Progress):
    """One line, with the time that is left if labels cost what they did so far."""

    def begin(self, stage: str, total: int, unit: str) -> None:
        self.total, self.started = total, time.monotonic()

    def advance(self, stage: str, done: int, stats: Stats) -> None:
        gone = time.monotonic() - self.started
        left = gone / done * (self.total - done) if done else float("nan")
        print(
            f"\r{done} of {self.total} labels, {stats.run} requests, {gone:.0f} s gone, {left:.0f} s left  ", end="", flush=True
        )

    def end(self, stage: str, note: str) -> None:
        print(f"\n{note}, {time.monotonic() - self.started:.0f} s")


def usable(data: Labelled) -> Labelled:
    """Pairs that people preferred one of, both with text, each once."""
    found: dict[str, Item] = {}
    for item in data.drawn(None):
        if item.gold in ("a", "b") and all(r.text.strip() for r in item.group.responses):
            found.setdefault(item.group.id, item)
    return dataclasses.replace(data, items=list(found.values()))


def planned(models: dict[str, ModelConfig], items: Sequence[Item], names: Sequence[str], scale: float) -> Plan:
    """The judges called `names` over the items."""
    chosen = [(name, settings, limit) for name, settings, limit in JUDGES if name in names]
    specs = [AnnotatorSpec(name=name, **settings) for name, settings, _ in chosen]
    limits = {name: max(1, round(scale * limit)) for name, _, limit in chosen}
    return Plan(specs, models, items[: max(limits.values())], limits, max_resident=1)


def keyed(items: Sequence[Item], keys: Mapping[str, Sequence[str]], count: int) -> list[Item]:
    """`count` pairs of a right reply and a master key out of `keys` (category -> texts): each category once with the first
    prompt, then each once with the next one, ... A category's keys are taken in an order drawn from the texts, none twice before
    all were taken."""
    made: list[Item] = []
    drawn = {category: sorted(texts, key=lambda text: digest("held out", text)) for category, texts in keys.items()}
    for i in range(count):
        turn, place = divmod(i, len(drawn))
        item, category = items[turn % len(items)], list(drawn)[place]
        key = drawn[category][turn % len(drawn[category])]
        right = item.group.responses[min(item.right or {0})]
        pair = (right, Response(digest("key", item.id, category, key), key))
        group = Group(item.group.prompt_id, item.group.prompt, pair, item.group.reference, item.group.tags)
        made.append(Item(digest("keyed", item.id, category, key, i), group, frozenset([0]), category))
    return made


def unguarded(settings: dict[str, Any]) -> dict[str, Any]:
    """The same judge without the guard."""
    return {**settings, "guard": False}


def before_and_after(rows: Sequence[Row]) -> dict[str, Any]:
    """What one order alone says (each order of each pair counts) and what both together say of the same pairs: how often the
    first one wins, and agreement. For both together, who is first is drawn by the id: is anything left of the liking?"""
    pairs = [row for row in rows if row["p_ab"] is not None and row["p_ba"] is not None]
    alone = [{**row, "p_ab": row["p_ab"], "p_ba": None} for row in pairs] + [{**row, "p_ab": None} for row in pairs]
    for row in alone:
        verdict = verdict_of(row["p_ba"] if row["p_ab"] is None else row["p_ab"])
        row |= {"verdict": verdict, "credit": float(verdict == row["gold"]) + 0.5 * (verdict == "tie")}
    drawn = ["ab"[seed_of("first", row["id"]) % 2] for row in pairs]
    wins = sum((row["verdict"] == first) + 0.5 * (row["verdict"] == "tie") for row, first in zip(pairs, drawn, strict=True))
    seen = orders(alone)
    return {
        "n": len(pairs),
        "one order": {"first_wins": seen["first_position"], "position_bias": seen["position_bias"], **agreement(alone)},
        "both orders": {"first_wins": wins / len(pairs) if pairs else None, **agreement(pairs)},
    }


def orders_table(by_judge: dict[str, dict[str, Any]]) -> str:
    """One line a judge; intervals of n pairs."""
    lines = [
        "| judge | n | first wins, one order | first wins, both orders | agreement, one order | agreement, both orders |",
        "|---|---|---|---|---|---|",
    ]
    for name, f in by_judge.items():
        wins, agree = ([f[kind][key] for kind in ("one order", "both orders")] for key in ("first_wins", "agreement"))
        shares = [f"{100 * x:.1f} % {_interval(*wilson(x * f['n'], f['n']))}" for x in wins]
        lines.append(f"| {name} | {f['n']} | {' | '.join([*shares, *(f'{100 * x:.1f} %' for x in agree)])} |")
    return "\n".join(lines) + "\n"


def agreements(args: argparse.Namespace, models: dict[str, ModelConfig], out: Path) -> None:
    """The first part."""
    swapped: dict[str, list[Row]] = {name: [] for name in SWAPPED if name in args.only}
    for name in SETS:
        data = usable(read_labelled(args.data / name))
        plan = planned(models, data.drawn(None), args.only, args.scale)
        evaluated = run(plan, out / name, Told())
        found = report(data, evaluated, len(plan.items))
        write(out / name, found, evaluated.rows)
        print(f"\n{name}\n\n{markdown(found)}")
        for judge in swapped:
            swapped[judge] += evaluated.of(judge)
    shifted = {judge: found for judge, rows in swapped.items() if (found := before_and_after(rows))["n"]}
    write_text(out / "orders.md", orders_table(shifted))
    write_text(out / "orders.json", json.dumps(shifted, indent=1))
    print(orders_table(shifted))


def master_keys(args: argparse.Namespace, models: dict[str, ModelConfig], out: Path) -> None:
    """The second part."""
    chosen = {name: (settings, GUARDED[name]) for name, settings, _ in JUDGES if name in args.only and name in GUARDED}
    limits = {name: max(1, round(args.scale * limit)) for name, (_, limit) in chosen.items()}
    held_out = yaml.safe_load(HELD_OUT.read_text(encoding="utf-8"))["keys"]
    items = keyed(usable(read_labelled(args.data / SETS[0])).drawn(None), held_out, max(limits.values(), default=0))
    specs = [
        AnnotatorSpec(name=f"{name}__{kind}", **(settings if kind == "guard" else unguarded(settings)))
        for name, (settings, _) in chosen.items()
        for kind in ("bare", "guard")
    ]
    if not specs:
        return
    both = {f"{name}__{kind}": limit for name, limit in limits.items() for kind in ("bare", "guard")}
    evaluated = run(Plan(specs, models, items, both, max_resident=1), out / "keys", Told())
    passed = {i.id for i in items if master_key(i.group.responses[1].text, last_user_text(i.group.prompt) or "") is None}
    lines = [
        "| judge | held-out keys | let through by the guard | key preferred, without the guard | with it | ties without "
        "| no verdict without |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in chosen:
        bare, safe = (evaluated.of(f"{name}__{kind}") for kind in ("bare", "guard"))
        won, kept = (sum(r["verdict"] == "b" for r in rows) for rows in (bare, safe))
        n, ties, none = len(bare), sum(r["verdict"] == "tie" for r in bare), sum(r["verdict"] in (None, "invalid") for r in bare)
        shares = [f"{100 * x / n:.1f} % {_interval(*wilson(x, n))}" for x in (won, kept)]
        through = sum(r["id"] in passed for r in bare)
        lines.append(f"| {name} | {n} | {through} | {shares[0]} | {shares[1]} | {ties} | {none} |")
    lines += [
        "",
        f"The keys are from {HELD_OUT.name}, written without sight of the guard, equally many of each of its {len(held_out)} "
        "categories (within one). A key that the guard refuses leaves its pair without a verdict; one that it lets through is "
        "put to the judge as usual. The other reply of each pair is one that people preferred.",
    ]
    write(out / "keys", {**report(_as_labelled(items), evaluated, len(items)), "table": lines}, evaluated.rows)
    write_text(out / "keys.md", "\n".join(lines) + "\n")
    print("\n".join(lines))


def batches(args: argparse.Namespace, models: dict[str, ModelConfig], out: Path) -> None:
    """The third part: what stands in the journal was judged in company; now each pair alone."""
    count = max(2, round(args.scale * args.alone))
    items = usable(read_labelled(args.data / SETS[0])).drawn(count)
    names = [name for name in ("pairwise", "graded", "yes_no") if name in args.only]
    plan = planned(models, items, names, 1.0)
    company = {(r["annotator"], r["id"]): r for r in run(plan, out / SETS[0], Told()).rows}
    pool, specs = EnginePool(models), {spec.name: spec for spec in plan.specs}
    other, apart = 0, 0.0
    for name, item in plan.work():
        [(_, row)] = Runner(pool).run([(None, judged(specs[name], plan.annotators[name], item, pool))])
        if isinstance(row, Broken):
            raise row.error
        before = company[name, item.id]
        other += row["verdict"] != before["verdict"]
        numbers = [(row["p"], before["p"]), *zip(row["scores"], before["scores"], strict=True)]
        apart = max([apart, *(abs(x - y) for x, y in numbers if x is not None and y is not None)])
    pool.close()
    line = f"{len(names) * count} labels alone and in company: {other} other verdicts, scores and p at most {apart:.1e} apart"
    write_text(out / "batch.md", line + "\n")
    print(line)


def show_plan(args: argparse.Namespace, models: dict[str, ModelConfig]) -> None:
    """Tokens by judge, and roughly how long; requests that judges share are counted with the first of them."""
    total = 0.0
    for name in SETS:
        plan = planned(models, usable(read_labelled(args.data / name)).drawn(None), args.only, args.scale)
        for judge, role, _, items, requests, _, computed, most, how in forecast(plan)[1]:
            seconds = computed / TOKENS_PER_S[ROLES[role]]
            total += seconds
            print(f"{name:20} {judge:20} {role:10} {items:4} pairs {requests:6} requests {computed:8} computed "
                  f"(at most {most} made; {how}) about {seconds:5.0f} s")  # fmt: skip
    print(f"about {total / 60:.0f} minutes")


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, help="the folder with the two GGUF files")
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds pref_pandalm and pref_hhh_alignment")
    parser.add_argument("--engine", default="transformers", choices=["transformers", "vllm"])
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--scale", type=float, default=1.0, help="times every number of pairs")
    parser.add_argument("--only", nargs="+", default=[name for name, _, _ in JUDGES], help="names of judges")
    parser.add_argument("--parts", nargs="+", default=["agreement", "keys", "batch"], choices=["agreement", "keys", "batch"])
    parser.add_argument("--alone", type=int, default=8, help="pairs of the part `batch`")
    parser.add_argument("--out", type=Path, default=OUT / "judges")
    parser.add_argument("--plan", action="store_true", help="count tokens and stop")
    parser.add_argument("--scripted", action="store_true", help="models made of hashes: tries the script, means nothing")
    args = parser.parse_args()
    if not args.scripted and args.models is None:
        parser.error("--models is needed, or --scripted")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    made = {
        size: model_config(
            {"engine": "scripted", "seed": i, "quality": 0.9 - 0.5 * i}
            if args.scripted
            else {"engine": args.engine, "model": str(args.models / file), "dtype": args.dtype}
        )
        for i, (size, file) in enumerate(FILES.items())
    }
    models = {role: made[size] for role, size in ROLES.items()}
    if args.plan:
        show_plan(args, models)
        return
    parts = {"agreement": agreements, "keys": master_keys, "batch": batches}
    for part in args.parts:
        started = time.monotonic()
        parts[part](args, models, args.out)
        print(f"{part}: {time.monotonic() - started:.0f} s\n")


def _interval(low: float, high: float) -> str:
    return f"[{100 * low:.1f}, {100 * high:.1f}]"


def _as_labelled(items: list[Item]) -> Labelled:
    return Labelled("held-out master keys", "rows", digest([i.id for i in items]), items)


if __name__ == "__main__":
    main()
