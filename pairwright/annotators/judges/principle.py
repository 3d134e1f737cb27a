"""One judgement scores all responses of a group under a principle; several judgements, each in another order, are averaged.

From RewardAnything (arXiv 2506.03637; its code was read): the judge is told by which principle to score, and by no other. Its
code draws the same order in every call; here each vote has its own. From SPCT (DeepSeek-GRM, arXiv 2504.02495, secondary notes
only [S]): `principle: self`, where the judge writes its own weighted criteria first; the votes' scores are summed, and a meta
judge may keep the best half of them. We take the mean instead of the sum, so that an unreadable vote lowers nobody; ties stay
ties; the meta judge is any model asked for yes or no, not a trained one. The words are ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from statistics import fmean, pstdev
from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from pairwright.annotators.base import Annotating, Annotation, Annotator, AnnotatorConfig, Group, Response
from pairwright.annotators.comparing import passing
from pairwright.annotators.guard import unless_guarded
from pairwright.annotators.judges.reading import Unread, commonest, numbers_in, read, said
from pairwright.annotators.judges.reading_json import scores_in
from pairwright.annotators.wording import asked, rendered, texts, told
from pairwright.engines.requests import Choose, Chosen, Failed, Generate, Generated, Request, Result, Sampling
from pairwright.ids import digest, seed_of

SELF = "self"


class PrincipleConfig(AnnotatorConfig):
    """Settings of `Principle`.

    principle: helpfulness, correctness, concision, safety, format or tone (texts/judges/principle.yaml), or "self".
    text: your own principle instead: one or two sentences, and how to break ties.
    votes: judgements of the group, each with the responses in another order; rounded up to a multiple of the number of responses
        shown, so that each response stands in each place equally often.
    answer: how the scores are given: "json" by name, or "boxed" as a list.
    top: scores are from 1 to this.
    meta: a role that is asked of every readable judgement whether it is sound; the half with the highest P(yes) is kept.
    guard: leave out a response that is a master key (`annotators.guard`); it gets its reason instead.
    """

    role: str = "judge"
    principle: str = "helpfulness"
    text: str | None = Field(None, min_length=1)
    votes: int = Field(4, ge=1)
    answer: Literal["json", "boxed"] = "json"
    top: int = Field(10, ge=2)
    temperature: float = Field(0.5, ge=0)
    max_tokens: int = Field(2048, ge=1)
    meta: str | None = None
    guard: bool = True

    @model_validator(mode="after")
    def _known(self) -> PrincipleConfig:
        known = [*texts("judges/principle")["principles"], SELF]
        if self.principle not in known:
            raise ValueError(f"no principle is called {self.principle!r}: use {', '.join(known)}, or give your own as `text`")
        return self


class Vote(NamedTuple):
    """One readable judgement: its scores by response id, the order in which it saw the responses, its words, its rotation."""

    scores: dict[str, float]
    order: tuple[Response, ...]
    said: str
    rotation: int


class Principle(Annotator[PrincipleConfig]):
    """Score: the mean over the votes that count, between 1 and `top`. At least half of the votes (rounded up) must be readable,
    else every response gets the commonest reason why they are not. If a vote or the meta judge failed for a reason that may pass,
    they get that reason. Of the votes that are readable (and kept by the meta judge) those of complete rotations count, in which
    every response stood once in each place; if no rotation is complete, all of them, and then `unbalanced` is 1.

    parts: votes (asked for), readable, kept (by the meta judge), counted, unbalanced (where it is so), sd (of the response's
    score over the votes that count; ddof 0).
    raw: every judgement's words, the same for each response of the group.
    """

    Config = PrincipleConfig
    wording = ("judges/principle",)

    def roles(self) -> dict[str, frozenset[str]]:
        roles = {self.config.role: frozenset({"generate"})}
        if self.config.meta is not None:
            roles[self.config.meta] = roles.get(self.config.meta, frozenset()) | {"choose"}
        return roles

    def annotate(self, group: Group) -> Annotating:
        return (yield from unless_guarded(group, self.config.guard, lambda judged: self._judge(group, judged)))

    def _judge(self, group: Group, judged: Sequence[Response]) -> Annotating:
        c = self.config
        asked_for = -(-c.votes // len(judged)) * len(judged)
        orders = [shuffled(judged, group.id, vote) for vote in range(asked_for)]
        results = yield [self._request(group, order, vote) for vote, order in enumerate(orders)]
        found = [
            self._read(order, result, i // len(judged)) for i, (order, result) in enumerate(zip(orders, results, strict=True))
        ]
        raw = "\n\n---\n\n".join(_words(result) for result in results)
        votes = [vote for vote in found if isinstance(vote, Vote)]
        unread = [vote for vote in found if isinstance(vote, Unread)]
        parts = {"votes": float(asked_for), "readable": float(len(votes))}
        waits = passing(unread)
        if waits or 2 * len(votes) < asked_for:
            reason = waits.reason if waits else commonest(unread)
            return [Annotation(r.id, reason=reason, parts=parts, raw=raw) for r in judged]
        if c.meta is not None:
            kept = yield from self._best_half(group, votes)
            if isinstance(kept, Failed):
                return [Annotation(r.id, reason=kept.reason, parts=parts, raw=raw) for r in judged]
            votes, parts = kept, parts | {"kept": float(len(kept))}
        votes, balanced = complete(votes, len(judged))
        parts |= {"counted": float(len(votes))} | ({} if balanced else {"unbalanced": 1.0})
        scores = {r.id: [vote.scores[r.id] for vote in votes] for r in judged}
        return [Annotation(id, fmean(mine), parts=parts | {"sd": pstdev(mine)}, raw=raw) for id, mine in scores.items()]

    def _request(self, group: Group, order: Sequence[Response], vote: int) -> Generate:
        c, words = self.config, texts("judges/principle")
        if c.text is None and c.principle == SELF:
            how = rendered(words["self"], top=c.top)
        else:
            how = rendered(words["given"], principle=c.text or words["principles"][c.principle], top=c.top)
        scores = ["SCORE"] * len(order) if c.answer == "boxed" else [f'"{name}": SCORE' for name in names(len(order))]
        form = (r"\boxed{%s}" if c.answer == "boxed" else "{%s}") % ", ".join(scores)
        text = "\n\n".join((_shown(words["head"], group, order), how, rendered(words[c.answer], form=form)))
        seed = seed_of("principle", group.id, vote) if c.temperature else 0
        return Generate(c.role, asked(text), Sampling(c.temperature, max_tokens=c.max_tokens), seed=seed)

    def _read(self, order: tuple[Response, ...], result: Result, rotation: int) -> Vote | Unread:
        if not isinstance(result, Generated):
            return Unread(result.reason if isinstance(result, Failed) else "wrong_answer")
        c, reply = self.config, result.completions[0]
        if c.answer == "json":
            scores = read(reply, lambda text: scores_in(text, names(len(order)), 1, c.top))
        else:
            scores = read(reply, lambda text: numbers_in(text, len(order), 1, c.top))
        if isinstance(scores, Unread):
            return scores
        return Vote({r.id: score for r, score in zip(order, scores, strict=True)}, order, str(said(reply)), rotation)

    def _best_half(self, group: Group, votes: Sequence[Vote]) -> Filtering:
        """The half of the votes (rounded up) that the meta judge finds soundest, of equals the earlier; or its failure."""
        words, half = texts("judges/principle"), (len(votes) + 1) // 2
        yes, no = words["labels"]["yes"], words["labels"]["no"]
        shown = [_shown(words["meta"], group, vote.order, analysis=vote.said, yes=yes, no=no) for vote in votes]
        results = yield [Choose(str(self.config.meta), asked(text), (yes, no)) for text in shown]
        rated = [(r.probabilities[0], vote) for r, vote in zip(results, votes, strict=True) if isinstance(r, Chosen)]
        failed = [r for r in results if isinstance(r, Failed)]
        if waits := passing(failed):
            return waits
        if failed and len(rated) < half:
            return failed[0]
        return [vote for _, vote in sorted(rated, key=lambda one: -one[0])[:half]]


Filtering = Generator[Sequence[Request], Sequence[Result], list[Vote] | Failed]


def shuffled(responses: Sequence[Response], group_id: str, vote: int) -> tuple[Response, ...]:
    """The order of `responses` in a vote. The first n votes see the n rotations of one order drawn from the ids, so that each
    response stands once in each place; the next n votes those of another."""
    deal, turn = divmod(vote, len(responses))
    drawn = sorted(responses, key=lambda r: digest("principle", group_id, deal, r.id))
    return (*drawn[turn:], *drawn[:turn])


def complete(votes: list[Vote], n: int) -> tuple[list[Vote], bool]:
    """The votes of complete rotations of `n` responses and True; all of them and False if no rotation is complete."""
    size = Counter(vote.rotation for vote in votes)
    whole = [vote for vote in votes if size[vote.rotation] == n]
    return whole or votes, bool(whole)


def names(count: int) -> tuple[str, ...]:
    """What responses are called, in the order in which they are shown."""
    return tuple(f"response_{i + 1}" for i in range(count))


def _shown(template: str, group: Group, order: Sequence[Response], **more: str) -> str:
    return rendered(template, prompt=told(group.prompt), responses=[r.text for r in order], count=len(order), **more)


def _words(result: Result) -> str:
    return result.completions[0].text if isinstance(result, Generated) else f"({getattr(result, 'reason', 'no answer')})"
