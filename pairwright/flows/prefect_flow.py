"""The build as a Prefect flow: the same plan as `Build.run` in four coarse tasks, and the schedule that runs it.

Tasks get the recipe, a span and sums, never rows: what they make lies on shelves on disk, so a task that is run again, here or
elsewhere, does only what is missing. Prefect adds retries, schedules, artifacts and task runners; the truth stays on disk.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pairwright.engines.pool import EnginePool
from pairwright.engines.runner import Stats
from pairwright.errors import EngineError, PairwrightError
from pairwright.files import write_text
from pairwright.flows.flow_page import show
from pairwright.flows.prefect_env import api_configured
from pairwright.flows.task_runners import Submit, end_with_parent, tasks_on
from pairwright.flows.webhook import VARIABLES, check_url, sentence_of, tell
from pairwright.pipelines.build import Build, Result, Span
from pairwright.pipelines.progress import Progress
from pairwright.pipelines.prompts.sources import PromptSet
from pairwright.pipelines.recipe import Recipe, RunConfig, load_recipe

ROBUST = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # a fresh home on a busy machine needs more than the usual 20
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
    "DO_NOT_TRACK": "1",
}
QUIET = {"PREFECT_LOGGING_LEVEL": "WARNING", "PREFECT_LOGGING_LOGGERS_PREFECT_TASK_RUNS_LEVEL": "INFO"}
for _name, _value in ROBUST.items() if "prefect" in sys.modules else (ROBUST | QUIET).items():
    os.environ.setdefault(_name, _value)

from prefect import Flow, Task, flow, get_run_logger, runtime, task  # noqa: E402 - Prefect reads its settings when imported
from prefect.cache_policies import NO_CACHE  # noqa: E402
from prefect.client.schemas.objects import FlowRun  # noqa: E402
from prefect.client.schemas.schedules import CronSchedule  # noqa: E402
from prefect.deployments.runner import EntrypointType  # noqa: E402
from prefect.exceptions import CrashedRun  # noqa: E402
from prefect.futures import wait  # noqa: E402
from prefect.logging import get_logger  # noqa: E402
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
    end_with_parent()
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
    """A build with the prompts and models that `prepare` wrote down: all tasks see the same ones, even if their source grows."""

    @property
    def frozen(self) -> Path:
        """The prompts."""
        return self.work / "prompts.json"

    @property
    def frozen_models(self) -> Path:
        """The fingerprints of the models, by role."""
        return self.work / "models.json"

    @cached_property
    def prompts(self) -> PromptSet:
        return PROMPTS.validate_json(self.frozen.read_bytes())

    def freeze(self) -> None:
        """Write down what the tasks of this build agree on."""
        prompts = Build(self.recipe, self.base).prompts
        write_text(self.frozen, PROMPTS.dump_json(prompts).decode())
        write_text(self.frozen_models, json.dumps({role: self.pool.model(role) for role in self.recipe.models}))
        self.progress.end("prompts", f"{prompts.account.rows_out:,} of {prompts.account.rows_in:,} rows")

    def agree(self) -> None:
        """Refuse to work with a model that has been replaced since `freeze`, or is another one on this machine."""
        for role, fingerprint in json.loads(self.frozen_models.read_bytes()).items():
            if self.pool.model(role) != fingerprint:
                raise PairwrightError(
                    f"the model of {role!r}, {self.recipe.models[role].label()}, is not the one this build began with: it was "
                    "replaced, or the machines hold different files; run the build again"
                )

    @contextmanager
    def claim(self, stage: str, span: Span) -> Iterator[None]:
        """Wait until no other process works on this span: a cluster may give a task away again while its first worker lives."""
        with (self.work / f"{stage}-{span[0]}-of-{span[1]}.lock").open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


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


def _span(stage: str, settings: Settings, span: Span) -> Paid:
    """Do what is missing of one span of a stage; returns what that cost."""
    with _at_work(settings) as build, build.claim(stage, span):
        build.agree()
        getattr(build, stage)(span)
        return build.spent.get(stage, {})


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
        build.freeze()


@task(name="sample", task_run_name="sample-{span[0]}-of-{span[1]}", tags=["pairwright", "pairwright-model"], **COARSE)
def sample(recipe: Settings, span: Span) -> Paid:
    """Sample a span's missing responses; returns what that cost."""
    return _span("sample", recipe, span)


@task(name="annotate", task_run_name="annotate-{span[0]}-of-{span[1]}", tags=["pairwright", "pairwright-model"], **COARSE)
def annotate(recipe: Settings, span: Span) -> Paid:
    """Make a span's missing labels; returns what that cost."""
    return _span("annotate", recipe, span)


@task(name="search", task_run_name="search-{span[0]}-of-{span[1]}", tags=["pairwright", "pairwright-model"], **COARSE)
def search(recipe: Settings, span: Span) -> Paid:
    """Grow a span's missing trees; returns what that cost."""
    return _span("search", recipe, span)


@task(name="judge", task_run_name="judge-{span[0]}-of-{span[1]}", tags=["pairwright", "pairwright-model"], **COARSE)
def judge(recipe: Settings, span: Span) -> Paid:
    """Judge a span's solutions; returns what that cost."""
    return _span("judge", recipe, span)


@task(name="publish", tags=["pairwright"], **COARSE)
def publish(recipe: Settings, spent: dict[str, Paid], force: bool) -> Result:
    """Cut pairs and commit a version, unless there is nothing new."""
    with _at_work(recipe) as build:
        build.agree()
        build.spent = spent
        return build.publish(force)


def _run_name() -> str:
    return _name_of(runtime.flow_run.parameters)


def _name_of(given: Mapping[str, Any]) -> str:
    """`build-<dataset>`; of a recipe that cannot be read, `build-<file>`: the flow then says what is wrong with it."""
    try:
        return f"build-{load_recipe(Path(given['recipe']), given.get('overrides') or ()).dataset}"
    except PairwrightError:
        return f"build-{Path(given['recipe']).stem}"


def _tell_of_crash(flow: Flow[..., Any], flow_run: FlowRun, state: State) -> None:
    """Called by Prefect, by place or by these names, when the process of a build has died or was stopped."""
    run = _name_of(flow_run.parameters)  # whoever watched the process may know the run by an earlier name
    sentence = f"{state.message or 'the process died'} What is finished is kept; the next build goes on from there"
    tell("failed", run.removeprefix("build-"), run, " ".join(sentence.split()), get_logger("pairwright"))


@flow(name="pairwright-build", flow_run_name=_run_name, on_crashed=[_tell_of_crash])
def build_flow(recipe: str, overrides: tuple[str, ...] = (), force: bool = False) -> Result | State:
    """Make a new version of a dataset.

    Args:
        recipe: The recipe's path.
        overrides: Settings by dot-path, such as `sample.n=8`.
        force: Make a version even if it would equal the latest.
    """
    run, log = _run_name(), get_run_logger()
    dataset = run.removeprefix("build-")
    try:
        result = _run(Path(recipe), overrides, force)
    except Exception as error:
        tell("failed", dataset, run, sentence_of(error), log)
        if isinstance(error, PairwrightError):
            return Failed(message=str(error), data=error)  # raised for the caller, but without a traceback in the log
        raise
    sentence = f"version {result.version} {'is made' if result.new else 'is still what the recipe comes to'}"
    tell("succeeded", dataset, run, sentence, log, version=result.version, new=result.new)
    return result


def _run(path: Path, overrides: Sequence[str], force: bool) -> Result:
    build = Build(load_recipe(path, overrides), path.resolve().parent, LogProgress(get_run_logger()))
    settings = build.recipe.model_dump(mode="json", exclude_unset=True)  # some settings mean more when they are set
    try:
        with build.alone():
            prepare(settings, str(build.base))
            stages = [stage for stage in (sample, annotate, search, judge) if stage.name in build.stages()]
            with tasks_on(build.recipe) as submit:
                parts = {stage.name: _spread(stage, settings, build.recipe.run, submit) for stage in stages}
            spent = {name: _added(paid) for name, paid in parts.items() if any(paid)}
            result: Result = publish(settings, spent, force)
    finally:
        _free()
    show(build, result)
    return result


def _spread(stage: Task[Any, Paid], settings: Settings, run: RunConfig, submit: Submit) -> list[Paid]:
    """One task, or one per span on the recipe's runner; no failure ends the build while another span is at work."""
    spans = max(run.spans, run.workers)
    if spans == 1 and run.runner == "threads":
        return [stage(settings, (0, 1))]
    futures = [submit(stage, {"recipe": settings, "span": (part, spans)}) for part in range(spans)]
    try:
        wait(futures)
        return [future.result() for future in futures]
    except (BrokenProcessPool, CrashedRun) as error:
        raise EngineError(
            f"a process that worked on {stage.name} has died ({type(error).__name__}), perhaps for lack of memory: what is "
            "finished is kept; run the same command again to go on, with fewer `run.workers` if it happens again"
        ) from error


def _added(parts: Sequence[Paid]) -> Paid:
    total = Counter[str]()
    for paid in parts:
        total.update(paid)
    return {name: round(value, 3) for name, value in total.items()}


def run_build(recipe: Path, overrides: Sequence[str] = (), force: bool = False) -> Result:
    """Run the flow here and now, on the configured API or else on a server that ends with this process."""
    with _reachable():
        return build_flow(str(recipe), tuple(overrides), force)


def serve(
    recipe: Path,
    cron: str,
    overrides: Sequence[str] = (),
    name: str | None = None,
    on_failure: str | None = None,
    on_success: str | None = None,
) -> None:
    """Run the flow whenever `cron` says, one build at a time, until stopped. A recipe with a mistake is refused now, and so is
    a schedule without a server: the one Prefect starts by itself for a single run does not schedule anything.

    `on_failure`, `on_success`: addresses that are told of each run that ended so; default: those of the environment (`webhook`).
    """
    dataset = load_recipe(recipe, overrides).dataset
    try:
        CronSchedule(cron=cron)
    except ValidationError:
        raise PairwrightError(
            f"{cron!r} is not a cron expression (minute, hour, day, month, weekday): write for example '0 2 * * *', "
            "which is every night at two"
        ) from None
    for event, url in (("failed", on_failure), ("succeeded", on_success)):
        os.environ |= {VARIABLES[event]: url} if url else {}  # runs are processes of their own, which inherit it
        if VARIABLES[event] in os.environ:
            check_url(os.environ[VARIABLES[event]])
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
