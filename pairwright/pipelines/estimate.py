"""What a build will ask, compute, take and cost, before any model is loaded. Only what is left to do counts.

Prompts are counted with the role's tokenizer where it is on this machine. Annotators are tried dry: a few groups of made-up
responses, whose requests are counted while scripted answers keep them going, and scaled up. What the journal holds counts too.
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
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import pyarrow.compute as pc
import pyarrow.parquet as pq

from pairwright.annotators.base import Annotator, Group, Response
from pairwright.engines.base import ModelConfig
from pairwright.engines.folders import resolve_folder
from pairwright.engines.given import GivenModel
from pairwright.engines.openai_engine import LOCAL, OpenAIModel
from pairwright.engines.people import PeopleModel
from pairwright.engines.prefix_tree import shared_length
from pairwright.engines.rendering import Renderer, Unscorable
from pairwright.engines.requests import Choose, Generate, Request, Review, Score, Usage, Verify, request_key, with_system
from pairwright.engines.scripted import ScriptedModel, answer
from pairwright.engines.transformers_engine import TransformersModel
from pairwright.engines.vllm_engine import VllmModel
from pairwright.ids import digest, seed_of
from pairwright.pipelines.build import Build
from pairwright.pipelines.explain import Todo, finished, left_to_do
from pairwright.pipelines.sample import ROLE
from pairwright.pipelines.steps.dry_run import dry_run as dry_search
from pairwright.storage.parquet import is_sound

GIB = 2**30
COUNTED, TRIED = 2000, 16  # prompts tokenised and groups tried dry: those with the smallest ids, which are hashes: a fair sample
DECODING = {"transformers": 5.0, "vllm": 1.5}
"""A decoded token takes so many times a scored one: SmolLM2-135M on two CPU cores (512 tokens per CPU second scored; 96 and 375
sampled). On other machines and models a guess."""
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "auto": 2}
WORDS = ("the", "of", "and", "to", "in", "is", "that", "it", "for", "was", "on", "are", "with", "as", "at", "by", "from", "this")
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

    def __add__(self, other: Amount) -> Amount:
        return Amount(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))


@dataclass(frozen=True)
class Work:
    """One stage's requests to one role: what is `left` and what the whole would be, and for what is left the `seconds` and the
    `money` (in the currency of the model's prices). None where `note` says why."""

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
    """Bytes a model with work left takes for its weights, and for keys and values. None where `note` says why."""

    model: str
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
        """Column names and rows of a table: the work, and last the sum of what is known. `of`: requests of the whole."""
        columns = ("stage", "role", "requests", "of", "tokens", "computed", "made", "at most", "time", "cost")
        rows = [(w.stage, w.role, *_cells(w.left, w.total), duration(w.seconds), w.money) for w in self.work]
        left, total = (sum((getattr(w, name) or Amount() for w in self.work), Amount()) for name in ("left", "total"))
        return columns, [*rows, ("all", "", *_cells(left, total), duration(self.seconds), self.money)]

    def lines(self) -> list[str]:
        """What the table does not say: where its numbers come from, and memory."""
        said: dict[str, list[str]] = {f"taken to have {self.response}": ["a response"]}
        for w in self.work:
            said.setdefault(w.note, []).append(f"{w.stage} ({w.role})")
        for m in self.memory:
            said.setdefault(m.note, []).append(f"memory of {m.model}")
        lines = [f"{', '.join(who)}: {note}" for note, who in said.items()]
        return lines if self.peak is None else [*lines, f"memory at a time: {self.peak / GIB:.2f} GiB"]


class Reader:
    """Turns requests to one model into tokens, or what comes nearest. `longest`: tokens of the longest request that samples."""

    def __init__(self, config: ModelConfig) -> None:
        self.config, self.longest, self.renderer = config, 0, None
        scripted = isinstance(config, ScriptedModel)
        self.how = "words, its tokens" if scripted else "characters / 4"
        self.cut: Callable[[str], Pieces] = str.split if scripted else lambda t: [t[i : i + 4] for i in range(0, len(t), 4)]
        folder = config.tokenizer if isinstance(config, OpenAIModel) else getattr(config, "model", None)
        if folder is not None:
            about = {key: getattr(config, key) for key in ("chat_template", "trust_remote_code") if hasattr(config, key)}
            revision = None if isinstance(config, OpenAIModel) else getattr(config, "revision", None)
            self.renderer, self.how = Renderer.from_folder(resolve_folder(folder, revision), **about), "its tokens"

    def amount(self, requests: Sequence[Request], response: float | None, before: list[Pieces]) -> Amount:
        """What `requests` come to if each response has `response` tokens (None: half of what it may have). They share prefixes
        with each other and with `before`, to which they are added."""
        asked = made = most = 0.0
        known = distinct(before)
        for request in requests:
            before.append(self._read(request))
            n, limit = 1, int(isinstance(request, Choose))
            if isinstance(request, Generate):
                n, limit = request.n, request.sampling.max_tokens
                self.longest = max(self.longest, len(before[-1]) + limit)
            each = min(limit, max(1, limit / 2) if response is None else response)
            asked, made, most = asked + len(before[-1]), made + n * each, most + n * limit
        computed = distinct(before) - known
        return Amount(len(requests), round(asked + made), round(computed + made), round(made), round(most))

    def _read(self, request: Request) -> Pieces:
        if isinstance(request, Verify | Review):
            return []
        if self.renderer is not None:
            try:
                parts = self.renderer.score_ids(request) if isinstance(request, Score) else [self.renderer.prompt_ids(request)]
            except Unscorable:
                return []
            return [token for part in parts for token in part]
        if isinstance(request, Generate | Choose):
            return [piece for turn in request.prompt for piece in self.cut(turn.content)]
        given = request.continuation
        texts = [*(turn.content for turn in request.context), given.text]
        end = [""] * (request.speaker == "assistant" and request.terminator and given.finished)
        return [piece for text in texts for piece in self.cut(text)] + end


def estimate(build: Build) -> Estimate:
    """Look at what is on the shelves and count the rest; nothing is written in the dataset's folder.

    Raises PairwrightError if a role's model is not there.
    """
    todo = left_to_do(build)
    length, response = _response_length(build)
    roles = {build.pool.model(role): role for role in build.recipe.role_needs()}
    counting = _Counting(build, length, {model: Reader(build.pool.config(role)) for model, role in roles.items()})
    work, speeds = list[Work](), dict[str, tuple[str, Callable[[Amount], float]] | None]()
    if build.recipe.annotators:
        work += [counting.sample(todo["sample"])]
        work += [w for name in build.annotators for w in counting.annotate(name, todo[f"annotate {name}"])]
        speeds["sample"] = _measured(build, "sample", [ROLE])
        speeds["annotate"] = _measured(build, "annotate", [role for a in build.annotators.values() for role in a.roles()])
    for stage in [stage for stage in ("search", "judge") if stage in todo]:
        found = list(counting.steps(stage, todo[stage]))
        speeds[stage] = _measured(build, stage, [w.role for w in found])
        work += found
    work = [_priced(w, build.pool.config(w.role), speeds[w.stage.split()[0]]) for w in work]
    used = {build.pool.model(w.role) for w in work if w.left is None or w.left.requests}
    memory = [_memory(r) for model, r in counting.readers.items() if model in used]
    sizes = sorted((m.weights + m.cache for m in memory if m.weights is not None and m.cache is not None), reverse=True)
    peak = sum(sizes[: build.recipe.run.max_resident]) if sizes else None
    return Estimate(work, memory, _sum([w.seconds for w in work]), _sum([w.money for w in work]), peak, response)


def distinct(sequences: Sequence[Pieces]) -> int:
    """How many tokens there are if each shared prefix counts once: the nodes of the sequences' prefix tree."""
    ordered = sorted(sequences)
    return sum(len(s) - shared_length(before, s) for before, s in zip([[], *ordered], ordered, strict=False))


def duration(seconds: float | None) -> str | None:
    """`seconds` for people: "12 s", "3.5 min", "2.1 h"."""
    if seconds is None or seconds < 90:
        return None if seconds is None else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _cells(left: Amount | None, total: Amount | None) -> tuple[int | None, ...]:
    return (left.requests, total.requests, *list(vars(left).values())[1:]) if left and total else (None,) * 6


def _sum(numbers: Sequence[float | None]) -> float | None:
    return None if None in numbers else math.fsum(n for n in numbers if n is not None)


def _response_length(build: Build) -> tuple[float, str]:
    """Mean tokens of a response, from earlier ones if there are any, and where the number comes from."""
    most = build.recipe.sample.max_tokens
    if not build.recipe.annotators:
        return most / 2, "half of what it may have"
    others = [path for path in build.samples.folder.parent.glob("*/*.parquet") if is_sound(path)]
    for files, whose in ((finished(build.samples), "earlier ones"), (others, "earlier ones with other settings")):
        made = [pq.read_table(path, columns=["tokens"], filters=pc.field("reason").is_null())["tokens"] for path in files]
        if count := sum(map(len, made)):
            mean = min(sum(pc.sum(tokens).as_py() or 0 for tokens in made) / count, most)
            return mean, f"{mean:.0f} tokens, the mean of {count:,} {whose}"
    return most / 2, f"{most / 2:.0f} tokens, half of `max_tokens`, for there are no earlier ones"


@dataclass
class _Counting:
    """Counts a build's requests. `length`: tokens a response is expected to have; `seen`: keys of the requests tried so far, for
    what two annotators ask of one model counts once; `scored`: their tokens by model, for they share prefixes as well."""

    build: Build
    length: float
    readers: dict[str, Reader]
    seen: set[str] = field(default_factory=set)
    scored: dict[str, list[Pieces]] = field(default_factory=dict)

    def sample(self, todo: Todo) -> Work:
        """The policy's work."""
        config, by_id, reader = self.build.recipe.sample, self.build.by_id, self.readers[self.build.pool.model(ROLE)]

        def amount(prompts: Sequence[str]) -> Amount:
            picked = sorted(prompts)[:COUNTED]
            asked = [Generate(ROLE, with_system(config.system, by_id[i].messages), config.sampling, config.n) for i in picked]
            return reader.amount(asked, self.length, []).times(len(prompts) / max(1, len(picked)))

        left = amount(todo.left)
        total = amount([*todo.done, *todo.left]) if todo.done else left
        return Work("sample", ROLE, reader.config.label(), left, total, None, None, f"counted in {reader.how}")

    def annotate(self, name: str, todo: Todo) -> Iterator[Work]:
        """An annotator's work, one for each role."""
        annotator, pool = self.build.annotators[name], self.build.pool
        groups = [_dummy(self.build, i, self.length) for i in sorted(todo.left or todo.done)[:TRIED]]
        asked: dict[str, list[Request]] = {role: [] for role in sorted(annotator.roles())}
        seen, problem = self.seen if todo.left else set(), ""  # what is done already spares nobody anything
        try:
            for request in (request for group in groups for request in dry_run(annotator, group)):
                key = request_key(pool.model(request.role), request)
                if key not in seen:
                    seen.add(key)
                    asked[request.role].append(request)
        except Exception as error:  # a method may take the answers for what it likes, and these mean nothing
            problem = f"its dry run failed ({type(error).__name__}: {error})"
        for role, requests in asked.items():
            reader = self.readers[model := pool.model(role)]
            work = Work(f"annotate {name}", role, reader.config.label(), None, None, None, None, problem)
            if not problem:
                tried = reader.amount(requests, None, self.scored.setdefault(model, []) if todo.left else [])
                left, total = (tried.times(n / max(1, len(groups))) for n in (len(todo.left), len(todo.left) + len(todo.done)))
                work = replace(work, left=left, total=total, note=f"from {len(groups)} groups, in {reader.how}")
            yield work

    def steps(self, stage: str, todo: Todo) -> Iterator[Work]:
        """The work of searching or judging, one for each role that is asked."""
        build, pool, left = self.build, self.build.pool, len(todo.left)
        total, usable = left + len(todo.done), [p for p in build.by_id.values() if p.reference]
        tried = [dry_search(p, build.steps)[stage] for p in sorted(usable, key=lambda p: p.prompt_id)[:TRIED]]
        asked: dict[str, list[Request]] = {}
        for request in (request for requests in tried for request in requests):
            asked.setdefault(request.role, []).append(request)
        questions = total if stage == "search" else len(build.by_id)
        for role, requests in asked.items():
            reader = self.readers[pool.model(role)]
            each = reader.amount(requests, None, []).times(1 / max(1, len(tried)))
            now, whole = (each.times(questions * n / max(1, total)) for n in (left, total))
            note = f"from {len(tried)} questions tried on a simulated solver, in {reader.how}"
            yield Work(stage, role, reader.config.label(), now, whole, None, None, note)


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
    prompt, config, words = build.by_id[prompt_id], build.recipe.sample, max(1, round(length) - 1)  # and the terminator
    ids = [digest("estimate", prompt_id, i) for i in range(config.n)]
    responses = tuple(Response(i, " ".join(random.Random(i).choices(WORDS, k=words)), finish_reason="stop") for i in ids)
    return Group(prompt_id, with_system(config.system, prompt.messages), responses, prompt.reference, prompt.tags)


def _measured(build: Build, stage: str, roles: Iterable[str]) -> tuple[str, Callable[[Amount], float]] | None:
    """What earlier builds of the stage with the same models tell: which they were, and the seconds that an amount takes, by the
    tokens computed where the engine shared prefixes, else by those asked."""
    models, costs = {role: build.pool.model(role) for role in roles}, dict[int, dict[str, float]]()
    for n in build.dataset.versions():
        manifest = build.dataset.manifest(n)
        cost = manifest.cost.get(f"this build: {stage}", {})
        same = all(manifest.models.get(role, {}).get("fingerprint") == model for role, model in models.items())
        if same and cost.get("tokens") and cost.get("engine_seconds"):
            costs[n] = cost
    if not costs:
        return None
    tokens, computed, seconds = (sum(c.get(k, 0) for c in costs.values()) for k in ("tokens", "forwarded", "engine_seconds"))
    name, speed = ("computed", seconds / computed) if 0 < computed < tokens else ("asked", seconds / tokens)
    return f"speed measured in version {', '.join(map(str, costs))}", lambda left: speed * getattr(left, name)


def _priced(work: Work, config: ModelConfig, measured: tuple[str, Callable[[Amount], float]] | None) -> Work:
    """With seconds and money."""
    left = work.left
    if left is None or not left.requests:
        return work if left is None else replace(work, seconds=0.0, money=0.0, note="nothing is left")
    if isinstance(config, PeopleModel):
        return replace(work, seconds=0.0, money=0.0, note="people are asked on a sheet: a build does not wait for them")
    if isinstance(config, GivenModel):
        return replace(work, seconds=0.0, money=0.0, note="read from a file")
    money: float | None = config.money(Usage(tokens=left.asked, generated=left.generated))
    seconds, why = (measured[1](left), measured[0]) if measured else _rough_seconds(left, config)
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
    try:
        return 2 * parameters * tokens / matmul_flops(_device(config), config.dtype), "rough time from a matrix product"
    except (RuntimeError, AssertionError):  # what torch raises for a device that is not there
        return None, f"time unknown: {_device(config)} cannot be used here"


def _device(config: ModelConfig) -> str:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # is read when torch is imported; a build may follow in this process
    import torch

    wanted = str(getattr(config, "device", "auto"))
    return wanted if wanted != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


def count_parameters(config: TransformersModel | VllmModel) -> int | None:
    """Numbers in the layers that are used, from the headers of the safetensors files; None if there are none."""
    folder, layers = resolve_folder(config.model, config.revision), getattr(config, "layers", None) or math.inf
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

    size, done = 4096 if device.startswith("cuda") else 1024, 0
    a = torch.randn(size, size, device=device).to(torch.bfloat16 if dtype == "auto" else getattr(torch, dtype))
    torch.mm(a, a)[0, 0].item()  # warms up; `item` waits for the device
    began = time.perf_counter()
    while (took := time.perf_counter() - began) < 0.3:
        torch.mm(a, a)[0, 0].item()
        done += 1
    return 2 * size**3 * done / took


def _memory(reader: Reader) -> Memory:
    config = reader.config
    if not isinstance(config, TransformersModel | VllmModel):
        return Memory(config.label(), None, None, "none on this machine")
    parameters = count_parameters(config)
    if parameters is None:
        return Memory(config.label(), None, None, "unknown: there are no safetensors to tell the size")
    weights = parameters * BYTES[config.dtype]
    if isinstance(config, TransformersModel):
        cache = max(config.max_rows * reader.longest, 4 * config.batch_tokens) * _bytes_per_token(config)
    elif config.kv_gib is None and _device(config) == "cuda":
        import torch

        cache = max(0, int(config.gpu_memory * torch.cuda.get_device_properties(0).total_memory) - weights)
    else:
        cache = int((config.kv_gib or 1) * GIB)
    return Memory(config.label(), weights, cache, f"{weights / GIB:.2f} GiB weights, {cache / GIB:.2f} GiB keys and values")


def _bytes_per_token(config: TransformersModel) -> int:
    """Keys and values of one token: 2 x layers x heads x width."""
    from transformers import AutoConfig

    folder = str(resolve_folder(config.model, config.revision))
    about = AutoConfig.from_pretrained(folder, trust_remote_code=config.trust_remote_code).get_text_config()
    width = getattr(about, "head_dim", None) or about.hidden_size // about.num_attention_heads
    heads = getattr(about, "num_key_value_heads", None) or about.num_attention_heads
    return int(2 * (config.layers or about.num_hidden_layers) * heads * width * BYTES[config.dtype])
