"""From judged items to a router's settings: thresholds of a cascade, or weights and tau of a budgeted router."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pairwright.annotators.routing.budgeted import agreement
from pairwright.errors import PairwrightError
from pairwright.pipelines.calibration.agreement_model import AgreementModel, fit
from pairwright.pipelines.calibration.curves import Point, apgr, cpt, curve
from pairwright.pipelines.calibration.judged import Judged, Judges, joined, rescaled
from pairwright.pipelines.calibration.thresholds import Threshold, fixed_sequence


@dataclass(frozen=True, slots=True)
class CalibratedStage:
    """What a stage did on the calibration items that came to it (`asked`): `silent` of them it said nothing readable about,
    `accepted` reached its threshold, `right` of those agree with gold. threshold: None if none qualified, so that it accepts
    nothing. slope: what the p of an annotator that rates was made with (`Member.slope`)."""

    name: str
    threshold: Threshold | None
    asked: int
    silent: int
    accepted: int
    right: int
    slope: float | None = None


@dataclass(frozen=True, slots=True)
class CascadeCalibration:
    """Thresholds of a cascade and what it did on the `judges` they were found on; figures on new items will be a little lower.

    tokens, seconds, money: mean cost of an item in the cascade.
    """

    alpha: float
    delta: float
    stage_delta: float
    stages: tuple[CalibratedStage, ...]
    judges: Judges
    tokens: float
    seconds: float
    money: float

    @property
    def thresholds(self) -> list[float | None]:
        """One a stage; None where nothing qualified."""
        return [None if s.threshold is None else s.threshold.value for s in self.stages]

    @property
    def accepted(self) -> int:
        """Items that got a verdict."""
        return sum(s.accepted for s in self.stages)

    @property
    def coverage(self) -> float:
        """Share of the items that got a verdict; the others abstain."""
        return self.accepted / self.judges.n

    @property
    def agreement(self) -> float | None:
        """Share of the verdicts that agree with gold; None if there is no verdict."""
        return sum(s.right for s in self.stages) / self.accepted if self.accepted else None

    @property
    def mix(self) -> list[float] | None:
        """Share of the verdicts that each stage gave; None if there is no verdict."""
        return [s.accepted / self.accepted for s in self.stages] if self.accepted else None

    def to_recipe(self) -> str:
        """The annotator as YAML, with each judge's own settings (of older files only its name: `Judges.members`)."""
        stages = [
            {**member, **({} if s.slope is None else {"slope": s.slope}), "threshold": t}
            for member, s, t in zip(self.judges.members, self.stages, self.thresholds, strict=True)
        ]
        note = (
            f"disagreement with gold at most {self.alpha:g} with probability {1 - self.delta:g}"
            if self.stage_delta < self.delta or len(stages) == 1
            else f"each stage on its own: disagreement with gold at most {self.alpha:g} with probability {1 - self.delta:g}"
        )
        return _yaml({"use": "cascade", "final": "abstain", "stages": stages}, f"{note}; {self.judges.n} items", self.judges)


def calibrate_cascade(
    stages: Sequence[Sequence[Judged]],
    alpha: float,
    delta: float,
    names: Sequence[str] | None = None,
    per_stage_delta: bool = False,
    min_n: int = 30,
) -> CascadeCalibration:
    """Thresholds for a cascade of the judges `stages`, cheapest first, so that its verdicts disagree with gold in at most a
    share `alpha`, with probability 1 - `delta`. Stage j is calibrated on the items that no stage before it accepted.

    By default each of the J stages gets delta / J, so that all bounds hold together (union bound; ours). per_stage_delta: each
    gets the whole delta, as in the published code; then the bound is each stage's own. Answers that cannot be read abstain;
    they are counted.
    """
    for name, value in (("alpha", alpha), ("delta", delta)):
        if not 0 < value < 1:
            raise PairwrightError(f"{name} is {value:g}: give a number between 0 and 1, for example 0.1")
    made = [rescaled(rows) for rows in stages]
    judges = joined(dict(zip(_names(names, len(stages)), (rows for rows, _ in made), strict=True)))
    stage_delta = delta if per_stage_delta else delta / len(stages)
    left, done = list(range(judges.n)), []
    costs = [0.0, 0.0, 0.0]
    for name, answers, (_, slope) in zip(judges.names, judges.answers, made, strict=True):
        said = [i for i in left if answers[i].p is not None]
        confidence = {i: float(answers[i].confidence or 0.0) for i in said}
        correct = [bool(answers[i].correct) for i in said]
        found = fixed_sequence(list(confidence.values()), correct, alpha, stage_delta, min_n)
        taken = [i for i in said if found is not None and confidence[i] >= found.value]
        right = sum(bool(answers[i].correct) for i in taken)
        done.append(CalibratedStage(name, found, len(left), len(left) - len(said), len(taken), right, slope))
        for i in left:
            costs = [c + x for c, x in zip(costs, _cost(answers[i]), strict=True)]
        gone = set(taken)
        left = [i for i in left if i not in gone]
    return CascadeCalibration(alpha, delta, stage_delta, tuple(done), judges, *(c / judges.n for c in costs))


@dataclass(frozen=True, slots=True)
class BudgetCalibration:
    """A budgeted router. points: the curve over tau, from held-out probabilities; chosen: the point of that curve that was
    taken, with the tau that sends its share by the probabilities of the final model.

    cheap, strong: agreement of either judge alone on the same items (no verdict does not agree). apgr: 0.5 is a router that
    draws lots.
    """

    budget: float
    model: AgreementModel
    points: tuple[Point, ...]
    chosen: Point
    judges: Judges
    cheap: float
    strong: float

    @property
    def _line(self) -> tuple[list[float], list[float]]:
        """Shares and agreements from share 0, the cheap judge alone, even where some items always go to the strong one."""
        start = [] if self.points[0].share == 0 else [(0.0, self.cheap)]
        line = [*start, *((p.share, p.agreement) for p in self.points)]
        return [x for x, _ in line], [y for _, y in line]

    @property
    def apgr(self) -> float | None:
        """Average performance gap recovered (`curves.apgr`)."""
        return apgr(*self._line)

    def cpt(self, q: float) -> float | None:
        """The smallest share with which a part `q` of the gap is recovered (`curves.cpt`)."""
        return cpt(*self._line, q)

    def to_recipe(self) -> str:
        """The annotator as YAML, with each judge's own settings (of older files only its name: `Judges.members`)."""
        cheap, strong = self.judges.members
        settings = {"weights": self.model.weights, "bias": self.model.bias, "tau": self.chosen.tau}
        note = f"the strong judge is asked about {self.chosen.share:.1%} of {self.judges.n} items"
        return _yaml({"use": "budgeted", "cheap": cheap, "strong": strong, **settings}, note, self.judges)


def calibrate_budget(
    cheap: Sequence[Judged], strong: Sequence[Judged], budget: float, names: Sequence[str] | None = None
) -> BudgetCalibration:
    """Fit when the cheap judge agrees with gold, and send the items where it is least likely to the strong judge, as far as
    `budget` (the share of items it may be asked about) allows. Items about which the cheap judge says nothing readable go there
    in any case, even beyond the budget."""
    if not 0 <= budget <= 1:
        raise PairwrightError(f"the budget is {budget:g}: give the share of items the strong judge may be asked about, 0 to 1")
    judges = joined(dict(zip(_names(names, 2), (cheap, strong), strict=True)))
    model = fit(judges.answers[0])
    final = [
        None if held_out is None else agreement(model.weights, model.bias, answer.features)
        for held_out, answer in zip(model.held_out, judges.answers[0], strict=True)
    ]
    wanted = _within(curve(final, *judges.answers), budget)
    points = curve(model.held_out, *judges.answers)
    chosen = _within(points, wanted.share)._replace(tau=wanted.tau)
    alone = [sum(bool(x.correct) for x in answers) / judges.n for answers in judges.answers]
    return BudgetCalibration(budget, model, tuple(points), chosen, judges, *alone)


def _within(points: Sequence[Point], share: float) -> Point:
    """The point with the largest share that is at most `share`, or else the first one."""
    return max((p for p in points if p.share <= share), key=lambda p: p.share, default=points[0])


def _names(names: Sequence[str] | None, count: int) -> Sequence[str]:
    if names is None:
        return [f"stage_{i}" for i in range(count)]
    if len(names) != count or len(set(names)) < count:
        raise PairwrightError(f"{count} judges need {count} different names, not {', '.join(names)}")
    return names


def _cost(answer: Judged) -> tuple[float, float, float]:
    return answer.cost_tokens, answer.cost_seconds, answer.cost_money


def _yaml(annotator: dict[str, Any], note: str, judges: Judges) -> str:
    import yaml

    head = f"# calibrated: {note}\n" + ("" if judges.described else "# put each `use`'s own settings beside it\n")
    return head + yaml.safe_dump({"annotators": [annotator]}, sort_keys=False)
