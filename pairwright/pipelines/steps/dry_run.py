"""What searching and judging a question would ask: the search is run on a simulated solver, and its requests are kept."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from pairwright.annotators.steps.judge import judge
from pairwright.engines.requests import Request, Result, Verified, Verify
from pairwright.engines.solver import SolverModel
from pairwright.pipelines.prompts.rows import Prompt
from pairwright.pipelines.step_labels.consensus import must_judge
from pairwright.pipelines.step_labels.log import read_logs
from pairwright.pipelines.step_labels.stepwise import labelled
from pairwright.pipelines.steps.config import StepsConfig
from pairwright.pipelines.steps.search import search_question

STEPS, ERROR = (3, 8), 0.15
"""A middling solver: a half of its solutions is right, so that a search has work. A guess."""


def dry_run(prompt: Prompt, config: StepsConfig) -> dict[str, list[Request]]:
    """The requests to models, by stage ("search", "judge"), if the solver were a simulated one that knows the reference."""
    solver = SolverModel(answer=prompt.reference or "", steps=STEPS, error=ERROR)
    asked: dict[str, list[Request]] = {"search": [], "judge": []}
    rows = _answered(search_question(prompt, config, ""), solver, asked["search"])
    if config.judge is not None:
        for log in read_logs(rows):
            for solution in must_judge(labelled(log, config.labels)[0]):
                task = judge(prompt.messages, [*solution.steps, *solution.tail], config.judge, 0)
                _answered(task, solver, asked["judge"])
    return asked


def _answered(task: Generator[Sequence[Request], Sequence[Result], Any], solver: SolverModel, asked: list[Request]) -> Any:
    try:
        requests = next(task)
        while True:
            asked += [r for r in requests if not isinstance(r, Verify)]
            requests = task.send([_answer(solver, r) for r in requests])
    except StopIteration as stop:
        return stop.value


def _answer(solver: SolverModel, request: Request) -> Result:
    if not isinstance(request, Verify):
        return solver.respond(request)
    if "\\boxed" not in request.text:
        return Verified("unparsed", reason="no_answer")
    return Verified("right" if f"\\boxed{{{request.reference}}}" in request.text else "wrong", request.reference)
