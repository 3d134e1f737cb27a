"""The build as a Prefect flow: the same plan as `Build.run` in four coarse tasks, and the schedule that runs it.

Tasks get the recipe, a span and sums, never rows: what they make lies on shelves on disk, so a task that is run again, here or
elsewhere, does only what is missing. Prefect adds retries, schedules, artifacts and task runners; the truth stays on disk.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pairwright.engines.pool import EnginePool
from pairwright.engines.runner import Stats
from pairwright.errors import EngineError, PairwrightError
from pairwright.files import write_text
from pairwright.flows.prefect_env import api_configured
from pairwright.pipelines.build import Build, Result, Span
from pairwright.pipelines.progress import Progress
from pairwright.pipelines.prompts.sources import PromptSet
from pairwright.pipelines.recipe import Recipe, load_recipe
from pairwright.storage.manifest import Manifest

ROBUST = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # a fresh home on a busy machine needs more than the usual 20
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
    "DO_NOT_TRACK": "1",
}
QUIET = {"PREFECT_LOGGING_LEVEL": "WARNING", "PREFECT_LOGGING_LOGGERS_PREFECT_TASK_RUNS_LEVEL": "INFO"}
for _name, _value in ROBUST.items() if "prefect" in sys.modules else (ROBUST | QUIET).items():
    os.environ.setdefault(_name, _value)

from prefect import Task, flow, get_run_logger, runtime, task  # noqa: E402 - Prefect reads its settings when it is imported
from prefect.artifacts import create_markdown_artifact, create_table_artifact  # noqa: E402
from prefect.cache_policies import NO_CACHE  # noqa: E402
from prefect.client.schemas.schedules import CronSchedule  # noqa: E402
from prefect.deployments.runner import EntrypointType  # noqa: E402
from prefect.futures import wait  # noqa: E402
from prefect.settings import get_current_settings  # noqa: E402
from prefect.states import Failed, State  # noqa: E402

Settings = dict[str, Any]  # a checked recipe as plain JSON, with only what was set
Paid = dict[str, float]
PROMPTS: TypeAdapter[PromptSet] = TypeAdapter(PromptSet)
SAY_EVERY_S = 30.0

_turn = threading.RLock()


@cache
def _engines() -> EnginePool:
    """The engines of this process: a model is loaded once, however many tasks ask it. Held while `_turn` is."""
    return EnginePool({})


def _free() -> None:
    """Free every model; what is left in a broken engine's queue must not meet the next task."""
    with _turn:
        _engines().close()
        _engines.cache_clear()


class LogProgress(Progress):
    """Tells the run's logger when a stage begins and ends, and in between how far it is, twice a minute."""

    def __init__(self, log: Any) -> None:
        self.log = log
        self.said = time.monotonic()
        self.of = ""

    def begin(self, stage: str, total: int, unit: str) -> None:
        self.of = f"of {total:,} {unit}"
        self.log.info("%s: %s %s to do", stage, f"{total:,}", unit)

    def advance(self, stage: str, done: int, stats: Stats) -> None:
        if time.monotonic() - self.said > SAY_EVERY_S:
            self.said = time.monotonic()
            self.log.info("%s: %s %s, %s tokens, %s failed", stage, f"{done:,}", self.of, f"{stats.tokens:,}", stats.failed)

    def end(self, stage: str, note: str) -> None:
        self.log.info("%s: %s", stage, note)

    def note(self, text: str) -> None:
        self.log.warning("%s", text)


class TaskBuild(Build):
    """A build whose prompts are those that `prepare` wrote down: all tasks see the same ones, even if their source grows."""

    @property
    def frozen(self) -> Path:
        """The file that `prepare` wrote."""
        return self.work / "prompts.json"

    @cached_property
    def prompts(self) -> PromptSet:
        return PROMPTS.validate_json(self.frozen.read_bytes())


@contextmanager
def _at_work(settings: Settings, base: str = "") -> Iterator[TaskBuild]:
    """The build of one task with this process's engines, one task at a time; a failure frees the engines."""
    with _turn:
        build = TaskBuild(Recipe.model_validate(settings), Path(base), LogProgress(get_run_logger()), _engines())
        try:
            yield build
        except BaseException:
            _free()
            raise


def _worth_retrying(_task: Any, _run: Any, state: State) -> bool:
    """Whatever a user must mend fails at once; a lost engine or a disk that is away may be back in a minute."""
    error = state.data
    return isinstance(error, EngineError) or not isinstance(error, PairwrightError)


COARSE: dict[str, Any] = {
    "retries": 3,
    "retry_delay_seconds": [5, 30, 120],
    "retry_condition_fn": _worth_retrying,
    "cache_policy": NO_CACHE,  # the shelves are the cache
}


@task(name="prepare", tags=["pairwright"], **COARSE)
def prepare(recipe: Settings, base: str) -> None:
    """Read the prompts, write them down for the other tasks, and refuse what cannot work before anything is paid for."""
    with _at_work(recipe, base) as build:
        build.check()
        prompts = Build(build.recipe, build.base).prompts
        write_text(build.frozen, PROMPTS.dump_json(prompts).decode())
        build.progress.end("prompts", f"{prompts.account.rows_out:,} of {prompts.account.rows_in:,} rows")


@task(name="sample", task_run_name="sample-{span[0]}-of-{span[1]}", tags=["pairwright", "pairwright-model"], **COARSE)
def sample(recipe: Settings, span: Span) -> Paid:
    """Sample a span's missing responses; returns what that cost."""
    with _at_work(recipe) as build:
        build.sample(span)
        return build.spent.get("sample", {})


@task(name="annotate", task_run_name="annotate-{span[0]}-of-{span[1]}", tags=["pairwright", "pairwright-model"], **COARSE)
def annotate(recipe: Settings, span: Span) -> Paid:
    """Make a span's missing labels; returns what that cost."""
    with _at_work(recipe) as build:
        build.annotate(span)
        return build.spent.get("annotate", {})


@task(name="search", task_run_name="search-{span[0]}-of-{span[1]}", tags=["pairwright", "pairwright-model"], **COARSE)
def search(recipe: Settings, span: Span) -> Paid:
    """Grow a span's missing trees; returns what that cost."""
    with _at_work(recipe) as build:
        build.search(span)
        return build.spent.get("search", {})


@task(name="judge", task_run_name="judge-{span[0]}-of-{span[1]}", tags=["pairwright", "pairwright-model"], **COARSE)
def judge(recipe: Settings, span: Span) -> Paid:
    """Judge a span's solutions; returns what that cost."""
    with _at_work(recipe) as build:
        build.judge(span)
        return build.spent.get("judge", {})


@task(name="publish", tags=["pairwright"], **COARSE)
def publish(recipe: Settings, spent: dict[str, Paid], force: bool) -> Result:
    """Cut pairs and commit a version, unless there is nothing new."""
    with _at_work(recipe) as build:
        build.spent = spent
        return build.publish(force)


def _run_name() -> str:
    """`build-<dataset>`; of a recipe that cannot be read, `build-<file>`: the flow then says what is wrong with it."""
    given = runtime.flow_run.parameters
    try:
        return f"build-{load_recipe(Path(given['recipe']), given.get('overrides') or ()).dataset}"
    except PairwrightError:
        return f"build-{Path(given['recipe']).stem}"


@flow(name="pairwright-build", flow_run_name=_run_name)
def build_flow(recipe: str, overrides: tuple[str, ...] = (), force: bool = False) -> Result | State:
    """Make a new version of a dataset.

    Args:
        recipe: The recipe's path.
        overrides: Settings by dot-path, such as `sample.n=8`.
        force: Make a version even if it would equal the latest.
    """
    try:
        return _run(Path(recipe), overrides, force)
    except PairwrightError as error:
        return Failed(message=str(error), data=error)  # raised for the caller, but without a traceback in the log


def _run(path: Path, overrides: Sequence[str], force: bool) -> Result:
    recipe = load_recipe(path, overrides)
    settings = recipe.model_dump(mode="json", exclude_unset=True)  # some settings mean more when they are set
    build = Build(recipe, path.resolve().parent, LogProgress(get_run_logger()))
    try:
        with build.alone():
            prepare(settings, str(build.base))
            stages = [stage for stage in (sample, annotate, search, judge) if stage.name in build.stages()]
            parts = {stage.name: _spread(stage, settings, recipe.run.spans) for stage in stages}
            spent = {name: _added(paid) for name, paid in parts.items() if any(paid)}
            result: Result = publish(settings, spent, force)
    finally:
        _free()
    _report(build, result)
    return result


def _spread(stage: Task[Any, Paid], settings: Settings, spans: int) -> list[Paid]:
    """One task, or one per span on the flow's task runner; no failure ends the build while another span is at work."""
    if spans == 1:
        return [stage(settings, (0, 1))]
    futures = [stage.submit(settings, (part, spans)) for part in range(spans)]
    wait(futures)
    return [future.result() for future in futures]


def _added(parts: Sequence[Paid]) -> Paid:
    total = Counter[str]()
    for paid in parts:
        total.update(paid)
    return {name: round(value, 3) for name, value in total.items()}


def _report(build: Build, result: Result) -> None:
    """Two artifacts per dataset, a new state of them with every build: where the rows went, and what the version is."""
    key = "pairwright-" + re.sub("[^a-z0-9]+", "-", build.recipe.dataset.lower()).strip("-")
    manifest = build.dataset.manifest(result.version)
    rows = [
        {
            "stage": a.stage,
            "unit": a.unit,
            "rows in": a.rows_in,
            "rows out": a.rows_out,
            "dropped": ", ".join(f"{reason}: {count}" for reason, count in a.dropped.items()),
        }
        for a in manifest.accounting
    ]
    title = f"{manifest.dataset}, version {manifest.version}"
    create_table_artifact(rows, f"{key}-rows", f"Where the rows of {title} went")
    page = _page(manifest, build.dataset.path(result.version), result.new)
    create_markdown_artifact(page, f"{key}-version", f"What {title} is, what it cost and how to load it")


def _page(manifest: Manifest, folder: Path, new: bool) -> str:
    tables = ", ".join(f"{manifest.rows(table):,} {table}" for table in manifest.tables())
    roles = "\n".join(f"| {role} | {model.get('label', '')} |" for role, model in manifest.models.items())
    costs = "\n".join(
        f"| {stage} | {', '.join(f'{k} {v:,g}' for k, v in cost.items())} |" for stage, cost in manifest.cost.items()
    )
    return f"""\
# {manifest.dataset}, version {manifest.version}

{"Made by this build" if new else "Nothing was new, so no version was made; this is the latest"}. Rows: {tables}.

| role | model |
|---|---|
{roles}

| stage | cost |
|---|---|
{costs}

```python
from datasets import load_dataset

train = load_dataset("{folder}", "preference", split="train")
```

Same rows and decisions: `{manifest.logical_hash}`. Same numbers and texts too: `{manifest.exact_hash}`.
"""


def run_build(recipe: Path, overrides: Sequence[str] = (), force: bool = False) -> Result:
    """Run the flow here and now, on the configured API or else on a server that ends with this process."""
    with _reachable():
        return build_flow(str(recipe), tuple(overrides), force)


def serve(recipe: Path, cron: str, overrides: Sequence[str] = (), name: str | None = None) -> None:
    """Run the flow whenever `cron` says, one build at a time, until stopped. A recipe with a mistake is refused now, and so is
    a schedule without a server: the one Prefect starts by itself for a single run does not schedule anything."""
    dataset = load_recipe(recipe, overrides).dataset
    try:
        CronSchedule(cron=cron)
    except ValidationError:
        raise PairwrightError(
            f"{cron!r} is not a cron expression (minute, hour, day, month, weekday): write for example '0 2 * * *', "
            "which is every night at two"
        ) from None
    if not api_configured():
        raise PairwrightError(
            "a schedule needs a Prefect server, and none is configured: run `prefect server start` in another terminal, then "
            "`prefect config set PREFECT_API_URL=http://127.0.0.1:4200/api`, and serve again"
        )
    with _reachable():
        build_flow.serve(
            name=name or dataset,
            cron=cron,
            parameters={"recipe": str(recipe.resolve()), "overrides": list(overrides)},
            tags=["pairwright"],
            limit=1,
            entrypoint_type=EntrypointType.MODULE_PATH,
        )


@contextmanager
def _reachable() -> Iterator[None]:
    """Turn an API that does not answer into one sentence."""
    try:
        yield
    except RuntimeError as error:
        if "Failed to reach API" not in str(error):
            raise
        raise PairwrightError(
            f"the Prefect API at {get_current_settings().api.url} does not answer: start it with `prefect server start`, "
            "correct or unset PREFECT_API_URL, or build with --no-prefect"
        ) from None
