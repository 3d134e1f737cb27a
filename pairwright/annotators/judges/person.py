"""People compare: a question on a review sheet, each person's answer kept, and the verdict of the most."""

from __future__ import annotations

import json
from collections import Counter

from pydantic import Field

from pairwright.annotators.base import Group, Response
from pairwright.annotators.comparing import Comparer, ComparerConfig, Comparing, Comparison, Verdict
from pairwright.engines.requests import Failed, Opinion, Review, Reviewed

MOST_PEOPLE = 16  # an import looks for what was said when other numbers of people were asked


class PersonConfig(ComparerConfig):
    """Settings of `Person`.

    role: whose model has the engine `people`.
    people: how many of them must have answered a question before it is taken for answered.
    question: what they are asked about the two responses.
    """

    role: str = "human"
    people: int = Field(1, ge=1, le=MOST_PEOPLE)
    question: str = Field("Which of the two responses is better?", min_length=1)


class Person(Comparer[PersonConfig]):
    """Asks people which of two responses is better.

    The verdict is what most of them said (a, b or tie); where two answers have equally many votes, and none has more, it is a
    tie. p is the share of votes for a, a tie counting as half a vote for each side. Who finds that the two cannot be judged has
    no vote; if nobody has one, the verdict is invalid (`not_judgeable`). Two equal texts are a tie, and nobody is asked.

    parts: votes_a, votes_b, votes_tie, people (who answered, with or without a vote). raw: the opinions as JSON, each with who,
    choice (a response's id, "tie" or "invalid") and note, so that people who disagree are all kept.
    Until enough people have answered, the comparison has no verdict: `awaiting_person`.
    """

    Config = PersonConfig

    def roles(self) -> dict[str, frozenset[str]]:
        return {self.config.role: frozenset({"review"})}

    def compare(self, group: Group, a: Response, b: Response) -> Comparing:
        if a.text.strip() == b.text.strip():
            return Comparison("tie", 0.5, parts={"votes_a": 0, "votes_b": 0, "votes_tie": 0, "people": 0})
        first, second = sorted((r.id, r.text) for r in (a, b))
        about = (self.config.question, group.reference, self.config.people)
        (result,) = yield [Review(self.config.role, group.prompt, (first, second), *about)]
        if isinstance(result, Failed):
            return Comparison(None, reason=result.reason, raw=result.detail or None)
        assert isinstance(result, Reviewed)
        return verdict_of_people(result.opinions, a.id, b.id)


def verdict_of_people(opinions: tuple[Opinion, ...], a: str, b: str) -> Comparison:
    """What `opinions` about the responses with the ids `a` and `b` come to."""
    said = Counter(o.choice for o in opinions)
    votes: dict[Verdict, int] = {"a": said[a], "b": said[b], "tie": said["tie"]}
    parts = {f"votes_{name}": float(n) for name, n in votes.items()} | {"people": float(len(opinions))}
    raw = json.dumps([{"who": o.who, "choice": o.choice, "note": o.note} for o in opinions], ensure_ascii=False)
    total = sum(votes.values())
    if not total:
        return Comparison("invalid", reason="not_judgeable", parts=parts, raw=raw)
    most = [name for name, n in votes.items() if n == max(votes.values())]
    return Comparison(most[0] if len(most) == 1 else "tie", (votes["a"] + votes["tie"] / 2) / total, parts=parts, raw=raw)
