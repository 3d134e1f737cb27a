"""Points from 0 to 5 by five conditions that add up (Self-Rewarding Language Models, arXiv 2401.10020; no official code).

The paper's score is the mean of three sampled judgements. `ask: choose` is ours: the mean of the digits 0 to 5 under their
probabilities as the next text, because small models write the same number for most responses. Larger is better. The words are
ours.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pairwright.annotators.base import Annotation, Group, Response, missing
from pairwright.annotators.judges.digits import OFF_LABEL, digits, expected_digit
from pairwright.annotators.judges.rating import Rater, RaterConfig, Rating
from pairwright.annotators.judges.reading import Unread, commonest, number_in, read, together
from pairwright.annotators.wording import asked, rendered, texts, told
from pairwright.engines.requests import Choose, Chosen, Generate, Generated, Sampling
from pairwright.ids import seed_of

LOW, HIGH = 0, 5


class AdditiveConfig(RaterConfig):
    """Settings of `Additive`. All but `ask` are of "text": how many judgements are drawn, and how."""

    ask: Literal["text", "choose"] = "text"
    draws: int = Field(3, ge=1)
    temperature: float = Field(0.7, ge=0)
    top_p: float = Field(0.9, gt=0, le=1)
    max_tokens: int = Field(512, ge=1)

    @model_validator(mode="after")
    def _can_differ(self) -> AdditiveConfig:
        if self.ask == "text" and self.draws > 1 and self.temperature == 0:
            raise ValueError("more than one draw needs a temperature above 0, or all of them are the same")
        return self


class Additive(Rater[AdditiveConfig]):
    """The additive score. A draw without readable points is left out; if there is no other, the commonest reason is given.

    parts: of "text" draws (those that were read), unread (those that were not), lowest, highest; of "choose" expected (= score),
    mode (the most probable digit), mass (the probability that a digit comes next at all). raw: of "text", all that was drawn.
    """

    Config = AdditiveConfig
    wording = ("judges/additive",)

    def roles(self) -> dict[str, frozenset[str]]:
        return {self.config.role: frozenset({"choose" if self.config.ask == "choose" else "generate"})}

    def rate(self, group: Group, response: Response) -> Rating:
        c, words = self.config, texts("judges/additive")
        question = rendered(words["grade"], prompt=told(group.prompt), response=response.text)
        prompt = asked(f"{question}\n\n{words[c.ask]}")
        if c.ask == "choose":
            [result] = yield [Choose(c.role, prompt, digits(LOW, HIGH))]
        else:
            seed = seed_of("additive", group.prompt_id, response.id) if c.temperature else 0
            [result] = yield [Generate(c.role, prompt, Sampling(c.temperature, c.top_p, max_tokens=c.max_tokens), c.draws, seed)]
        if failed := missing(response.id, result):
            return failed
        if isinstance(result, Chosen):
            grade = expected_digit(result, LOW)
            if grade.mass < c.min_mass:
                return Annotation(response.id, reason=OFF_LABEL, parts={"mass": grade.mass})
            return Annotation(response.id, grade.expected, parts=grade.parts)
        assert isinstance(result, Generated)
        found = [read(completion, lambda text: number_in(text, LOW, HIGH)) for completion in result.completions]
        points = [x for x in found if not isinstance(x, Unread)]
        lost = [x for x in found if isinstance(x, Unread)]
        parts = {"draws": float(len(points)), "unread": float(len(lost))}
        if not points:
            return Annotation(response.id, reason=commonest(lost), parts=parts, raw=together(result))
        parts |= {"lowest": min(points), "highest": max(points)}
        return Annotation(response.id, sum(points) / len(points), parts=parts, raw=together(result))
