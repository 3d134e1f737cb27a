"""What filters make of planted noise: 20 % flipped, 10 % ambiguous, 5 % copied pairs. `planted_pairs` tells how they come about.

Every filter scores and judges the same pairs by the code of `recut` and `sweep`. Precision is the share of dropped pairs that are
of a kind, recall the share of the kind that is dropped. Of copies, a pair is of the kind if it has a copy or is one, and recall
is the share of these twos of which exactly one is dropped (where they contradict each other: one or both). "wrong" is the share
of wrong labels among the kept. A filter with free limits is also tried with limits that drop 30 % (`_30`).

Then all combinations of up to three filters, without and after relabelling, for three aims: the fewest wrong labels with at least
half of all pairs kept; the most pairs with at most a tenth of the labels wrong; the best F1 of dropping or mending bad pairs (the
flipped, the ambiguous, and one of two right pairs that are copies; turning an ambiguous pair mends nothing). They are chosen on
every second seed, and the figures are of the other seeds.

    python benchmarks/planted_noise.py [--pairs 5000] [--seeds 4] [--flips slips close length]

It says how filters answer to *these* errors, told by raters that are as good, as many and as independent as `planted_version`
makes them. What a filter knows is what its raters know: compare filters that read the same ones.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parent))
from planted_pairs import FLIPS, Bools, Flips, Floats, Ints, Planted, planted
from planted_version import RATERS, written

from pairwright.pipelines.cut import Stored, draft
from pairwright.pipelines.judged import Drafts, relabelled, scored
from pairwright.pipelines.recipe import Recipe
from pairwright.pipelines.recut import stored_of, with_changes
from pairwright.pipelines.sweep import Against

DROP = 0.3  # what free limits are set to drop
ALL = list(RATERS)
TWINS = {"twins": ["twin_a", "twin_b"]}
LOW, HIGH = {"min_quantile": DROP}, {"max_quantile": 1 - DROP}
GOLD = 300  # pairs whose truth is known to the rule "weighted"
LEAST, WRONG = 0.5, 0.1  # aims: what must be kept of all pairs, and what may be wrong of the kept ones
AT_30, BY_LOT = "_30", "by lot, 30 %"


@dataclass(frozen=True)
class Trial:
    """A filter and its limits: by "" those it has by default or that its docstring names, by `AT_30` those that drop 30 %."""

    about: Mapping[str, Any]
    limits: Mapping[str, Mapping[str, Any]]


def fixed(use: str, **about: Any) -> Trial:
    """A filter without free limits."""
    return Trial({"use": use, **about}, {"": {}})


def free(use: str, at_30: Mapping[str, Any], usual: Mapping[str, Any] | None = None, **about: Any) -> Trial:
    """A filter with free limits."""
    return Trial({"use": use, **about}, {AT_30: at_30} if usual is None else {"": usual, AT_30: at_30})


def trials(accuracies: Mapping[str, float]) -> dict[str, Trial]:
    """What is tried, by name."""
    weighted, with_label = {"rule": "weighted", "accuracies": dict(accuracies)}, [*ALL, "label"]
    unsure = {"statistic": "vote_entropy", "annotators": ["judge"]}
    return {
        "strength": free("strength", LOW, {"min": 0}, annotators=ALL),
        "strength_with_label": free("strength", LOW, {"min": 0}, annotators=with_label),
        "majority": fixed("consensus", annotators=ALL),
        "majority_with_label": fixed("consensus", annotators=with_label),
        "majority_family": fixed("consensus", annotators=ALL, families=TWINS),
        "unanimous": fixed("consensus", annotators=ALL, rule="unanimous"),
        "weighted": fixed("consensus", annotators=ALL, **weighted),
        "weighted_family": fixed("consensus", annotators=ALL, families=TWINS, **weighted),
        "dawid_skene": fixed("consensus", annotators=ALL, rule="dawid_skene"),
        "dawid_skene_family": fixed("consensus", annotators=ALL, rule="dawid_skene", families=TWINS),
        "one_coin": fixed("consensus", annotators=ALL, rule="one_coin"),
        "verdict": fixed("verdict", annotator="judge"),
        "orders": fixed("consistency", annotator="judge", of="orders"),
        "bald": free("uncertainty", HIGH, {}),
        "bald_agreeing": free("uncertainty", HIGH, {}, on_disagreement="drop"),
        "margin_sd": free("uncertainty", HIGH, {}, statistic="margin_sd"),
        "ensemble": free("uncertainty", HIGH, {}, statistic="ensemble", annotators=ALL),
        "vote_entropy": fixed("uncertainty", statistic="vote_entropy", annotators=ALL),
        "judge_entropy": free("uncertainty", HIGH, {}, **unsure),
        "judge_entropy_agreeing": free("uncertainty", HIGH, {}, **unsure, on_disagreement="drop"),
        "margin": free("margin", LOW),
        "implicit_margin_large": free("implicit_margin", LOW),
        "implicit_margin_small": free("implicit_margin", HIGH, {"max_quantile": 0.1}),
        "implicit_margin_size": free("implicit_margin", HIGH, {"max_quantile": 0.1}, absolute=True),
        "implicit_margin_middle": free("implicit_margin", {"min_quantile": DROP / 2, "max_quantile": 1 - DROP / 2}),
        "fused_margin": free("fused_margin", LOW, {}, annotators=["twin_a", "implicit_reward"]),
        "fused_margin_all": free("fused_margin", LOW, {}, annotators=[*ALL, "implicit_reward"]),
        "outlier": free("outlier", {"rho": DROP}, {"rho": 0.2}),
        "difficulty": free("difficulty", HIGH),
        "ches": free("ches", HIGH, {}),
        "length_ratio": free("length_ratio", HIGH),
        "length_balance": fixed("length_balance"),
        "near_identical": fixed("near_identical"),
        "duplicate": fixed("duplicate"),
        "contradiction": fixed("contradiction"),
        "contradiction_margin": fixed("contradiction", keep="margin"),
    }


RELABELS: dict[str, list[dict[str, Any]]] = {
    "": [],
    "flip lowest tenth": [{"use": "strength", "annotators": ALL, "flip_quantile": 0.1}],
    "flip lowest fifth": [{"use": "strength", "annotators": ALL, "flip_quantile": 0.2}],
}
COMBINED_AFTER = ("", "flip lowest tenth")
COMBINED = (
    *("strength", "strength_30", "majority", "unanimous", "weighted_family", "dawid_skene_family"),
    *("verdict", "bald_30", "bald_agreeing_30", "ensemble_30", "judge_entropy_30", "margin_30"),
    *("implicit_margin_large_30", "fused_margin_30", "duplicate", "contradiction_margin", "near_identical"),
)


@dataclass(frozen=True)
class Figures:
    """What a set of verdicts comes to, as shares. kept: of all pairs. wrong: wrong labels among the kept. flipped, ambiguous:
    (precision, recall) of what is dropped or turned around; copies: of what is dropped. f1: of dropping or mending bad pairs."""

    kept: float
    wrong: float
    flipped: tuple[float, float]
    ambiguous: tuple[float, float]
    copies: tuple[float, float]
    f1: float


@dataclass(frozen=True, eq=False)
class Case:
    """Planted pairs, how often each rater prefers the better response of the clear ones, and, by relabelling and by trial, which
    pairs are turned around and which are dropped."""

    flips: Flips
    seed: int
    pairs: Planted
    accuracy: Mapping[str, float]
    turned: Mapping[str, Bools]
    dropped: Mapping[str, Mapping[str, Bools]]

    def figures(self, relabel: str, names: Sequence[str]) -> Figures:
        """Of filters that are applied together; none keep all."""
        tables = self.dropped[relabel]
        none = np.zeros(len(self.pairs), bool)
        return figures(self.pairs, np.logical_or.reduce([none, *(tables[name] for name in names)]), self.turned[relabel])


def figures(pairs: Planted, dropped: Bools, turned: Bools) -> Figures:
    """Of any verdicts on the planted pairs."""
    flipped, ambiguous, kept, touched = pairs.flipped, pairs.ambiguous, ~dropped, dropped | turned
    wrong = kept & ~ambiguous & (flipped != turned)
    copy = np.flatnonzero(pairs.origin >= 0)
    first = pairs.origin[copy]
    gone = dropped[copy].astype(int) + dropped[first]
    settled = (gone == 1) | (pairs.turned[copy] & (gone == 2))
    related = np.zeros(len(pairs), bool)
    related[copy] = related[first] = True
    bad = flipped | ambiguous
    surplus = np.where(dropped[first] & ~dropped[copy], first, copy)  # either of the two may go
    bad[surplus[~bad[copy] & ~bad[first]]] = True
    dealt = dropped | (turned & ~ambiguous)
    return Figures(
        float(kept.mean()),
        _share(wrong.sum(), kept.sum()),
        _found(touched, flipped),
        _found(touched, ambiguous),
        (_found(dropped, related)[0], float(settled.mean())),
        _share(2 * (dealt & bad).sum(), dealt.sum() + bad.sum()),
    )


def _found(dropped: Bools, kind: Bools) -> tuple[float, float]:
    both = (dropped & kind).sum()
    return _share(both, dropped.sum()), _share(both, kind.sum())


def _share(some: Any, of: Any) -> float:
    return float(some) / float(of) if of else float("nan")


def measured(root: Path, n: int, flips: Flips, seed: int) -> Case:
    """Plant, cut, and let every trial judge every pair, before and after every relabelling."""
    pairs = planted(n, flips, seed)
    recipe, stored = stored_of(written(root / f"{flips}-{seed}", pairs, seed), 1)
    _, drafts = draft(stored, recipe)
    untouched = np.zeros(drafts.rows, bool)
    rows = pa.concat_tables([table for _, _, table in drafts.read(untouched)]).to_pylist()
    place = {prompt: i for i, prompt in enumerate(pairs.prompts)}
    at = np.array([place[row["prompt_id"]] for row in rows])
    for i, row in zip(at, rows, strict=True):
        assert (row["chosen_id"] == pairs.ids[i][0]) == (pairs.margin[i] > 0), "the cut chose another response than the label"

    def planted_order(verdicts: Bools) -> Bools:
        back = np.empty(n, bool)
        back[at] = verdicts
        return back

    clear, right = np.flatnonzero(~pairs.ambiguous), _right(pairs, at, drafts, stored)
    known = trials({name: float(right[name][clear[:GOLD]].mean()) for name in RATERS})
    turned, dropped = {}, {}
    for title, about in RELABELS.items():
        flip = relabelled(drafts, stored, with_changes(recipe, [f"relabel={json.dumps(about)}"]).relabel).flip
        names = COMBINED if title in COMBINED_AFTER else ()
        wanted = {name: t for name, t in known.items() if not title or not {name, name + AT_30}.isdisjoint(names)}
        turned[title] = planted_order(flip)
        dropped[title] = {name: planted_order(v) for name, v in _verdicts(wanted, recipe, drafts, stored, flip)}
    dropped[""][BY_LOT] = np.random.default_rng([seed, 2]).random(n) < DROP
    accuracy = {name: float(votes[clear].mean()) for name, votes in right.items()}
    return Case(flips, seed, pairs, accuracy, turned, dropped)


def _right(pairs: Planted, at: Ints, drafts: Drafts, stored: Stored) -> dict[str, Floats]:
    """For each rater: does it prefer the better response (1), the worse one (0), or neither?"""
    found = {}
    probes = [Against(name=name, annotator=name) for name in (*RATERS, "judge", "mc_dropout", "implicit_reward")]
    for probe, scores in zip(probes, scored(probes, drafts, stored, np.zeros(drafts.rows, bool)), strict=True):
        votes = np.empty(len(pairs))
        votes[at] = scores.values.filled(0.5)
        found[probe.name] = np.where(pairs.flipped, 1 - votes, votes)
    return found


def _verdicts(
    wanted: Mapping[str, Trial], recipe: Recipe, drafts: Drafts, stored: Stored, flip: Bools
) -> Iterator[tuple[str, Bools]]:
    """Which drafts each trial drops with each of its limits, which judge the same scores: no score here depends on a limit."""
    about = [{**t.about, **limits, "name": name + end} for name, t in wanted.items() for end, limits in t.limits.items()]
    rules = {f.name: f for f in with_changes(recipe, [f"filters={json.dumps(about)}"]).filters}
    firsts = [rules[name + next(iter(t.limits))] for name, t in wanted.items()]
    for (name, trial), found in zip(wanted.items(), scored(firsts, drafts, stored, flip), strict=True):
        for end in trial.limits:
            yield name + end, np.array([said is not None for said in rules[name + end].judge(found)])


def singles(cases: Sequence[Case]) -> list[tuple[str, ...]]:
    """A row for each filter, means over seeds; the first row is of all pairs, the second of pairs drawn by lot."""
    rows = [_row("no filter", [case.figures("", []) for case in cases])]
    for name in (BY_LOT, *(name for name in cases[0].dropped[""] if name != BY_LOT)):
        rows.append(_row(name, [case.figures("", [name]) for case in cases]))
    for title in filter(None, RELABELS):
        rows.append(_row(f"relabel: {title}", [case.figures(title, []) for case in cases]))
    return rows


def _row(name: str, found: Sequence[Figures]) -> tuple[str, ...]:
    kinds = [[getattr(f, kind) for f in found] for kind in ("flipped", "ambiguous", "copies")]
    shown = [" / ".join(_percent(np.mean(side), 0) for side in zip(*values, strict=True)) for values in kinds]
    wrong = [f.wrong for f in found]
    kept, f1 = (_percent(np.mean([getattr(f, name) for f in found]), 0) for name in ("kept", "f1"))
    return name, kept, f"{_percent(np.mean(wrong))} ± {_percent(np.std(wrong))}", *shown, f1


def _percent(share: Any, digits: int = 1) -> str:
    return "-" if np.isnan(share) else f"{100 * share:.{digits}f}"


@dataclass(frozen=True)
class Plan:
    """A relabelling and filters, applied together."""

    relabel: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        return ", ".join([*([f"relabel: {self.relabel}"] if self.relabel else []), *self.names]) or "no filter"


@cache
def plans() -> list[Plan]:
    """All combinations of up to three filters, as the pairs are and after relabelling."""
    some = [names for k in range(4) for names in combinations(COMBINED, k)]
    return [Plan(relabel, names) for relabel in COMBINED_AFTER for names in some]


@cache
def costs(case: Case) -> Floats:
    """Of every plan the share kept, the share wrong of it, and F1 [plans, 3]."""
    found = (case.figures(plan.relabel, plan.names) for plan in plans())
    return np.array([(f.kept, f.wrong, f.f1) for f in found])


def winners(cases: Sequence[Case]) -> list[tuple[str, ...]]:
    """Of each aim and size the best plan by the mean over every second seed, and its figures on the other seeds."""
    half = sorted({case.seed for case in cases})[::2]
    held_out = [case for case in cases if case.seed not in half] or cases
    kept, wrong, f1 = np.array([costs(case) for case in cases if case.seed in half]).transpose(2, 0, 1)
    aims = {
        f"fewest wrong, at least {LEAST:.0%} kept": np.where(kept.min(axis=0) >= LEAST, wrong.mean(axis=0), np.inf),
        f"most kept, at most {WRONG:.0%} wrong": np.where(wrong.max(axis=0) <= WRONG, -kept.mean(axis=0), np.inf),
        "best F1 of bad pairs": -f1.mean(axis=0),
    }
    sizes = [(size, after) for size in (1, 2, 3) for after in (False, True)]
    rows = []
    for (aim, cost), (size, after) in product(aims.items(), sizes):
        able = [i for i, plan in enumerate(plans()) if len(plan.names) == size and bool(plan.relabel) == after]
        cheapest = min(able, key=lambda i: float(cost[i]))
        if np.isfinite(cost[cheapest]):
            best = plans()[cheapest]
            rows.append((aim, *_row(str(best), [case.figures(best.relabel, best.names) for case in held_out])))
    return rows


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows)]
    return "\n".join([f"\n{title}\n", *lines])


HEADS = ("kept %", "wrong among kept %", "flipped P / R", "ambiguous P / R", "copies P / R", "F1 %")


def main() -> None:
    """Plant, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5000)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--flips", nargs="+", default=FLIPS[:2], choices=FLIPS)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cases = [measured(Path(folder), args.pairs, flips, seed) for flips in args.flips for seed in range(args.seeds)]
    of = {flips: [case for case in cases if case.flips == flips] for flips in args.flips}
    accuracy = [(name, *(_percent(np.mean([c.accuracy[name] for c in of[f]])) for f in of)) for name in cases[0].accuracy]
    print(table("how often raters prefer the better response, %", ("rater", *of), accuracy))
    for flips, mine in of.items():
        print(table(f"flips: {flips}", ("filter", *HEADS), singles(mine)))
    for flips, mine in (of | ({"all of these": cases} if len(of) > 1 else {})).items():
        print(table(f"the best, flips: {flips}", ("aim", "plan", *HEADS), winners(mine)))


if __name__ == "__main__":
    main()
