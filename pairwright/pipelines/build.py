"""The build: one plan over shelves of finished work. For preference pairs it is prompts -> sample -> annotate -> cut -> publish,
for step labels prompts -> search -> judge -> cut -> publish.

Everything that is already on a shelf is left alone, so a killed build goes on where it stopped, and a changed pair rule, filter,
annotator or prompt set runs only what it has to.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pairwright.annotators.base import Group
from pairwright.engines.journal import Journal
from pairwright.engines.models import pinned
from pairwright.engines.pool import EnginePool
from pairwright.engines.requests import AWAITING, TRANSIENT, with_system
from pairwright.engines.runner import Broken, Runner, Stats, Task
from pairwright.errors import PairwrightError
from pairwright.files import exclusive, remove_temporaries
from pairwright.ids import digest
from pairwright.pipelines import annotate, sample
from pairwright.pipelines.cut import Stored, cut
from pairwright.pipelines.emptied import check_left
from pairwright.pipelines.preflight import preflight
from pairwright.pipelines.progress import Progress
from pairwright.pipelines.prompts.rows import Prompt
from pairwright.pipelines.prompts.sources import PromptSet, read_prompts
from pairwright.pipelines.publish import Draft, Part, ReadPrompts, publish
from pairwright.pipelines.publish_pairs import PairPart
from pairwright.pipelines.recipe import AnnotatorSpec, Recipe
from pairwright.pipelines.step_labels.consensus import must_judge
from pairwright.pipelines.step_labels.stepwise import Labelled, labelled
from pairwright.pipelines.steps import search
from pairwright.pipelines.steps.config import StepsConfig
from pairwright.pipelines.steps.cut import VERSION as STEPS_VERSION
from pairwright.pipelines.steps.cut import StoredSteps, cut_steps
from pairwright.pipelines.steps.publish import StepPart
from pairwright.pipelines.store import Shelf
from pairwright.storage.schemas import ANNOTATIONS, RESPONSES, STEPS
from pairwright.storage.versions import Dataset

VERSION = 2  # raise it when the same shelves and settings would be cut into other pairs
Span = tuple[int, int]  # this one of so many: (0, 1) is everything


@dataclass(frozen=True)
class Result:
    """What a build came to: the version, and whether it is new."""

    version: int
    new: bool


@dataclass
class Build:
    """One recipe at work. `base`: the folder relative prompt paths start from."""

    recipe: Recipe
    base: Path
    progress: Progress = field(default_factory=Progress)
    pool: EnginePool = field(default_factory=lambda: EnginePool({}))
    spent: dict[str, dict[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        models = pinned(self.recipe.models)
        self.newest = {role: model.label() for role, model in models.items() if model != self.recipe.models[role]}
        if self.newest:
            self.recipe = self.recipe.model_copy(update={"models": models})
        self.pool.roles = dict(self.recipe.models)
        self.pool.max_resident = self.recipe.run.max_resident
        self.annotators = self.recipe.built()

    @cached_property
    def dataset(self) -> Dataset:
        """The dataset this build makes a version of."""
        return Dataset(Path(self.recipe.root), self.recipe.dataset)

    @property
    def work(self) -> Path:
        """Where unfinished and finished stages lie, apart from the versions."""
        return self.dataset.folder / "_work"

    @cached_property
    def prompts(self) -> PromptSet:
        """The recipe's prompts, read once."""
        return read_prompts(self.recipe.prompts, self.base)

    @cached_property
    def by_id(self) -> dict[str, Prompt]:
        """The prompts by id."""
        return {p.prompt_id: p for p in self.prompts.prompts}

    @property
    def shelves(self) -> dict[str, Shelf]:
        """Every shelf this recipe fills, by stage."""
        found: dict[str, Shelf] = {}
        if self.recipe.annotators:
            found["sample"] = self.samples
            found |= {f"annotate {name}": shelf for name, shelf in self.annotations.items()}
        if self.recipe.steps is not None:
            found["search"] = self.searches
            found |= {"judge": self.judgements} if self.recipe.steps.judge else {}
        return found

    @cached_property
    def samples(self) -> Shelf:
        """The shelf of responses."""
        about = sample.about(self.recipe.sample, self.pool.model(sample.ROLE))
        return Shelf(self.work / "sample", RESPONSES, "prompt_id", about)

    @cached_property
    def annotations(self) -> dict[str, Shelf]:
        """The shelf of each annotator, by its name in the recipe."""
        return {spec.name: self._annotation_shelf(spec) for spec in self.recipe.annotators}

    def _annotation_shelf(self, spec: AnnotatorSpec) -> Shelf:
        annotator = self.annotators[spec.name]
        about = annotate.about(spec, annotator, {role: self.pool.model(role) for role in annotator.roles()})
        return Shelf(self.work / "annotate" / spec.use, ANNOTATIONS, "group_id", about)

    @cached_property
    def steps(self) -> StepsConfig:
        """The recipe's part about step labels."""
        if self.recipe.steps is None:
            raise PairwrightError(f"the recipe of {self.recipe.dataset} has no `steps`: add them to search for step labels")
        return self.recipe.steps

    @cached_property
    def searches(self) -> Shelf:
        """The shelf of search trees."""
        models = {role: self.pool.model(role) for role in self.steps.method().roles(self.steps.completer)}
        return Shelf(self.work / "search", STEPS, "question_id", search.about(self.steps, models))

    @cached_property
    def judgements(self) -> Shelf:
        """The shelf of a judge's words about solutions."""
        models = {role: self.pool.model(role) for role in self.steps.role_needs()}
        return Shelf(
            self.work / "judge", ANNOTATIONS, "subject_id", search.about_judge(self.steps, self.searches.fingerprint, models)
        )

    def check(self) -> None:
        """Refuse before anything is paid for: roles without a model, engines that cannot do what is asked of them, filters whose
        files are not there."""
        for f in self.recipe.filters:
            f.check()
        for role, needs in self.recipe.role_needs().items():
            for who, wants in needs.items():
                self.pool.require(role, wants, who)
        if any(not shelf.files() for shelf in self.annotations.values()):
            preflight(self.annotators, self.pool)

    @property
    def key(self) -> str:
        """Equal for two builds that must come to the same version."""
        prompts = sorted([p.prompt_id, p.reference or "", list(p.tags), p.count] for p in self.by_id.values())
        parts: list[Any] = []
        if self.recipe.annotators:
            parts += [self.samples.fingerprint, {n: s.fingerprint for n, s in self.annotations.items()}, prompts]
            failed = [shelf.failed(TRANSIENT) for shelf in (self.samples, *self.annotations.values())]
            parts += [VERSION, failed, self.recipe.cut_about()]
        if self.recipe.steps is not None:
            shelves = [shelf for stage, shelf in self.shelves.items() if stage in ("search", "judge")]
            parts += [STEPS_VERSION, prompts, [[s.fingerprint, s.failed(TRANSIENT)] for s in shelves]]
            parts += [json.loads(self.steps.labels.model_dump_json())]
        return digest(*parts)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the dataset's build lock and clear away what a killed build left half-written."""
        busy = f"another build of {self.dataset.folder} is running: wait for it, or choose another `dataset`"
        with exclusive(self.work / "lock", busy):
            left = remove_temporaries(self.work) + self.dataset.clean_staging()
            if left:
                self.progress.note(f"removed {left} unfinished files of a build that was killed")
            for role, label in self.newest.items():
                self.progress.note(f"{role} is {label}, the newest whole checkpoint")
            again = sum(shelf.forget(TRANSIENT) for shelf in self.shelves.values())
            if again:
                self.progress.note(f"{again} prompts or groups failed for a reason that may have passed: they are tried again")
            try:
                yield
            finally:
                self.pool.close()

    def run(self, force: bool = False) -> Result:
        """Everything, from prompts to a version. `force`: a new version even if it would equal the last one."""
        self.check()
        with self.alone():
            for stage in self.stages():
                getattr(self, stage)()
            return self.publish(force)

    def stages(self) -> list[str]:
        """The stages that ask models, in order; each is a method that takes a span."""
        return [
            *(["sample", "annotate"] if self.recipe.annotators else []),
            *(["search"] if self.recipe.steps else []),
            *(["judge"] if self.recipe.steps and self.recipe.steps.judge else []),
        ]

    def missing_prompts(self, span: Span = (0, 1)) -> list[Prompt]:
        """The prompts of this span that have no responses yet."""
        done = self.samples.keys()
        return [p for p in self._span(self.prompts.prompts, span) if p.prompt_id not in done]

    def sample(self, span: Span = (0, 1)) -> None:
        """Sample the responses of the prompts that have none."""
        missing, label = self.missing_prompts(span), self.recipe.models[sample.ROLE].label()
        tasks = ((p.prompt_id, sample.sample_prompt(p, self.recipe.sample, self.samples.fingerprint, label)) for p in missing)
        self._run("sample", tasks, len(missing), "prompts", lambda key: self.samples)

    def annotate(self, span: Span = (0, 1)) -> None:
        """Run every annotator over the groups it has not seen, all in one pass over the models."""
        first = {shelf.fingerprint: name for name, shelf in reversed(self.annotations.items())}
        specs = [s for s in self.recipe.annotators if s.name in first.values()]  # equal annotators share a shelf: one runs
        done = {s.name: self.annotations[s.name].keys() for s in specs}
        total = 0
        for group in self.groups(span):
            total += sum(group.id not in keys for keys in done.values())

        def tasks() -> Iterator[tuple[Hashable, Task]]:
            for group in self.groups(span):
                for spec in specs:
                    if group.id not in done[spec.name]:
                        fingerprint = self.annotations[spec.name].fingerprint
                        task = annotate.annotate_group(self.annotators[spec.name], spec, fingerprint, group)
                        yield (spec.name, group.id), task

        self._run("annotate", tasks(), total, "labels", lambda key: self.annotations[key[0]])
        asking = [s.name for s in specs if any("review" in needs for needs in self.annotators[s.name].roles().values())]
        if waiting := sum(len(self.annotations[name].failed(frozenset({AWAITING}))) for name in asking):
            self.progress.note(f"{waiting} groups wait for people: `pairwright review export` writes the sheet they answer on")

    def missing_questions(self, span: Span = (0, 1)) -> list[Prompt]:
        """The questions of this span that have no tree yet; another reference makes another question."""
        done = self.searches.keys()
        return [p for p in self._span(self.prompts.prompts, span) if search.question(p).id not in done]

    def search(self, span: Span = (0, 1)) -> None:
        """Grow the trees of the questions that have none."""
        missing, label = self.missing_questions(span), self.recipe.models[self.steps.completer].label()
        if missing:
            self.searches.announce()
        tasks = ((p.prompt_id, search.search_question(p, self.steps, label)) for p in missing)
        self._run("search", tasks, len(missing), "questions", lambda key: self.searches)

    def judge(self, span: Span = (0, 1)) -> None:
        """Let the judge read the solutions whose label it could still confirm or refute."""
        prompts = {p.prompt_id: p for p in self._span(self.prompts.prompts, span)}
        done, todo = self.judgements.keys(), list[tuple[Prompt, Labelled]]()
        for log in search.logs(self.searches.files(), prompts):
            solutions, _ = labelled(log, self.steps.labels, filtered=True)
            todo += [(prompts[log.prompt_id], s) for s in must_judge(solutions) if s.solution_id not in done]
        fingerprint = self.judgements.fingerprint
        tasks = ((s.solution_id, search.judge_solution(p, s, self.steps, fingerprint)) for p, s in todo)
        self._run("judge", tasks, len(todo), "solutions", lambda key: self.judgements)

    def groups(self, span: Span = (0, 1)) -> Iterator[Group]:
        """The groups of this span's prompts."""
        prompts = {p.prompt_id: p for p in self._span(self.prompts.prompts, span)}
        return annotate.groups(self.samples.files(), prompts, self.recipe.sample)

    def stored(self) -> Stored:
        """The finished files that a cut of this recipe reads."""
        files = {name: shelf.files() for name, shelf in self.annotations.items()}
        return Stored(self.by_id, self.samples.files(), files)

    def stored_steps(self) -> StoredSteps:
        """The finished files that a cut of this recipe's step labels reads."""
        judged = self.judgements.files() if self.steps.judge else []
        return StoredSteps(self.by_id, self.searches.files(), judged)

    def publish(self, force: bool = False) -> Result:
        """Cut pairs and commit a version, unless the latest one is already what this recipe comes to."""
        latest = self.dataset.latest()
        if latest is not None and not force and self.dataset.manifest(latest).build_key == self.key:
            return Result(latest, new=False)
        parts: list[Part] = []
        system = self.recipe.steps.system if self.recipe.steps else None
        if self.recipe.annotators:
            stored, system = self.stored(), self.recipe.sample.system
            parts.append(PairPart(self.recipe, stored, cut(stored, self.recipe)))
        if self.recipe.steps is not None:
            found = self.stored_steps()
            parts.append(StepPart(found, cut_steps(found, self.steps)))
        check_left(parts)
        shown_prompts = [replace(p, messages=with_system(system, p.messages)) for p in self.prompts.prompts]
        seen = ReadPrompts(replace(self.prompts, prompts=shown_prompts))
        models = {
            r: {"label": m.label(), "fingerprint": self.pool.model(r), "model": getattr(m, "model", None)}
            for r, m in self.recipe.models.items()
        }
        draft = Draft(self.dataset, self.recipe, seen, parts, models, self.spent, self.key)
        return Result(publish(draft), new=True)

    def _span(self, prompts: Sequence[Prompt], span: Span) -> Sequence[Prompt]:
        """Explicit ranges, so that no remainder is lost."""
        part, of = span
        return prompts[len(prompts) * part // of : len(prompts) * (part + 1) // of]

    def _run(
        self,
        stage: str,
        tasks: Iterable[tuple[Hashable, Task]],
        total: int,
        unit: str,
        shelf_of: Callable[[Any], Shelf],
    ) -> None:
        """Run a stage's tasks; every `shard_prompts` finished ones of a shelf become a file."""
        self.progress.begin(stage, total, unit)
        if total == 0:
            self.progress.end(stage, "nothing left to do")
            return
        journal = Journal(self.work / "journal")
        runner = Runner(
            self.pool,
            journal,
            self.recipe.run.max_waiting,
            lambda stats: self.progress.advance(stage, stats.tasks_done, stats),
        )
        waiting: dict[str, list[list[dict[str, Any]]]] = {}
        shelves: dict[str, Shelf] = {}
        broken: list[tuple[Any, Exception]] = []
        try:
            for key, rows in runner.run(tasks):
                if isinstance(rows, Broken):
                    broken.append((key, rows.error))
                    continue
                shelf = shelf_of(key)
                shelves[shelf.fingerprint] = shelf
                batch = waiting.setdefault(shelf.fingerprint, [])
                batch.append(rows)
                if len(batch) >= self.recipe.run.shard_prompts:
                    shelf.add([row for group in waiting.pop(shelf.fingerprint) for row in group])
        finally:
            for fingerprint, batch in waiting.items():
                shelves[fingerprint].add([row for group in batch for row in group])
            journal.close()
        self.spent[stage] = {k: round(float(v), 3) for k, v in asdict(runner.stats).items()}
        self.progress.end(stage, _summary(runner.stats))
        if broken:
            raise _defect(broken)


def _summary(stats: Stats) -> str:
    saved = f", {stats.from_journal} answered by the journal" if stats.from_journal else ""
    return f"{stats.run} requests{saved}, {stats.failed} failed, {stats.forwarded:,.0f} tokens computed"


def _defect(broken: Sequence[tuple[Any, Exception]]) -> PairwrightError:
    key, error = broken[0]
    who = f"the annotator {key[0]!r}" if isinstance(key, tuple) else "sampling"
    return PairwrightError(
        f"{who} raised {type(error).__name__} ({error}) and {len(broken)} labels are not made: mend the method and build again; "
        "everything else is kept"
    )
