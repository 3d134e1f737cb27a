"""Is this a good response? How much more likely a model says Yes than No ("Your Language Model is Secretly a Preference
Classifier", arXiv 2502.16182, called IPO there; it has nothing to do with the IPO loss).

s = p_yes / (p_yes + p_no), read in the paper's repository; the score here is log p_yes - log p_no, in nats, which orders
responses the same and does not saturate. Larger is better. The chat template, the calibration and the words are ours. The
repository cuts long prompts on the right, where the question ends; here one that is too long fails.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from pairwright.annotators.base import Annotation, Group, Response, missing
from pairwright.annotators.density_ratio import about_domain, domain_by_keywords
from pairwright.annotators.judges.digits import OFF_LABEL, mass
from pairwright.annotators.judges.rating import Rater, RaterConfig, Rating
from pairwright.annotators.wording import asked, last_user_text, rendered, texts, told
from pairwright.engines.requests import Choose, Chosen
from pairwright.ids import digest

LABELS = ("Yes", "No")
CATEGORIES = ("general", "chat", "code", "math", "safety")
"""`parts["category"]` is an index into this."""

_CODE = re.compile(
    r"```|\bdef\s+\w+\(|\b(code|script|program|function|python|javascript|java|rust|sql|regex|debug|compile\w*|stack\s+trace|unit\s+test|api)\b",
    re.IGNORECASE,
)


class YesNoConfig(RaterConfig):
    """Settings of `YesNo`.

    category: which question is asked; "by_domain" finds it by word lists in what the user said last: safety, code, math (all
        other reasoning) or chat.
    calibration: "empty" subtracts the score of an empty response to the same prompt: what the judge says of the prompt alone. It
        makes scores of different prompts comparable and changes no order within a prompt.
    """

    category: Literal["general", "chat", "code", "math", "safety", "by_domain"] = "general"
    calibration: Literal["none", "empty"] = "none"


class YesNo(Rater[YesNoConfig]):
    """The log-odds of Yes against No as the next text.

    parts: p_yes (s, before any calibration), mass (the probability that Yes or No comes next at all; with calibration the
    smaller one), category (index into `CATEGORIES`), and empty, the score of an empty response, where it was asked for.
    """

    Config = YesNoConfig
    wording = ("judges/yes_no",)

    def about(self) -> dict[str, Any]:
        if self.config.category != "by_domain":
            return super().about()
        return {**super().about(), **about_domain("keywords"), "code": digest("keywords", _CODE.pattern)}

    def roles(self) -> dict[str, frozenset[str]]:
        return {self.config.role: frozenset({"choose"})}

    def rate(self, group: Group, response: Response) -> Rating:
        category: str = self.config.category
        if category == "by_domain":
            category = category_of(last_user_text(group.prompt) or "")
        replies = [response.text, *([""] if self.config.calibration == "empty" else [])]
        results = yield [self._request(group, reply, category) for reply in replies]
        if failed := missing(response.id, *results):
            return failed
        answers = [result for result in results if isinstance(result, Chosen)]
        least = min(map(mass, answers))
        if least < self.config.min_mass:
            return Annotation(response.id, reason=OFF_LABEL, parts={"mass": least})
        odds = [answer.logprobs[0] - answer.logprobs[1] for answer in answers]
        parts = {
            "p_yes": answers[0].probabilities[0],
            "mass": least,
            "category": float(CATEGORIES.index(category)),
        }
        if len(odds) == 1:
            return Annotation(response.id, odds[0], parts=parts)
        return Annotation(response.id, odds[0] - odds[1], parts=parts | {"empty": odds[1]})

    def _request(self, group: Group, reply: str, category: str) -> Choose:
        words = texts("judges/yes_no")
        question = words["questions"][category]
        text = rendered(words["ask"], prompt=told(group.prompt), response=reply, question=question)
        return Choose(self.config.role, asked(text), LABELS)


def category_of(query: str) -> str:
    """The category of `query` by word lists: rough, free, and the same everywhere."""
    domain = domain_by_keywords(query)
    if domain == "reasoning":
        return "code" if _CODE.search(query) else "math"
    return domain
