"""How much better is a response than what a checkpoint of the policy says now? (filtered DPO, arXiv 2404.13846)"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, model_validator

from pairwright.annotators.base import FINISHED, Annotating, Annotation, Annotator, AnnotatorConfig, Group, Response, missing
from pairwright.annotators.comparing import passing
from pairwright.annotators.members import Member, about_members, roles_of
from pairwright.engines.requests import FRESH, Generate, Generated, Sampling
from pairwright.ids import digest, seed_of


class FreshSampleConfig(AnnotatorConfig):
    """Settings of `FreshSample`.

    rater: the annotator that scores the group's responses and the fresh ones.
    role: the checkpoint that is asked for fresh responses.
    n: fresh responses per prompt. The paper draws one; the mean of several has less noise, and four is our number.
    temperature, top_p, top_k: the paper's. max_tokens: its scripts take 64, for short answers; the rest of the house takes 512.
    """

    rater: Member
    role: str = "fresh"
    n: int = Field(4, ge=1, le=256)
    temperature: float = Field(1.0, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=0)
    max_tokens: int = Field(512, ge=1)
    seed: int = 0

    @model_validator(mode="after")
    def _draws_differ(self) -> FreshSampleConfig:
        if self.temperature == 0 and self.n > 1:
            raise ValueError(f"`temperature: 0` makes all {self.n} fresh responses the same: raise it or set `n` to 1")
        return self


class FreshSample(Annotator[FreshSampleConfig]):
    """Score: the rater's score of the response - the mean of its scores of n fresh responses to the same prompt.

    All are rated as one group, so that a rater which measures within a group measures both alike. A fresh response that is cut
    by the length limit, is blank, or that the rater has no score for does not count; if none counts, the reason is
    `no_fresh_sample`. If the rater failed on one for a reason that may pass, so does every score of the group: a mean over what
    was left would stand for good.

    parts: own, fresh_mean (the rater's units), fresh_n (how many fresh responses counted).
    """

    Config = FreshSampleConfig
    for_a_filter = True  # within a group it is the rater's opinion again

    def roles(self) -> dict[str, frozenset[str]]:
        roles = roles_of([self.config.rater])
        roles[self.config.role] = roles.get(self.config.role, frozenset()) | {"generate", FRESH}
        return roles

    def about(self) -> dict[str, Any]:
        return {**super().about(), **about_members([self.config.rater])}

    def annotate(self, group: Group) -> Annotating:
        c = self.config
        sampling = Sampling(c.temperature, c.top_p, c.top_k, c.max_tokens)
        (made,) = yield [Generate(c.role, group.prompt, sampling, c.n, seed_of("fresh", c.seed, group.prompt_id))]
        if not isinstance(made, Generated):
            return [missing(r.id, made) or Annotation(r.id, reason="wrong_answer") for r in group.responses]
        fresh = _responses(made, group.prompt_id)
        if not fresh:
            return [Annotation(r.id, reason="no_fresh_sample") for r in group.responses]
        both = Group(group.prompt_id, group.prompt, (*group.responses, *fresh), group.reference, group.tags)
        rated = {a.subject: a for a in (yield from c.rater.annotator.annotate(both)) if a.other is None}
        return _against([rated[r.id] for r in group.responses], [rated[r.id] for r in fresh])


def _responses(made: Generated, prompt_id: str) -> list[Response]:
    """The fresh responses that are whole and say something."""
    return [
        Response(digest("fresh", prompt_id, i, c.text, c.token_ids), c.text, c.token_ids, c.tokenizer, c.finish_reason)
        for i, c in enumerate(made.completions)
        if c.finish_reason in FINISHED and c.text.strip()
    ]


def _against(own: Sequence[Annotation], fresh: Sequence[Annotation]) -> list[Annotation]:
    """The group's ratings, measured from the mean of the fresh ones."""
    scores = [a.score for a in fresh if a.score is not None]
    lost = passing(fresh)
    if lost is not None or not scores:
        why = lost.reason if lost else "no_fresh_sample"
        unrated = ", ".join(f"{n} {reason}" for reason, n in Counter(a.reason for a in fresh if a.score is None).items())
        return [Annotation(a.subject, reason=why, raw=f"fresh responses without a rating: {unrated}") for a in own]
    about = {"fresh_mean": sum(scores) / len(scores), "fresh_n": float(len(scores))}
    return [_measured(a, about) for a in own]


def _measured(own: Annotation, about: Mapping[str, float]) -> Annotation:
    if own.score is None:
        return Annotation(own.subject, reason=own.reason, raw=own.raw)
    return Annotation(own.subject, own.score - about["fresh_mean"], parts={"own": own.score, **about}, raw=own.raw)
