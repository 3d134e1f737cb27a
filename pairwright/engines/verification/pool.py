"""Processes that can be killed, each served by one thread: it hands over a question, waits, and kills who takes too long.

No pickle and no fork: a worker is a fresh Python that speaks lines of JSON; of a parent that holds torch it holds nothing.
A thread per worker keeps them busy and punctual however long the model beside them takes for a step.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pairwright.errors import EngineError

WORKER = "pairwright.engines.verification.worker"
START_S = 120.0  # importing sympy takes a second, on a very busy machine many
STARTS = 3  # how often a worker may die before it is ready


class WorkerPool:
    """Answers questions, in any order. `order` is the first line each worker gets. A question that is not answered in `seconds`
    costs its worker and gets `time_out`; one whose worker dies gets `verifier_crashed`; no other question notices."""

    def __init__(self, order: Mapping[str, Any], workers: int, seconds: float, tasks_per_worker: int) -> None:
        self._order, self._seconds, self._tasks_per_worker = dict(order), seconds, tasks_per_worker
        self._questions: queue.SimpleQueue[tuple[str, dict[str, str]] | None] = queue.SimpleQueue()
        self._replies: queue.SimpleQueue[tuple[str, dict[str, Any]] | EngineError] = queue.SimpleQueue()
        self._closing = False
        self._working: dict[int, Worker] = {}
        self._threads = [threading.Thread(target=self._serve, args=(i,), daemon=True) for i in range(workers)]
        for thread in self._threads:
            thread.start()

    def put(self, key: str, question: dict[str, str]) -> None:
        """Queue `question`; its reply will carry `key`."""
        self._questions.put((key, question))

    def take(self, wait: float) -> list[tuple[str, dict[str, Any]]]:
        """The replies that are there; if none is, what comes within `wait` seconds. Raises EngineError if no worker starts."""
        found = []
        with contextlib.suppress(queue.Empty):
            found.append(self._replies.get(wait > 0, wait or None))
            while True:
                found.append(self._replies.get_nowait())
        replies = []
        for reply in found:
            if isinstance(reply, EngineError):
                raise reply
            replies.append(reply)
        return replies

    def close(self) -> None:
        """Kill every worker; when this returns, none is left, not even as a zombie."""
        self._closing = True
        for _ in self._threads:
            self._questions.put(None)
        for thread in self._threads:
            while thread.is_alive():
                for worker in list(self._working.values()):
                    worker.kill()
                thread.join(0.02)

    def pids(self) -> list[int]:
        """The processes that are alive now."""
        return [worker.pid for worker in list(self._working.values())]

    def _serve(self, place: int) -> None:
        worker: Worker | None = None
        try:
            while not self._closing:
                worker = worker or self._hire(place)
                asked = self._questions.get()
                if asked is None:
                    break
                if not worker.alive():
                    self._dismiss(place, worker)
                    worker = self._hire(place)
                key, question = asked
                reply = worker.ask(question, self._seconds)
                self._replies.put((key, reply))
                if not worker.alive() or worker.asked >= self._tasks_per_worker or reply["reason"] == "verifier_memory":
                    self._dismiss(place, worker)
                    worker = None
        except EngineError as error:
            self._replies.put(error)
        except Exception as error:
            self._replies.put(
                EngineError(f"a verification worker cannot be started or spoken to: {type(error).__name__}: {error}")
            )
        finally:
            if worker is not None:
                self._dismiss(place, worker)

    def _hire(self, place: int) -> Worker:
        for attempt in range(STARTS):
            worker = self._working[place] = Worker()
            if worker.begin(self._order):
                return worker
            self._dismiss(place, worker)
            if self._closing or attempt + 1 == STARTS:
                break
        raise EngineError(
            f"a verification worker died before it was ready, {STARTS} times: is there memory for one more process?"
        )

    def _dismiss(self, place: int, worker: Worker) -> None:
        del self._working[place]
        worker.end()


class Worker:
    """One process, and the thread that made it to talk to it. Only `kill` may be called by others."""

    def __init__(self) -> None:
        path = os.pathsep.join(str(part) or str(Path.cwd()) for part in sys.path)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": path},
            bufsize=0,
        )
        self.pid = self._process.pid
        self.asked = 0

    def begin(self, order: dict[str, Any]) -> bool:
        """Wait until it is ready. False if it died first. Raises EngineError with what it says it cannot do."""
        said = self._say(order, START_S)
        if said is not None and "failed" in said:
            raise EngineError(f"the verifier {order.get('call', order['engine'])} cannot be started: {said['failed']}")
        return said is not None and self.alive()

    def ask(self, question: dict[str, str], seconds: float) -> dict[str, Any]:
        """Its reply; it is dead afterwards if it did not give one."""
        self.asked += 1
        started = time.perf_counter()
        reply = self._say(question, seconds)
        if reply is not None:
            return reply
        reason = "verifier_crashed" if not self._overran else "time_out"
        return {
            "outcome": "unparsed",
            "reason": reason,
            "answer": question.get("answer"),
            "seconds": time.perf_counter() - started,
        }

    def alive(self) -> bool:
        """Is the process there?"""
        return self._process.poll() is None

    def kill(self) -> None:
        """Kill it, whatever it does, and what it may have started."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill it and leave nothing behind."""
        self.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _say(self, message: dict[str, Any], seconds: float) -> dict[str, Any] | None:
        """Write a line and read one; None, and the process is dead, if none came in time or it died."""
        self._overran = False
        try:
            self._write(json.dumps(message).encode() + b"\n")
            line = self._read(time.monotonic() + seconds)
            if line:
                return dict(json.loads(line))
        except (OSError, ValueError):
            pass
        self.kill()
        self._process.wait()
        return None

    def _write(self, line: bytes) -> None:
        assert self._process.stdin is not None
        view = memoryview(line)
        while view:
            view = view[self._process.stdin.write(view) or 0 :]

    def _read(self, deadline: float) -> bytes:
        assert self._process.stdout is not None
        line = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    self._overran = True
                    return b""
                part = os.read(self._process.stdout.fileno(), 65536)
                if not part:
                    return b""
                line += part
        return line
