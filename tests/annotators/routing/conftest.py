"""Judges for routers to ask: one request a comparison, whose answer is P(a is better) as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from pairwright.annotators import members
from pairwright.annotators.base import Group, Response
from pairwright.annotators.comparing import Comparer, ComparerConfig, Comparing, Comparison, verdict_of
from pairwright.annotators.wording import asked
from pairwright.engines.requests import Completion, Failed, Generate, Generated, Request, Result, Sampling


class AskerConfig(ComparerConfig):
    role: str = "judge"


class Asker(Comparer[AskerConfig]):
    """Asks its role; what is no number is an invalid verdict."""

    Config = AskerConfig

    def roles(self) -> dict[str, frozenset[str]]:
        return {self.config.role: frozenset({"generate"})}

    def compare(self, group: Group, a: Response, b: Response) -> Comparing:
        [result] = yield [Generate(self.config.role, asked(f"{group.prompt_id} {a.id} {b.id}"), Sampling())]
        if isinstance(result, Failed):
            return Comparison(None, reason=result.reason)
        text = result.completions[0].text
        try:
            p = float(text)
        except ValueError:
            return Comparison("invalid", reason="no_verdict", raw=text)
        return Comparison(verdict_of(p), p, parts={"p_ab": p, "p_ba": p / 2}, raw=text)


@pytest.fixture(autouse=True)
def _asker(monkeypatch: pytest.MonkeyPatch) -> None:
    real = members.load
    monkeypatch.setattr(members, "load", lambda name: Asker if name == "asker" else real(name))


@pytest.fixture
def answering() -> Callable[..., tuple[Callable[[Request], Result], list[str]]]:
    """What answers each role gives (a number, a text, or a Failed), and the list of roles that were asked so far."""

    def make(**says: Any) -> tuple[Callable[[Request], Result], list[str]]:
        roles: list[str] = []

        def answer(request: Request) -> Result:
            roles.append(request.role)
            said = says[request.role]
            return said if isinstance(said, Failed) else Generated((Completion(str(said), "stop"),))

        return answer, roles

    return make


@pytest.fixture
def asker() -> Callable[..., Mapping[str, Any]]:
    """Settings of a judge that asks `role`."""
    return lambda role, **more: {"use": "asker", "role": role, **more}
