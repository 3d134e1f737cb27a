"""Verdicts come in any order and for each its own; what hangs, dies or eats memory costs its own question and nothing else."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from pydantic import ValidationError

from pairwright.engines.models import model_config
from pairwright.engines.pool import EnginePool
from pairwright.engines.requests import Failed, Generate, Sampling, Verified, Verify, turns
from pairwright.engines.runner import Runner
from pairwright.engines.verification.engine import VerificationEngine
from pairwright.engines.verification.models import ExactVerifier, FunctionVerifier, MathVerifier, RegexVerifier
from pairwright.errors import EngineError, PairwrightError

Verdicts = Callable[..., list[Verified]]


def said(found: list[Verified]) -> list[tuple[str, str | None]]:
    return [(verdict.outcome, verdict.reason) for verdict in found]


def gone(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE  # an orphan's body is the init process's business
    return True


def pids(engine: VerificationEngine) -> list[int]:
    assert engine._pool is not None
    return engine._pool.pids()


def test_solutions_are_right_wrong_or_unparsed_with_a_reason(mathematics: VerificationEngine, verdicts: Verdicts):
    found = verdicts(
        mathematics,
        (r"$\frac{1}{2}$", "so it is 0.5"),
        ("1/2", r"\boxed{\dfrac12}"),
        ("1", r"\boxed{11}"),
        ("5", "I do not know"),
        ("5", r"\boxed{\left(\right}"),
        ("", r"\boxed{5}"),
        ("}{", r"\boxed{5}"),
        ("1/0", r"\boxed{5}"),
        ("5", r"\boxed{" + "x" * 2001 + "}"),
    )
    assert said(found) == [
        ("right", None),
        ("right", None),
        ("wrong", None),
        ("unparsed", "no_answer"),
        ("unparsed", "answer_unparsed"),
        ("unparsed", "reference_unparsed"),
        ("unparsed", "reference_unparsed"),
        ("unparsed", "reference_unparsed"),
        ("unparsed", "answer_too_long"),
    ]
    assert [v.answer for v in found[:5]] == ["0.5", r"\dfrac12", "11", None, r"\left(\right"]
    assert found[-1].answer == "x" * 80 + " ..."


def test_a_solution_that_was_cut_has_an_answer_only_in_a_box(mathematics: VerificationEngine, verdicts: Verdicts):
    found = verdicts(mathematics, ("5", "The answer is 5"), ("5", r"\boxed{5} and"), cut=True)
    assert said(found) == [("unparsed", "cut"), ("right", None)]


def test_equal_questions_are_compared_once_in_flight_and_later(verdicts: Verdicts):
    engine = MathVerifier(workers=1).load()
    try:
        first = verdicts(engine, *[("5", f"step {i}: \\boxed{{ 5. }}") for i in range(50)], ("5", r"\boxed{6}"))
        again = verdicts(engine, ("5", "The answer is 5"), ("5", "6"), ("6", "6"))
    finally:
        engine.close()
    assert [v.outcome for v in first + again] == ["right"] * 50 + ["wrong", "right", "wrong", "right"]
    assert (engine.compared, engine.remembered) == (3, 51)
    assert sum(v.usage.seconds > 0 for v in first) == 2 and all(v.usage.tokens == 0 for v in first + again)


HOSTILE = [r"\boxed{10^(10^10)}", "The answer is 10**(10**10)", r"\boxed{9!!!!!}", r"\boxed{" + "(" * 900 + "5" + ")" * 900 + "}"]


def test_hostile_answers_cost_one_time_out_each_and_the_others_nothing(verdicts: Verdicts):
    engine = MathVerifier(seconds=1).load()
    try:
        found = verdicts(engine, *[q for h in HOSTILE for q in (("5", h), ("5", r"\boxed{5}"), ("5", h), ("7", "so 7"))])
    finally:
        engine.close()
    assert said(found[0::2]) == [("unparsed", "time_out")] * 8
    assert said(found[1::2]) == [("right", None)] * 8
    assert found[0].answer == "10^(10^10)"
    assert sum(v.usage.seconds > 0 for v in found[0::2]) == 4


def test_a_tower_of_powers_is_given_up_within_six_seconds(verdicts: Verdicts):
    engine = MathVerifier(workers=1).load()
    try:
        (verdict,) = verdicts(engine, ("5", r"\boxed{10^{10^{10}}}"))
    finally:
        engine.close()
    assert verdict.reason == "time_out" and 5 <= verdict.usage.seconds < 6


def test_a_megabyte_of_latex_or_of_open_braces_costs_no_time_out(mathematics: VerificationEngine, verdicts: Verdicts):
    found = verdicts(
        mathematics,
        ("5", r"\boxed{" + r"\frac{1}{" * 111_000 + "2" + "}" * 111_000 + "}"),
        ("5", "$" + r"\sqrt{x}+" * 111_000 + "1$"),
        ("5", r"\boxed{" + "{" * 1_000_000),
        ("5", "}" * 1_000_000 + r"\boxed{5}"),
        ("{" * 1_000_000, r"\boxed{5}"),
    )
    assert [v.reason for v in found] == ["answer_too_long", "no_answer", "no_answer", None, "reference_unparsed"]


def test_a_verifier_works_from_any_thread(verdicts: Verdicts):
    found: list[Verified] = []

    def work() -> None:
        engine = MathVerifier(workers=1).load()
        found.extend(verdicts(engine, ("1/2", r"\boxed{0.5}")))
        engine.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert [v.outcome for v in found] == ["right"]


def test_a_step_with_nothing_to_do_gives_nothing():
    engine = MathVerifier(workers=1).load()
    assert engine.step() == []
    engine.close()


def test_other_requests_are_refused(verdicts: Verdicts):
    engine = ExactVerifier().load()
    engine.submit("t", Generate("verifier", turns("Hi"), Sampling()))
    ((_, result),) = engine.step()
    assert isinstance(result, Failed) and result.reason == "not_supported"


def test_exact_answers_differ_in_white_space_only(verdicts: Verdicts):
    questions = [
        ("New York", "The answer is new  york."),
        ("New York", r"\boxed{New York}"),
        ("0.5", r"\boxed{1/2}"),
        ("1", "none"),
    ]
    assert [v.outcome for v in verdicts(ExactVerifier().load(), *questions)] == ["right", "right", "wrong", "unparsed"]
    strict = verdicts(ExactVerifier(ignore_case=False).load(), *questions[:2])
    assert [v.outcome for v in strict] == ["wrong", "right"]


def test_the_last_match_of_a_pattern_is_the_answer(verdicts: Verdicts):
    engine = RegexVerifier(pattern=r"(pick|choose) (?P<answer>\w+)").load()
    try:
        found = verdicts(
            engine, ("b", "I pick A, no, choose B"), ("a", "I pick A, no, choose B"), ("a", "neither"), ("", "pick A")
        )
        cut = verdicts(engine, ("a", "pick A because"), ("a", "neither"), cut=True)
    finally:
        engine.close()
    assert said(found) == [("right", None), ("wrong", None), ("unparsed", "no_answer"), ("unparsed", "reference_unparsed")]
    assert [v.answer for v in found] == ["B", "B", None, None]
    assert said(cut) == [("right", None), ("unparsed", "cut")]


def test_a_pattern_that_backtracks_for_ever_is_killed(verdicts: Verdicts):
    engine = RegexVerifier(pattern=r"(a+)+$", seconds=0.5).load()
    try:
        found = verdicts(engine, ("a", "a" * 60 + "b"), ("aa", "b aa"))
    finally:
        engine.close()
    assert said(found) == [("unparsed", "time_out"), ("right", None)]


def test_a_pattern_that_does_not_compile_is_refused_with_a_sentence():
    with pytest.raises(ValidationError, match=r"`pattern` is not a regular expression \(missing \)"):
        RegexVerifier(pattern="(")


MISHAPS = {
    "raise ValueError('no')": "verifier_error",
    "return 'yes'": "verifier_error",
    "return None": "answer_unparsed",
    "os.kill(os.getpid(), signal.SIGSEGV)": "verifier_crashed",
    "os._exit(0)": "verifier_crashed",
    "sys.exit()": "verifier_crashed",
    "bytearray(1 << 36)": "verifier_memory",
    "judge(text, reference)": "verifier_error",
    "while True: pass": "time_out",
}


@pytest.mark.parametrize(("body", "reason"), MISHAPS.items())
def test_a_function_that_fails_has_no_verdict_on_that_solution_only(
    body: str, reason: str, function: Callable[..., VerificationEngine], verdicts: Verdicts
):
    engine = function(f"if 'bad' in text:\n        {body}\n    return text == reference", workers=1, seconds=1)
    found = verdicts(engine, ("a", "a"), ("a", "bad"), ("a", "b"), ("b", "b"))
    assert said(found) == [("right", None), ("unparsed", reason), ("wrong", None), ("right", None)]


def test_what_a_function_prints_or_reads_does_not_reach_the_answers(
    function: Callable[..., VerificationEngine], verdicts: Verdicts
):
    body = "print('{}'); os.write(1, b'{}\\n'); os.system('echo x'); print(sys.stdin.read(), file=sys.stderr); return True"
    assert said(verdicts(function(body), ("a", "a"), ("b", "b"))) == [("right", None)] * 2


def test_a_function_sees_the_whole_solution_unless_it_was_cut(function: Callable[..., VerificationEngine], verdicts: Verdicts):
    engine = function("return reference in text")
    long = "\udc80 \u2192 " + "x" * 1_000_000
    assert said(verdicts(engine, ("x" * 9, long), ("y", long))) == [("right", None), ("wrong", None)]
    assert said(verdicts(engine, ("x", long), ("x", r"\boxed{x}"), cut=True)) == [("unparsed", "cut"), ("right", None)]


def test_a_function_that_is_not_there_is_a_sentence(function: Callable[..., VerificationEngine], verdicts: Verdicts):
    with pytest.raises(PairwrightError, match="make the module 'nowhere.at_all' importable"):
        FunctionVerifier(call="nowhere.at_all:judge").fingerprint()
    with pytest.raises(ValidationError):
        FunctionVerifier(call="no function")
    function("return True")
    engine = FunctionVerifier(call="users_0:another").load()
    with pytest.raises(EngineError, match="users_0:another cannot be started: AttributeError"):
        verdicts(engine, ("a", "a"))
    engine.close()


def test_a_changed_function_is_another_verifier(function: Callable[..., VerificationEngine]):
    function("return True")
    function("return False")
    first, second = FunctionVerifier(call="users_0:judge"), FunctionVerifier(call="users_1:judge")
    assert first.fingerprint() != second.fingerprint()
    assert first.fingerprint() == FunctionVerifier(call="users_0:judge", workers=7).fingerprint()


def test_the_fingerprint_is_about_verdicts_not_about_workers():
    base = MathVerifier()
    assert base.fingerprint() == MathVerifier(workers=9, tasks_per_worker=3).fingerprint()
    others = [base, MathVerifier(seconds=9), MathVerifier(memory_mib=99), ExactVerifier(), ExactVerifier(ignore_case=False)]
    others += [RegexVerifier(pattern="a"), RegexVerifier(pattern="b")]
    assert len({m.fingerprint() for m in others}) == len(others)
    assert base.label().startswith("math-verify 0.") and base.light and base.provides == {"verify"}


@pytest.mark.parametrize(
    "written",
    [{"engine": "math_verify"}, {"engine": "exact"}, {"engine": "regex", "pattern": "a"}, {"engine": "function", "call": "a:b"}],
)
def test_a_recipe_names_a_verifier_by_its_engine(written: dict[str, Any]):
    assert model_config(written).model_dump()["engine"] == written["engine"]


def test_workers_are_replaced_after_their_share_of_tasks(function: Callable[..., VerificationEngine], verdicts: Verdicts):
    engine = function("return int(text.split()[0]) > 0 and None", workers=1, tasks_per_worker=2)
    seen = set()
    for i in range(1, 5):
        verdicts(engine, (str(i), f"{i} x"))
        seen |= set(pids(engine))
    assert len(seen) >= 2


def test_a_worker_that_dies_while_idle_costs_nothing(function: Callable[..., VerificationEngine], verdicts: Verdicts):
    engine = function("return True", workers=1)
    verdicts(engine, ("a", "a"))
    (idle,) = pids(engine)
    os.kill(idle, signal.SIGKILL)
    while not gone(idle):
        time.sleep(0.01)
    assert said(verdicts(engine, ("b", "b"))) == [("right", None)]


def test_closing_leaves_no_process_even_if_one_hangs(function: Callable[..., VerificationEngine]):
    engine = function("while True: pass", workers=2, seconds=300)
    for ticket in "abc":
        engine.submit(ticket, Verify("verifier", ticket, "a"))
    while len(pids(engine)) < 2:
        engine.step()
    left = pids(engine)
    engine.close()
    assert not any(psutil.pid_exists(pid) for pid in left) and not pids(engine)
    engine.close()


PARENT = """
import sys, time
from pairwright.engines.requests import Verify
from pairwright.engines.verification.models import MathVerifier
engine = MathVerifier(seconds=300).load()
engine.submit("hangs", Verify("verifier", r"\\boxed{10^{10^{10}}}", "5"))
engine.submit("ends", Verify("verifier", r"\\boxed{5}", "5"))
while not engine.step():
    pass
print(*engine._pool.pids(), flush=True)
time.sleep(300)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a busy child that its parent is dead")
def test_a_killed_parent_leaves_no_worker():
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    left = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(left) == 2 and not any(map(gone, left))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    while not all(map(gone, left)):  # the test's own time limit ends this
        time.sleep(0.01)


def test_the_runner_asks_a_verifier_like_any_model():
    pool = EnginePool({"verifier": ExactVerifier(), "maths": MathVerifier(workers=1)})

    def task(i: int) -> Any:
        (first,) = yield [Verify("maths", rf"\boxed{{{i}/2}}", str(i / 2))]
        (second,) = yield [Verify("verifier", rf"\boxed{{{i}/2}}", str(i / 2))]
        return first.outcome, second.outcome

    found = dict(Runner(pool).run((i, task(i)) for i in range(1, 40)))
    pool.close()
    assert set(found.values()) == {("right", "wrong")} and len(found) == 39
