"""The runner: keeps many generators in flight and resumes each as soon as its own results are in.

It collects what generators yield, drops duplicates, answers what the journal already holds, and hands the rest to the engine of
the role's model. There is no barrier: prompts do not wait for each other. When nothing loaded has work left, it swaps to the
model that most requests wait for, so a stage of n prompts over m models loads each of them once as long as no more than
`max_waiting` requests have to wait.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pairwright.engines.base import Engine
from pairwright.engines.journal import Journal
from pairwright.engines.pool import EnginePool
from pairwright.engines.requests import Failed, Request, Result, check, request_key

Task = Generator[Sequence[Request], Sequence[Result], Any]


@dataclass(frozen=True, slots=True)
class Broken:
    """What a task gives that raised: a fault of the method, not of a request; nothing is recorded for it."""

    error: Exception


@dataclass(slots=True)
class Stats:
    """What a run asked for and what it paid: `run` of the `asked` requests went to an engine."""

    asked: int = 0
    from_journal: int = 0
    shared: int = 0
    run: int = 0
    failed: int = 0
    tokens: int = 0
    generated: int = 0
    forwarded: float = 0.0
    engine_seconds: float = 0.0
    money: float = 0.0
    tasks_done: int = 0


@dataclass(slots=True)
class _Open:
    """A task waiting for `missing` of its results."""

    key: Hashable
    task: Task
    results: list[Result | None] = field(default_factory=list)
    missing: int = 0


class Runner:
    """Runs tasks over the models of `pool`. One thread; call `run` once at a time."""

    def __init__(
        self,
        pool: EnginePool,
        journal: Journal | None = None,
        max_waiting: int = 200_000,
        on_progress: Callable[[Stats], None] | None = None,
    ) -> None:
        self.pool, self.journal, self.max_waiting, self.on_progress = pool, journal, max_waiting, on_progress
        self.stats = Stats()
        self._queues: dict[str, deque[str]] = defaultdict(deque)  # model -> request keys not yet handed over
        self._submitted: dict[str, dict[str, Request]] = defaultdict(dict)
        self._requests: dict[str, tuple[str, Request]] = {}
        self._waiters: dict[str, list[tuple[_Open, int]]] = {}
        self._finished: deque[tuple[Hashable, Any]] = deque()
        self._open = 0  # tasks begun and not finished
        self._reported = 0.0

    def run(self, tasks: Iterable[tuple[Hashable, Task]]) -> Iterator[tuple[Hashable, Any]]:
        """Yield (key, what the generator returned) as tasks finish, in any order; `Broken` for one that raised."""
        self._forget()
        source = iter(tasks)
        more = True
        while True:
            more = self._admit(source) if more else False
            while self._finished:
                yield self._finished.popleft()
            if not self._waiters:
                if not more:
                    break
                continue
            worked = self._work()
            if self._waiters and (not worked or self.pool.has_room()):
                self._swap(required=not worked)
            self._report()
        self._report(last=True)
        if self.journal is not None:
            self.journal.flush()

    def _admit(self, source: Iterator[tuple[Hashable, Task]]) -> bool:
        """Open tasks while a loaded engine is hungry and not too many requests wait. False when there are no more."""
        while max(len(self._waiters), self._open) < self.max_waiting and self._hungry():
            try:
                key, task = next(source)
            except StopIteration:
                return False
            self._open += 1
            self._resume(_Open(key, task), None)
            if len(self._finished) >= 1024:
                break
        return True

    def _forget(self) -> None:
        """Drop what a run that was left early still waits for; what a loaded engine already has comes back to nobody."""
        for model in {*self._queues, *self._submitted}:
            lost = [*self._queues.pop(model, ())]
            if model not in self.pool.resident:
                lost += self._submitted.pop(model, {})
            for key in lost:
                del self._waiters[key], self._requests[key]
        for waiters in self._waiters.values():
            waiters.clear()
        self._finished.clear()
        self._open = 0

    def _hungry(self) -> bool:
        busy = [len(self._queues[m]) + len(self._submitted[m]) < e.window for m, e in self.pool.heavy().items()]
        return any(busy) or (not busy and len(self._waiters) < 1024)

    def _resume(self, state: _Open, results: list[Result] | None) -> None:
        while True:
            try:
                requests = next(state.task) if results is None else state.task.send(results)
            except StopIteration as stop:
                self._finish(state, stop.value)
                return
            except Exception as error:
                self._finish(state, Broken(error))
                return
            try:
                asked = [(model := self.pool.model(r.role), request_key(model, r), r) for r in requests]
            except (AttributeError, TypeError) as error:  # not requests
                self._finish(state, Broken(error))
                return
            state.results = [None] * len(asked)
            state.missing = len(asked)
            for slot, (model, key, request) in enumerate(asked):
                self._ask(state, slot, model, key, request)
            if state.missing:
                return
            results = [r for r in state.results if r is not None]

    def _finish(self, state: _Open, value: Any) -> None:
        self._open -= 1
        self.stats.tasks_done += 1
        self._finished.append((state.key, value))

    def _ask(self, state: _Open, slot: int, model: str, key: str, request: Request) -> None:
        self.stats.asked += 1
        if key in self._waiters:
            self.stats.shared += 1
            self._waiters[key].append((state, slot))
            return
        known = self.journal.get(key) if self.journal is not None else None
        if known is not None:
            self.stats.from_journal += 1
            state.results[slot] = known
            state.missing -= 1
            return
        self._waiters[key] = [(state, slot)]
        self._requests[key] = (model, request)
        self._queues[model].append(key)

    def _work(self) -> bool:
        """Let every loaded engine with work do some. False when none has any."""
        worked = False
        for model in [m for m, queue in self._queues.items() if queue and m not in self.pool.resident and self.pool.light(m)]:
            self.pool.load(model, set())
        for model, engine in list(self.pool.resident.items()):
            queue, submitted = self._queues[model], self._submitted[model]
            while queue and len(submitted) < engine.window:
                key = queue.popleft()
                submitted[key] = self._requests[key][1]
                self._submit(model, engine, key)
                worked = True
            if submitted:
                worked = True
                self._deliver(model, self._step(model, engine))
        return worked

    def _submit(self, model: str, engine: Engine, key: str) -> None:
        try:
            engine.submit(key, self._submitted[model][key])
        except Exception as error:
            self._deliver(model, [(key, Failed("engine_error", f"{type(error).__name__}: {error}"))])

    def _step(self, model: str, engine: Engine) -> list[tuple[str, Result]]:
        started = time.perf_counter()
        try:
            return engine.step()
        except Exception as error:
            fresh = self.pool.restart(model, error)
            for key in list(self._submitted[model]):
                self._submit(model, fresh, key)
            return []
        finally:
            self.stats.engine_seconds += time.perf_counter() - started

    def _deliver(self, model: str, results: list[tuple[str, Result]]) -> None:
        ready: list[_Open] = []
        for key, raw in results:
            _, request = self._requests.pop(key)
            del self._submitted[model][key]
            result = check(request, raw)
            self._count(result)
            self.stats.money += self.pool.money(model, result.usage)
            if self.journal is not None:
                self.journal.put(key, result)
            for state, slot in self._waiters.pop(key):
                state.results[slot] = result
                state.missing -= 1
                if not state.missing:
                    ready.append(state)
        if results and self.journal is not None:
            self.journal.flush()
        for state in ready:
            self._resume(state, [r for r in state.results if r is not None])

    def _count(self, result: Result) -> None:
        stats, usage = self.stats, result.usage
        stats.run += 1
        stats.failed += isinstance(result, Failed)
        stats.tokens += usage.tokens
        stats.generated += usage.generated
        stats.forwarded += usage.forwarded

    def _swap(self, required: bool) -> None:
        """Load the model that most requests wait for; idle models leave if there is no room."""
        waiting = {m: len(q) for m, q in self._queues.items() if q and m not in self.pool.resident}
        if not waiting:
            if required and any(self._submitted.values()) is False and not any(self._queues.values()):
                raise RuntimeError("requests wait, but no engine has them")
            return
        idle = {m for m in self.pool.resident if not self._submitted[m] and not self._queues[m]}
        self.pool.load(max(waiting, key=lambda m: waiting[m]), idle)

    def _report(self, last: bool = False) -> None:
        if self.on_progress is not None and (last or time.monotonic() - self._reported > 0.5):
            self._reported = time.monotonic()
            self.on_progress(self.stats)


def gather(*tasks: Task) -> Generator[Sequence[Request], Sequence[Result], list[Any]]:
    """Run generators side by side inside one: yields what they yield, merged; returns what they return, in order."""
    values: list[Any] = [None] * len(tasks)
    asked: dict[int, Sequence[Request]] = {}
    inbox: dict[int, Sequence[Result] | None] = dict.fromkeys(range(len(tasks)))
    while inbox:
        for i, results in inbox.items():
            try:
                asked[i] = next(tasks[i]) if results is None else tasks[i].send(results)
            except StopIteration as stop:
                values[i] = stop.value
        if not asked:
            break
        answers = iter((yield [request for requests in asked.values() for request in requests]))
        inbox = {i: [next(answers) for _ in requests] for i, requests in asked.items()}
        asked = {}
    return values
