from __future__ import annotations

import numpy as np
import pytest

from pairwright.annotators.alone import annotate, groups
from pairwright.annotators.base import Annotating, Annotation, Annotator, AnnotatorConfig, Group
from pairwright.annotators.density_ratio import DensityRatio, DensityRatioConfig
from pairwright.annotators.displacement import DOT, ches
from pairwright.engines.models import model_config
from pairwright.engines.scripted import Faults, ScriptedModel
from pairwright.errors import PairwrightError

PROMPTS = ["Name a colour.", [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Name a river."}]]
RESPONSES = [["red", "a deep blue", "red"], ["the Nile"]]
TWO = {"strong": ScriptedModel(seed=1, quality=0.9), "weak": {"engine": "scripted", "seed": 2, "quality": 0.1}}
ONE = {"policy": ScriptedModel(seed=1)}
SETTINGS = {"density_ratio": TWO, "follow_up": ONE, "contrastive_prompt": ONE, "displacement": ONE}


@pytest.mark.parametrize(("name", "models"), SETTINGS.items())
def test_every_annotator_labels_lists_of_texts_by_its_name(name, models):
    found = annotate(name, PROMPTS, RESPONSES, models)
    assert [len(of_prompt) for of_prompt in found] == [3, 1]
    assert all(a.reason is None and np.isfinite(a.score) for of_prompt in found for a in of_prompt)
    ids = [[r.id for r in g.responses] for g in groups(PROMPTS, RESPONSES)]
    assert [[a.subject for a in of_prompt] for of_prompt in found] == ids


def test_equal_texts_in_a_group_each_get_their_annotation_and_the_same_score():
    first, other, again = annotate("density_ratio", PROMPTS, RESPONSES, TWO)[0]
    assert first.subject != again.subject
    assert first.score == again.score != other.score


def test_a_configured_annotator_and_shared_models_are_taken():
    same = dict.fromkeys(["strong", "weak"], ScriptedModel(seed=3))
    found = annotate(DensityRatio(DensityRatioConfig(reduction="mean", criteria="general")), PROMPTS, RESPONSES, same)
    assert [[a.score for a in of_prompt] for of_prompt in found] == [[0.0] * 3, [0.0]]


def test_repeated_prompts_and_empty_lists_keep_their_places():
    found = annotate("follow_up", ["Hi", "Hi", "Hi"], [["yes"], [], ["no", "yes"]], SETTINGS["follow_up"])
    assert [len(of_prompt) for of_prompt in found] == [1, 0, 2]
    assert found[0][0].score == found[2][1].score


def test_the_ches_of_a_pair_can_be_read_off():
    a, b, _ = annotate("displacement", PROMPTS, RESPONSES, SETTINGS["displacement"])[0]
    assert a.parts[DOT + b.subject] == pytest.approx(b.parts[DOT + a.subject])
    assert ches(a.parts[DOT + a.subject], a.parts[DOT + a.subject]) == 0


def test_what_an_engine_cannot_answer_is_a_reason():
    failing = {"policy": ScriptedModel(seed=1, faults=Faults(too_long=1))}
    assert {a.reason for a in annotate("contrastive_prompt", PROMPTS, RESPONSES, failing)[0]} == {"too_long"}


@pytest.mark.parametrize(
    ("prompts", "responses", "models", "says"),
    [
        (["Hi"], [["a"], ["b"]], TWO, "1 prompts but 2 lists of responses"),
        (["Hi"], ["a"], TWO, r"responses\[0\] is one text"),
        (["Hi"], [["a"]], {"weak": TWO["weak"]}, "DensityRatio needs a model for 'strong': add it to `models`"),
        (
            ["Hi"],
            [["a"]],
            TWO | {"weak": {"engine": "scripted", "sed": 2}},
            r"models\['weak'\].*\['sed'\] is wrong: Extra inputs",
        ),
        (["Hi"], [["a"]], None, "needs a model for 'strong', 'weak'"),
    ],
)
def test_what_does_not_fit_together_is_said_in_one_sentence(prompts, responses, models, says):
    with pytest.raises(PairwrightError, match=says):
        annotate("density_ratio", prompts, responses, models)


def test_an_engine_that_cannot_do_what_is_needed_is_refused_before_it_is_loaded():
    server = model_config({"engine": "openai", "model": "m", "base_url": "http://localhost:9/v1"})
    with pytest.raises(PairwrightError, match=r"Displacement needs hidden_sum.* of the role 'policy'"):
        annotate("displacement", PROMPTS, RESPONSES, {"policy": server})


class Faulty(Annotator[AnnotatorConfig]):
    """Raises, as a method with a fault would."""

    def roles(self) -> dict[str, frozenset[str]]:
        return {}

    def annotate(self, group: Group) -> Annotating:
        yield from ()
        raise KeyError("a fault of the method")


def test_a_fault_of_the_method_is_raised_and_not_swallowed():
    with pytest.raises(KeyError, match="a fault of the method"):
        annotate(Faulty(AnnotatorConfig()), PROMPTS, RESPONSES)


class Backwards(Annotator[AnnotatorConfig]):
    """Compares every response with every other, last ones first."""

    def roles(self) -> dict[str, frozenset[str]]:
        return {}

    def annotate(self, group: Group) -> Annotating:
        yield from ()
        return [Annotation(a.id, other=b.id, label="tie") for a in reversed(group.responses) for b in group.responses if a != b]


def test_comparisons_come_by_first_and_then_second_response():
    found = annotate(Backwards(AnnotatorConfig()), ["Hi"], [["x", "y", "z"]])[0]
    place = {r.id: i for i, r in enumerate(groups(["Hi"], [["x", "y", "z"]])[0].responses)}
    assert [(place[a.subject], place[a.other]) for a in found] == [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]
