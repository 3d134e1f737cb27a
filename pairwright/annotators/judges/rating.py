"""What judges of single responses have in common: each response is asked about by itself, and master keys not at all."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Sequence
from typing import TypeVar

from pairwright.annotators.base import Annotating, Annotation, Annotator, AnnotatorConfig, Group, Response
from pairwright.annotators.guard import unless_guarded
from pairwright.annotators.judges.digits import MinMass
from pairwright.engines.requests import Request, Result
from pairwright.engines.runner import gather

Rating = Generator[Sequence[Request], Sequence[Result], Annotation]


class RaterConfig(AnnotatorConfig):
    """Settings of every judge of single responses.

    guard: do not ask about a response that is a master key (`annotators.guard`); it gets its reason instead of a score.
    min_mass: of asking by labels: a response for which the labels have less of the next token's probability gets `off_label`.
    """

    role: str = "judge"
    guard: bool = True
    min_mass: MinMass = 0.01


RC = TypeVar("RC", bound=RaterConfig)


class Rater(Annotator[RC]):
    """An annotator that rates each response of a group without seeing the others. All are asked about at once."""

    Config = RaterConfig

    @abstractmethod
    def rate(self, group: Group, response: Response) -> Rating:
        """Rate one response of `group`."""

    def annotate(self, group: Group) -> Annotating:
        return (yield from unless_guarded(group, self.config.guard, lambda judged: self._rate_each(group, judged)))

    def _rate_each(self, group: Group, judged: Sequence[Response]) -> Annotating:
        return (yield from gather(*(self.rate(group, r) for r in judged)))
