"""Keep the pairs on which several annotators agree that the chosen response is better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from pairwright.pipelines.consensus.votes import ESTIMATED, Agreed, Rule, Ties, agree, can_estimate
from pairwright.pipelines.filters.base import Filter, FilterScores, Floats, PairColumns

THRESHOLDS: Mapping[str, float] = {"unanimous": 1.0, "dawid_skene": 0.9, "one_coin": 0.9}  # ours; for other rules 0.5
LEVEL = 1e-12
Within = Annotated[float, Field(gt=0, lt=1)]


class Consensus(Filter):
    """Score: P(the chosen response is better), a tie being half of that, from the votes of `annotators` by `rule`.

    A pair is kept if that is at least `threshold` and above 1/2, and what they agree on is the chosen response: not that the two
    are a tie (`ties: label`), nor, with "dawid_skene" and "one_coin", against most votes. It is `contradicted` if the score is at
    most 1 - threshold and below 1/2; in between its annotators are split, and it is to be re-annotated, as is a pair on which
    fewer than `min_votes` vote: that one has no score.

    An annotator that compares votes by its stored comparison of the two responses: let it compare all pairs of a group
    (`comparisons: all`), or it has no vote on most. In a group that it rates it votes by its score difference; at most `tie_band`
    (in units of the score, one number for all or by annotator) is a tie. For `rule`, `families`, `accuracies` and `ties` see
    `consensus.votes.agree`.

    "dawid_skene" and "one_coin" learn from all pairs of the data set at once, which takes three annotators (a family counts as
    one). An annotator whose score made a response the chosen one votes for it whatever is true, and every rule counts that: list
    annotators that had no part in `combine`.
    """

    whole: ClassVar[bool] = True

    use: Literal["consensus"] = "consensus"
    annotators: tuple[str, ...] = Field(min_length=2)
    rule: Rule = "majority"
    families: dict[str, tuple[str, ...]] = Field(default={})
    accuracies: dict[str, Within] = Field(default={})
    threshold: float | None = Field(
        default=None, ge=0.5, lt=1, description="default: 0.9 with dawid_skene and one_coin, else 0.5"
    )
    ties: Ties = "half"
    tie_band: float | dict[str, float] = 0.0
    min_votes: int = Field(default=2, ge=1, description="families that must have voted")

    @model_validator(mode="after")
    def _check(self) -> Consensus:
        names = self.annotators
        bands = self.tie_band if isinstance(self.tie_band, dict) else {}
        members = [m for family in self.families.values() for m in family]
        if len(set(names)) < len(names):
            raise ValueError("an annotator is listed twice: list each once")
        for where, given in (("families", members), ("accuracies", list(self.accuracies)), ("tie_band", list(bands))):
            if odd := sorted(set(given) - set(names)):
                raise ValueError(f"`{where}` speaks of {odd[0]!r}, which is not among its annotators {', '.join(names)}")
        if len(set(members)) < len(members):
            raise ValueError("an annotator is in two families: put it in one")
        if min([*bands.values()] if isinstance(self.tie_band, dict) else [self.tie_band], default=0.0) < 0:
            raise ValueError("a tie band is at least 0")
        if self.rule == "weighted" and (lacking := sorted(set(names) - set(self.accuracies))):
            raise ValueError(f"rule 'weighted' needs the accuracy of {lacking[0]!r} on held-out labels: add it to `accuracies`")
        if self.rule != "weighted" and self.accuracies:
            raise ValueError(f"`accuracies` has no effect with rule {self.rule!r}: remove it or use 'weighted'")
        if self.rule == "unanimous" and self.threshold is not None:
            raise ValueError("`threshold` has no effect with rule 'unanimous': remove it or use 'majority'")
        if self.rule in ESTIMATED and self.voters < 3:
            raise ValueError(f"rule {self.rule!r} needs three annotators that are no family, or it cannot tell who is right")
        if self.min_votes > self.voters:
            raise ValueError(f"`min_votes` {self.min_votes} can never be reached: there are {self.voters} votes at most")
        return self

    @property
    def voters(self) -> int:
        """How many votes there can be on one pair."""
        families = [members for members in self.families.values() if members]
        return len(self.annotators) - sum(len(members) - 1 for members in families)

    @property
    def needed(self) -> float:
        """The threshold that holds."""
        return THRESHOLDS.get(self.rule, 0.5) if self.threshold is None else self.threshold

    def reads(self) -> tuple[str, ...]:
        """Its annotators."""
        return self.annotators

    def score(self, pairs: PairColumns) -> FilterScores:
        """The posterior; missing where too few annotators voted."""
        votes = {name: pairs.votes(name, self._band(name)) for name in self.annotators}
        if self.rule in ESTIMATED and not can_estimate(votes, self.families):
            return FilterScores.of([None] * len(pairs), "re-annotate: on no pair do three annotators vote, a family as one")
        verdicts = agree(votes, self.rule, self.families, self.accuracies, self.ties)
        enough = [v.votes >= self.min_votes for v in verdicts]
        return FilterScores.of(
            [v.p if some else None for v, some in zip(verdicts, enough, strict=True)],
            f"re-annotate: fewer than {self.min_votes} of {self.voters} voted",
            [self._fault(v) for v in verdicts],
        )

    def _band(self, name: str) -> float:
        return self.tie_band.get(name, 0.0) if isinstance(self.tie_band, dict) else self.tie_band

    def _fault(self, agreed: Agreed) -> str | None:
        """Why a pair is not kept although the chosen response is likely enough the better one, or None."""
        if agreed.label == "tie":
            return f"re-annotate: the consensus is a tie (P of a tie: {agreed.posterior['tie']:.3g})"
        if agreed.label is None:
            return f"re-annotate: split (no label is the likeliest; P that the chosen is better: {agreed.p:.3g})"
        if self.rule in ESTIMATED and agreed.lead < -LEVEL:
            return f"re-annotate: most votes are for the rejected response (P that the chosen is better: {agreed.p:.3g})"
        return None

    def objections(self, values: Floats) -> list[str | None]:
        """Why each pair fails, or None."""
        return [self._objection(float(p)) for p in values]

    def _objection(self, p: float) -> str | None:
        if p >= self.needed - LEVEL and p > 0.5 + LEVEL:
            return None
        if p <= 1 - self.needed + LEVEL and p < 0.5 - LEVEL:
            return f"contradicted: the consensus prefers the rejected response (P that the chosen is better: {p:.3g})"
        return f"re-annotate: split (P that the chosen is better: {p:.3g}; {self.needed:g} is needed)"
