"""Judges that are right as often as the text tells them to be: a response says its worth, and when to get it wrong."""

from __future__ import annotations

import math
import re
from typing import ClassVar, Literal

from pairwright.annotators.base import Annotating, Annotation, Annotator, AnnotatorConfig, Group, Response
from pairwright.annotators.comparing import Comparer, ComparerConfig, Comparing, Comparison, both_orders, verdict_of
from pairwright.engines.requests import Choose, Chosen, Failed, Request, Result, Usage, turns
from pairwright.engines.scripted import PretendModel


class OracleModel(PretendModel):
    """Prefers the good response with probability 0.8, or the bad one where the prompt says "wrong"; of two good or two bad ones
    neither; adds `lean` for the first."""

    engine: Literal["oracle"] = "oracle"
    lean: float = 0.0
    price: float = 0.0
    provides: ClassVar[frozenset[str]] = frozenset({"choose"})
    tokenizer: ClassVar[str] = "oracle"

    def respond(self, request: Request) -> Result:
        assert isinstance(request, Choose)
        text = request.prompt[0].content
        if "unanswerable" in text:
            return Failed("refused", "it would rather not", Usage(10))
        _, first, second = text.split("|")
        better = ("good" in first) - ("good" in second)
        p = 0.5 + 0.3 * better * (-1 if "wrong" in text else 1)
        p = min(max(p + self.lean, 0.01), 0.99)
        return Chosen((math.log(p), math.log(1 - p)), Usage(10, 10, 1, 0.5))

    def ids(self, text: str) -> tuple[int, ...]:
        return tuple(range(len(text.split())))

    def money(self, usage: Usage) -> float:
        return usage.tokens * self.price


class OracleConfig(ComparerConfig):
    guard: bool = False


class Oracle(Comparer[OracleConfig]):
    """Asks both orders and averages."""

    Config = OracleConfig

    def roles(self) -> dict[str, frozenset[str]]:
        return {"judge": frozenset({"choose"})}

    def compare(self, group: Group, a: Response, b: Response) -> Comparing:
        if "gibberish" in group.prompt[-1].content:
            return Comparison("invalid", reason="two_verdicts", raw="A and B")
        asked = [
            Choose("judge", turns(f"{group.prompt[-1].content} | {x.text} | {y.text}"), ("A", "B")) for x, y in ((a, b), (b, a))
        ]
        ab, ba = yield asked
        if not (isinstance(ab, Chosen) and isinstance(ba, Chosen)):
            return Comparison(None, reason="refused")
        first, second = ab.probabilities[0], 1 - ba.probabilities[0]
        p = (first + second) / 2
        return Comparison(verdict_of(p), p, parts=both_orders(first, second))


class Worth(Annotator[AnnotatorConfig]):
    """A rating without a model: the number in the response; none if it has none."""

    def roles(self) -> dict[str, frozenset[str]]:
        return {}

    def annotate(self, group: Group) -> Annotating:
        yield []
        found = [(r.id, re.search(r"\d+", r.text)) for r in group.responses]
        return [Annotation(i, float(m[0])) if m else Annotation(i, reason="no_number") for i, m in found]


class Silent(Worth):
    """Says nothing about which response is better."""

    rates = False


class Faulty(Worth):
    """A method with a defect."""

    def annotate(self, group: Group) -> Annotating:
        yield []
        if "trip over" in group.prompt[0].content:
            raise KeyError("oops")
        return [Annotation(r.id, 1.0) for r in group.responses]
