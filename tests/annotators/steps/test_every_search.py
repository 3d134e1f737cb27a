"""What holds of every search, in any world, whatever fails and in whichever order answers come."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.annotators.steps.base import Budget, QuestionFilter, RolloutSampling, SearchSettings
from pairwright.annotators.steps.implicit import Implicit
from pairwright.annotators.steps.puct import Puct
from pairwright.annotators.steps.rest import Rest
from pairwright.annotators.steps.search import Search, grow
from pairwright.annotators.steps.tree import Question
from pairwright.engines.pool import EnginePool
from pairwright.engines.requests import Generate, turns
from pairwright.engines.runner import Broken, Runner
from pairwright.engines.solver import SolverModel
from pairwright.engines.verification.models import ExactVerifier
from tests.annotators.steps.step_world import StepWorld, chances, settings

SEARCHES: dict[str, Search[Any]] = {
    "puct": Puct.configured({"iterations": 12, "children": 3, "depth": 4}),
    "puct by judge": Puct.configured({"iterations": 12, "children": 3, "depth": 4, "value": {"by": "judge"}}),
    "puct by rollouts": Puct.configured({"iterations": 8, "children": 3, "value": {"by": "rollouts", "k": 2}}),
    "rest": Rest.configured({"iterations": 8, "value": {"by": "rollouts", "k": 2}}),
    "rest by judge": Rest.configured({"iterations": 12, "ucb": "paper", "value": {"by": "judge"}}),
    "implicit": Implicit.configured(),
}
LIMITS = st.fixed_dictionaries(
    {"rollouts": st.integers(1, 120), "errors": st.integers(1, 4)},
    optional={"tokens": st.integers(1, 400), "seconds": st.floats(0.1, 20)},
)


@pytest.mark.parametrize("name", SEARCHES)
@given(seed=st.integers(0, 10**6), ends=st.floats(0.02, 0.9), limits=LIMITS, failing=st.sampled_from([0, 0, 7, 2, 1]))
def test_every_search_ends_within_its_budget_and_names_what_stopped_it(name, seed, ends, limits, failing):
    """In any world, whatever fails: the same tree each time, nothing beyond the budget, no end without verdict or reason."""

    def run() -> tuple[list[dict[str, Any]], StepWorld]:
        world = StepWorld(
            chances(seed, ends=ends),
            judge=lambda text: (len(text) % 7) / 7,
            fails=lambda n, request: n > 3 and failing > 0 and n % failing == 0,
        )
        tree = world.grow(SEARCHES[name], settings(max_tokens=40, **limits))
        return list(tree.rows("m", "world", "policy")), world

    rows, world = run()
    assert rows == run()[0]
    assert sum({(r.prefix_ids, r.seed, r.sampling): r.n for r in world.of(Generate)}.values()) <= limits["rollouts"]
    assert sum(row["seconds"] for row in rows) == 0.5 * sum(not f for f in failures(world) if f is not None)
    root, *nodes = rows
    assert root["reason"] in {None, "budget_rollouts", "budget_tokens", "budget_seconds", "server_error"}
    assert failing or root["reason"] != "server_error"
    for row in nodes:
        assert row["terminal"] == (row["verdict"] is not None)
        assert row["verdict"] != "unparsed" or row["reason"] is not None
        assert row["n"] >= row["correct"] + row["unparsed"]


def failures(world: StepWorld) -> list[bool | None]:
    """Did each Generate fail? None for other requests."""
    return [world.fails(n, r) if isinstance(r, Generate) else None for n, r in enumerate(world.seen, 1)]


def solved(search: Search[Any], window: int, batch: int, shuffled: int) -> dict[Any, list[dict[str, Any]]]:
    """The rows of many questions put to the simulated solver, which answers in some order."""
    policy = SolverModel(steps=(3, 6), error=0.15, recover=0.05, unparsed=0.05, seed=3, window=window, batch=batch)
    models = {"policy": policy, "value": policy, "implicit": policy, "reference": policy.model_copy(update={"seed": 4})}
    pool = EnginePool({**models, "verifier": ExactVerifier()}, 2)
    chosen = SearchSettings(
        sampling=RolloutSampling(max_tokens=200), questions=QuestionFilter(rollouts=6), budget=Budget(rollouts=120)
    )
    names = [f"p{i}" for i in range(20)]
    random.Random(shuffled).shuffle(names)
    tasks = [(name, grow(Question(name, turns(f"What is {name}?"), "42"), chosen, search)) for name in names]
    found = dict(Runner(pool).run(tasks))
    pool.close()
    assert not any(isinstance(tree, Broken) for tree in found.values())
    return {name: list(tree.rows("m", "solver", "policy")) for name, tree in found.items()}


@pytest.mark.parametrize("name", SEARCHES)
def test_the_order_in_which_answers_come_changes_no_row(name):
    one, other = (solved(SEARCHES[name], *how) for how in ((64, 64, 1), (7, 2, 2)))
    assert one == other
    ends = [row for rows in one.values() for row in rows if row["terminal"] and row["reason"] is None]
    assert {row["verdict"] for row in ends} == {"right", "wrong"}
    assert all(("bad" in row["text"]) <= (row["verdict"] == "wrong") or name == "implicit" for row in ends)
