"""From stored trees and judgements to labelled solutions and step pairs. No model is called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from pairwright.annotators.steps.search import SET_ASIDE
from pairwright.engines.requests import with_system
from pairwright.pipelines.prompts.rows import Prompt
from pairwright.pipelines.step_labels.consensus import agreed, confirmed
from pairwright.pipelines.step_labels.hnc import compressed
from pairwright.pipelines.step_labels.log import StepLog
from pairwright.pipelines.step_labels.pairs import step_pairs
from pairwright.pipelines.step_labels.stepwise import Labelled, labelled
from pairwright.pipelines.steps.config import StepsConfig
from pairwright.pipelines.steps.search import logs, read_judgements
from pairwright.storage.schemas import STEP_PREFERENCE, STEPWISE

VERSION = 2  # raise it when the same trees and settings would be cut into other labels


@dataclass(frozen=True)
class StoredSteps:
    """The finished files a cut reads. `prompts`: the questions that take part, by id."""

    prompts: Mapping[str, Prompt]
    searches: Sequence[Path]
    judgements: Sequence[Path]


@dataclass
class StepCut:
    """What came of every question and every solution. `set_aside`: question -> why it has no solution; `labelled`: solutions with
    a label; `dropped`: solution -> why it carries none; `refuted`: solution -> why the judge's word removed it; `unconfirmed`:
    step pair -> the same."""

    stepwise: pa.Table = field(default_factory=STEPWISE.empty_table)
    pairs: pa.Table = field(default_factory=STEP_PREFERENCE.empty_table)
    questions: int = 0
    searched: int = 0
    solutions: int = 0
    set_aside: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    refuted: dict[str, str] = field(default_factory=dict)
    unconfirmed: dict[str, str] = field(default_factory=dict)
    labelled: set[str] = field(default_factory=set)
    judged: bool = False
    kept: int = 0  # labelled and not refuted; `stepwise` has views of some of them besides (HNC)

    def counted(self, reasons: Mapping[str, str]) -> dict[str, int]:
        """How often each reason."""
        return dict(sorted(Counter(reasons.values()).items()))


def cut_steps(stored: StoredSteps, config: StepsConfig) -> StepCut:
    """Label every solution that can be labelled and pair sibling steps; of both, drop what the judge does not confirm."""
    made, judgements = StepCut(judged=config.judge is not None), read_judgements(stored.judgements)
    rows, pairs = list[Mapping[str, Any]](), list[Mapping[str, Any]]()
    for log in logs(stored.searches, stored.prompts):
        made.questions += 1
        solutions, dropped = labelled(log, config.labels, filtered=config.judge is not None)
        if log.root.reason in SET_ASIDE or not (solutions or dropped):
            made.set_aside[log.prompt_id] = log.root.reason or "no_solution"
            continue
        made.searched += 1
        made.solutions += len(solutions) + len(dropped)
        made.dropped |= dropped
        made.labelled |= {s.solution_id for s in solutions}
        paired: list[Mapping[str, Any]] = [*step_pairs(log, config.labels.pairs, config.labels.threshold)]
        if config.judge is not None:
            solutions, refuted = agreed(solutions, judgements)
            paired, unconfirmed = confirmed(paired, solutions)
            made.refuted |= refuted
            made.unconfirmed |= unconfirmed
        prompt = stored.prompts[log.prompt_id]
        made.kept += len(solutions)
        rows += [_row(s, log, prompt, config) for s in [*solutions, *compressed(log, solutions, config.labels)]]
        pairs += [{**pair, **_about(log, prompt, config)} for pair in paired]
    made.stepwise = pa.Table.from_pylist(rows, schema=STEPWISE)
    made.pairs = pa.Table.from_pylist(pairs, schema=STEP_PREFERENCE)
    return made


def _row(solution: Labelled, log: StepLog, prompt: Prompt, config: StepsConfig) -> dict[str, Any]:
    """A row of `stepwise`; the plain prompt is what the turns say, one under the other, without the system's."""
    about = _about(log, prompt, config)
    text = "\n\n".join(turn["content"] for turn in about["messages"] if turn["role"] != "system")
    return {**solution.row(), **about, "prompt": text, "reference": prompt.reference}


def _about(log: StepLog, prompt: Prompt, config: StepsConfig) -> dict[str, Any]:
    seen = with_system(config.system, prompt.messages)
    return {
        "messages": [{"role": turn.role, "content": turn.content} for turn in seen],
        "tokenizer": log.tokenizer,
        "model": log.model,
        "prompt_id": log.prompt_id,
    }
