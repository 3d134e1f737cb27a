from __future__ import annotations

import random
from collections.abc import Hashable, Iterator
from typing import Any

import pytest

from pairwright.annotators.steps.base import Budget, QuestionFilter, RolloutSampling, SearchSettings
from pairwright.annotators.steps.monte_carlo import MonteCarlo, MonteCarloConfig
from pairwright.annotators.steps.omega_prm import OmegaConfig, OmegaPRM
from pairwright.annotators.steps.search import Search, SearchConfig, distinct, grow
from pairwright.annotators.steps.segment import Delimiter, Pieces
from pairwright.annotators.steps.tree import ROOT, Question
from pairwright.engines.pool import EnginePool
from pairwright.engines.requests import Verified, Verify, turns
from pairwright.engines.runner import Broken, Runner
from pairwright.engines.solver import SolverModel
from pairwright.engines.verification.models import ExactVerifier
from tests.annotators.steps.oracle_world import World, question, rollout, settings


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
    assert outcome(0, 4, 4) == ("all_wrong", False)
    assert outcome(4, 0, 4) == (None, True)


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


def test_a_verifier_that_finds_no_answer_in_a_bare_reference_says_nothing_about_it():
    class OwnFormat(World):
        def answer(self, request):
            if isinstance(request, Verify) and "boxed" in request.text:
                return Verified("unparsed", None, "no_answer")
            return super().answer(request)

    tree = OwnFormat().run(grow(question(), settings(), Nothing()))
    assert tree.reason[ROOT] != "reference_unparsed"
    assert tree.counts[ROOT]["policy"].n > 0


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
