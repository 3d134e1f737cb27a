"""Five attributes of a response from 0 to 4, and their weighted sum (HelpSteer2, arXiv 2406.08673; arXiv 2410.01257).

score = sum_i w_i E[attribute_i], E over the digits 0 to 4 by their probabilities as the next text; larger is better. A reward
model made such ratings there; asking a judge for them, and the words, are ours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from pydantic import Field, field_validator

from pairwright.annotators.base import Annotation, Group, Response, missing
from pairwright.annotators.judges.digits import OFF_LABEL, digits, expected_digit
from pairwright.annotators.judges.rating import Rater, RaterConfig, Rating
from pairwright.annotators.wording import asked, rendered, texts, told
from pairwright.engines.requests import Choose, Chosen

LOW, HIGH = 0, 4
WEIGHTS = {"helpfulness": 0.65, "correctness": 0.8, "coherence": 0.45, "complexity": 0.55, "verbosity": -0.4}


class AttributesConfig(RaterConfig):
    """Settings of `Attributes`.

    weights: of each attribute; one that is left out is not asked about. The sources disagree: ours are those of the current model
        card of Llama3-70B-SteerLM-RM, older revisions of that card have 0.65, 0.8, 0.45, 0, 0, and Nemotron-4-340B's are said
        to be 0.3, 0.74, 0.46, 0.47, -0.33 (from memory, not confirmed [M]).
    """

    weights: Mapping[str, float] = Field(default_factory=lambda: dict(WEIGHTS))

    @field_validator("weights")
    @classmethod
    def _known(cls, weights: Mapping[str, float]) -> Mapping[str, float]:
        unknown = sorted(set(weights) - set(WEIGHTS))
        if unknown:
            raise ValueError(f"there is no attribute {unknown[0]!r}: there are {', '.join(WEIGHTS)}")
        if not any(weights.values()) or not all(math.isfinite(w) for w in weights.values()):
            raise ValueError("weights must be finite, and at least one of them not 0")
        return weights


class Attributes(Rater[AttributesConfig]):
    """The weighted sum of the attributes. A response has all that are weighted, or the first failure's reason.

    parts: each attribute's mean rating, and mass, the smallest of the probabilities that a digit comes next at all.
    """

    Config = AttributesConfig
    wording = ("judges/attributes",)

    def roles(self) -> dict[str, frozenset[str]]:
        return {self.config.role: frozenset({"choose"})}

    def rate(self, group: Group, response: Response) -> Rating:
        words, prompt = texts("judges/attributes"), told(group.prompt)
        weights = {name: self.config.weights[name] for name in WEIGHTS if name in self.config.weights}
        questions = [
            rendered(words["grade"], prompt=prompt, response=response.text, name=name, **words["attributes"][name])
            for name in weights
        ]
        results = yield [Choose(self.config.role, asked(text), digits(LOW, HIGH)) for text in questions]
        if failed := missing(response.id, *results):
            return failed
        grades = [expected_digit(result, LOW) for result in results if isinstance(result, Chosen)]
        mass = min(grade.mass for grade in grades)
        if mass < self.config.min_mass:
            return Annotation(response.id, reason=OFF_LABEL, parts={"mass": mass})
        parts = {name: grade.expected for name, grade in zip(weights, grades, strict=True)}
        score = sum(weights[name] * parts[name] for name in weights)
        return Annotation(response.id, score, parts=parts | {"mass": mass})
