"""What would go wrong with every group is said before the first response is paid for."""

from __future__ import annotations

from typing import Any

import pytest

from pairwright.annotators.base import Annotator, AnnotatorConfig
from pairwright.annotators.registry import load
from pairwright.engines.base import ModelConfig
from pairwright.engines.pool import EnginePool
from pairwright.engines.requests import Choose
from pairwright.engines.scripted import ScriptedModel
from pairwright.errors import PairwrightError
from pairwright.pipelines.preflight import preflight, trial_requests


class Picky(ScriptedModel):
    """A scripted model whose labels must be single letters."""

    def check_labels(self, labels: Any) -> None:
        odd = [label for label in labels if len(label) > 1]
        if odd:
            raise PairwrightError(f"the label {odd[0]!r} is 2 tokens of this model")


class Asks(Annotator[AnnotatorConfig]):
    """Asks for two labels, or raises."""

    labels: tuple[str, ...] = ("A", "B")

    def roles(self) -> dict[str, frozenset[str]]:
        return {"judge": frozenset({"choose"})}

    def annotate(self, group: Any) -> Any:
        if not self.labels:
            raise ValueError("the template does not render: 'prompt' is undefined")
        yield [Choose("judge", group.prompt, self.labels)]
        return []


def pool(model: ModelConfig) -> EnginePool:
    return EnginePool({"judge": model})


def asks(*labels: str) -> Asks:
    made = Asks(AnnotatorConfig())
    made.labels = labels
    return made


def test_labels_that_the_judge_can_tell_apart_pass() -> None:
    preflight({"mine": asks("A", "B")}, pool(Picky()))


def test_a_label_of_two_tokens_is_refused_with_the_annotator_and_the_role() -> None:
    with pytest.raises(PairwrightError, match="annotator mine, role 'judge': the label 'Yes' is 2 tokens"):
        preflight({"mine": asks("Yes", "N")}, pool(Picky()))


def test_an_annotator_that_cannot_even_ask_is_named() -> None:
    with pytest.raises(PairwrightError, match="'mine' raised ValueError .*'prompt' is undefined.* before any model was asked"):
        preflight({"mine": asks()}, pool(Picky()))


@pytest.mark.parametrize(
    "name", ["density_ratio", "pairwise", "graded", "checklist", "principle", "debate", "person", "follow_up"]
)
def test_the_trial_shows_what_an_annotator_asks(name: str) -> None:
    seen = trial_requests(name, load(name).configured())
    assert {r.role for r in seen} <= set(load(name).configured().roles())
    assert any("largest" in turn.content for r in seen for turn in getattr(r, "prompt", None) or r.context)
