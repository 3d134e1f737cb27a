"""A checklist for each instruction: yes/no questions written once, then asked of every response (TICK, STICK; arXiv 2410.03608).

TICK's score is the share of questions answered with yes. No official code was found; what its prompts hold and the 2 to 8
questions are from secondary sources [S], and so is the mean of P(yes) instead of the share (RocketEval) [S]. The words, and which
questions count as the same, are ours. STICK is the same checklist put to an author's own answer before it is improved.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Literal

from pydantic import Field, model_validator

from pairwright.annotators.base import Annotating, Annotation, Annotator, AnnotatorConfig, Group, Response, missing
from pairwright.annotators.guard import unless_guarded
from pairwright.annotators.judges.digits import OFF_LABEL, MinMass, mass
from pairwright.annotators.judges.reading import Unread, read
from pairwright.annotators.judges.reading_checklist import LEAST, MOST, items_in, yes_in
from pairwright.annotators.wording import asked, rendered, texts, told
from pairwright.engines.requests import Choose, Chosen, Generate, Generated, Request, Result, Sampling


class ChecklistConfig(AnnotatorConfig):
    """Settings of `Checklist`.

    role: who answers the questions. writer: who writes them; the same if not given.
    items: your own questions for every prompt, asked so that yes is good; none are written then.
    mode: "choose": P(yes) among yes and no as the next word; "text", where a server gives no probabilities: a reason, then yes
        (1) or no (0).
    score: "probability": mean P(yes) over the questions. "share": the share of questions whose P(yes) is above 1/2.
    max_tokens: of a checklist, and of a reply of mode "text".
    min_mass: of "choose": a response gets `off_label` if yes and no have less of the next word's probability at any question.
    guard: do not judge a response that is a master key (`annotators.guard`); it gets its reason instead.
    """

    role: str = "judge"
    writer: str | None = None
    items: tuple[str, ...] | None = None
    mode: Literal["choose", "text"] = "choose"
    score: Literal["probability", "share"] = "probability"
    max_tokens: int = Field(768, ge=1)
    min_mass: MinMass = 0.01
    guard: bool = True

    @model_validator(mode="after")
    def _has_items(self) -> ChecklistConfig:
        if self.items is not None and not (self.items and all(item.strip() for item in self.items)):
            raise ValueError("`items` needs at least one question, and none may be empty; leave it out to have them written")
        return self


class Checklist(Annotator[ChecklistConfig]):
    """Every response of every group of a prompt gets the same questions: they are written greedily from the prompt alone.

    A response has a score when every question has an answer, else the reason of the first that has none. If no checklist could be
    written (fewer than two different questions) all responses get `no_checklist`.
    parts: items (how many questions), share, mean_p; of "choose" mass, the smallest of the probabilities that yes or no comes
    next. raw: P(yes) and text of each question.
    """

    Config = ChecklistConfig
    wording = ("judges/checklist",)

    def roles(self) -> dict[str, frozenset[str]]:
        c = self.config
        roles = {c.role: frozenset({"choose" if c.mode == "choose" else "generate"})}
        if c.items is None:
            writer = c.writer or c.role
            roles[writer] = roles.get(writer, frozenset()) | {"generate"}
        return roles

    def annotate(self, group: Group) -> Annotating:
        return (yield from unless_guarded(group, self.config.guard, lambda judged: self._judge(group, judged)))

    def _judge(self, group: Group, judged: Sequence[Response]) -> Annotating:
        items = self.config.items or (yield from self._write(group))
        if isinstance(items, Annotation):
            return [Annotation(r.id, reason=items.reason, raw=items.raw) for r in judged]
        results = yield [self._question(group, r, item) for r in judged for item in items]
        n = len(items)
        return [self._annotation(r, items, results[i * n : (i + 1) * n]) for i, r in enumerate(judged)]

    def _write(self, group: Group) -> Generator[Sequence[Request], Sequence[Result], tuple[str, ...] | Annotation]:
        """The checklist of the group's prompt, or an annotation (of the prompt) that says why there is none."""
        c, words = self.config, texts("judges/checklist")
        text = rendered(words["write"], prompt=told(group.prompt), least=LEAST, most=MOST)
        (result,) = yield [Generate(c.writer or c.role, asked(text), Sampling(0.0, max_tokens=c.max_tokens))]
        failed = missing(group.prompt_id, result)
        if failed:
            return failed
        assert isinstance(result, Generated)
        items = read(result.completions[0], items_in)
        if isinstance(items, Unread):
            return Annotation(group.prompt_id, reason=items.reason, raw=result.completions[0].text)
        return items

    def _question(self, group: Group, response: Response, item: str) -> Request:
        c, words = self.config, texts("judges/checklist")
        yes, no = words["labels"]["yes"], words["labels"]["no"]
        ending = rendered(words[c.mode], yes=yes, no=no)
        about = {"prompt": told(group.prompt), "response": response.text, "item": item, "yes": yes, "no": no}
        text = rendered(words["ask"], **about, ending=ending)
        if c.mode == "choose":
            return Choose(c.role, asked(text), (yes, no))
        return Generate(c.role, asked(text), Sampling(0.0, max_tokens=c.max_tokens))

    def _annotation(self, response: Response, items: Sequence[str], results: Sequence[Result]) -> Annotation:
        failed = missing(response.id, *results)
        if failed:
            return failed
        sure = {"mass": min(mass(r) for r in results if isinstance(r, Chosen))} if self.config.mode == "choose" else {}
        if sure and sure["mass"] < self.config.min_mass:
            return Annotation(response.id, reason=OFF_LABEL, parts=sure)
        p_yes: list[float] = []
        for result in results:
            if isinstance(result, Chosen):
                p_yes.append(result.probabilities[0])
                continue
            assert isinstance(result, Generated)
            yes = read(result.completions[0], yes_in)
            if isinstance(yes, Unread):
                return Annotation(response.id, reason=yes.reason, raw=result.completions[0].text)
            p_yes.append(float(yes))
        share, mean_p = sum(p > 0.5 for p in p_yes) / len(items), sum(p_yes) / len(items)
        parts = {"items": float(len(items)), "share": share, "mean_p": mean_p} | sure
        raw = "\n".join(f"{p:.4f} {item}" for p, item in zip(p_yes, items, strict=True))
        return Annotation(response.id, share if self.config.score == "share" else mean_p, parts=parts, raw=raw)
