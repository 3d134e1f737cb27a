"""People as an engine: they answer on a sheet, not during a build; their answers come from the journal (`pipelines.review`)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from pairwright.engines.base import Engine, ModelConfig
from pairwright.engines.requests import AWAITING, Failed, Request, Result, Review
from pairwright.ids import digest

"""The reason of whatever nobody has answered yet: the next build asks again."""


class PeopleModel(ModelConfig):
    """Some people. Everything here enters the fingerprint: other people, or the same under other instructions, are asked anew."""

    engine: Literal["people"] = "people"
    name: str = Field("reviewers", min_length=1, max_length=100, description="who is asked")
    instructions: str = Field("", description="shown on the sheet before everything else")

    provides: ClassVar[frozenset[str]] = frozenset({"review"})
    light: ClassVar[bool] = True

    def fingerprint(self) -> str:
        return digest("people", self.model_dump())

    def label(self) -> str:
        return self.name

    def load(self) -> PeopleEngine:
        """Loads nothing."""
        return PeopleEngine()


class PeopleEngine(Engine):
    """Has no answers: what people have said is in the journal, and the runner never asks again for what that holds."""

    window = 4096

    def __init__(self) -> None:
        self._asked: list[tuple[str, Request]] = []

    def submit(self, ticket: str, request: Request) -> None:
        self._asked.append((ticket, request))

    def step(self) -> list[tuple[str, Result]]:
        asked, self._asked = self._asked, []
        return [(ticket, _unanswered(request)) for ticket, request in asked]


def _unanswered(request: Request) -> Failed:
    if not isinstance(request, Review):
        return Failed("not_supported", "people answer Review requests only")
    return Failed(AWAITING, "nobody has answered yet: export a review sheet, have it filled in, and import it")
