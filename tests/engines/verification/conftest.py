"""To put questions to a verifier and read its verdicts in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pairwright.engines.requests import Verified, Verify, check
from pairwright.engines.verification.engine import VerificationEngine
from pairwright.engines.verification.models import FunctionVerifier, MathVerifier


@pytest.fixture(scope="session")
def verdicts() -> Callable[..., list[Verified]]:
    """`verdicts(engine, (reference, text), ...)`: one sound verdict each."""

    def ask(engine: VerificationEngine, *questions: tuple[str, str], cut: bool = False) -> list[Verified]:
        requests = [Verify("verifier", text, reference, cut) for reference, text in questions]
        for ticket, request in enumerate(requests):
            engine.submit(str(ticket), request)
        found: dict[str, Any] = {}
        while len(found) < len(requests):
            for ticket, verdict in engine.step():
                assert ticket not in found
                found[ticket] = verdict
        assert engine.step() == []
        return [check(request, found[str(i)]) for i, request in enumerate(requests)]  # type: ignore[misc]

    return ask


@pytest.fixture(scope="session")
def mathematics() -> Iterator[VerificationEngine]:
    """One engine with math-verify for all tests that do not harm it."""
    engine = MathVerifier(seconds=60).load()
    yield engine
    engine.close()


@pytest.fixture
def function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., VerificationEngine]]:
    """`function("return text == reference", seconds=1)`: an engine around a user's function with this body."""
    engines: list[VerificationEngine] = []
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(body: str, **about: Any) -> VerificationEngine:
        name = f"users_{len(engines)}"
        (tmp_path / f"{name}.py").write_text(f"import os, signal, sys\n\n\ndef judge(text, reference):\n    {body}\n")
        engines.append(FunctionVerifier(call=f"{name}:judge", **about).load())
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()
