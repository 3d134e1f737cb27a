"""What a build will ask, compute, take and cost, before any model is loaded. Only what is left to do counts.

Prompts are counted with the role's own tokenizer where it is on this machine. Annotators are tried dry: a few groups of made-up
responses, whose requests are counted while scripted answers keep them going. All of it is scaled up, so the numbers are
estimates; requests that the journal would answer for nothing are counted too.
"""

from __future__ import annotations

import functools
import json
import math
import os
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow.compute as pc
import pyarrow.parquet as pq

from pairwright.annotators.base import Annotator, Group, Response
from pairwright.engines.base import ModelConfig
from pairwright.engines.openai_engine import LOCAL, OpenAIModel
from pairwright.engines.prefix_tree import shared_length
from pairwright.engines.requests import Choose, Generate, Request, Score, Usage, request_key
from pairwright.engines.scripted import ScriptedModel, answer
from pairwright.engines.transformers_engine import TransformersModel
from pairwright.engines.vllm_engine import VllmModel
from pairwright.ids import digest, seed_of
from pairwright.pipelines.build import Build
from pairwright.pipelines.explain import Todo, finished, left_to_do
from pairwright.pipelines.sample import ROLE, shown
from pairwright.storage.parquet import is_sound

GIB = 2**30
COUNTED = 2000  # prompts that are tokenised; more are represented by so many of them
TRIED = 16  # groups of a dry run
PROBE_S = 0.3
DECODING = {"transformers": 5.0, "vllm": 1.5}
"""A decoded token takes so many times a scored one: SmolLM2-135M on two CPU cores (512 tokens per CPU second scored; 96 and 375
sampled). On other machines and models a guess."""
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "auto": 2}
WORDS = "the of and to in is that it for was on are with as at by from this have or one had not but what all were when".split()
Pieces = list[Any]  # token ids, or words, or bits of text that stand for tokens


@dataclass(frozen=True)
class Amount:
    """How much is asked of a model. `asked`: tokens given and made, as if each request were alone; `computed`: the same with
    each shared prefix counted once (the fewest an engine can do). Both hold `generated`, the tokens expected to be made;
    `generated_most` is the upper bound."""

    requests: int = 0
    asked: int = 0
    computed: int = 0
    generated: int = 0
    generated_most: int = 0

    def times(self, factor: float) -> Amount:
        """As much `factor` times."""
        return Amount(*(round(factor * n) for n in vars(self).values()))


@dataclass(frozen=True)
class Work:
    """One stage's requests to one role: what is `left`, and what the whole would be; None where `note` says why.

    `seconds` and `money` (in the currency of the model's prices) are for what is left; None where `note` says why."""

    stage: str
    role: str
    model: str
    left: Amount | None
    total: Amount | None
    seconds: float | None
    money: float | None
    note: str


@dataclass(frozen=True)
class Memory:
    """Bytes a model with work left takes: its weights, and the keys and values of the tokens it holds at a time. None where
    `note` says why."""

    model: str
    roles: tuple[str, ...]
    weights: int | None
    cache: int | None
    note: str


@dataclass(frozen=True)
class Estimate:
    """`seconds` and `money`: sums over the work, None if a part of them is unknown. `peak`: bytes of the largest models that
    are loaded at a time, as far as known, else None. `response`: how long a response is taken to be, and why."""

    work: list[Work]
    memory: list[Memory]
    seconds: float | None
    money: float | None
    peak: int | None
    response: str

    def rows(self) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        """Column names and rows of a table: the work, and last the sum of what is left."""
        columns = (
            "stage",
            "role",
            "model",
            "requests",
            "of",
            "asked",
            "computed",
            "generated",
            "at most",
            "time",
            "cost",
            "note",
        )
        known = [(w.left, w.total) for w in self.work if w.left and w.total]
        left = functools.reduce(plus, (amount for amount, _ in known), Amount())
        note = "" if len(known) == len(self.work) else "without what is unknown"
        rows = [(w.stage, w.role, w.model, *_cells(w.left, w.total), duration(w.seconds), w.money, w.note) for w in self.work]
        total = functools.reduce(plus, (amount for _, amount in known), Amount())
        return columns, [*rows, ("all", "", "", *_cells(left, total), duration(self.seconds), self.money, note)]

    def lines(self) -> list[str]:
        """What the table does not say: how long a response is taken to be, and memory."""
        said = [f"a response: {self.response}"]
        said += [f"memory of {m.model} ({', '.join(m.roles)}): {m.note}" for m in self.memory]
        return said if self.peak is None else [*said, f"memory at a time: {self.peak / GIB:.2f} GiB"]


class Reader:
    """Turns requests to one model into tokens, or what comes nearest. `how` says which; `longest`: tokens of the longest yet."""

    def __init__(self, config: ModelConfig) -> None:
        self.config, self.longest, self.generates, self.renderer = config, 0, False, None
        folder = config.tokenizer if isinstance(config, OpenAIModel) else getattr(config, "model", None)
        if isinstance(config, ScriptedModel):
            self.how = "words, its tokens"
        elif folder is None:
            self.how = "characters / 4"
        else:
            from pairwright.engines.folders import resolve_folder
            from pairwright.engines.rendering import Renderer

            about = {key: getattr(config, key) for key in ("chat_template", "trust_remote_code") if hasattr(config, key)}
            revision = None if isinstance(config, OpenAIModel) else getattr(config, "revision", None)
            self.renderer, self.how = Renderer.from_folder(resolve_folder(folder, revision), **about), "its tokens"

    def amount(self, requests: Sequence[Request], response: float | None = None) -> Amount:
        """What `requests` come to if each response has `response` tokens (default: half of what it may have)."""
        given, made, most = [], 0.0, 0
        for request in requests:
            given.append(self._read(request))
            expected, limit = 0.0, 0
            if isinstance(request, Choose):
                expected, limit = 1, 1
            elif isinstance(request, Generate):
                self.generates, limit = True, request.sampling.max_tokens
                expected = limit / 2 if response is None else min(response, limit)
            n = request.n if isinstance(request, Generate) else 1
            made, most = made + n * expected, most + n * limit
            self.longest = max(self.longest, len(given[-1]) + limit)
        asked = sum(map(len, given)) + made
        return Amount(len(requests), round(asked), round(distinct(given) + made), round(made), most)

    def _read(self, request: Request) -> Pieces:
        if self.renderer is None:
            return self._pieces(request)
        from pairwright.engines.rendering import Unscorable

        try:
            if isinstance(request, Score):
                context, ids = self.renderer.score_ids(request)
                return [*context, *ids]
            return self.renderer.prompt_ids(request)
        except Unscorable:
            return []

    def _pieces(self, request: Request) -> Pieces:
        cut = str.split if isinstance(self.config, ScriptedModel) else _fours
        if not isinstance(request, Score):
            return [piece for turn in request.prompt for piece in cut(turn.content)]
        given = request.continuation
        ends = request.speaker == "assistant" and request.terminator and given.finished
        texts = [*(turn.content for turn in request.context), given.text]
        return [*(piece for text in texts for piece in cut(text)), *[""] * ends]


def estimate(build: Build) -> Estimate:
    """Look at what is on the shelves and count the rest; nothing is written in the dataset's folder.

    Raises PairwrightError if a role's model is not there.
    """
    todo = left_to_do(build)
    length, response = _response_length(build)
    readers: dict[str, Reader] = {}

    def reader(role: str) -> Reader:
        model = build.pool.model(role)
        if model not in readers:
            readers[model] = Reader(build.pool.config(role))
        return readers[model]

    work, seen = [_sample(build, todo["sample"], length, reader(ROLE))], set[str]()
    for name, annotator in build.annotators.items():
        groups = [_dummy(build, i, length) for i in _some(todo[name].left or todo[name].done, TRIED)]
        work += _annotate(build, name, annotator, todo[name], groups, reader, seen)
    speeds = {"sample": _measured(build, "sample", [ROLE])}
    speeds["annotate"] = _measured(build, "annotate", [role for a in build.annotators.values() for role in a.roles()])
    work = [_priced(w, build.pool.config(w.role), *speeds[w.stage.split()[0]]) for w in work]
    used = {build.pool.model(w.role) for w in work if w.left is None or w.left.requests}
    roles = {model: tuple(r for r in build.recipe.models if build.pool.model(r) == model) for model in used}
    memory = [_memory(readers[model], roles[model]) for model in readers if model in used]
    sizes = sorted((m.weights + (m.cache or 0) for m in memory if m.weights is not None), reverse=True)
    peak = sum(sizes[: build.recipe.run.max_resident]) if sizes else None
    return Estimate(work, memory, _sum(w.seconds for w in work), _sum(w.money for w in work), peak, response)


def plus(a: Amount, b: Amount) -> Amount:
    """Both amounts together."""
    return Amount(*(x + y for x, y in zip(vars(a).values(), vars(b).values(), strict=True)))


def distinct(sequences: Sequence[Pieces]) -> int:
    """How many tokens there are if each shared prefix counts once: the nodes of the sequences' prefix tree."""
    ordered = sorted(sequences)
    return sum(len(s) - shared_length(before, s) for before, s in zip([[], *ordered], ordered, strict=False))


def duration(seconds: float | None) -> str | None:
    """`seconds` for people: "12 s", "3.5 min", "2.1 h"."""
    if seconds is None or seconds < 90:
        return None if seconds is None else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _cells(left: Amount | None, total: Amount | None) -> tuple[Any, ...]:
    if left is None or total is None:
        return (None,) * 6
    return left.requests, total.requests, left.asked, left.computed, left.generated, left.generated_most


def _fours(text: str) -> list[str]:
    return [text[i : i + 4] for i in range(0, len(text), 4)]


def _sum(numbers: Iterable[float | None]) -> float | None:
    known = list(numbers)
    return None if None in known else math.fsum(n for n in known if n is not None)


def _some(prompts: Iterable[str], n: int) -> list[str]:
    """At most `n` of them, the same each time."""
    return sorted(prompts, key=lambda i: seed_of("estimate", i))[:n]


def _response_length(build: Build) -> tuple[float, str]:
    """Mean tokens of a response, from earlier ones if there are any, and where the number comes from."""
    most = build.recipe.sample.max_tokens
    others = [path for path in build.samples.folder.parent.glob("*/*.parquet") if is_sound(path)]
    for files, whose in ((finished(build.samples), "earlier ones"), (others, "earlier ones with other settings")):
        tokens = [
            n for path in files for n in pq.read_table(path, columns=["tokens"], filters=pc.field("reason").is_null())["tokens"]
        ]
        if tokens:
            mean = min(sum(n.as_py() for n in tokens) / len(tokens), most)
            return mean, f"{mean:.0f} tokens, the mean of {len(tokens):,} {whose}"
    return most / 2, f"{most / 2:.0f} tokens, half of `max_tokens`, for there are no earlier ones"


def _sample(build: Build, todo: Todo, length: float, reader: Reader) -> Work:
    config = build.recipe.sample

    def amount(prompts: Sequence[str]) -> Amount:
        picked = _some(prompts, COUNTED)
        asked = [Generate(ROLE, shown(config, build.by_id[i].messages), config.sampling, config.n) for i in picked]
        return reader.amount(asked, length).times(len(prompts) / max(1, len(picked)))

    left = amount(todo.left)
    total = amount([*todo.done, *todo.left]) if todo.done else left
    return Work("sample", ROLE, reader.config.label(), left, total, None, None, f"counted in {reader.how}")


def _annotate(
    build: Build,
    name: str,
    annotator: Annotator[Any],
    todo: Todo,
    groups: Sequence[Group],
    reader: Callable[[str], Reader],
    seen: set[str],
) -> Iterator[Work]:
    """One `Work` per role. What two annotators ask of the same model counts once, as in a build (`seen`: request keys)."""
    asked: dict[str, list[Request]] = {role: [] for role in sorted(annotator.roles())}
    problem = ""
    try:
        for request in (request for group in groups for request in dry_run(annotator, group)):
            key = request_key(build.pool.model(request.role), request)
            if key not in seen:
                seen.add(key)
                asked[request.role].append(request)
    except Exception as error:  # a method may ask anything of the answers, and these mean nothing
        problem = f"its dry run failed ({type(error).__name__}: {error})"
    for role, requests in asked.items():
        work = Work(f"annotate {name}", role, reader(role).config.label(), None, None, None, None, problem)
        if not problem:
            tried, each = reader(role).amount(requests), 1 / max(1, len(groups))
            left, total = (tried.times(n * each) for n in (len(todo.left), len(todo.left) + len(todo.done)))
            work = replace(work, left=left, total=total, note=f"from {len(groups)} groups, in {reader(role).how}")
        yield work


def dry_run(annotator: Annotator[Any], group: Group) -> list[Request]:
    """Everything the annotator asks about `group` when scripted models answer."""
    task, asked = annotator.annotate(group), list[Request]()
    try:
        requests = next(task)
        while True:
            asked += requests
            requests = task.send([answer(ScriptedModel(seed=seed_of(r.role)), r) for r in requests])
    except StopIteration:
        return asked


def _dummy(build: Build, prompt_id: str, length: float) -> Group:
    """A prompt with n made-up responses of about `length` tokens: common words, one token each in most vocabularies."""
    prompt, config, words = build.by_id[prompt_id], build.recipe.sample, max(1, round(length) - 1)
    ids = [digest("estimate", prompt_id, i) for i in range(config.n)]
    responses = [Response(i, " ".join(random.Random(i).choices(WORDS, k=words)), finish_reason="stop") for i in ids]
    return Group(prompt_id, shown(config, prompt.messages), tuple(responses), prompt.reference, prompt.tags)


def _measured(build: Build, stage: str, roles: Iterable[str]) -> tuple[float, str]:
    """Tokens per engine second (as `asked` counts them) of earlier builds of the stage with the same models, and which they were;
    0 if there are none."""
    models = {role: build.pool.model(role) for role in roles}
    tokens, seconds, versions = 0.0, 0.0, []
    for n in build.dataset.versions():
        manifest = build.dataset.manifest(n)
        cost = manifest.cost.get(f"this build: {stage}", {})
        same = all(manifest.models.get(role, {}).get("fingerprint") == model for role, model in models.items())
        if same and cost.get("tokens") and cost.get("engine_seconds"):
            tokens, seconds, versions = tokens + cost["tokens"], seconds + cost["engine_seconds"], [*versions, str(n)]
    return (tokens / seconds, f"speed measured in version {', '.join(versions)}") if seconds else (0.0, "")


def _priced(work: Work, config: ModelConfig, speed: float, measured: str) -> Work:
    """With seconds and money."""
    left = work.left
    if left is None or not left.requests:
        return work if left is None else replace(work, seconds=0.0, money=0.0, note="nothing is left")
    money: float | None = config.money(Usage(tokens=left.asked, generated=left.generated))
    seconds, why = (left.asked / speed, measured) if speed else _rough_seconds(left, config)
    notes = [work.note, why]
    if isinstance(config, OpenAIModel) and not money and urlsplit(config.base_url).hostname not in LOCAL:
        money, notes = None, [*notes, "cost unknown: no `price_in` and `price_out`"]
    return replace(work, seconds=seconds, money=money, note="; ".join(notes))


def _rough_seconds(left: Amount, config: ModelConfig) -> tuple[float | None, str]:
    """2 FLOP per parameter and token, against the speed of a matrix product here."""
    if not isinstance(config, TransformersModel | VllmModel):
        return None, "time unknown until a build has measured it"
    parameters = count_parameters(config)
    if parameters is None:
        return None, "time unknown: there are no safetensors to tell the size"
    tokens = left.computed + (DECODING[config.engine] - 1) * left.generated
    return 2 * parameters * tokens / matmul_flops(_device(config), config.dtype), "rough time from a matrix product"


def _folder(config: TransformersModel | VllmModel) -> Path:
    from pairwright.engines.folders import resolve_folder

    return resolve_folder(config.model, config.revision)


def _device(config: ModelConfig) -> str:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # is read when torch is imported; a build may follow in this process
    import torch

    wanted = str(getattr(config, "device", "auto"))
    return wanted if wanted != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


def count_parameters(config: TransformersModel | VllmModel) -> int | None:
    """Numbers in the layers that are used, from the headers of the safetensors files; None if there are none."""
    folder, layers = _folder(config), getattr(config, "layers", None) or math.inf
    count = 0
    for path in sorted(folder.glob("model*.safetensors")) or sorted(folder.glob("*.safetensors")):
        with path.open("rb") as handle:
            header = json.loads(handle.read(int.from_bytes(handle.read(8), "little")))
        for name, tensor in header.items():
            layer = re.search(r"\.(?:layers|h|blocks)\.(\d+)\.", name)
            if name != "__metadata__" and (layer is None or int(layer[1]) < layers):
                count += math.prod(tensor["shape"])
    return count or None


@functools.cache
def matmul_flops(device: str, dtype: str) -> float:
    """FLOP per second of a matrix product on `device`, measured for a moment."""
    import torch

    size = 4096 if device.startswith("cuda") else 1024
    a = torch.randn(size, size, device=device).to(torch.bfloat16 if dtype == "auto" else getattr(torch, dtype))
    done, began = -1, time.perf_counter()  # the first one warms up
    while done < 1 or time.perf_counter() - began < PROBE_S:
        torch.mm(a, a)[0, 0].item()  # waits for the device
        done, began = done + 1, began if done >= 0 else time.perf_counter()
    return 2 * size**3 * done / (time.perf_counter() - began)


def _memory(reader: Reader, roles: tuple[str, ...]) -> Memory:
    config = reader.config
    if not isinstance(config, TransformersModel | VllmModel):
        why = "runs on a server" if isinstance(config, OpenAIModel) else "a scripted model has no weights"
        return Memory(config.label(), roles, None, None, why)
    parameters = count_parameters(config)
    if parameters is None:
        return Memory(config.label(), roles, None, None, "unknown: there are no safetensors to tell the size")
    weights = parameters * BYTES[config.dtype]
    if isinstance(config, VllmModel):
        cache = int((config.kv_gib or 1) * GIB)
        if config.kv_gib is None and _device(config) == "cuda":
            import torch

            cache = max(0, int(config.gpu_memory * torch.cuda.get_device_properties(0).total_memory) - weights)
    else:
        held = max(config.max_rows * reader.longest if reader.generates else 0, 4 * config.batch_tokens)
        cache = held * _bytes_per_token(config)
    sizes = f"{weights / GIB:.2f} GiB weights, {cache / GIB:.2f} GiB keys and values"
    return Memory(config.label(), roles, weights, cache, sizes)


def _bytes_per_token(config: TransformersModel) -> int:
    """Keys and values of one token: 2 x layers x heads x width, from the model's config.json."""
    about = json.loads((_folder(config) / "config.json").read_text())
    about = about.get("text_config", about)
    heads = about.get("num_attention_heads", about.get("n_head", 1))
    width = about.get("head_dim") or about.get("hidden_size", about.get("n_embd", 0)) // heads
    layers = config.layers or about.get("num_hidden_layers", about.get("n_layer", 0))
    return int(2 * layers * (about.get("num_key_value_heads") or heads) * width * BYTES[config.dtype])
