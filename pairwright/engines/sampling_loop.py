"""Sampling for the `transformers` engine: rows join and leave a running batch; a prompt is computed once for its n samples.

The uniform numbers that drive a sample come from (request seed, sample index, position) alone, never from the batch.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pairwright.engines.rendering import Renderer
from pairwright.engines.requests import Completion, FinishReason, Generate, Generated, Sampling, Usage
from pairwright.errors import EngineError
from pairwright.ids import seed_of

SPARE = 8  # tokens looked at beyond those that may spell a stop string
NUCLEUS = 512  # try the nucleus among this many most probable tokens before sorting the whole vocabulary


@dataclass(slots=True)
class Sample:
    """One row on its way: sample `index` of a ticket's request."""

    ticket: str
    index: int
    sampling: Sampling
    limit: int
    uniforms: np.ndarray[Any, Any]
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish: FinishReason | None = None
    text: str | None = None


@dataclass(slots=True)
class Job:
    """One request: its prompt ids, and the completions that are finished."""

    ticket: str
    request: Generate
    ids: list[int]
    done: dict[int, Completion] = field(default_factory=dict)
    generated: int = 0
    seconds: float = 0.0


class SamplingLoop:
    """`add` jobs, then `step` until it returns them. `max_rows`: samples decoded side by side."""

    def __init__(self, model: Any, renderer: Renderer, max_length: int, max_rows: int) -> None:
        self.model, self.renderer, self.max_length, self.max_rows = model, renderer, max_length, max_rows
        self.waiting: deque[Job] = deque()
        self.clear()

    def clear(self) -> list[Job]:
        """Forget all running rows and give their jobs back, to be added again."""
        jobs = list(getattr(self, "running", {}).values())
        for job in jobs:
            job.done.clear()
            job.generated = 0
        self.running: dict[str, Job] = {}
        self.rows: list[Sample] = []
        self.cache: Any = None
        self.mask: Any = None  # [B, T]: 1 where a cached position is a token
        self.logits: Any = None  # [B, V]: of each row's next token
        return jobs

    @property
    def busy(self) -> bool:
        """Is there anything to do?"""
        return bool(self.waiting or self.rows)

    def step(self, tokens: int = 16) -> list[tuple[str, Generated]]:
        """Admit what fits, sample up to `tokens` tokens per row, return the finished requests."""
        import torch

        started = time.perf_counter()
        with torch.inference_mode():
            self._admit()
            for _ in range(tokens):
                if not self.rows or not self._advance():
                    break
        for job in self.running.values():
            job.seconds += (time.perf_counter() - started) / len(self.running)
        finished = [j for j in self.running.values() if len(j.done) == j.request.n]
        for job in finished:
            del self.running[job.ticket]
        return [(j.ticket, self._result(j)) for j in finished]

    def _result(self, job: Job) -> Generated:
        made = tuple(job.done[i] for i in range(job.request.n))
        tokens = len(job.ids) + job.generated
        return Generated(made, Usage(tokens, tokens, job.generated, job.seconds))

    def _admit(self) -> None:
        admitted: list[Job] = []
        room = self.max_rows - len(self.rows)
        if self.rows and room < self.max_rows // 2:
            return  # joining costs a copy of the cache: wait until half the rows are free
        while self.waiting and (self.waiting[0].request.n <= room or not (self.rows or admitted)):
            admitted.append(self.waiting.popleft())
            room -= admitted[-1].request.n
        if admitted:
            self._prefill(admitted)

    def _prefill(self, jobs: list[Job]) -> None:
        import torch
        from transformers import DynamicCache

        self.running |= {job.ticket: job for job in jobs}  # from here on `clear` gives them back
        longest = max(len(j.ids) for j in jobs)
        ids, mask = np.zeros((2, len(jobs), longest), np.int64)
        for row, job in enumerate(jobs):
            ids[row, longest - len(job.ids) :], mask[row, longest - len(job.ids) :] = job.ids, 1
        device = self.model.device
        seen = torch.from_numpy(mask).to(device)
        cache = DynamicCache()
        out = self.model(
            input_ids=torch.from_numpy(ids).to(device),
            attention_mask=seen,
            position_ids=(seen.cumsum(-1) - 1).clamp(min=0),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        if cache.get_seq_length() != longest:
            raise EngineError(f"{type(self.model).__name__} keeps no keys and values: give this role `engine: vllm`")
        repeat = torch.tensor([row for row, job in enumerate(jobs) for _ in range(job.request.n)], device=device)
        cache.batch_select_indices(repeat)
        self._join(cache, seen[repeat], out.logits[repeat, -1])
        for job in jobs:
            self.rows += [self._sample(job, index) for index in range(job.request.n)]

    def _sample(self, job: Job, index: int) -> Sample:
        limit = min(job.request.sampling.max_tokens, self.max_length - len(job.ids))
        rng = np.random.Generator(np.random.Philox(seed_of(job.request.seed, index)))
        return Sample(job.ticket, index, job.request.sampling, limit, rng.random(limit))

    def _join(self, cache: Any, mask: Any, logits: Any) -> None:
        if not self.rows:
            self.cache, self.mask, self.logits = cache, mask, logits
            return
        import torch
        from torch.nn.functional import pad

        width = max(self.mask.shape[1], mask.shape[1])
        grow = [width - self.mask.shape[1], width - mask.shape[1]]
        for mine, other in zip(self.cache.layers, cache.layers, strict=True):
            mine.keys = torch.cat([pad(mine.keys, (0, 0, grow[0], 0)), pad(other.keys, (0, 0, grow[1], 0))])
            mine.values = torch.cat([pad(mine.values, (0, 0, grow[0], 0)), pad(other.values, (0, 0, grow[1], 0))])
        self.mask = torch.cat([pad(self.mask, (grow[0], 0)), pad(mask, (grow[1], 0))])
        self.logits = torch.cat([self.logits, logits])

    def _advance(self) -> bool:
        """Sample one token per row, let finished rows leave, compute the next logits. False when no row is left."""
        import torch

        logits = self.logits.float()
        tokens = self._pick(logits)
        logprobs = logits.log_softmax(-1).gather(1, tokens[:, None])[:, 0].tolist()
        for sample, token, logprob in zip(self.rows, tokens.tolist(), logprobs, strict=True):
            sample.ids.append(token)
            sample.logprobs.append(logprob)
            self._finish(sample, token)
        alive = [i for i, sample in enumerate(self.rows) if sample.finish is None]
        if len(alive) < len(self.rows):
            self._leave(alive)
            tokens = tokens[torch.tensor(alive, dtype=torch.long, device=tokens.device)]
        if not alive:
            return False
        self.mask = torch.nn.functional.pad(self.mask, (0, 1), value=1)
        out = self.model(
            input_ids=tokens[:, None],
            attention_mask=self.mask,
            position_ids=self.mask.sum(-1, keepdim=True) - 1,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self.logits = out.logits[:, -1]
        return True

    def _finish(self, sample: Sample, token: int) -> None:
        if token in self.renderer.eos_ids:
            sample.finish = "stop"
        elif sample.sampling.stop:
            self._look_for_stop(sample)
        if sample.finish is None and len(sample.ids) >= sample.limit:
            sample.finish = "length"
        if sample.finish is not None:
            job = self.running[sample.ticket]
            job.generated += len(sample.ids)
            if sample.text is not None:  # cut at a stop string: the ids say more than the text, so they are not its ids
                job.done[sample.index] = Completion(sample.text, sample.finish)
                return
            ids, logprobs = tuple(sample.ids), tuple(sample.logprobs)
            text = self.renderer.text(ids)
            ends = self.renderer.ends(ids, text)
            job.done[sample.index] = Completion(text, sample.finish, ids, logprobs, self.renderer.tokenizer_id, ends)

    def _look_for_stop(self, sample: Sample) -> None:
        """Finish `sample` if a stop string is complete. The last token completes it, so it is looked for among the last tokens:
        as many as the longest one has bytes, and some whose character is not complete."""
        stops = sample.sampling.stop
        tail = self.renderer.tail(sample.ids, max(len(stop.encode()) for stop in stops) + SPARE)
        if not any(stop in tail for stop in stops):
            return
        text = self.renderer.text(sample.ids)
        cuts = [text.find(stop) for stop in stops if stop in text]
        if cuts:
            sample.finish = "stop"
            sample.text = None if sample.sampling.keep_stop else text[: min(cuts)]

    def _leave(self, alive: list[int]) -> None:
        import torch

        self.rows = [self.rows[i] for i in alive]
        if not alive:
            self.cache = self.mask = self.logits = None
            return
        index = torch.tensor(alive, device=self.mask.device)
        self.mask = self.mask[index]
        unused = int(self.mask.any(0).int().argmax())  # columns on the left that no row uses any more
        self.mask = self.mask[:, unused:]
        for layer in self.cache.layers:
            layer.keys, layer.values = layer.keys[index, :, unused:], layer.values[index, :, unused:]

    def _pick(self, logits: Any) -> Any:
        """One token per row of `logits` [B, V] by inverse transform of each row's own uniform number."""
        import torch

        picked = torch.empty(len(self.rows), dtype=torch.long, device=logits.device)
        kinds: dict[tuple[float, float, int], list[int]] = {}
        for i, s in enumerate(self.rows):
            kinds.setdefault((s.sampling.temperature, s.sampling.top_p, s.sampling.top_k), []).append(i)
        for (temperature, top_p, top_k), members in kinds.items():
            index = torch.tensor(members, device=logits.device)
            if temperature == 0:
                picked[index] = logits[index].argmax(-1)
                continue
            u = torch.tensor([self.rows[i].uniforms[len(self.rows[i].ids)] for i in members], device=logits.device)
            picked[index] = draw((logits[index] / temperature).softmax(-1), u.float(), top_p, top_k)
        return picked


def draw(probs: Any, u: Any, top_p: float, top_k: int) -> Any:
    """Tokens [B] drawn from `probs` [B, V] with uniforms `u` [B], from the `top_k` most probable tokens (0: all) and among
    them the smallest set whose mass reaches `top_p`."""
    import torch

    if top_p >= 1 and not top_k:
        mass = probs.cumsum(-1)
        return torch.searchsorted(mass, (u * mass[:, -1])[:, None]).clamp(max=probs.shape[1] - 1)[:, 0]
    width = min(top_k or max(NUCLEUS, 1), probs.shape[1])
    top, index = probs.topk(width)
    if not top_k and bool((top.sum(-1) < top_p).any()):
        top, index = probs.sort(descending=True)
    within = top.sum(-1, keepdim=True) if top_k else 1.0
    before = top.cumsum(-1) - top
    mass = torch.where(before < top_p * within, top, 0).cumsum(-1)
    at = torch.searchsorted(mass, (u * mass[:, -1])[:, None]).clamp(max=top.shape[1] - 1)
    return index.gather(1, at)[:, 0]
