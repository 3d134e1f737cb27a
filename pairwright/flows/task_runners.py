"""Where a flow's tasks run: on its own threads, in processes of this machine, or on a Ray or Dask cluster.

Whatever it is, a task gets the recipe and a span and writes to shelves, so all processes must see `root` under the same path;
only the flow's own process publishes.
"""

from __future__ import annotations

import importlib.util
import logging
import multiprocessing
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from pairwright.errors import PairwrightError
from pairwright.pipelines.recipe import Recipe

Submit: TypeAlias = Callable[..., Any]  # (task, parameters) -> the task's future
NEEDS = {"ray": ("prefect_ray", "ray"), "dask": ("prefect_dask", "dask")}  # runner -> module, extra
RAY_ENVIRONMENT = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
CONNECT_S = 10.0  # how long a cluster may take to answer; Ray's own patience is minutes
RAY_STORE_BYTES = 100 * 2**20  # a task's parameters and sums are small; what it makes goes to shelves


@contextmanager
def tasks_on(recipe: Recipe) -> Iterator[Submit]:
    """A function that starts a task on the recipe's `run.runner`. A cluster that was made for it ends with the `with` block.

    Raises PairwrightError if the runner's package is not installed or its cluster does not answer.
    """
    run = recipe.run
    if run.runner == "threads":
        yield lambda task, parameters: task.submit(**parameters)
        return
    module, extra = NEEDS.get(run.runner, ("", ""))
    if module and importlib.util.find_spec(module) is None:
        raise PairwrightError(f'`run.runner: {run.runner}` is not installed: run `pip install "pairwright[{extra}]"`')
    with ExitStack() as held:
        held.enter_context(_one_server())
        if run.cluster is not None:
            _knock(recipe, run.cluster)
        else:
            held.enter_context(_environment({"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // run.workers))}))
        starts = {"processes": _processes, "ray": _ray, "dask": _dask}
        yield starts[run.runner](recipe, held)


@cache
def end_with_parent() -> None:
    """Called in a worker process: end it when its parent is killed, for nobody else would, and it may hold a GPU."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


def _processes(recipe: Recipe, held: ExitStack) -> Submit:
    from prefect.task_runners import ProcessPoolTaskRunner

    return held.enter_context(ProcessPoolTaskRunner(max_workers=recipe.run.workers)).submit


def _ray(recipe: Recipe, held: ExitStack) -> Submit:
    held.enter_context(_environment(RAY_ENVIRONMENT))  # read when ray is imported and by its processes
    import ray
    from prefect_ray import RayTaskRunner
    from prefect_ray.context import remote_options

    about: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if recipe.run.cluster is None:
        folder = held.enter_context(tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True))
        about |= {"num_cpus": recipe.run.workers, "include_dashboard": False}
        about |= {"_temp_dir": folder, "object_store_memory": RAY_STORE_BYTES}
    runner = RayTaskRunner(address=recipe.run.cluster, init_kwargs=about)
    try:
        held.enter_context(runner)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _no_cluster(recipe, error) from error
    if ray.cluster_resources().get("GPU"):  # a task that asks for none is shown none
        together = max(getattr(model, "tensor_parallel", 1) for model in recipe.models.values())
        held.enter_context(remote_options(num_gpus=together))
    return runner.submit


def _dask(recipe: Recipe, held: ExitStack) -> Submit:
    from prefect_dask import DaskTaskRunner

    logging.getLogger("distributed").setLevel(logging.WARNING)
    about: dict[str, Any] = {"address": recipe.run.cluster}
    if recipe.run.cluster is None:
        workers = {"n_workers": recipe.run.workers, "threads_per_worker": 1, "processes": True, "memory_limit": 0}
        about = {"cluster_kwargs": workers | {"dashboard_address": None}}
    runner = held.enter_context(DaskTaskRunner(**about))
    try:
        runner.client  # noqa: B018 - connects
    except OSError as error:
        raise _no_cluster(recipe, error) from error
    return runner.submit


def _knock(recipe: Recipe, cluster: str) -> None:
    """Raise PairwrightError unless somebody listens at the cluster's address."""
    try:
        at = urlsplit(cluster if "://" in cluster else f"//{cluster}")
        socket.create_connection((at.hostname or "", at.port or 0), CONNECT_S).close()
    except (OSError, ValueError) as error:
        raise _no_cluster(recipe, error) from error


def _no_cluster(recipe: Recipe, error: Exception) -> PairwrightError:
    where = recipe.run.cluster or "this machine"
    what = " ".join(str(error).split())[:200]
    return PairwrightError(f"no {recipe.run.runner} cluster could be had at {where} ({what}): start it, or correct `run.cluster`")


@contextmanager
def _one_server() -> Iterator[None]:
    """Let tasks elsewhere report to this flow's server: where no API is configured, each process would else start its own."""
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with get_client(sync_client=True) as client, temporary_settings({PREFECT_API_URL: str(client.api_url)}):
        yield


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set variables that are not set, for processes that are started inside the `with` block."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
