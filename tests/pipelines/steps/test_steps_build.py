"""A build of step labels: every question and every solution is labelled or has a named reason, whatever the order of answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pairwright.engines.scripted import ScriptedEngine
from pairwright.errors import PairwrightError
from pairwright.pipelines.build import Build
from pairwright.pipelines.explain import left_to_do
from pairwright.pipelines.recipe import parse_recipe
from pairwright.pipelines.steps.replay import replay
from pairwright.storage.catalog import connect
from tests.recipes import step_settings, write_questions

Make = Callable[..., Build]
SEARCHES: dict[str, dict[str, Any]] = {
    "omega_prm": {"k": 4, "searches": 4},
    "monte_carlo": {"k": 4, "solutions": 3},
    "puct": {"iterations": 25, "depth": 14, "children": 3},
    "rest_mcts": {"iterations": 6},
}


@pytest.fixture
def make(tmp_path: Path) -> Make:
    write_questions(tmp_path)

    def made(root: Path = tmp_path, **changes: Any) -> Build:
        return Build(parse_recipe(step_settings(root, **changes), "the test's recipe"), root)

    return made


def steps(**changes: Any) -> dict[str, Any]:
    return step_settings(Path())["steps"] | changes


def rows(build: Build, query: str) -> list[tuple[Any, ...]]:
    with connect(build.dataset) as con:
        return con.execute(query).fetchall()


def hashes(build: Build) -> tuple[str, str]:
    manifest = build.dataset.manifest(build.run().version)
    return manifest.logical_hash, manifest.exact_hash


@pytest.mark.parametrize("use", SEARCHES)
def test_every_search_gives_labelled_solutions_and_its_rows_add_up(make: Make, use: str) -> None:
    build = make(steps=steps(search={"use": use, **SEARCHES[use]}))
    build.run()
    manifest = build.dataset.manifest(1)
    for account in manifest.accounting:
        account.check()
    assert manifest.rows("stepwise") > 0
    for completions, labels, first_error in rows(build, "SELECT completions, labels, first_error FROM stepwise"):
        assert len(completions) == len(labels)
        assert labels == [True] * len(labels) if first_error is None else labels == [True] * first_error + [False]


@pytest.mark.parametrize("use", SEARCHES)
def test_the_order_in_which_answers_come_changes_no_tree(make: Make, tmp_path: Path, use: str) -> None:
    found = []
    for folder, speed in (("one", {"window": 3, "batch": 2}), ("other", {"window": 64, "batch": 17})):
        write_questions(tmp_path / folder)
        policy = {"engine": "solver", "error": 0.12, **speed}
        models = step_settings(tmp_path)["models"] | {"policy": policy}
        build = make(root=tmp_path / folder, models=models, steps=steps(search={"use": use, **SEARCHES[use]}))
        build.pool.max_resident = 1
        found.append(hashes(build))
    assert found[0] == found[1]


def test_located_first_errors_are_the_true_ones_when_nothing_recovers(make: Make) -> None:
    from pairwright.engines.solver import first_error

    build = make(steps=steps(search={"use": "omega_prm", "k": 16, "searches": 6}, budget={"rollouts": 2000}))
    build.run()
    found = rows(build, "SELECT list_concat(completions, tail), first_error FROM stepwise")
    wrong = [(texts, error) for texts, error in found if error is not None]
    exact = sum(first_error("".join(texts)) == error for texts, error in wrong)
    assert len(wrong) >= 10
    assert exact >= 0.9 * len(wrong)
    assert all(first_error("".join(texts)) is None for texts, error in found if error is None)


def test_a_question_that_cannot_be_searched_says_why(make: Make, tmp_path: Path) -> None:
    more = [{"prompt": "Nobody knows."}, {"prompt": "What is this?", "reference": "\\frac{"}]
    write_questions(tmp_path, 3, more)
    models = step_settings(tmp_path)["models"] | {"verifier": {"engine": "math_verify", "workers": 1}}
    build = make(models=models)
    build.run()
    reasons = Counter(reason for (reason,) in rows(build, "SELECT reason FROM dropped WHERE stage = 'search'"))
    assert reasons["no_reference"] == 1
    assert reasons["reference_unparsed"] == 1


def test_questions_always_or_never_solved_are_set_aside(make: Make) -> None:
    for error, reason in ((0.0, "all_right"), (1.0, "all_wrong")):
        build = make(dataset=reason, models=step_settings(Path())["models"] | {"policy": {"engine": "solver", "error": error}})
        with pytest.raises(PairwrightError, match=f"{reason} 12"):
            build.run()


@pytest.mark.parametrize(
    ("policy", "reason"),
    [({"faults": {"server_error": 1.0}}, "server_error"), ({"unparsed": 1.0}, "no_answer"), ({"cut": 1.0}, "cut")],
)
def test_failures_and_missing_answers_never_become_labels(make: Make, policy: dict[str, Any], reason: str) -> None:
    build = make(models=step_settings(Path())["models"] | {"policy": {"engine": "solver", "error": 0.1, **policy}})
    with pytest.raises(PairwrightError, match=reason):
        build.run()


def test_a_solution_cut_before_its_answer_is_never_labelled(make: Make) -> None:
    models = step_settings(Path())["models"] | {"policy": {"engine": "solver", "error": 0.1, "cut": 0.6}}
    build = make(models=models, steps=steps(search={"use": "monte_carlo", "k": 4, "solutions": 8}))
    build.run()
    assert rows(build, "SELECT 1 FROM steps WHERE terminal AND finish_reason = 'length' AND reason = 'cut'")
    texts = rows(build, "SELECT array_to_string(list_concat(completions, tail), '') FROM stepwise")
    assert texts
    assert all("boxed" in text for (text,) in texts)


def test_a_tree_that_exceeds_its_budget_leaves_no_label_where_it_stopped(make: Make) -> None:
    build = make(steps=steps(budget={"rollouts": 17}))
    build.run()
    stopped = rows(build, "SELECT node_id FROM steps WHERE terminal AND reason = 'budget_rollouts'")
    labelled = rows(build, "SELECT solution_id FROM stepwise")
    assert stopped
    assert not {*stopped} & {*labelled}
    assert {("budget_rollouts",)} <= {*rows(build, "SELECT reason FROM dropped WHERE stage = 'label'")}


def test_cut_rollouts_and_unparsed_answers_are_counted_as_such(make: Make) -> None:
    policy = {"engine": "solver", "error": 0.1, "cut": 0.1, "unparsed": 0.1}
    build = make(models=step_settings(Path())["models"] | {"policy": policy})
    build.run()
    assert rows(build, "SELECT count(*) FROM steps WHERE unparsed > 0 AND unparsed + correct <= n")[0][0] > 0
    assert not rows(build, "SELECT 1 FROM steps WHERE unparsed + correct > n")
    distrusted = {node for (node,) in rows(build, "SELECT node_id FROM steps WHERE low_trust")}
    assert not distrusted & {node for (node,) in rows(build, "SELECT solution_id FROM stepwise")}


def test_the_judge_reads_only_labelled_solutions_and_refutes_some(make: Make) -> None:
    models = step_settings(Path())["models"] | {"judge": {"engine": "solver", "seed": 1, "judge_noise": 0.1}}
    build = make(models=models, steps=steps(judge={"mode": "choose"}))
    build.run()
    account = next(a for a in build.dataset.manifest(1).accounting if a.stage == "consensus")
    assert account.rows_in == len(rows(build, "SELECT DISTINCT subject_id FROM annotations"))
    assert 0 < account.rows_out < account.rows_in
    assert account.dropped.keys() == {"consensus_disagrees"}


@pytest.mark.parametrize("noise", [0.0, 0.3, 1.0])
def test_step_pairs_follow_the_judge_and_add_up(make: Make, noise: float) -> None:
    alone = make(dataset="alone")
    alone.run()
    every = {*rows(alone, "SELECT pair_id FROM step_preference")}
    judge = {"engine": "solver", "seed": 1, "judge_noise": noise}
    build = make(models=step_settings(Path())["models"] | {"judge": judge}, steps=steps(judge={"mode": "choose"}))
    build.run()
    kept = {*rows(build, "SELECT pair_id FROM step_preference")}
    refused = {*rows(build, "SELECT id FROM dropped WHERE unit = 'pair' AND reason = 'not_confirmed_by_judge'")}
    assert kept | refused == every and not kept & refused
    account = next(a for a in build.dataset.manifest(1).accounting if a.stage == "pair steps")
    account.check()
    assert (account.rows_in, account.rows_out) == (len(every), len(kept))
    errors = rows(build, "SELECT prompt_id, array_to_string(completions, '') FROM stepwise WHERE first_error IS NOT NULL")
    assert {*rows(build, "SELECT prompt_id, prefix || rejected FROM step_preference")} <= {*errors}
    assert (len(kept) > 0.8 * len(every)) if noise == 0 else (len(kept) < len(every))


def test_another_view_of_the_counts_asks_no_model(make: Make) -> None:
    make().run()
    ScriptedEngine.requests_seen.clear()
    for view in ("hard", "soft", "value", "advantage"):
        assert make(steps=steps(labels={"scores": view})).run().new
    assert not ScriptedEngine.requests_seen


def test_compressed_views_come_on_top_of_their_solutions_and_the_rows_add_up(make: Make) -> None:
    search = {"use": "rest_mcts", "branch": 4, "iterations": 10}
    plain = make(steps=steps(search=search, budget={"rollouts": 600}))
    plain.run()
    merged = make(steps=steps(search=search, budget={"rollouts": 600}, labels={"compress": 1.0}))
    merged.run()
    for account in merged.dataset.manifest(2).accounting:
        account.check()
    ours = set(rows(plain, "SELECT solution_id FROM stepwise_at(1)"))
    assert {*rows(merged, "SELECT solution_id FROM stepwise_at(2) WHERE NOT ends_with(method, '+hnc')")} == ours
    assert rows(merged, "SELECT count(*) FROM stepwise_at(2) WHERE ends_with(method, '+hnc')")[0][0] > 0


def test_added_questions_are_searched_alone(make: Make, tmp_path: Path) -> None:
    make().run()
    ScriptedEngine.requests_seen.clear()
    write_questions(tmp_path, 13)
    build = make()
    assert [p.messages[0].content for p in build.missing_questions()] == ["Question 12: what comes out?"]
    build.run()
    assert 0 < ScriptedEngine.requests_seen["solver-0"] < 60


def test_a_corrected_reference_makes_its_question_another_one_and_old_verdicts_are_not_used(make: Make, tmp_path: Path) -> None:
    search = steps(search={"use": "monte_carlo", "k": 4}, questions={"rollouts": 8, "mixed": False})
    write_questions(tmp_path, 3, [{"prompt": "Question 3: what comes out?", "reference": "41"}, {"prompt": "And what is this?"}])
    first = make(steps=search)
    first.run()
    before = rows(first, "SELECT * FROM stepwise WHERE reference = '42' ORDER BY solution_id")
    assert before

    write_questions(tmp_path, 4, mended := [{"prompt": "And what is this?", "reference": "42"}])
    second = make(steps=search)
    assert len(second.missing_questions()) == 2
    assert {*left_to_do(second)["search"].left} == {p.prompt_id for p in second.missing_questions()}
    second.run()
    assert not rows(second, "SELECT 1 FROM stepwise WHERE (answer = reference) <> (verdict = 'right')")
    assert not rows(second, "SELECT 1 FROM dropped WHERE reason = 'no_reference'")
    assert (
        rows(second, "SELECT * FROM stepwise WHERE solution_id IN (SELECT solution_id FROM stepwise_at(1)) ORDER BY solution_id")
        == before
    )
    assert (
        len(rows(second, "SELECT DISTINCT question_id FROM steps"))
        == len(rows(second, "SELECT DISTINCT prompt_id FROM steps"))
        == 5
    )
    assert (found := replay(make(steps=search))).trees == found.equal == 5

    fresh = tmp_path / "fresh"
    write_questions(fresh, 4, mended)
    other = make(root=fresh, steps=search)
    other.run()
    same = "SELECT * EXCLUDE (tokens, seconds) FROM steps ORDER BY node_id"
    assert rows(second, same) == rows(other, same)


def test_an_unchanged_recipe_makes_no_new_version(make: Make) -> None:
    assert make().run().new
    assert not make().run().new


def test_a_replay_from_the_journal_gives_the_same_trees_and_asks_nobody(make: Make) -> None:
    make().run()
    ScriptedEngine.requests_seen.clear()
    found = replay(make())
    assert (found.trees, found.equal, found.differences) == (12, 12, [])
    assert not ScriptedEngine.requests_seen


def test_a_replay_leaves_out_trees_that_a_failed_request_stopped_and_counts_them(make: Make) -> None:
    models = step_settings(Path())["models"] | {"policy": {"engine": "solver", "error": 0.12, "faults": {"server_error": 0.02}}}
    build = make(models=models)
    build.run()
    failed = len(rows(build, "SELECT 1 FROM steps WHERE parent_id IS NULL AND reason = 'server_error'"))
    found = replay(make(models=models))
    assert 0 < failed < 12
    assert (found.skipped, found.trees, found.equal, found.differences) == (failed, 12 - failed, 12 - failed, [])


def test_a_replay_with_a_changed_setting_is_refused_and_says_which(make: Make) -> None:
    make().run()
    with pytest.raises(PairwrightError, match=r"refused.*settings\.search\.k: 4 -> 5"):
        replay(make(steps=steps(search={"use": "omega_prm", "k": 5, "searches": 4})))


def test_a_replay_without_the_journal_is_refused(make: Make) -> None:
    build = make()
    build.run()
    for path in (build.work / "journal").iterdir():
        path.unlink()
    with pytest.raises(PairwrightError, match="the journal does not hold"):
        replay(make())


def test_pairs_and_step_labels_can_come_from_one_recipe(make: Make, tmp_path: Path) -> None:
    weak = {"engine": "scripted", "seed": 2, "quality": 0.1}
    models = step_settings(tmp_path)["models"] | {"strong": {"engine": "scripted", "quality": 0.9}, "weak": weak}
    build = make(models=models, annotators=["density_ratio"], sample={"n": 3})
    build.run()
    manifest = build.dataset.manifest(1)
    assert manifest.rows("preference") > 0
    assert manifest.rows("stepwise") > 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"steps": {"search": "omega"}}, r"`use: omega` is not one of .*did you mean `omega_prm`"),
        ({"steps": {"search": {"use": "omega_prm", "kk": 3}}}, r"unknown key `steps\.search\.kk`"),
        ({"steps": {"search": "puct", "segment": {"by": "pieces"}}}, r"makes one step at a time"),
        ({"steps": {"labels": {"scores": "advantage", "prover": "prover"}}}, r"needs rollouts of that role"),
        ({"steps": {"labels": {"scores": "implicit"}}}, r"needs `steps\.search: implicit`"),
        ({"steps": {"judge": {"role": "critic"}}}, r"the role 'critic'"),
        ({"steps": {"sampling": {"temperature": 0}}}, r"`questions\.rollouts` the same solution"),
        ({"steps": {"sampling": {"temperature": 0}, "questions": {"rollouts": 1}}}, r"all 8 of `steps\.search\.k` the same"),
        (
            {
                "steps": {
                    "sampling": {"temperature": 0},
                    "questions": {"rollouts": 1},
                    "search": {"use": "rest_mcts", "branch": 1},
                }
            },
            r"all 4 of `steps\.search\.value\.k` the same",
        ),
        ({"steps": None}, r"needs `annotators`.*`steps`"),
        ({"combine": {"scores": "x"}}, r"there are no `annotators`"),
        ({"models": {"policy": {"engine": "solver"}, "verifier": {"engine": "solver"}}}, r"needs verify of the role 'verifier'"),
    ],
)
def test_a_mistake_in_the_recipe_is_one_sentence(make: Make, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(PairwrightError, match=said):
        make(**changes).check()


def test_the_default_verifier_is_math_verify(make: Make) -> None:
    models = {role: spec for role, spec in step_settings(Path())["models"].items() if role != "verifier"}
    assert make(models=models).recipe.models["verifier"].label().startswith("math-verify")
