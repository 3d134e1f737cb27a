"""The `transformers` engine: the reference for correctness, on a CPU or a GPU. Prefixes are computed once."""

from __future__ import annotations

import contextlib
import gc
import os
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from pydantic import Field

from pairwright.engines.base import Engine, ModelConfig
from pairwright.engines.dropout import use_dropout
from pairwright.engines.folders import folder_fingerprint, resolve_folder
from pairwright.engines.rendering import NO_VERIFIER, Renderer, Unscorable
from pairwright.engines.requests import (
    DROPOUT,
    FRESH,
    Choose,
    Chosen,
    Failed,
    Generate,
    Request,
    Result,
    Review,
    Score,
    Scored,
    Usage,
    Verify,
)
from pairwright.engines.sampling_loop import Job, SamplingLoop
from pairwright.engines.tree_scoring import Target, TargetScores, TreeScorer, score_plain
from pairwright.errors import EngineError, PairwrightError
from pairwright.ids import digest

BASIC = frozenset({"generate", FRESH, "prefix_ids", "score", "choose", "entropy", "self_certainty", "hidden_sum"})
TREE_TOLERANCE = 1e-3  # fp32 agrees to 1e-4; a model that does not honour the tree's mask is off by far more


class TransformersModel(ModelConfig):
    """A causal language model run by `transformers`."""

    engine: Literal["transformers"] = "transformers"
    model: str = Field(description="a folder, runs/* (the newest checkpoint there), a .gguf file, a hub name, or `smollm2`")
    revision: str | None = None
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="score in float32 when margins matter; bfloat16 halves the memory"
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    layers: int | None = Field(None, gt=0, description="use only the first layers: a cheap weaker twin of the same model")
    max_length: int | None = Field(None, gt=1, description="longest prompt plus response in tokens; default: the model's own")
    chat_template: str | None = Field(None, description="a jinja template, or `plain`; default: the tokenizer's own")
    max_rows: int = Field(32, gt=0, description="samples decoded side by side")
    batch_tokens: int = Field(2048, gt=0, description="tokens per scoring forward; halved when memory runs out")
    attention_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of attention weights dropped in each draw of a score (annotator `mc_dropout`), e.g. 0.1",
    )
    trust_remote_code: bool = False

    @property
    def provides(self) -> frozenset[str]:  # type: ignore[override]
        """Draws only with dropout: without it they would all be the same."""
        return BASIC | ({DROPOUT} if self.attention_dropout else frozenset())

    def fingerprint(self) -> str:
        content = folder_fingerprint(resolve_folder(self.model, self.revision))
        dropout = ["dropout", self.attention_dropout] if self.attention_dropout else []
        return digest("transformers", content, self.dtype, self.layers, self.max_length, self.chat_template, *dropout)

    def check_labels(self, labels: Sequence[str]) -> None:
        folder = resolve_folder(self.model, self.revision)
        Renderer.from_folder(folder, self.chat_template, self.trust_remote_code).check_labels(labels)

    def label(self) -> str:
        return self.model.rstrip("/").rpartition("/")[2] + (f"[:{self.layers}]" if self.layers else "")

    def load(self) -> TransformersEngine:
        return TransformersEngine(self)


class TransformersEngine(Engine):
    """Scoring requests that wait are sorted so that shared prefixes meet in one tree; sampling joins a running batch."""

    window = 1024

    def __init__(self, config: TransformersModel) -> None:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: a busy neighbour else costs five times the time
        import torch
        import transformers

        transformers.utils.logging.disable_progress_bar()
        self.config = config
        folder = resolve_folder(config.model, config.revision)
        device = ("cuda" if torch.cuda.is_available() else "cpu") if config.device == "auto" else config.device
        remote: dict[str, Any] = {"trust_remote_code": config.trust_remote_code}
        with _quiet(transformers):
            try:
                known = transformers.AutoConfig.from_pretrained(str(folder), **remote).get_text_config().num_hidden_layers
                if config.layers and config.layers > known:
                    raise PairwrightError(f"`layers: {config.layers}`, but {folder} has {known} layers: give a smaller number")
                extra = {"num_hidden_layers": config.layers} if config.layers else {}
                self.model, report = transformers.AutoModelForCausalLM.from_pretrained(
                    str(folder), dtype=getattr(torch, config.dtype), output_loading_info=True, **remote, **extra
                )
            except (OSError, ValueError, RuntimeError) as error:
                raise EngineError(f"cannot load the model in {folder}: {error}") from error
        if lacking := sorted(report["missing_keys"]):
            raise EngineError(f"the weights in {folder} lack {lacking[0]}: give the folder of a whole causal language model")
        self.model.to(device).eval()
        self.renderer = Renderer.from_folder(folder, config.chat_template, config.trust_remote_code)
        limit = getattr(self.model.config, "max_position_embeddings", None) or 1 << 30
        self.max_length = min(config.max_length or limit, limit)
        row_limit = 512 if device == "cpu" else 2048
        self.scorer = TreeScorer(self.model, row_limit, config.batch_tokens, config.attention_dropout)
        self.sampler = SamplingLoop(self.model, self.renderer, self.max_length, config.max_rows)
        self.scoring: dict[str, tuple[Request, list[Target]]] = {}
        self.ready: list[tuple[str, Result]] = []
        self.tree_works: bool | None = None
        self.reach = self._reach()
        if config.attention_dropout:
            with _quiet(transformers):
                self._use_dropout()

    def submit(self, ticket: str, request: Request) -> None:
        try:
            if isinstance(request, Generate):
                ids = self._fitting(self.renderer.prompt_ids(request), 1)
                self.sampler.waiting.append(Job(ticket, request, ids))
            else:
                self.scoring[ticket] = (request, self._targets(request))
        except Unscorable as error:
            self.ready.append((ticket, Failed(error.reason, error.detail)))

    def step(self) -> list[tuple[str, Result]]:
        done, self.ready = self.ready, []
        if self.sampler.busy:
            done += self._sample()
        if self.scoring:
            done += self._score(self._next_batch())
        return done

    def close(self) -> None:
        import torch

        del self.model, self.scorer, self.sampler
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _fitting(self, ids: list[int], more: int) -> list[int]:
        if len(ids) + more > self.max_length:
            raise Unscorable("too_long", f"{len(ids) + more} tokens where {self.config.label()} takes {self.max_length}")
        return ids

    def _targets(self, request: Score | Choose | Verify | Review) -> list[Target]:
        if isinstance(request, Verify | Review):
            raise Unscorable("not_supported", NO_VERIFIER)
        if isinstance(request, Choose):
            context = self._fitting(self.renderer.prompt_ids(request), 1)
            return [Target(context, [label]) for label in self.renderer.label_ids(request.labels)]
        context, ids = self.renderer.score_ids(request)
        self._fitting(context, len(ids))
        if request.draw is not None and not self.config.attention_dropout:
            raise Unscorable("not_supported", f"{self.config.label()} has no `attention_dropout`")
        if request.draw is not None and len(context) + len(ids) > self.reach:
            raise Unscorable(
                "too_long", f"{len(context) + len(ids)} tokens, and with dropout {self.config.label()} sees {self.reach}"
            )
        return [Target(context, ids, request.want, request.draw)]

    def _next_batch(self) -> list[str]:
        """Waiting tickets in the order of their ids, so that those with a common prefix are neighbours, up to a fixed number
        of tokens; a conversation's requests are sent together and stay together. Draws are never with other scores."""
        order = sorted(self.scoring, key=lambda t: _place(self.scoring[t][1][0]))
        plain = self.scoring[order[0]][1][0].draw is None
        batch, previous, tokens = list[str](), None, 0
        for ticket in order:
            targets = self.scoring[ticket][1]
            context, draw = shared = targets[0].context, targets[0].draw
            fresh = sum(len(t.ids) for t in targets) + (0 if shared == previous else len(context) // 2)
            if batch and shared != previous and (tokens + fresh > self.scorer.budget or (draw is None) != plain):
                break
            batch.append(ticket)
            previous, tokens = shared, tokens + fresh
        return batch

    def _score(self, tickets: Sequence[str]) -> list[tuple[str, Result]]:
        targets = [t for ticket in tickets for t in self.scoring[ticket][1]]
        started, before = time.perf_counter(), self.scorer.counters.forwarded
        try:
            scores = iter(self._score_targets(targets))
        except Exception as error:
            return self._after_failure(error, tickets)
        asked = sum(len(t.context) + len(t.ids) for t in targets)
        share = (self.scorer.counters.forwarded - before) / asked, (time.perf_counter() - started) / asked
        done = []
        for ticket in tickets:
            request, mine = self.scoring.pop(ticket)
            tokens = sum(len(t.context) + len(t.ids) for t in mine)
            usage = Usage(tokens, tokens * share[0], 0, tokens * share[1])
            done.append((ticket, _result(request, mine, [next(scores) for _ in mine], usage)))
        return done

    def _score_targets(self, targets: Sequence[Target]) -> list[TargetScores]:
        if self.tree_works is None:
            self.tree_works = self._check_tree()
        near = max(len(t.context) + len(t.ids) for t in targets) <= self.reach
        if (self.tree_works and near) or targets[0].draw is not None:
            return self.scorer.score(targets)
        self.scorer.counters.forwarded += sum(len(t.context) + len(t.ids) for t in targets)
        return score_plain(self.model, targets)

    def _reach(self) -> int:
        """How far back every layer sees. The tree's mask shows a token its whole past, which is too much for a sliding window."""
        text = self.model.config.get_text_config()
        windows = (getattr(text, name, None) for name in ("sliding_window", "attention_chunk_size"))
        return min((w for w in windows if w), default=self.max_length)

    def _check_tree(self) -> bool:
        """Does this model honour the tree's mask, and is its head all there is between states and logits? Asked once, of the
        model itself: recurrent layers and soft-capped logits show up here and are scored plainly."""
        probe = self._probe()
        try:
            tree = TreeScorer(self.model, row_limit=4, budget=self.scorer.budget).score(probe)
        except Exception as error:
            if _is_memory(error):
                raise
            return False
        return _apart(tree, score_plain(self.model, probe)) < self._tolerance

    def _use_dropout(self) -> None:
        """Give the model attention that can drop weights, and ask it whether that is its own attention but for what is dropped:
        with nothing dropped it must score as it did before, with something it must not."""
        before = score_plain(self.model, self._probe())
        probe = [replace(t, draw=0) for t in self._probe()]
        try:
            use_dropout(self.model)
            whole, less = (TreeScorer(self.model, row_limit=4, dropout=rate).score(probe) for rate in (0.0, 0.5))
            works = _apart(whole, before) < self._tolerance and _apart(less, whole) > 0
        except Exception as error:
            if _is_memory(error):
                raise
            works = False
        if not works:
            raise EngineError(
                f"`attention_dropout` cannot be had of {self.config.label()}, whose attention is of its own kind: remove it, "
                "or give the role that scores with dropout another model, such as a Llama or a Qwen"
            )

    def _probe(self) -> list[Target]:
        ids = [t % self.model.get_output_embeddings().weight.shape[0] for t in range(5, 5 + 24)]
        return [Target(ids[:8], ids[8:12]), Target(ids[:8], ids[12:18]), Target(ids[:12], ids[18:])]

    @property
    def _tolerance(self) -> float:
        return TREE_TOLERANCE if self.config.dtype == "float32" else 0.5

    def _after_failure(self, error: Exception, tickets: Sequence[str]) -> list[tuple[str, Result]]:
        """Too much memory: halve the batch. Anything else: halve the requests until the one that fails stands alone."""
        traceback.clear_frames(error.__traceback__)  # they hold the failed batch's memory
        memory = _is_memory(error)
        if memory:
            self.scorer.budget = max(64, self.scorer.budget // 2)
        if len(tickets) > 1:
            half = len(tickets) // 2
            return [*self._score(tickets[:half]), *self._score(tickets[half:])]
        self._assert_alive(error)
        del self.scoring[tickets[0]]
        return [(tickets[0], Failed("out_of_memory" if memory else "engine_error", str(error)))]

    def _sample(self) -> list[tuple[str, Result]]:
        try:
            return list(self.sampler.step())
        except EngineError:
            raise
        except Exception as error:
            jobs = self.sampler.clear()
            if self.sampler.max_rows > 1:
                self.sampler.max_rows //= 2
                self.sampler.waiting.extendleft(reversed(jobs))
                return []
            self._assert_alive(error)
            self.sampler.max_rows = self.config.max_rows  # the request was at fault, not the width
            reason = "out_of_memory" if _is_memory(error) else "engine_error"
            return [(job.ticket, Failed(reason, str(error))) for job in jobs]

    def _assert_alive(self, error: Exception) -> None:
        """A request that fails alone is its own fault only while the model still answers another one."""
        try:
            score_plain(self.model, [Target([1], [2])])
        except Exception:
            raise error from None


def _result(request: Request, targets: Sequence[Target], scores: Sequence[TargetScores], usage: Usage) -> Result:
    if isinstance(request, Choose):
        return Chosen(tuple(float(s.logprobs[0]) for s in scores), usage)
    s = scores[0]
    return Scored(tuple(targets[0].ids), s.logprobs, s.entropy, s.self_certainty, s.hidden_sum, usage)


def _place(target: Target) -> tuple[Sequence[int], int, list[int]]:
    """Where a target stands in the queue: by its ids; a draw by context, then number, as only equal draws share a prefix."""
    context, draw = ([], -1) if target.draw is None else (target.context, target.draw)
    return context, draw, [*target.context, *target.ids]


def _apart(one: Sequence[TargetScores], other: Sequence[TargetScores]) -> float:
    """The largest difference of any two log-probabilities."""
    return max(float(np.abs(a.logprobs - b.logprobs).max()) for a, b in zip(one, other, strict=True))


def _is_memory(error: Exception) -> bool:
    import torch

    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "not enough memory" in text or "can't allocate" in text


@contextlib.contextmanager
def _quiet(transformers: Any) -> Any:
    """Say nothing of the weights that `layers` leaves out on purpose."""
    level = transformers.utils.logging.get_verbosity()
    transformers.utils.logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers.utils.logging.set_verbosity(level)
