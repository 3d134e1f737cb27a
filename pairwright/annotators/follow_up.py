"""Would the user be glad? How likely are contented next words against discontented ones (follow-up likelihood, FLR).

l(f | x, y) = (1/n) sum_i log P(f_i | x, y, user header, f_<i) for a follow-up f as the next user turn;
FLR(x, y) = mean of l over the positive - mean of l over the negative follow-ups, in nats per token; larger is better.
Source: arXiv 2409.13948. The formula, the 1/n included, is from memory and not confirmed in the paper's text.
The released code does something else: the mean of raw logits (no softmax, BOS among the ids) of the follow-up's tokens at
one position. That is not a likelihood and not offered here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from pairwright.annotators.base import Annotating, Annotation, Annotator, AnnotatorConfig, Group, missing
from pairwright.annotators.wording import texts
from pairwright.engines.requests import Continuation, Result, Score, Scored, Turn

Doubles = npt.NDArray[np.float64]
NO_SPREAD = 1e-9  # nats; far below the noise of fp32 log-probabilities


class Reaction(NamedTuple):
    """One thing a user might say next."""

    text: str
    positive: bool
    category: str


class FollowUpConfig(AnnotatorConfig):
    """Settings of `FollowUp`.

    per_category: how many positive, and as many negative, follow-ups of each of the six categories (paper: 10 and 10).
    baseline: agreeable models find thanks likely whatever the response. "generic" subtracts l(f | a generic reply), one
        number per prompt: it makes scores of different prompts comparable and changes no order within a prompt.
        "zscore" standardises each follow-up over the prompt's responses, so that each has the same say.
        Both are ours, not the paper's.
    positive, negative: your own follow-ups instead of ours; keep their lengths alike.
    """

    role: str = "policy"
    per_category: int = Field(default=2, ge=1, le=5)
    baseline: Literal["none", "generic", "zscore"] = "none"
    positive: tuple[str, ...] | None = None
    negative: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _both_lists(self) -> FollowUpConfig:
        if (self.positive is None) != (self.negative is None):
            raise ValueError("own follow-ups need both lists: give `positive` and `negative`, or neither")
        for said in (self.positive, self.negative):
            if said is not None and not (said and all(f.strip() for f in said)):
                raise ValueError("`positive` and `negative` need at least one follow-up each, and none may be empty")
        return self

    @property
    def reactions(self) -> tuple[Reaction, ...]:
        """The follow-ups that are scored after every response."""
        if self.positive is not None and self.negative is not None:
            lists: Mapping[str, Mapping[str, tuple[str, ...]]] = {
                "custom": {"positive": self.positive, "negative": self.negative}
            }
        else:
            lists = {
                category: {side: tuple(said[: self.per_category]) for side, said in sides.items()}
                for category, sides in texts("follow_ups")["categories"].items()
            }
        return tuple(
            Reaction(text, side == "positive", category)
            for category, sides in lists.items()
            for side in ("positive", "negative")
            for text in sides[side]
        )


class FollowUp(Annotator[FollowUpConfig]):
    """The follow-up likelihood reward, by one model and without instructions.

    All (response, follow-up) requests of a group are asked at once, response by response, so that the engine can share the
    long common prefix. A response is scored by all follow-ups or, with the first failure's reason, not at all. An empty
    response gets `empty_response`; a cut one is fine. With baseline="zscore" the other responses' likelihoods enter by
    definition, and fewer than two scored responses give `too_few_responses`.

    parts: positive, negative (means after the baseline) and, per category, their difference; with baseline="generic" also
    baseline (the FLR of the generic reply).
    """

    Config = FollowUpConfig
    wording = ("follow_ups",)

    def about(self) -> dict[str, Any]:
        return super().about() if self.config.positive is None or self.config.baseline == "generic" else {}

    def roles(self) -> dict[str, frozenset[str]]:
        return {self.config.role: frozenset({"score"})}

    def annotate(self, group: Group) -> Annotating:
        c, reactions = self.config, self.config.reactions
        annotations = {r.id: Annotation(r.id, reason="empty_response") for r in group.responses if not r.text.strip()}
        asked = [r for r in group.responses if r.id not in annotations]
        if not asked:
            return [annotations[r.id] for r in group.responses]

        replies = [r.turn for r in asked]
        if c.baseline == "generic":
            replies.append(Turn("assistant", texts("follow_ups")["generic_reply"]))
        results = yield [
            Score(c.role, (*group.prompt, reply), Continuation(f.text), speaker="user") for reply in replies for f in reactions
        ]
        rows = [results[i : i + len(reactions)] for i in range(0, len(results), len(reactions))]
        generic = rows.pop() if c.baseline == "generic" else []

        scored: dict[str, Doubles] = {}
        for r, row in zip(asked, rows, strict=True):
            failed = missing(r.id, *row, *generic)
            if failed:
                annotations[r.id] = failed
            else:
                scored[r.id] = _means(row)
        if c.baseline == "zscore" and len(scored) < 2:
            annotations |= {id_: Annotation(id_, reason="too_few_responses") for id_ in scored}
            scored = {}
        if scored:
            likelihood_KM = np.stack(list(scored.values()))
            if c.baseline == "zscore":
                likelihood_KM = standardise(likelihood_KM)
            baseline_M = _means(generic) if generic else np.zeros(len(reactions))
            extra = {"baseline": _parts(reactions, baseline_M)[0]} if generic else {}
            for id_, likelihood_M in zip(scored, likelihood_KM - baseline_M, strict=True):
                score, parts = _parts(reactions, likelihood_M)
                annotations[id_] = Annotation(id_, score, parts=parts | extra)
        return [annotations[r.id] for r in group.responses]


def standardise(likelihood_KM: Doubles) -> Doubles:
    """Each column less its mean, in standard deviations (ddof 0); a column that does not vary becomes 0."""
    spread_M = likelihood_KM.std(axis=0)
    centred_KM = likelihood_KM - likelihood_KM.mean(axis=0)
    return np.where(spread_M > NO_SPREAD, centred_KM / np.maximum(spread_M, NO_SPREAD), 0.0)


def _means(row: Sequence[Result]) -> Doubles:
    """l(f) of each follow-up in nats per token, shape [M]."""
    return np.array([scored.mean for scored in row if isinstance(scored, Scored)])


def _parts(reactions: Sequence[Reaction], likelihood_M: Doubles) -> tuple[float, dict[str, float]]:
    """FLR and what it is made of: positive, negative, and each category's difference."""

    def mean(positive: bool, category: str | None = None) -> float:
        chosen = [f.positive == positive and category in (None, f.category) for f in reactions]
        return float(likelihood_M[chosen].mean())

    categories = dict.fromkeys(f.category for f in reactions)
    parts = {"positive": mean(True), "negative": mean(False)}
    return parts["positive"] - parts["negative"], parts | {k: mean(True, k) - mean(False, k) for k in categories}
