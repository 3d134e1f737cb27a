from __future__ import annotations

import random
from collections.abc import Hashable, Iterator
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from pairwright.annotators.steps.base import Budget, QuestionFilter, RolloutSampling, SearchSettings
from pairwright.annotators.steps.monte_carlo import MonteCarlo, MonteCarloConfig
from pairwright.annotators.steps.omega_prm import OmegaConfig, OmegaPRM
from pairwright.annotators.steps.puct import Puct
from pairwright.annotators.steps.search import Search, SearchConfig, distinct, grow
from pairwright.annotators.steps.searches import AnySearch, search_of
from pairwright.annotators.steps.segment import Delimiter, Pieces, Tokens
from pairwright.annotators.steps.tree import ROOT, Question
from pairwright.engines.pool import EnginePool
from pairwright.engines.requests import Verified, Verify, turns
from pairwright.engines.runner import Broken, Runner
from pairwright.engines.solver import SolverModel
from pairwright.engines.verification.models import ExactVerifier
from pairwright.pipelines.step_labels.config import LabelConfig
from pairwright.pipelines.step_labels.log import read_logs
from pairwright.pipelines.step_labels.stepwise import labelled
from tests.annotators.steps.oracle_world import World, question, rollout, settings
from tests.annotators.steps.step_world import StepWorld, chances
from tests.annotators.steps.step_world import settings as step_settings


class Nothing(Search[SearchConfig]):
    """A search that notes that it was asked to run, and does nothing."""

    def __init__(self, needs_mixed: bool = True) -> None:
        super().__init__(SearchConfig())
        self.needs_mixed, self.roots = needs_mixed, []  # type: ignore[misc]

    def run(self, moves, roots):
        self.roots = list(roots)
        yield from ()


def outcome(right: int, wrong: int, unparsed: int = 0, needs_mixed: bool = True, **limits: Any) -> tuple[str | None, bool]:
    """(why the question was set aside, did the search run)."""
    said = ["a =right"] * right + ["b =wrong"] * wrong + ["c =none"] * unparsed
    search = Nothing(needs_mixed)
    tree = World(roots=said).run(grow(question(), settings(roots=len(said), **limits), search))
    assert tree.count(ROOT, "policy").n == len(said)
    return tree.reason[ROOT], bool(search.roots)


@pytest.mark.parametrize(
    ("right", "wrong", "limits", "reason"),
    [
        (8, 0, {}, "all_right"),
        (0, 8, {}, "all_wrong"),
        (1, 7, {}, None),
        (7, 1, {}, None),
        (1, 7, {"min_rate": 0.125}, "too_hard"),
        (2, 6, {"min_rate": 0.125}, None),
        (7, 1, {"max_rate": 0.875}, "too_easy"),
        (6, 2, {"max_rate": 0.875}, None),
        (8, 0, {"max_rate": 0.5}, "all_right"),
        (0, 8, {"min_rate": 0.5}, "all_wrong"),
    ],
)
def test_a_question_that_is_solved_too_often_or_too_rarely_is_set_aside_by_name(right, wrong, limits, reason):
    assert outcome(right, wrong, **limits) == (reason, reason is None)


def test_a_rollout_that_cannot_be_compared_is_no_right_one():
    assert outcome(0, 6, 2) == ("all_wrong", False)
    assert outcome(4, 0, 4) == (None, True)


def test_a_question_whose_rollouts_could_mostly_not_be_compared_is_set_aside_for_what_kept_them_from_it():
    class Failing(World):
        def answer(self, request):
            crash = isinstance(request, Verify) and "crash" in request.text
            return Verified("unparsed", None, "verifier_crashed") if crash else super().answer(request)

    def reason(*said: str) -> str | None:
        return Failing(roots=said).run(grow(question(), settings(roots=len(said)), Nothing())).reason[ROOT]

    assert reason("crash =right", "crash =right", "c =none", "a =wrong") == "verifier_crashed"
    assert reason("crash =right", "c =none", "c =none", "a =wrong") == "no_answer"
    assert reason("crash =right", "a =wrong", "a =wrong", "a =wrong") == "all_wrong"
    assert outcome(0, 4, 4) == ("no_answer", False)
    assert outcome(1, 0, 7) == (None, True)


def test_root_rollouts_that_can_carry_no_label_stand_in_the_tree_by_name_whatever_became_of_the_question():
    said = ["a\n\n=right", "", "mumble", "boxed =right " + "blah " * 99, "b\n\n=wrong"]
    for search, reason in ((Nothing(), None), (Puct.configured({"iterations": 1}), None)):
        world = StepWorld(lambda text, i, request: said[i] if not text and request.n == 5 else "c\n\n=wrong")
        tree = world.grow(search, step_settings(roots=5, max_tokens=9))
        assert tree.reason[ROOT] == reason
        found = {tree.text(n)[:12]: (tree.verdict[n], tree.reason[n]) for n in range(1, len(tree)) if tree.reason[n]}
        assert {k: found[k] for k in ("", "mumble", "boxed =right")} == {
            "": ("unparsed", "empty_step"),
            "mumble": ("unparsed", "no_answer"),
            "boxed =right": ("right", "cut"),
        }
    world = StepWorld(lambda text, i, request: ["mumble", "=wrong"][i % 2])
    tree = world.grow(Nothing(), step_settings(questions=QuestionFilter(rollouts=2)))
    assert [(tree.text(n), tree.reason[n]) for n in range(len(tree))] == [("", "no_answer"), ("mumble", "no_answer")]


def test_questions_are_set_aside_where_the_search_learns_nothing_from_them_unless_the_recipe_decides():
    assert outcome(4, 0, needs_mixed=False) == (None, True)
    assert outcome(4, 0, needs_mixed=False, mixed=True) == ("all_right", False)
    assert outcome(0, 4, mixed=False) == (None, True)


@pytest.mark.parametrize(
    ("reference", "reason", "asked"), [(None, "no_reference", 0), (" ", "no_reference", 0), ("=none", "reference_unparsed", 1)]
)
def test_nothing_is_rolled_out_for_a_reference_that_no_answer_could_equal(reference, reason, asked):
    seen = []

    class Counting(World):
        def answer(self, request):
            seen.append(request)
            return super().answer(request)

    tree = Counting().run(grow(question(reference), settings(), Nothing()))
    assert tree.reason[ROOT] == reason
    assert [type(request) for request in seen] == [Verify] * asked
    assert len(tree) == 1


def about_itself(said: Verified) -> tuple[str | None, int]:
    """(the reason, rollouts made) where a verifier says this of the boxed reference."""

    class Saying(World):
        def answer(self, request):
            return said if isinstance(request, Verify) and "boxed" in request.text else super().answer(request)

    tree = Saying(roots=["a =right", "b =wrong"]).run(grow(question(), settings(), Nothing()))
    return tree.reason[ROOT], tree.count(ROOT, "policy").n


@pytest.mark.parametrize("reason", ["no_answer", "cut", "answer_unparsed", "verifier_error"])
def test_a_verifier_that_finds_no_answer_in_a_bare_reference_or_raises_says_nothing_about_it(reason):
    assert about_itself(Verified("unparsed", None, reason)) == (None, 2)


@pytest.mark.parametrize("reason", ["reference_unparsed", "time_out", "verifier_crashed", "verifier_memory"])
def test_a_reference_that_cannot_be_compared_with_itself_is_set_aside_under_the_verifiers_own_name_for_it(reason):
    assert about_itself(Verified("unparsed", "=right", reason)) == (reason, 0)


def test_a_reference_that_does_not_equal_itself_is_set_aside_unless_the_verifier_read_no_answer_in_that_text():
    assert about_itself(Verified("wrong", "7")) == ("reference_unequal_to_itself", 0)
    assert about_itself(Verified("wrong", None)) == (None, 2)


def test_a_budget_below_the_root_rollouts_asks_for_none():
    world = World()
    tree = world.run(grow(question(), settings(roots=8, budget=7), Nothing()))
    assert (tree.reason[ROOT], world.rolled) == ("budget_rollouts", [])


def test_distinct_rollouts_are_those_that_say_something_each_text_once_in_order():
    said = [rollout(text) for text in ("b =wrong", "a =wrong", "", "b =wrong", "c =right")]
    assert [r.piece.text for r in distinct(said)] == ["b\n\n=wrong", "a\n\n=wrong", "c\n\n=right"]


def trees(search: Search[Any], window: int, batch: int, shuffled: int, segment: Any) -> dict[Hashable, list[dict[str, Any]]]:
    """The rows of many questions, solved in some order."""
    policy = SolverModel(steps=(3, 9), error=0.12, recover=0.05, unparsed=0.05, seed=3, window=window, batch=batch)
    pool = EnginePool({"policy": policy, "strong": policy.model_copy(update={"error": 0.02}), "verifier": ExactVerifier()}, 2)
    chosen = SearchSettings(
        segment=segment,
        sampling=RolloutSampling(max_tokens=300),
        questions=QuestionFilter(rollouts=6),
        budget=Budget(rollouts=150),
    )
    names = [f"p{i}" for i in range(40)]
    random.Random(shuffled).shuffle(names)

    def tasks() -> Iterator[Any]:
        for name in names:
            yield name, grow(Question(name, turns(f"What is {name}?"), "42"), chosen, search)

    found = dict(Runner(pool).run(tasks()))
    pool.close()
    assert not any(isinstance(tree, Broken) for tree in found.values())
    return {name: list(tree.rows("m", "solver", "policy")) for name, tree in found.items()}


@pytest.mark.parametrize("segment", [Delimiter(), Pieces(m=8)], ids=["delimiter", "pieces"])
@pytest.mark.parametrize(
    "search",
    [
        OmegaPRM(OmegaConfig(k=4, searches=8)),
        MonteCarlo(MonteCarloConfig(k=3, schedule="all", provers=("strong",))),
        MonteCarlo(MonteCarloConfig(k=3, schedule="until_first_error")),
        MonteCarlo(MonteCarloConfig(k=3, schedule="bisect")),
    ],
    ids=["omega", "all", "until_first_error", "bisect"],
)
def test_the_order_in_which_answers_come_changes_no_row(search, segment):
    one = trees(search, window=64, batch=64, shuffled=1, segment=segment)
    other = trees(search, window=7, batch=2, shuffled=2, segment=segment)
    assert one == other
    assert sum(len(rows) for rows in one.values()) > 200
    assert any(row["verdict"] == "wrong" and row["reason"] is None for rows in one.values() for row in rows)


EVERY = {
    "omega": {"use": "omega_prm", "k": 4, "searches": 6, "right_solutions": 2},
    "monte carlo": {"use": "monte_carlo", "k": 3, "solutions": 6},
    "in order": {"use": "monte_carlo", "k": 3, "solutions": 6, "schedule": "until_first_error"},
    "puct": {"use": "puct", "iterations": 10, "children": 3},
    "rest": {"use": "rest_mcts", "iterations": 5},
}
CUTS = [
    Delimiter(min_step_tokens=1),
    Delimiter(min_step_tokens=3),
    Tokens(n=2, min_step_tokens=1),
    Pieces(m=8, min_step_tokens=1),
]


@pytest.mark.parametrize("name", EVERY)
@given(seed=st.integers(0, 10**6), segment=st.sampled_from(CUTS))
def test_whatever_the_search_no_prefix_is_labelled_good_in_one_solution_and_bad_in_another(name, seed, segment):
    search = search_of(TypeAdapter(AnySearch).validate_python(EVERY[name]))
    assume(not (search.by_steps and segment.by == "pieces"))
    world = StepWorld(chances(seed, ends=0.35))
    tree = world.grow(search, step_settings(roots=8, rollouts=300, segment=segment))
    (log,) = read_logs(list(tree.rows(name, "m", "policy")))
    said: dict[str, bool] = {}
    for made in labelled(log, LabelConfig())[0]:
        for prefix, good in zip(accumulate(made.steps), made.labels, strict=True):
            assert said.setdefault(prefix, good) == good


def test_an_end_that_what_goes_on_from_it_disputes_is_named_and_not_labelled():
    says = {"": ["a =wrong\n\n"], "a =wrong\n\n": ["", "no\n\n=right"], "a =wrong\n\nno\n\n": ["=right"]}
    world = StepWorld(lambda text, i, request: (found := says[text])[i % len(found)])
    tree = world.grow(Puct.configured({"iterations": 5, "children": 2}), step_settings(roots=1))
    (end,) = tree.children[ROOT]
    assert (tree.terminal[end], tree.verdict[end], tree.reason[end]) == (True, "wrong", "disputed_end")
    (log,) = read_logs(list(tree.rows("puct", "m", "policy")))
    made, dropped = labelled(log, LabelConfig())
    assert [m.labels for m in made] == [(True, True, True)] and [*dropped.values()] == ["disputed_end"]
