"""An annotator that compares without asking a model."""

from __future__ import annotations

from typing import Literal

from pairwright.annotators.base import Group, Response
from pairwright.annotators.comparing import Comparer, ComparerConfig, Comparing, Comparison


class VoterConfig(ComparerConfig):
    """What it says of every pair."""

    likes: Literal["longer", "shorter", "neither", "nothing"] = "longer"


class Voter(Comparer[VoterConfig]):
    """Prefers by length, finds all equal ("neither"), or cannot be read ("nothing")."""

    Config = VoterConfig

    def roles(self) -> dict[str, frozenset[str]]:
        return {}

    def compare(self, group: Group, a: Response, b: Response) -> Comparing:
        yield from ()
        likes = self.config.likes
        if likes == "nothing":
            return Comparison("invalid", reason="no_verdict", raw="hm")
        if likes == "neither" or len(a.text) == len(b.text):
            return Comparison("tie", 0.5)
        first = (len(a.text) > len(b.text)) == (likes == "longer")
        return Comparison("a" if first else "b", 0.9 if first else 0.1)
