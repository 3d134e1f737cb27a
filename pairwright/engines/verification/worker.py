"""A worker: reads questions as lines of JSON, answers each with one line, and can be killed at any time.

    python -m pairwright.engines.verification.worker      (started by `WorkerPool`; the first line it reads says what it is to do)

What libraries and user functions print goes nowhere, so that only answers are on the pipe. Time is not watched here: no SIGALRM,
and a hung computation would not look anyway. Whoever started the worker kills it.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import logging
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pairwright.engines.verification import equality
from pairwright.engines.verification.answers import LONGEST, shortened, tidy

Reply = dict[str, Any]
Method = Callable[[dict[str, str]], Reply]


def main() -> None:
    """Say ready, then answer until the other end of the pipe is gone."""
    questions, answers = _private_pipes()
    _die_with_parent()
    try:
        order = json.loads(questions.readline() or "null")
        if order is None:
            return
        method = METHODS[order["engine"]](order)
        _limit_memory(order["memory_mib"])
    except Exception as error:
        print(json.dumps({"failed": f"{type(error).__name__}: {error}"}), file=answers, flush=True)
        return
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in questions:
        started = time.perf_counter()
        reply = _answer(method, json.loads(line))
        print(json.dumps(reply | {"seconds": time.perf_counter() - started}), file=answers, flush=True)


def _answer(method: Method, question: dict[str, str]) -> Reply:
    answer = question.get("answer")
    try:
        return method(question)
    except MemoryError:
        return _reply("unparsed", "verifier_memory", answer)
    except Exception as error:
        return _reply("unparsed", "verifier_error", answer) | {"detail": f"{type(error).__name__}: {error}"[:500]}


def _reply(outcome: str, reason: str | None = None, answer: str | None = None) -> Reply:
    return {"outcome": outcome, "reason": reason, "answer": answer}


def _mathematics(order: dict[str, Any]) -> Method:
    logging.disable(logging.CRITICAL)
    equality.same_mathematics("1/2", r"\frac{1}{3}")  # loads the grammar, which takes longer than most comparisons
    return lambda q: _reply(*equality.same_mathematics(q["reference"], q["answer"]), q["answer"])


def _pattern(order: dict[str, Any]) -> Method:
    pattern = re.compile(order["pattern"])
    group = next(iter(pattern.groupindex), 1 if pattern.groups else 0)
    read: Callable[[str], str] = equality.fold if order["ignore_case"] else tidy

    def compare(question: dict[str, str]) -> Reply:
        last = None
        for last in pattern.finditer(question["text"]):  # noqa: B007
            pass
        answer = tidy(last.group(group) or "") if last else ""
        if not answer:
            return _reply("unparsed", question["unfound"])
        if len(answer) > LONGEST:
            return _reply("unparsed", "answer_too_long", shortened(answer))
        return _reply("right" if read(answer) == read(equality.bare(question["reference"])) else "wrong", None, answer)

    return compare


def _function(order: dict[str, Any]) -> Method:
    module, _, name = order["call"].partition(":")
    function = getattr(importlib.import_module(module), name)

    def call(question: dict[str, str]) -> Reply:
        verdict = function(question["text"], question["reference"])
        if verdict is None:
            return _reply("unparsed", "answer_unparsed")
        if verdict not in (True, False):
            raise TypeError(f"{order['call']} returned {verdict!r:.80}; it may return True, False or None")
        return _reply("right" if verdict else "wrong")

    return call


METHODS: dict[str, Callable[[dict[str, Any]], Method]] = {
    "math_verify": _mathematics,
    "regex": _pattern,
    "function": _function,
}


def _private_pipes() -> tuple[Any, Any]:
    """The pipes of this process under numbers that nobody else knows; what reads or prints as usual meets an empty file."""
    pipes = os.fdopen(os.dup(0), encoding="utf-8"), os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for usual in (0, 1, 2):
        os.dup2(nowhere, usual)
    return pipes


def _die_with_parent() -> None:
    """On Linux the kernel kills this process with its parent (the thread that started it), even in a computation that never
    ends; elsewhere it ends when it next reads."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            set_parent_death_signal = 1
            ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL, 0, 0, 0)


def _limit_memory(mib: int) -> None:
    """Let this process take `mib` MiB more than it has now. Only Linux says how much that is; elsewhere there is no limit."""
    sizes = Path("/proc/self/statm")
    if sizes.exists():
        most = int(sizes.read_text().split()[0]) * resource.getpagesize() + (mib << 20)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    main()
