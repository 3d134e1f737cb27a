"""The engine behind every verifier: settles what needs no comparison, asks each question once, and waits for nobody."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from pairwright.engines.base import Engine
from pairwright.engines.requests import Failed, Request, Result, Usage, Verified, Verify
from pairwright.engines.verification.pool import WorkerPool
from pairwright.ids import digest

Question = dict[str, str]
REMEMBERED = 200_000  # verdicts
WAIT_S = 0.002  # of a step that finds nothing; longer would hold up a model beside this engine

log = logging.getLogger(__name__)


class VerificationEngine(Engine):
    """`read` settles a request at once or says what is to be compared. Equal questions are compared once: rollouts of one prompt
    repeat answers heavily. `compared` and `remembered` count questions that cost a comparison and those that did not."""

    window = 4096

    def __init__(self, read: Callable[[Verify], Verified | Question], pool: WorkerPool | None = None) -> None:
        self._read, self._pool = read, pool
        self._ready: list[tuple[str, Result]] = []
        self._waiting: dict[str, list[str]] = {}  # question -> tickets
        self._known: dict[str, Verified] = {}
        self._warned = False
        self.compared = self.remembered = 0

    def submit(self, ticket: str, request: Request) -> None:
        if not isinstance(request, Verify):
            self._ready.append((ticket, Failed("not_supported", "a verifier answers Verify requests only")))
            return
        asked = self._read(request)
        if isinstance(asked, Verified):
            self._ready.append((ticket, asked))
            return
        key = digest(asked)
        if key in self._known:
            self.remembered += 1
            self._ready.append((ticket, self._known[key]))
        elif key in self._waiting:
            self.remembered += 1
            self._waiting[key].append(ticket)
        elif self._pool is not None:
            self.compared += 1
            self._waiting[key] = [ticket]
            self._pool.put(key, asked)

    def step(self) -> list[tuple[str, Result]]:
        done, self._ready = self._ready, []
        if self._waiting and self._pool is not None:
            done += self._verdicts(self._pool.take(0 if done else WAIT_S))
        return done

    def close(self) -> None:
        """End the workers."""
        if self._pool is not None:
            self._pool.close()

    def _verdicts(self, replies: Iterable[tuple[str, dict[str, Any]]]) -> Iterable[tuple[str, Result]]:
        for key, reply in replies:
            self._warn(reply)
            verdict = (reply["outcome"], reply["answer"], reply["reason"])
            first, *others = self._waiting.pop(key)
            self._remember(key, Verified(*verdict))
            yield first, Verified(*verdict, Usage(seconds=reply["seconds"]))
            for ticket in others:
                yield ticket, self._known[key]

    def _remember(self, key: str, verdict: Verified) -> None:
        self._known[key] = verdict
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]

    def _warn(self, reply: dict[str, Any]) -> None:
        if "detail" in reply and not self._warned:
            self._warned = True
            log.warning("a verifier failed (verifier_error): %s. This is said once", reply["detail"])
