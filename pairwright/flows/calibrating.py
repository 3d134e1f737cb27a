"""`pairwright calibrate`: from the per-item files of `pairwright evaluate` to the settings of a router."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pairwright.errors import PairwrightError
from pairwright.files import write_text

if TYPE_CHECKING:
    from pairwright.pipelines.calibration.calibrate import BudgetCalibration, CascadeCalibration
    from pairwright.pipelines.calibration.judged import Judges


def calibrate(
    files: Annotated[list[Path], typer.Argument(help="items.jsonl of `evaluate`, cheapest annotator first", metavar="FILES...")],
    alpha: Annotated[float, typer.Option(help="the share of verdicts that may disagree with the labels")] = 0.15,
    delta: Annotated[float, typer.Option(help="how probable it may be that more do")] = 0.1,
    budget: Annotated[float | None, typer.Option(help="two judges: the share to send to the strong one; no cascade then")] = None,
    out: Annotated[Path | None, typer.Option(help="write the recipe's part here; default: print it")] = None,
    per_stage_delta: Annotated[bool, typer.Option(help="give every stage the whole delta, as the paper's code does")] = False,
) -> None:
    """Turn what `evaluate` measured into a cascade's thresholds, or with --budget into a router between two judges."""
    from pairwright.flows import screen
    from pairwright.pipelines.calibration.calibrate import calibrate_budget, calibrate_cascade
    from pairwright.pipelines.calibration.judged import read_judged

    found = read_judged(files)
    names, answers = list(found), list(found.values())
    calibration: CascadeCalibration | BudgetCalibration
    if budget is None:
        calibration = calibrate_cascade(answers, alpha, delta, names, per_stage_delta)
        _show_cascade(calibration)
        if not calibration.accepted:
            raise PairwrightError(
                "there is no cascade to put into a recipe, for none of its stages would ever decide: give more labelled items, a "
                "larger --alpha, or better judges"
            )
    elif len(names) != 2:
        raise PairwrightError(
            f"a budgeted router has a cheap and a strong judge, but the files hold {', '.join(names)}: give two"
        )
    else:
        calibration = calibrate_budget(answers[0], answers[1], budget, names)
        _show_budget(calibration)
    if out is None:
        screen.out.print("\n" + calibration.to_recipe(), markup=False, highlight=False, soft_wrap=True)
    else:
        write_text(out, calibration.to_recipe())
        screen.out.print(f"wrote {out}", markup=False, highlight=False)


def _show_cascade(c: CascadeCalibration) -> None:
    from pairwright.flows import screen

    rows = [
        (
            s.name,
            s.asked,
            s.silent,
            s.threshold.value if s.threshold else "none qualifies",
            s.accepted,
            s.right / s.accepted if s.accepted else None,
            s.threshold.bound if s.threshold else None,
        )
        for s in c.stages
    ]
    columns = ("stage", "asked", "no answer", "threshold", "accepted", "agree", "error bound")
    screen.table(f"a cascade for disagreement of at most {c.alpha:g} with probability {1 - c.delta:g}", columns, rows)
    if not c.accepted:
        _say(f"no threshold qualifies on these {c.judges.n} items: this cascade would never decide, every item would abstain")
    agreement = "no verdict" if c.agreement is None else f"agreement {c.agreement:.1%}"
    _say(f"{c.judges.n} items: coverage {c.coverage:.1%}, {agreement}; an item costs {_costs(c.tokens, c.seconds, c.money)}")
    last = c.judges.answers[-1]
    alone = [sum(getattr(x, k) for x in last) / len(last) for k in ("cost_tokens", "cost_seconds", "cost_money")]
    _say(f"{c.judges.names[-1]} alone: agreement {sum(bool(x.correct) for x in last) / len(last):.1%}, {_costs(*alone)} an item")
    _left_out(c.judges)


def _show_budget(c: BudgetCalibration) -> None:
    from pairwright.flows import screen

    cheap, strong = c.judges.names
    shown = [c.points[round(k * (len(c.points) - 1) / 10)] for k in range(11)] if len(c.points) > 11 else list(c.points)
    rows = [
        (p.share, p.tau, p.agreement, p.tokens, p.seconds, p.money) for p in sorted({*shown, c.chosen}, key=lambda p: p.share)
    ]
    columns = (f"share to {strong}", "tau", "agree", "tokens", "seconds", "money")
    screen.table(f"{cheap}, and {strong} where it pays", columns, rows)
    _say(f"taken: tau {c.chosen.tau:.4g}, {c.chosen.share:.1%} of {c.judges.n} items to {strong} (budget {c.budget:.1%})")
    if c.chosen.share > c.budget:
        _say(f"more than the budget: {cheap} says nothing readable about them, or a feature is missing")
    _say(f"alone: {cheap} {c.cheap:.1%}, {strong} {c.strong:.1%}")
    recovered = ", ".join(f"CPT({q:.0%}) {_number(c.cpt(q))}" for q in (0.2, 0.5, 0.8))
    _say(f"held out: AUROC {c.model.auroc:.3f}, ECE {c.model.ece:.3f}; APGR {_number(c.apgr)}, {recovered}")
    _left_out(c.judges)


def _left_out(judges: Judges) -> None:
    if judges.unmatched or judges.unlabelled:
        _say(f"left out: {judges.unmatched} items not judged by all, {judges.unlabelled} without a gold label")


def _costs(tokens: float, seconds: float, money: float) -> str:
    return f"{tokens:,.0f} tokens, {seconds:.3g} s" + (f", {money:.4g} money" if money else "")


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def _say(text: str) -> None:
    from pairwright.flows import screen

    screen.out.print(text, markup=False, highlight=False)
