"""The engine for any OpenAI-compatible server: the official client in a background thread, many requests in flight.

The client itself waits and tries again on 429, 5xx and time-outs. What is left is told apart here: a request the server refuses
fails alone; a server that refuses the key, does not know the model or answers nobody stops the build with what to do.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import re
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

import numpy as np
from pydantic import ConfigDict, Field, field_validator, model_validator

from pairwright.engines.base import Engine, ModelConfig
from pairwright.engines.folders import resolve_folder
from pairwright.engines.openai_replies import (
    FLOOR,
    TOO_LONG,
    TOP,
    adapted,
    completion,
    label_logprob,
    messages,
    refused_option,
    vllm_rows,
)
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
    Turn,
    Usage,
    Verify,
)
from pairwright.errors import EngineError, PairwrightError
from pairwright.ids import digest, seed_of

LOCAL = ("localhost", "127.0.0.1", "::1", "0.0.0.0")
SILENT_SERVER = 3  # so many requests in a row without one answer: the server is taken for dead
NEVER = float("-inf")
PROBE = (Turn("user", "Answer with one letter."),)
PROBE_STEPS = 300  # of 0.2 s each at most: what cannot be asked in a minute is found out by the build
NO_TOP = "gave no `top_logprobs`, which judging by labels needs: use a server that gives them, or another engine"
NO_ROWS = "did not return a log-probability for exactly the ids it was given: check `scoring` and `tokenizer`"


class OpenAIModel(ModelConfig):
    """A model behind an OpenAI-compatible endpoint. The key is read from the environment when loading and kept nowhere else."""

    model_config = ConfigDict(hide_input_in_errors=True)

    engine: Literal["openai"] = "openai"
    model: str = Field(description="the model's name on the server")
    base_url: str = Field("https://api.openai.com/v1", description="up to and including /v1")
    api_key_env: str = Field("OPENAI_API_KEY", description="the NAME of the environment variable that holds the key")
    concurrency: int = Field(32, gt=0, description="requests in flight")
    timeout_s: float = Field(120, gt=0, description="seconds one try may take")
    retries: int = Field(5, ge=0, description="tries after the first, with growing pauses")
    revision: str | None = Field(None, description="yours to change when the model behind the name has changed")
    tokenizer: str | None = Field(None, description="a folder or hub name with the model's tokenizer; needed for scoring")
    scoring: Literal["none", "vllm", "echo"] = Field(
        "none", description="how it gives prompt log-probabilities: vLLM's `prompt_logprobs`, or the legacy `echo`"
    )
    price_in: float = Field(0, ge=0, description="per million tokens given")
    price_out: float = Field(0, ge=0, description="per million tokens made")

    @field_validator("base_url")
    @classmethod
    def _no_secret(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("`base_url` must begin with http:// or https:// and name a host")
        if "@" in parts.netloc or parts.query:
            raise ValueError("`base_url` must hold no user, password or query: put the key into the variable `api_key_env` names")
        return url.rstrip("/")

    @field_validator("api_key_env")
    @classmethod
    def _a_name(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError("`api_key_env` is the name of an environment variable, not the key itself")
        return name

    @model_validator(mode="after")
    def _scoring_needs_ids(self) -> OpenAIModel:
        if self.scoring != "none" and self.tokenizer is None:
            raise ValueError(f"`scoring: {self.scoring}` needs `tokenizer`: the folder or hub name of the model's tokenizer")
        return self

    @property
    def provides(self) -> frozenset[str]:  # type: ignore[override]
        """Scoring only where the server can do it."""
        return frozenset({"generate", FRESH, "choose"} | ({"score"} if self.scoring != "none" else set()))

    def fingerprint(self) -> str:
        """The server, the model's name there and `revision`: a server cannot be asked for a hash of its weights."""
        return digest("openai", self.base_url, self.model, self.revision, self.scoring, self.tokenizer)

    def label(self) -> str:
        return self.model.rpartition("/")[2]

    def money(self, usage: Usage) -> float:
        """What `usage` costs, in the currency of the prices."""
        return ((usage.tokens - usage.generated) * self.price_in + usage.generated * self.price_out) / 1e6

    def check_labels(self, labels: Sequence[str]) -> None:
        """Asks the server once, for one token: some leave out log-probabilities without a word. Raises PairwrightError then."""
        engine = self.load()
        try:
            engine.submit("labels", Choose("check", PROBE, tuple(labels)))
            steps = (engine.step() for _ in range(PROBE_STEPS))
            answer = next((result for found in steps for _, result in found), None)
        finally:
            engine.close()
        if isinstance(answer, Failed) and answer.reason == "no_logprobs":
            raise PairwrightError(f"{self.label()} cannot judge by labels: {answer.detail}")

    def load(self) -> OpenAIEngine:
        """Raises EngineError when the key's variable is not set and the server is not on this machine."""
        key = os.environ.get(self.api_key_env)
        if not key and urlsplit(self.base_url).hostname not in LOCAL:
            raise EngineError(
                f"the key for {self.base_url} is missing: set the environment variable {self.api_key_env}, "
                "or name another one in `api_key_env`"
            )
        return OpenAIEngine(self, key or "no-key-needed")


class OpenAIEngine(Engine):
    """One thread with an event loop does all the talking; `step` waits a moment for what has come back."""

    def __init__(self, config: OpenAIModel, key: str) -> None:
        import openai

        for name in ("openai", "httpx", "httpx2", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self.config = config
        self.window = 2 * config.concurrency
        self._renderer = Renderer.from_folder(resolve_folder(config.tokenizer)) if config.tokenizer else None
        self._client = openai.AsyncOpenAI(
            api_key=key, base_url=config.base_url, timeout=config.timeout_s, max_retries=config.retries
        )
        self._secret = key
        self._room = asyncio.Semaphore(config.concurrency)
        self._done: queue.SimpleQueue[tuple[str, Result] | EngineError] = queue.SimpleQueue()
        self._open = 0  # submitted and not returned; touched by the caller's thread only
        self._dead: EngineError | None = None
        self._busy = 0  # from here on: touched by the loop's thread only
        self._heard = NEVER  # when the server last gave an answer
        self._silent: list[tuple[str, Failed]] = []  # failed, and nobody had an answer since
        self._without: set[str] = set()  # options this server has refused and we can do without
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"openai-{config.label()}", daemon=True)
        self._thread.start()

    def submit(self, ticket: str, request: Request) -> None:
        self._open += 1
        asyncio.run_coroutine_threadsafe(self._answer(ticket, request), self._loop)

    def step(self) -> list[tuple[str, Result]]:
        if self._dead:
            raise self._dead
        answers: list[tuple[str, Result]] = []
        while self._open and not self._dead:
            try:
                item = self._done.get(timeout=0.0 if answers else 0.2)
            except queue.Empty:
                break
            if isinstance(item, EngineError):
                self._dead = item
            else:
                answers.append(item)
                self._open -= 1
        if self._dead and not answers:
            raise self._dead
        return answers

    def close(self) -> None:
        async def leave() -> None:
            others = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await self._client.close()

        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(leave(), self._loop).result(timeout=10)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=10)
            self._loop.close()

    async def _answer(self, ticket: str, request: Request) -> None:
        async with self._room:
            began = time.monotonic()
            self._busy += 1
            try:
                result: Result = await self._ask(request, began)
                self._server_answered()
                self._done.put((ticket, result))
            except Unscorable as error:
                self._done.put((ticket, Failed(error.reason, error.detail)))
            except Exception as error:
                self._explain(ticket, error, began)
            finally:
                self._busy -= 1
                if self._silent and not self._busy:
                    await self._settle()

    async def _ask(self, request: Request, began: float) -> Result:
        if isinstance(request, Generate):
            return await self._generate(request, began)
        if isinstance(request, Choose):
            return await self._choose(request, began)
        if isinstance(request, Verify | Review):
            raise Unscorable("not_supported", NO_VERIFIER)
        return await self._score(request, began)

    async def _generate(self, request: Generate, began: float) -> Result:
        """`n` choices, in further calls where the server gives fewer at once; each call has its own seed."""
        if request.prefix_ids:
            raise Unscorable("not_supported", "a chat endpoint cannot continue an answer from token ids")
        sampling = request.sampling
        if sampling.stop and sampling.keep_stop:
            raise Unscorable("not_supported", "a chat endpoint cuts text before a stop string and cannot keep it")
        body: dict[str, Any] = {
            "messages": messages(request.prompt),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "logprobs": True,
        }
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        extra = {"top_k": sampling.top_k} if sampling.top_k else {}
        if self.config.scoring == "vllm":
            extra["return_token_ids"] = True
        body["extra_body"] = extra
        tokenizer = self._renderer.tokenizer_id if self._renderer else None
        made: list[Completion] = []
        usage: list[Any] = []
        while len(made) < request.n:
            seed = seed_of(request.seed, len(made)) if made else request.seed
            reply = await self._chat(body | {"n": request.n - len(made), "seed": seed})
            if not reply.choices:
                raise Unscorable("wrong_count", "the server gave no choice at all")
            usage.append(reply.usage)
            made += [completion(choice, tokenizer) for choice in reply.choices]
        return Generated(tuple(made[: request.n]), self._usage(usage, began))

    async def _choose(self, request: Choose, began: float) -> Result:
        reply = await self._chat(
            {
                "messages": messages(request.prompt),
                "temperature": 0,
                "max_tokens": 1,
                "logprobs": True,
                "top_logprobs": TOP,
            },
            needed=("logprobs", "top_logprobs"),
        )
        rows = (reply.choices[0].logprobs and reply.choices[0].logprobs.content) if reply.choices else None
        if not rows or not rows[0].top_logprobs:
            raise Unscorable("no_logprobs", f"{self.config.base_url} {NO_TOP}")
        logprobs = [label_logprob(label, rows[0].top_logprobs) for label in request.labels]
        for label, logprob in zip(request.labels, logprobs, strict=True):
            if logprob is None:
                raise Unscorable("label_not_in_top", f"the label {label!r} is not among the {TOP} most probable next tokens")
        return Chosen(tuple(p for p in logprobs if p is not None), self._usage([reply.usage], began))

    async def _score(self, request: Score, began: float) -> Result:
        """Log-probabilities of exactly the continuation's ids, by the legacy completions endpoint."""
        if request.want or self._renderer is None or self.config.scoring == "none":
            lacking = ", ".join(sorted(request.want)) or "score"
            raise Unscorable("not_supported", f"{self.config.label()} behind {self.config.base_url} does not provide {lacking}")
        context, ids = self._renderer.score_ids(request)
        body: dict[str, Any] = {"model": self.config.model, "prompt": [*context, *ids], "temperature": 0}
        if self.config.scoring == "vllm":
            reply = await self._client.completions.create(**body, max_tokens=1, extra_body={"prompt_logprobs": 0})
            rows = getattr(reply.choices[0], "prompt_logprobs", None)
            logprobs = rows and vllm_rows(rows[len(context) :], ids)
        else:
            reply = await self._client.completions.create(**body, max_tokens=0, echo=True, logprobs=0)
            given = reply.choices[0].logprobs
            rows = given and given.token_logprobs
            logprobs = rows and rows[len(context) : len(context) + len(ids)]
        known = [p for p in logprobs or () if p is not None]
        if len(known) != len(ids):
            raise Unscorable("no_logprobs", f"{self.config.base_url} {NO_ROWS}")
        if min(known) <= FLOOR:
            raise Unscorable("not_finite", "the server has no log-probability for a token")
        usage = self._usage([reply.usage], began)
        return Scored(tuple(ids), np.array(known, dtype=np.float32), usage=usage)

    async def _chat(self, body: dict[str, Any], needed: tuple[str, ...] = ()) -> Any:
        """Ask; where this server refuses an option that we can do without, leave it out from now on."""
        import openai

        while True:
            sent = adapted(body, self._without - set(needed))
            try:
                return await self._client.chat.completions.create(model=self.config.model, **sent)
            except (openai.BadRequestError, openai.PermissionDeniedError, openai.UnprocessableEntityError) as error:
                option = refused_option(str(error), sent)
                if option is None:
                    raise
                if option in needed:
                    raise Unscorable("no_logprobs", f"{self.config.base_url} {NO_TOP}: {self._said(error)}") from None
                self._without.add(option)

    def _usage(self, parts: Iterable[Any], began: float) -> Usage:
        given = sum(p.prompt_tokens or 0 for p in parts if p)
        made = sum(p.completion_tokens or 0 for p in parts if p)
        return Usage(given + made, given + made, made, (time.monotonic() - began) / max(1, self._busy))

    def _explain(self, ticket: str, error: Exception, began: float) -> None:
        """Whose fault is it: the request's (it fails), the settings' or the server's (the engine is dead)?"""
        import openai

        place, text = self.config.base_url, self._said(error)
        status = error.status_code if isinstance(error, openai.APIStatusError) else None
        if status in (401, 402) or (status == 403 and self._heard == NEVER):
            self._die(f"{place} refused the key ({status}: {text}): check the environment variable {self.config.api_key_env}")
        elif status == 404:
            self._die(f"{place} does not know the model {self.config.model!r} (404: {text}): check `model` and `base_url`")
        elif status is not None and status < 500 and status not in (408, 409, 429):
            self._server_answered()
            reason = "too_long" if TOO_LONG.search(str(error)) else "server_refused"
            self._done.put((ticket, Failed(reason, f"{status}: {text}")))
        elif isinstance(error, openai.APIConnectionError) or status is not None:
            self._unanswered(
                ticket, Failed("server_unavailable", f"no answer after {self.config.retries} retries: {text}"), began
            )
        else:
            self._done.put((ticket, Failed("server_answer", f"the answer of {place} could not be read: {text}")))

    def _unanswered(self, ticket: str, failed: Failed, began: float) -> None:
        if self._heard > began:
            self._done.put((ticket, failed))
            return
        self._silent.append((ticket, failed))
        if len(self._silent) >= SILENT_SERVER:
            self._die_silent()

    async def _settle(self) -> None:
        """Nothing else is on its way that could tell a dead server from requests it cannot answer: ask it."""
        if await self._reachable():
            self._server_answered()
        elif self._silent:
            self._die_silent()

    async def _reachable(self) -> bool:
        import openai

        try:
            await self._client.with_options(max_retries=0, timeout=min(10.0, self.config.timeout_s)).models.list()
        except openai.APIStatusError as error:
            return error.status_code < 500
        except Exception:
            return False
        return True

    def _server_answered(self) -> None:
        """The server lives, so what it did not answer meanwhile fails alone."""
        self._heard = time.monotonic()
        for item in self._silent:
            self._done.put(item)
        self._silent.clear()

    def _die_silent(self) -> None:
        _, failed = self._silent[-1]
        self._die(
            f"{self.config.base_url} does not answer ({failed.detail}): check that the server runs and `base_url` is right, "
            "or lower `concurrency` or raise `timeout_s`"
        )

    def _die(self, sentence: str) -> None:
        self._done.put(EngineError(sentence))

    def _said(self, error: Exception) -> str:
        body = getattr(error, "body", None)
        said = body.get("message") if isinstance(body, Mapping) else None
        return str(said or error or type(error).__name__).replace(self._secret, "***").strip().split("\n")[0][:200]
