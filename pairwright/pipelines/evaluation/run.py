"""Run annotators over labelled groups: one runner and one journal, each model loaded once, one row per item and annotator."""

from __future__ import annotations

from collections.abc import Generator, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pairwright.annotators.base import Annotator
from pairwright.engines.base import ModelConfig
from pairwright.engines.journal import Journal
from pairwright.engines.pool import EnginePool
from pairwright.engines.requests import Request, Result
from pairwright.engines.runner import Broken, Runner, Stats, Task
from pairwright.errors import PairwrightError
from pairwright.files import exclusive
from pairwright.pipelines import annotate
from pairwright.pipelines.evaluation.labelled import Item
from pairwright.pipelines.evaluation.rows import Row, longer_wins, row_of
from pairwright.pipelines.mistakes import near
from pairwright.pipelines.preflight import preflight
from pairwright.pipelines.progress import Progress
from pairwright.pipelines.recipe import AnnotatorSpec, Recipe


@dataclass(frozen=True)
class Evaluated:
    """The rows, the baseline's first, then by annotator and item; what each annotator's labels depend on; what was paid now."""

    rows: list[Row]
    about: dict[str, dict[str, Any]]
    stats: Stats

    def of(self, annotator: str) -> list[Row]:
        """One annotator's rows."""
        return [row for row in self.rows if row["annotator"] == annotator]


@dataclass
class Plan:
    """What is to be evaluated. `limits`: annotator -> at most so many of the items, the first ones; without one, all."""

    specs: Sequence[AnnotatorSpec]
    models: Mapping[str, ModelConfig]
    items: Sequence[Item]
    limits: Mapping[str, int] = field(default_factory=dict)
    max_resident: int = 1
    max_waiting: int = 200_000

    def __post_init__(self) -> None:
        self.annotators: dict[str, Annotator[Any]] = {spec.name: spec.build() for spec in self.specs}
        self.pool = EnginePool(self.models, self.max_resident)

    def check(self) -> None:
        """Refuse before anything is paid for."""
        for name, annotator in self.annotators.items():
            for role, needs in annotator.roles().items():
                self.pool.require(role, needs, f"annotator {name}")
        preflight(self.annotators, self.pool)

    def about(self) -> dict[str, dict[str, Any]]:
        """By annotator: method, version, settings, and its models by fingerprint and label."""
        found = {}
        for spec in self.specs:
            models = {role: self.pool.model(role) for role in sorted(self.annotators[spec.name].roles())}
            labels = {role: self.pool.label(model) for role, model in models.items()}
            found[spec.name] = annotate.about(spec, self.annotators[spec.name], models) | {"labels": labels}
        return found

    def work(self) -> Iterator[tuple[str, Item]]:
        """Each annotator's name with each of its items, item by item."""
        for i, item in enumerate(self.items):
            for name in self.annotators:
                if i < self.limits.get(name, len(self.items)):
                    yield name, item


def plan_of(recipe: Recipe, items: Sequence[Item], names: Sequence[str] = ()) -> tuple[Plan, list[str]]:
    """A recipe's annotators, or those of them that are named, over `items`; and the names of those left out because their score
    does not say which response is better. Of the recipe only `annotators`, `models` and `run` matter."""
    known = [spec.name for spec in recipe.annotators]
    for name in names:
        if name not in known:
            raise PairwrightError(f"the recipe has no annotator {name!r}: it has {', '.join(known) or 'none'}{near(name, known)}")
    rating = {name: annotator.rates for name, annotator in recipe.built().items()}
    chosen = [spec for spec in recipe.annotators if not names or spec.name in names]
    left_out = [spec.name for spec in chosen if not rating[spec.name]]
    specs = [spec for spec in chosen if rating[spec.name]]
    if not specs:
        why = f": {', '.join(left_out)} gives no preference" if left_out else ""
        raise PairwrightError(f"there is no annotator to evaluate{why}; give the recipe `annotators` that prefer a response")
    return Plan(specs, recipe.models, items, max_resident=recipe.run.max_resident, max_waiting=recipe.run.max_waiting), left_out


def run(plan: Plan, out: Path, progress: Progress) -> Evaluated:
    """Evaluate. Answers are kept in `out`/journal, so that a stopped evaluation goes on; nothing else is written."""
    plan.check()
    work, rows, broken = list(plan.work()), dict[Any, Row](), list[tuple[Any, Exception]]()
    with exclusive(out / "lock", f"another evaluation in {out} is running: wait for it, or choose another `--out`"):
        journal = Journal(out / "journal")
        runner = Runner(plan.pool, journal, plan.max_waiting, lambda stats: progress.advance("evaluate", stats.tasks_done, stats))
        progress.begin("evaluate", len(work), "labels")
        try:
            for key, value in runner.run(_tasks(plan, work)):
                if isinstance(value, Broken):
                    broken.append((key, value.error))
                else:
                    rows[key] = value
        finally:
            journal.close()
            plan.pool.close()
        progress.end("evaluate", f"{runner.stats.run} requests, {runner.stats.from_journal} answered by the journal")
    if broken:
        (name, _), error = broken[0]
        raise PairwrightError(
            f"the annotator {name!r} raised {type(error).__name__} ({error}) and {len(broken)} labels are not made: mend the "
            "method and evaluate again; everything else is kept"
        )
    places = {name: i for i, name in enumerate(plan.annotators)}
    made = [rows[name, item.id] for name, item in sorted(work, key=lambda w: places[w[0]])]
    return Evaluated([*map(longer_wins, plan.items), *made], plan.about(), runner.stats)


def _tasks(plan: Plan, work: Sequence[tuple[str, Item]]) -> Iterator[tuple[Hashable, Task]]:
    specs = {spec.name: spec for spec in plan.specs}
    for name, item in work:
        yield (name, item.id), judged(specs[name], plan.annotators[name], item, plan.pool)


def judged(
    spec: AnnotatorSpec, annotator: Annotator[Any], item: Item, pool: EnginePool
) -> Generator[Sequence[Request], Sequence[Result], Row]:
    """Ask one annotator about one item and make its row, which says how the annotator is written in a recipe."""
    spent, money = [0.0, 0.0], [0.0]
    asked = annotate.metered(annotator.annotate(item.group), set(annotator.roles()), spent)
    annotations = yield from _priced(asked, pool, money)
    annotate.check_complete(item.group, annotations)
    written = {"use": spec.use, "settings": spec.model_dump(mode="json", exclude={"use", "name"})}
    return row_of(spec.name, item, annotations) | written | {"tokens": spent[0], "seconds": spent[1], "money": money[0]}


def _priced(task: Task, pool: EnginePool, money: list[float]) -> Generator[Sequence[Request], Sequence[Result], Any]:
    results: Sequence[Result] | None = None
    while True:
        try:
            requests = next(task) if results is None else task.send(results)
        except StopIteration as stop:
            return stop.value
        results = yield requests
        for request, result in zip(requests, results, strict=True):
            money[0] += pool.money(pool.model(request.role), result.usage)
