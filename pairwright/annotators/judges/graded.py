"""A judge gives each response a grade: the mean over the grades it might give, by their probabilities, or the one it writes.

score = sum_k k P(k) / sum_k P(k) over the digits low to high as the next text; larger is better. The words are ours.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pairwright.annotators.base import Annotation, Group, Response, missing
from pairwright.annotators.judges.digits import OFF_LABEL, digits, expected_digit
from pairwright.annotators.judges.rating import Rater, RaterConfig, Rating
from pairwright.annotators.judges.reading import Unread, number_in, read
from pairwright.annotators.wording import asked, check_template, rendered, texts, told
from pairwright.engines.requests import Choose, Chosen, Generate, Generated, Sampling


class GradedConfig(RaterConfig):
    """Settings of `Graded`.

    ask: "choose" takes the probabilities of the grades as the next text; "text" lets the judge reason and write one, greedily.
    low, high: the lowest and the highest grade; of "choose", single digits.
    criteria: what to grade by, instead of our own general words.
    template: your own question, a jinja2 text that shows `prompt` and `response` (best as {{ response | quoted }}); how to answer
        is added to it.
    """

    ask: Literal["choose", "text"] = "choose"
    low: int = Field(1, ge=0)
    high: int = Field(5, ge=1)
    criteria: str | None = Field(None, min_length=1)
    template: str | None = None
    max_tokens: int = Field(1024, ge=1)

    @model_validator(mode="after")
    def _sound(self) -> GradedConfig:
        if self.low >= self.high:
            raise ValueError(f"low: {self.low} is not below high: {self.high}")
        if self.ask == "choose":
            digits(self.low, self.high)
        if self.template is not None and self.criteria is not None:
            raise ValueError("a template of your own says what to grade by: remove `criteria` or `template`")
        if self.template is not None:
            check_template(self.template, ("prompt", "response"))
        return self


class Graded(Rater[GradedConfig]):
    """A grade for each response by itself.

    parts, of "choose": expected (the score), mode (the most probable grade), mass (the probability that a grade comes next at
    all). raw: of "text", what the judge wrote; if no grade can be read in it, the reason says how.
    """

    Config = GradedConfig
    wording = ("judges/graded",)

    def roles(self) -> dict[str, frozenset[str]]:
        return {self.config.role: frozenset({"choose" if self.config.ask == "choose" else "generate"})}

    def rate(self, group: Group, response: Response) -> Rating:
        c, words = self.config, texts("judges/graded")
        values = {"prompt": told(group.prompt), "response": response.text}
        question = rendered(c.template, **values) if c.template else rendered(words["grade"], **values, criteria=c.criteria)
        prompt = asked(f"{question}\n\n{rendered(words[c.ask], low=c.low, high=c.high)}")
        if c.ask == "choose":
            [result] = yield [Choose(c.role, prompt, digits(c.low, c.high))]
        else:
            [result] = yield [Generate(c.role, prompt, Sampling(0.0, max_tokens=c.max_tokens))]
        if failed := missing(response.id, result):
            return failed
        if isinstance(result, Chosen):
            grade = expected_digit(result, c.low)
            if grade.mass < c.min_mass:
                return Annotation(response.id, reason=OFF_LABEL, parts={"mass": grade.mass})
            return Annotation(response.id, grade.expected, parts=grade.parts)
        assert isinstance(result, Generated)
        [completion] = result.completions
        found = read(completion, lambda text: number_in(text, c.low, c.high))
        if isinstance(found, Unread):
            return Annotation(response.id, reason=found.reason, raw=completion.text)
        return Annotation(response.id, found, raw=completion.text)
