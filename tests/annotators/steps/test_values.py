from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from pairwright.annotators.steps.base import guarded
from pairwright.annotators.steps.moves import Moves
from pairwright.annotators.steps.puct import Puct
from pairwright.annotators.steps.rest import Rest
from pairwright.annotators.steps.tree import ROOT
from pairwright.annotators.steps.values import AnyValue, JudgeValue, NoValue, RolloutValue
from pairwright.annotators.wording import texts
from pairwright.engines.requests import Choose, Generate
from pairwright.ids import digest
from tests.annotators.steps.step_world import StepWorld, question, settings


def grown(world: StepWorld, **more):
    """A tree with two steps below the root."""
    moves = Moves(question(), settings(**more))
    return moves, world.run(moves.expand(ROOT, 2))


def good_and_bad(**more) -> StepWorld:
    """Every solution that begins with `good` ends right."""

    def says(text, i, request):
        first = text or ["good\n\n", "bad\n\n"][i]
        return ("" if text else first) + ("=right" if first.startswith("good") else "=wrong")

    return StepWorld(says, **more)


def test_the_texts_are_those_of_these_versions():
    assert (Puct.version, Rest.version, digest(texts("step_value"))) == (1, 1, "caee6f2cbf3948e82931b9b3"), (
        "texts changed: raise `version` of Puct and Rest, then this pin"
    )


def test_sources_are_told_apart_by_name():
    read = TypeAdapter(AnyValue).validate_python
    assert read({"by": "none"}) == NoValue()
    assert read({"by": "rollouts", "k": 2}) == RolloutValue(k=2)
    assert read({"by": "judge", "role": "critic"}) == JudgeValue(role="critic")
    with pytest.raises(ValidationError):
        read({"by": "none", "k": 2})


def test_without_a_source_no_value_is_known_and_nothing_is_asked_or_kept():
    world = good_and_bad()
    moves, nodes = grown(world)
    asked = len(world.seen)
    assert world.run(NoValue().evaluate(moves, nodes)) == [None, None]
    assert len(world.seen) == asked and moves.tree.value == [None] * 3


def test_rollouts_give_the_share_of_right_ones_side_by_side():
    world = good_and_bad()
    moves, nodes = grown(world)
    task = RolloutValue(k=3).evaluate(moves, nodes)
    first = next(task)
    assert [(type(r), r.n) for r in first] == [(Generate, 3), (Generate, 3)]
    assert world.run(RolloutValue(k=3).evaluate(moves, nodes)) == [1.0, 0.0]
    assert [moves.tree.count(n, "policy").n for n in nodes] == [3, 3]
    assert [moves.tree.value[n] for n in nodes] == [1.0, 0.0]


def test_a_node_that_was_rolled_out_from_is_not_again():
    world = good_and_bad()
    moves, (good, bad) = grown(world)
    world.run(moves.estimate(good, 5))
    assert world.run(RolloutValue(k=3).evaluate(moves, [good, bad, good])) == [1.0, 0.0, 1.0]
    assert [moves.tree.count(n, "policy").n for n in (good, bad)] == [5, 3]


def test_rollouts_most_of_which_cannot_be_compared_give_no_value():
    world = StepWorld(lambda text, i, request: "mumble" if text else "good\n\nmumble")
    moves, (node,) = grown(world)
    assert world.run(RolloutValue(k=3).evaluate(moves, [node])) == [None] == [moves.tree.value[node]]
    assert world.run(RolloutValue(k=3).evaluate(moves, [node])) == [None] and moves.tree.count(node, "policy").n == 3


def test_a_judge_is_asked_once_a_node_about_the_problem_and_the_solution_so_far():
    world = good_and_bad(judge=lambda text: 0.9 if "good" in text else 0.2)
    moves, nodes = grown(world)
    assert world.run(JudgeValue().evaluate(moves, [*nodes, nodes[0]])) == pytest.approx([0.9, 0.2, 0.9])
    assert world.run(JudgeValue().evaluate(moves, nodes)) == pytest.approx([0.9, 0.2])
    asked = world.of(Choose)
    assert [(r.role, r.labels) for r in asked] == [("value", ("Yes", "No"))] * 2
    (turn,) = asked[0].prompt
    assert "What is it?" in turn.content and "good\n\n" in turn.content


def test_a_judge_of_nothing_is_told_so():
    world = good_and_bad()
    world.run(JudgeValue().evaluate(Moves(question(), settings()), [ROOT]))
    assert texts("step_value")["nothing_yet"] in world.of(Choose)[0].prompt[0].content


def test_braces_in_a_solution_are_only_text():
    world = StepWorld(lambda text, i, request: "\\boxed{x} {question}\n\n=right")
    moves, nodes = grown(world)
    world.run(JudgeValue().evaluate(moves, nodes))
    assert "\\boxed{x} {question}" in world.of(Choose)[0].prompt[0].content


def test_what_was_measured_before_the_budget_was_spent_is_kept():
    world = good_and_bad()
    moves, nodes = grown(world, rollouts=2 + 3)
    assert world.run(guarded(RolloutValue(k=3).evaluate(moves, nodes))).reason == "budget_rollouts"
    assert [moves.tree.value[n] for n in nodes] == [1.0, None]


def test_a_judge_that_does_not_answer_stops_the_question_by_name():
    world = good_and_bad(fails=lambda n, request: isinstance(request, Choose))
    moves, nodes = grown(world)
    assert world.run(guarded(JudgeValue().evaluate(moves, nodes))).reason == "server_error"
    assert moves.tree.value == [None] * 3


def test_a_judge_needs_a_role_of_its_own_and_rollouts_need_none():
    assert JudgeValue().roles() == {"value": {"choose"}}
    assert RolloutValue().roles() == NoValue().roles() == {}
    own = Puct.configured({"value": {"by": "judge", "role": "policy"}})
    assert own.roles("policy")["policy"] == {"generate", "prefix_ids", "choose"}
