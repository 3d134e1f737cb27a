"""Many generators in flight, each resumed as soon as its own results are in; nothing is run twice, nothing is lost."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.engines.journal import Journal
from pairwright.engines.pool import EnginePool
from pairwright.engines.requests import Chosen, Completion, Failed, Generate, Generated, Request, Result
from pairwright.engines.runner import Broken, Runner, Task, gather
from pairwright.errors import EngineError, PairwrightError

Ask = Callable[..., Generate]


def text(result: Result) -> str:
    return f"failed: {result.reason}" if isinstance(result, Failed) else result.completions[0].text  # type: ignore[union-attr]


def one_after_another(*requests: Request) -> Task:
    """Asks for one thing at a time and returns the texts."""
    found = []
    for request in requests:
        (result,) = yield [request]
        found.append(text(result))
    return found


def all_at_once(*requests: Request) -> Task:
    results = yield list(requests)
    return [text(r) for r in results]


@pytest.fixture
def pool(stage: Any) -> EnginePool:
    return EnginePool({"policy": stage.model("m")})


def done(runner: Runner, *tasks: Task) -> list[Any]:
    """What the tasks returned, in their order."""
    found = dict(runner.run(enumerate(tasks)))
    assert len(found) == len(tasks)
    return [found[i] for i in range(len(tasks))]


class TestFlow:
    def test_a_task_gets_its_results_in_the_order_it_asked(self, pool: EnginePool, stage: Any, ask: Ask) -> None:
        stage.pick = lambda waiting: waiting[-1:]
        assert done(Runner(pool), all_at_once(*map(ask, "abc"))) == [["m on a", "m on b", "m on c"]]
        assert stage.noted("finish") == ["c", "b", "a"]

    def test_a_task_that_asks_nothing_is_done_without_a_model(self, pool: EnginePool, stage: Any) -> None:
        def nothing() -> Task:
            assert list((yield [])) == []
            return "value"

        assert done(Runner(pool), nothing(), nothing()) == ["value", "value"]
        assert stage.notes == []

    def test_no_more_than_a_window_is_in_flight(self, pool: EnginePool, stage: Any, ask: Ask) -> None:
        stage.window, stage.pick = 8, lambda waiting: waiting[:3]
        tasks = [all_at_once(*(ask(f"{i}.{j}") for j in range(20))) for i in range(5)]
        assert all(len(value) == 20 for value in done(Runner(pool), *tasks))
        assert stage.most_in_flight == 8

    def test_a_fast_prompt_goes_on_while_a_slow_one_waits(self, pool: EnginePool, stage: Any, ask: Ask) -> None:
        """No barrier: the second request of every other task is handed over, and answered, before the slow first one."""
        stage.pick = lambda waiting: [r for r in waiting if "slow" not in r.prompt[0].content] or waiting
        slow = one_after_another(ask("slow 1"), ask("slow 2"))
        fast = [one_after_another(ask(f"fast {i} first"), ask(f"fast {i} second")) for i in range(5)]
        assert done(Runner(pool), slow, *fast)[0] == ["m on slow 1", "m on slow 2"]
        for i in range(5):
            assert stage.when("finish", "m", f"fast {i} second") < stage.when("finish", "m", "slow 1")

    def test_a_task_is_yielded_as_soon_as_it_is_finished(self, pool: EnginePool, stage: Any, ask: Ask) -> None:
        stage.pick = lambda waiting: waiting[-1:]
        order = [key for key, _ in Runner(pool).run((name, one_after_another(ask(name))) for name in "abc")]
        assert order == ["c", "b", "a"]

    def test_tasks_are_taken_as_they_are_needed(self, pool: EnginePool, stage: Any, ask: Ask) -> None:
        stage.window = 4
        opened = itertools.count()
        tasks = ((i, one_after_another(ask(f"a{i}"), ask(f"b{i}"))) for i in opened)
        assert len(list(itertools.islice(Runner(pool).run(tasks), 10))) == 10
        assert next(opened) < 2000

    def test_tasks_without_end_that_all_ask_the_same_are_taken_as_they_are_needed(self, pool: EnginePool, ask: Ask) -> None:
        tasks = ((i, one_after_another(ask("the same"))) for i in limited(itertools.count(), 100_000))
        assert len(list(itertools.islice(Runner(pool, max_waiting=500).run(tasks), 10))) == 10

    def test_tasks_without_end_that_ask_nothing_are_taken_as_they_are_needed(self, pool: EnginePool) -> None:
        tasks = ((i, all_at_once()) for i in limited(itertools.count(), 100_000))
        assert len(list(itertools.islice(Runner(pool).run(tasks), 10))) == 10

    def test_a_run_that_was_left_early_says_nothing_in_the_next(self, pool: EnginePool, stage: Any, ask: Ask) -> None:
        runner = Runner(pool)
        next(iter(runner.run((f"old {i}", one_after_another(ask(f"a{i}"), ask(f"b{i}"))) for i in range(9))))
        assert dict(runner.run([("new", one_after_another(ask("a8"), ask("c")))])) == {"new": ["m on a8", "m on c"]}

    def test_progress_is_told_at_the_end(self, pool: EnginePool, ask: Ask) -> None:
        told = []
        runner = Runner(pool, on_progress=lambda stats: told.append(stats.tasks_done))
        done(runner, *(one_after_another(ask(name)) for name in "abc"))
        assert told[-1] == 3


def limited(source: Iterator[int], count: int) -> Iterator[int]:
    """Fails the test, instead of hanging it, when somebody wants everything."""
    for i in source:
        assert i < count, "took far more tasks than were needed"
        yield i


class TestSharing:
    def test_within_one_list(self, pool: EnginePool, stage: Any, ask: Ask) -> None:
        assert done(Runner(pool), all_at_once(ask("a"), ask("b"), ask("a"))) == [["m on a", "m on b", "m on a"]]
        assert stage.noted("submit") == ["a", "b"]

    def test_between_tasks(self, pool: EnginePool, stage: Any, ask: Ask) -> None:
        runner = Runner(pool)
        assert done(runner, *(one_after_another(ask("a"), ask(f"b{i % 2}")) for i in range(6)))[5] == ["m on a", "m on b1"]
        assert Counter(stage.noted("submit")) == {"a": 1, "b0": 1, "b1": 1}
        assert (runner.stats.asked, runner.stats.run, runner.stats.shared) == (12, 3, 9)

    def test_between_roles_whose_models_are_equal(self, stage: Any, ask: Ask) -> None:
        pool = EnginePool({"policy": stage.model("m"), "judge": stage.model("m", device="there"), "weak": stage.model("w")}, 2)
        value = done(Runner(pool), all_at_once(ask("a", "policy"), ask("a", "judge"), ask("a", "weak")))
        assert value == [["m on a", "m on a", "w on a"]]
        assert stage.noted("submit", "m") == ["a"] and stage.noted("submit", "w") == ["a"]

    def test_requests_that_differ_in_anything_are_not_shared(self, pool: EnginePool, stage: Any, ask: Ask) -> None:
        done(Runner(pool), all_at_once(ask("a"), ask("a", seed=1), ask("a", n=2), ask("a", prefix_ids=(1,))))
        assert stage.noted("submit") == ["a"] * 4


class TestJournal:
    def work(self, ask: Ask, count: int) -> list[Task]:
        return [one_after_another(ask(f"a{i}"), ask(f"b{i}")) for i in range(count)]

    def test_what_it_holds_is_not_run_again(self, tmp_path: Path, pool: EnginePool, stage: Any, ask: Ask) -> None:
        first = done(Runner(pool, Journal(tmp_path)), *self.work(ask, 5))
        stage.notes.clear()
        pool.close()
        runner = Runner(pool, Journal(tmp_path))
        assert done(runner, *self.work(ask, 5)) == first
        assert stage.noted("load") == [] and stage.noted("submit") == []
        assert (runner.stats.asked, runner.stats.from_journal, runner.stats.run) == (10, 10, 0)

    def test_only_what_it_lacks_is_run(self, tmp_path: Path, pool: EnginePool, stage: Any, ask: Ask) -> None:
        done(Runner(pool, Journal(tmp_path)), *self.work(ask, 3))
        stage.notes.clear()
        done(Runner(pool, Journal(tmp_path)), *self.work(ask, 5))
        assert sorted(stage.noted("submit")) == ["a3", "a4", "b3", "b4"]

    def test_a_run_that_is_cut_off_anywhere_goes_on_from_there(self, tmp_path: Path, stage: Any, ask: Ask) -> None:
        stage.window, stage.pick = 4, lambda waiting: waiting[-1:]
        for taken in (1, 2, 3, 100):
            runner = Runner(EnginePool({"policy": stage.model("m")}), Journal(tmp_path))
            list(itertools.islice(runner.run(enumerate(self.work(ask, 8))), taken))
        assert Counter(stage.noted("finish")) == Counter([f"{half}{i}" for half in "ab" for i in range(8)])

    def test_a_request_asked_again_in_the_same_run_is_answered_from_it(
        self, tmp_path: Path, pool: EnginePool, stage: Any, ask: Ask
    ) -> None:
        runner = Runner(pool, Journal(tmp_path))
        assert done(runner, one_after_another(ask("a"), ask("b"), ask("a"))) == [["m on a", "m on b", "m on a"]]
        assert stage.noted("submit") == ["a", "b"] and runner.stats.from_journal == 1

    def test_a_failure_is_tried_again(self, tmp_path: Path, pool: EnginePool, stage: Any, ask: Ask) -> None:
        stage.answers["a"] = Failed("server_busy")
        assert done(Runner(pool, Journal(tmp_path)), all_at_once(ask("a"), ask("b"))) == [["failed: server_busy", "m on b"]]
        stage.answers.clear()
        assert done(Runner(pool, Journal(tmp_path)), all_at_once(ask("a"), ask("b"))) == [["m on a", "m on b"]]
        assert stage.noted("submit") == ["a", "b", "a"]

    def test_another_model_behind_the_role_gets_no_old_answers(self, tmp_path: Path, stage: Any, ask: Ask) -> None:
        for name in ("old", "new"):
            runner = Runner(EnginePool({"policy": stage.model(name)}), Journal(tmp_path))
            assert done(runner, all_at_once(ask("a"))) == [[f"{name} on a"]]


class TestBroken:
    def test_a_task_that_raises_leaves_the_others_alone(self, pool: EnginePool, ask: Ask) -> None:
        def at_once() -> Task:
            raise ValueError("at once")
            yield []

        def later() -> Task:
            yield [ask("a")]
            raise ValueError("later")

        first, second, well = done(Runner(pool), at_once(), later(), one_after_another(ask("a"), ask("b")))
        assert isinstance(first, Broken) and str(first.error) == "at once"
        assert isinstance(second, Broken) and str(second.error) == "later"
        assert well == ["m on a", "m on b"]

    @pytest.mark.parametrize("nonsense", [None, 7, ["not a request"], [None]], ids=str)
    def test_so_does_one_that_asks_for_nonsense(self, pool: EnginePool, ask: Ask, nonsense: Any) -> None:
        def confused() -> Task:
            yield [ask("b")]
            yield nonsense

        broken, well = done(Runner(pool), confused(), one_after_another(ask("a"), ask("b")))
        assert isinstance(broken, Broken)
        assert well == ["m on a", "m on b"]

    def test_a_role_without_a_model_stops_the_run_with_the_fix(self, pool: EnginePool, ask: Ask) -> None:
        with pytest.raises(PairwrightError, match="'judge' has no model: add `judge:`"):
            done(Runner(pool), one_after_another(ask("a", "judge")))


class TestModels:
    def cascade(self, ask: Ask, count: int) -> list[Task]:
        return [one_after_another(ask(f"p{i}", "strong"), ask(f"p{i}", "weak")) for i in range(count)]

    def pool(self, stage: Any, max_resident: int) -> EnginePool:
        return EnginePool({"strong": stage.model("s"), "weak": stage.model("w")}, max_resident)

    def test_each_is_loaded_once_though_only_one_may_be(self, stage: Any, ask: Ask) -> None:
        pool = self.pool(stage, 1)
        assert all(len(value) == 2 for value in done(Runner(pool), *self.cascade(ask, 3000)))
        assert list(pool.loads.values()) == [1, 1]
        assert [(what, name) for what, name, _ in stage.notes if what in ("load", "close")] == [
            ("load", "s"),
            ("close", "s"),
            ("load", "w"),
        ]

    def test_two_work_side_by_side_when_both_may_be_loaded(self, stage: Any, ask: Ask) -> None:
        stage.window = 16
        pool = self.pool(stage, 2)
        done(Runner(pool), *self.cascade(ask, 200))
        assert list(pool.loads.values()) == [1, 1] and stage.noted("close") == []
        assert stage.when("finish", "w", "p0") < stage.when("submit", "s", "p199")

    def test_the_next_is_the_one_that_most_requests_wait_for(self, stage: Any, ask: Ask) -> None:
        pool = EnginePool({name: stage.model(name) for name in "xyz"})
        wanted = {"x": 2, "y": 5, "z": 3}
        done(Runner(pool), *(one_after_another(ask(f"{n}{i}", n)) for n, count in wanted.items() for i in range(count)))
        assert [name for what, name, _ in stage.notes if what == "load"] == ["y", "z", "x"]

    def test_few_may_wait_at_the_price_of_more_loads(self, stage: Any, ask: Ask) -> None:
        pool = self.pool(stage, 1)
        assert all(len(value) == 2 for value in done(Runner(pool, max_waiting=10), *self.cascade(ask, 40)))
        assert sum(pool.loads.values()) > 2

    def test_one_that_is_needed_again_comes_back(self, stage: Any, ask: Ask) -> None:
        pool = self.pool(stage, 1)
        back = [one_after_another(ask(f"a{i}", "strong"), ask(f"b{i}", "weak"), ask(f"c{i}", "strong")) for i in range(50)]
        assert done(Runner(pool), *back)[7] == ["s on a7", "w on b7", "s on c7"]
        assert pool.loads == {pool.model("strong"): 2, pool.model("weak"): 1}


class TestDeath:
    def test_the_first_is_mended_and_everything_in_flight_is_asked_again(self, pool: EnginePool, stage: Any, ask: Ask) -> None:
        stage.deaths, stage.window = 1, 4
        values = done(Runner(pool), *(one_after_another(ask(f"a{i}")) for i in range(6)))
        assert values == [[f"m on a{i}"] for i in range(6)]
        assert list(pool.loads.values()) == [2]
        assert Counter(stage.noted("submit")) == {**{f"a{i}": 2 for i in range(4)}, "a4": 1, "a5": 1}

    def test_what_was_answered_before_it_is_not_asked_again(self, pool: EnginePool, stage: Any, ask: Ask) -> None:
        def pick(waiting: list[Request]) -> list[Request]:
            stage.deaths = int(len(stage.noted("finish")) == 1 and len(stage.noted("load")) == 1)
            return waiting[:1]

        stage.pick = pick
        values = done(Runner(pool), *(one_after_another(ask(name)) for name in "abc"))
        assert values == [["m on a"], ["m on b"], ["m on c"]]
        assert stage.noted("finish") == ["a", "b", "c"] and len(stage.noted("load")) == 2

    def test_the_second_stops_the_run_and_says_what_is_kept(self, tmp_path: Path, stage: Any, ask: Ask) -> None:
        def pick(waiting: list[Request]) -> list[Request]:
            stage.deaths = 2
            return waiting[:1]

        stage.pick = pick
        runner = Runner(EnginePool({"policy": stage.model("m")}), Journal(tmp_path))
        with pytest.raises(EngineError, match=r"m died twice: the worker is gone.*finished is kept.*same command again"):
            done(runner, *(one_after_another(ask(name)) for name in "abc"))
        assert len(Journal(tmp_path)) == 1

    def test_a_runner_can_be_used_again_after_it(self, pool: EnginePool, stage: Any, ask: Ask) -> None:
        stage.deaths = 2
        runner = Runner(pool)
        with pytest.raises(EngineError):
            done(runner, one_after_another(ask("a")), one_after_another(ask("b")))
        assert done(runner, one_after_another(ask("b"), ask("c"))) == [["m on b", "m on c"]]

    def test_an_error_with_the_fix_in_it_is_not_tried_twice(self, pool: EnginePool, stage: Any, ask: Ask) -> None:
        stage.deaths, stage.death = 1, EngineError("the server refused the key")
        with pytest.raises(EngineError, match="the server refused the key"):
            done(Runner(pool), one_after_another(ask("a")))
        assert len(stage.noted("load")) == 1

    def test_a_request_that_cannot_be_handed_over_fails_alone(self, pool: EnginePool, stage: Any, ask: Ask) -> None:
        stage.refused = {"b"}
        values = done(Runner(pool), *(one_after_another(ask(name)) for name in "abc"))
        assert values == [["m on a"], ["failed: engine_error"], ["m on c"]]

    def test_so_it_does_when_the_restarted_engine_refuses_it(self, pool: EnginePool, stage: Any, ask: Ask) -> None:
        def pick(waiting: list[Request]) -> list[Request]:
            if len(stage.noted("load")) == 1:
                stage.refused = {"b"}
                raise RuntimeError("the worker is gone")
            return waiting

        stage.pick = pick
        values = done(Runner(pool), *(one_after_another(ask(name)) for name in "abc"))
        assert values == [["m on a"], ["failed: engine_error"], ["m on c"]]


def completion(*logprobs: float) -> Completion:
    return Completion("text", "stop", tuple(range(len(logprobs))), logprobs, "fake")


class TestUnsound:
    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            (Generated((completion(-1.0, math.nan),)), "not_finite"),
            (Generated(()), "wrong_count"),
            (Generated((completion(-1.0), completion(-1.0))), "wrong_count"),
            (Chosen((-1.0,)), "wrong_answer"),
            (None, "wrong_answer"),
            (Failed("too_long", "9 tokens where 8 fit"), "too_long"),
        ],
        ids=["nan", "too few", "too many", "another kind", "nothing", "failed"],
    )
    def test_answers_become_failures_with_their_reason(
        self, tmp_path: Path, pool: EnginePool, stage: Any, ask: Ask, answer: Any, reason: str
    ) -> None:
        stage.answers["a"] = answer
        runner = Runner(pool, Journal(tmp_path))
        assert done(runner, all_at_once(ask("a"), ask("b"))) == [[f"failed: {reason}", "m on b"]]
        assert runner.stats.failed == 1 and len(Journal(tmp_path)) == 1


class TestStats:
    def test_count_what_was_asked_and_what_it_cost(self, pool: EnginePool, stage: Any, ask: Ask) -> None:
        runner = Runner(pool)
        done(runner, all_at_once(ask("a"), ask("b", n=3), ask("a")), one_after_another(ask("b", n=3)))
        stats = runner.stats
        assert (stats.asked, stats.shared, stats.run, stats.failed, stats.tasks_done) == (4, 2, 2, 0, 2)
        assert (stats.tokens, stats.generated, stats.forwarded, stats.money) == (20, 8, 16.0, 10.0)


def drive(task: Task, answers: Callable[[Sequence[Request]], Sequence[Any]]) -> tuple[Any, list[list[Any]]]:
    """Run a generator by hand: its value, and the lists that it yielded."""
    yielded = []
    try:
        requests = next(task)
        while True:
            yielded.append(list(requests))
            requests = task.send(answers(requests))
    except StopIteration as end:
        return end.value, yielded


class TestGather:
    def steps(self, *asked: Sequence[Any]) -> Generator[Any, Any, Any]:
        """Asks for these lists in turn and returns everything it was sent."""
        found = []
        for requests in asked:
            found.append((yield requests))
        return found

    def shout(self, requests: Sequence[Any]) -> list[str]:
        return [str(r).upper() for r in requests]

    def test_merges_what_is_asked_and_returns_values_in_order(self) -> None:
        value, yielded = drive(gather(self.steps(["a", "b"], ["c"]), self.steps(["d"]), self.steps(["e"], [], ["f"])), self.shout)
        assert value == [[["A", "B"], ["C"]], [["D"]], [["E"], [], ["F"]]]
        assert yielded == [["a", "b", "d", "e"], ["c"], ["f"]]

    def test_takes_generators_that_ask_nothing_and_no_generators(self) -> None:
        assert drive(gather(self.steps(), self.steps(["a"])), self.shout) == ([[], [["A"]]], [["a"]])
        assert drive(gather(), self.shout) == ([], [])

    def test_nests(self) -> None:
        value, yielded = drive(gather(gather(self.steps(["a"]), self.steps(["b"])), self.steps(["c"])), self.shout)
        assert value == [[[["A"]], [["B"]]], [["C"]]]
        assert yielded == [["a", "b", "c"]]

    def test_passes_on_what_a_generator_raises(self) -> None:
        def broken() -> Task:
            yield ["a"]  # type: ignore[list-item]
            raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            drive(gather(broken(), self.steps(["b"])), self.shout)

    def test_runs_side_by_side_under_the_runner(self, pool: EnginePool, ask: Ask) -> None:
        value = done(Runner(pool), gather(one_after_another(ask("a"), ask("b")), all_at_once(ask("b"), ask("c"))))
        assert value == [[["m on a", "m on b"], ["m on b", "m on c"]]]


programs = st.lists(  # for each task: the lists it asks for in turn, as (role, text)
    st.lists(st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from("abcd")), max_size=4), max_size=4), max_size=12
)


@given(programs, st.randoms(use_true_random=False), st.integers(1, 5), st.integers(1, 3), st.integers(1, 30))
def test_whatever_is_asked_in_whatever_order_it_finishes_every_task_gets_its_answers(
    tmp_path_factory: pytest.TempPathFactory,
    new_stage: Any,
    ask: Ask,
    tasks: list[list[list[tuple[str, str]]]],
    random: Any,
    window: int,
    max_resident: int,
    max_waiting: int,
) -> None:
    def task(steps: list[list[tuple[str, str]]]) -> Task:
        found = []
        for step in steps:
            results = yield [ask(what, role) for role, what in step]
            found.append([text(r) for r in results])
        return found

    stage = new_stage(window=window, pick=lambda waiting: random.sample(waiting, random.randint(0, len(waiting))))
    models = {"x": stage.model("one"), "y": stage.model("one"), "z": stage.model("two")}
    names = {"x": "one", "y": "one", "z": "two"}
    runner = Runner(EnginePool(models, max_resident), Journal(tmp_path_factory.mktemp("journal")), max_waiting)
    values = done(runner, *map(task, tasks))
    assert values == [[[f"{names[role]} on {what}" for role, what in step] for step in steps] for steps in tasks]
    asked = {(names[role], what) for steps in tasks for step in steps for role, what in step}
    submitted = [(name, what) for kind, name, what in stage.notes if kind == "submit"]
    assert len(submitted) == len(asked) and set(submitted) == asked
    assert stage.most_in_flight <= window
