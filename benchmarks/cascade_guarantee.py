"""Does a calibrated cascade keep its promise, and what does routing cost? Simulated judges, no model.

Three judges of growing skill and cost answer items that are hard for all of them together; what a judge is sure of is right
more often, but its p is no calibrated probability. Every run draws fresh calibration items and finds thresholds, whose
disagreement is then measured on 200,000 items of the same kind. The promise: at most alpha in at least 1 - delta of the runs.
Then a budgeted router is fitted to one draw and its curve is drawn on 50,000 new items.

    python benchmarks/cascade_guarantee.py [--runs 500] [--items 500]
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pairwright.annotators.routing.budgeted import agreement
from pairwright.ids import seed_of
from pairwright.pipelines.calibration.calibrate import calibrate_budget, calibrate_cascade
from pairwright.pipelines.calibration.curves import apgr, cpt, curve
from pairwright.pipelines.calibration.judged import Judged

SKILL, COST, SILENT = (0.6, 0.9, 1.2), (1.0, 4.0, 20.0), 0.02
DELTA, ALPHAS = 0.1, (0.05, 0.1, 0.15)


@dataclass(frozen=True)
class World:
    """Answers of all judges to n items: confidence (nan: nothing readable) and whether it is right, each [judges, n]."""

    confidence: npt.NDArray[np.float64]
    correct: npt.NDArray[np.bool_]
    signal: npt.NDArray[np.float64]

    @classmethod
    def draw(cls, n: int, *name: object) -> World:
        """n items; `name` seeds them."""
        rng = np.random.default_rng(seed_of("cascade_guarantee", *name))
        ease = rng.normal(0, 0.8, n)
        signal = np.array([skill + ease + rng.normal(0, 0.6, n) for skill in SKILL])
        confidence = 1 / (1 + np.exp(-3 * np.abs(signal)))
        confidence[rng.random(signal.shape) < SILENT] = np.nan
        return cls(confidence, signal > 0, np.abs(signal))

    def judged(self, j: int) -> list[Judged]:
        """Judge j's answers as the calibration reads them."""
        said = ~np.isnan(self.confidence[j])
        rows = zip(said.tolist(), self.confidence[j].tolist(), self.correct[j].tolist(), self.signal[j].tolist(), strict=True)
        return [
            Judged(str(i), p, right, COST[j], features={"confidence": p, "margin": m})
            if ok
            else Judged(str(i), None, False, COST[j])
            for i, (ok, p, right, m) in enumerate(rows)
        ]

    def through(self, thresholds: list[float | None], prices: tuple[float, ...]) -> tuple[float, float | None, float]:
        """(coverage, disagreement of the accepted or None, cost of an item as a share of always asking the dearest judge)"""
        left = np.ones(self.correct.shape[1], bool)
        accepted, wrong, cost = 0, 0, 0.0
        for confidence, correct, price, threshold in zip(self.confidence, self.correct, prices, thresholds, strict=True):
            cost += price * left.sum()
            taken = left & (confidence >= threshold) if threshold is not None else np.zeros_like(left)
            accepted, wrong, left = accepted + int(taken.sum()), wrong + int((taken & ~correct).sum()), left & ~taken
        return accepted / len(left), wrong / accepted if accepted else None, cost / len(left) / COST[-1]


def guarantee(population: World, runs: int, items: int) -> None:
    """How often the promise is kept."""
    print(f"{runs} runs, {items} calibration items each, delta {DELTA}; judges alone agree", end=" ")
    print(", ".join(f"{x:.1%}" for x in population.correct.mean(1)))
    print(
        "judges     alpha  delta a stage  promised  kept   coverage  disagreement  cost (dearest of all, always = 1)  no verdict"
    )
    draws = [[w.judged(j) for j in range(len(SKILL))] for w in (World.draw(items, "run", run) for run in range(runs))]
    kinds = [("cheapest", 1, False), ("dearest", -1, False), ("all three", 3, False), ("all three", 3, True)]
    for name, count, whole in kinds:
        part = slice(count, None) if count < 0 else slice(count)
        judges = World(population.confidence[part], population.correct[part], population.signal[part])
        for alpha in ALPHAS:
            made = [calibrate_cascade(stages[part], alpha, DELTA, per_stage_delta=whole) for stages in draws]
            found = [judges.through(c.thresholds, COST[part]) for c in made]
            kept = np.mean([wrong is None or wrong <= alpha for _, wrong, _ in found])
            wrong = [w for _, w, _ in found if w is not None]
            coverage, cost = np.mean([c for c, _, _ in found]), np.mean([x for _, _, x in found])
            disagreement = f"{np.mean(wrong):.3f}" if wrong else "none"
            print(
                f"{name:<9}  {alpha:<5}  {made[0].stage_delta:<13.4f}  {1 - DELTA:<8.3f}  {kept:.3f}  {coverage:<8.3f}  "
                f"{disagreement:<12}  {cost:<33.3f}  {runs - len(wrong)} runs"
            )


def budget(items: int) -> None:
    """The curve of a budgeted router between the first and the last judge."""
    calibration, fresh = World.draw(items, "budget"), World.draw(50_000, "fresh")
    found = calibrate_budget(calibration.judged(0), calibration.judged(2), 0.3)
    cheap, strong = fresh.judged(0), fresh.judged(2)
    agrees = [None if x.p is None else agreement(found.model.weights, found.model.bias, dict(x.features)) for x in cheap]
    points = curve(agrees, cheap, strong)
    first, last = sum(bool(x.correct) for x in cheap) / len(cheap), points[-1].agreement
    print(f"\nbudgeted, fitted to {items} items (held out: AUROC {found.model.auroc:.3f}, ECE {found.model.ece:.3f})")
    print(f"always cheap: agreement {first:.3f}, cost {COST[0] / COST[2]:.3f}; always strong: {last:.3f}, cost 1")
    print("share to strong  agreement  drawn by lot  cost (always strong = 1)")
    for share in (0.1, 0.2, 0.3, 0.5, 0.7, 1.0):
        p = min(points, key=lambda p: abs(p.share - share))
        print(f"{p.share:<15.3f}  {p.agreement:<9.3f}  {first + p.share * (last - first):<12.3f}  {p.tokens / COST[2]:.3f}")
    line = [0.0, *(p.share for p in points)], [first, *(p.agreement for p in points)]
    recovered = ", ".join(f"CPT({q:.0%}) {cpt(*line, q):.3f}" for q in (0.2, 0.5, 0.8))
    print(f"APGR {apgr(*line):.3f} (0.5: drawn by lot); {recovered}")
    sent = sum(x is None or x < found.chosen.tau for x in agrees) / len(agrees)
    print(f"tau for a budget of 30 %: {found.chosen.tau:.3f}, which sends {sent:.1%} of the new items")


def main() -> None:
    """Simulate, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--items", type=int, default=500)
    args = parser.parse_args()
    started = time.process_time()
    guarantee(World.draw(200_000, "population"), args.runs, args.items)
    budget(args.items)
    print(f"\n{time.process_time() - started:.0f} s of CPU time")


if __name__ == "__main__":
    main()
