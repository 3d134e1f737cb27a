"""Searching and judging as tasks of a build: a question's tree as rows of `steps`, a solution's judgement as an annotation."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pairwright.annotators.steps import judge as judging
from pairwright.annotators.steps.search import grow
from pairwright.annotators.steps.tree import Question
from pairwright.engines.requests import Request, Result
from pairwright.ids import seed_of
from pairwright.pipelines.annotate import metered
from pairwright.pipelines.prompts.rows import Prompt
from pairwright.pipelines.step_labels.log import StepLog, read_logs
from pairwright.pipelines.step_labels.stepwise import Labelled
from pairwright.pipelines.steps.config import SEARCHED, StepsConfig
from pairwright.storage.parquet import read_table

VERSION = 2  # raise it when every search would grow other trees
METHOD = "first_error"
NAME = "consensus"
Rows = Generator[Sequence[Request], Sequence[Result], list[dict[str, Any]]]


def about(config: StepsConfig, models: Mapping[str, str]) -> dict[str, Any]:
    """Everything the trees depend on: the search, its version and settings, and the models of the roles it asks."""
    method = config.method()
    return {
        "stage": "search",
        "version": [VERSION, method.version],
        "settings": json.loads(config.model_dump_json(include=SEARCHED)),
        "models": {role: models[role] for role in sorted(method.roles(config.completer))},
    }


def about_judge(config: StepsConfig, search: str, models: Mapping[str, str]) -> dict[str, Any]:
    """Everything a judgement depends on besides the solution. `search`: the fingerprint of the trees, for another search may cut
    the same solution into other steps; the journal answers what was asked before."""
    assert config.judge is not None
    return {
        "stage": "judge",
        "version": [VERSION, judging.VERSION],
        "settings": json.loads(config.model_dump_json(include={"judge": True, "seed": True})),
        "search": search,
        "models": {role: models[role] for role in sorted(config.judge.roles())},
    }


def question(prompt: Prompt) -> Question:
    """What a prompt's tree is about; by its id the tree is found again."""
    return Question(prompt.prompt_id, prompt.messages, prompt.reference)


def search_question(prompt: Prompt, config: StepsConfig, label: str) -> Rows:
    """The rows of one question's tree; at least its root."""
    tree = yield from grow(question(prompt), config, config.method())
    return list(tree.rows(config.search.use, label, config.completer))


def judge_solution(prompt: Prompt, solution: Labelled, config: StepsConfig, fingerprint: str) -> Rows:
    """The judgement of one solution: `score` is the index of its first wrong step, none of which `label` then says."""
    assert config.judge is not None
    spent, steps = [0.0, 0.0], [*solution.steps, *solution.tail]
    task = judging.judge(prompt.messages, steps, config.judge, seed_of("judge", config.seed, solution.solution_id))
    found: judging.Judgement = yield from metered(task, set(config.judge.roles()), spent)
    wrong = found.index is not None
    return [
        {
            "prompt_id": prompt.prompt_id,
            "group_id": prompt.prompt_id,
            "subject_id": solution.solution_id,
            "other_id": None,
            "annotator": NAME,
            "method": METHOD,
            "fingerprint": fingerprint,
            "score": float(found.index) if found.index is not None else None,
            "label": None if found.reason else "wrong_step" if wrong else "no_wrong_step",
            "valid": found.reason is None,
            "reason": found.reason,
            "confidence": None,
            "parts": [],
            "raw": None if found.raw is None else found.raw.encode("utf-8", "replace").decode(),
            "tokens": round(spent[0]),
            "seconds": spent[1],
        }
    ]


def logs(files: Iterable[Path], prompts: Mapping[str, Prompt]) -> Iterator[StepLog]:
    """The trees of `prompts`, one file at a time; a file holds whole trees. One that was grown for another reference is stale."""
    wanted = {question(prompt).id for prompt in prompts.values()}
    for path in files:
        yield from read_logs(row for row in read_table(path).to_pylist() if row["question_id"] in wanted)


def read_judgements(files: Iterable[Path]) -> dict[str, judging.Judgement]:
    """solution id -> what the judge said of it."""
    found = {}
    for path in files:
        for row in read_table(path, ["subject_id", "score", "reason"]).to_pylist():
            index = None if row["score"] is None else int(row["score"])
            found[row["subject_id"]] = judging.Judgement(index, row["reason"], None)
    return found
