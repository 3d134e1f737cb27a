"""Solutions with a label for every step (rows of `stepwise`), or with the reason why they have none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pairwright.pipelines.step_labels.config import LabelConfig
from pairwright.pipelines.step_labels.first_error import Hard
from pairwright.pipelines.step_labels.log import Solution, StepLog
from pairwright.pipelines.step_labels.pav import advantages
from pairwright.pipelines.step_labels.rest_values import rest_values
from pairwright.pipelines.step_labels.values import implicit_rewards, value_of

Scores = list[float | None]


@dataclass(frozen=True, slots=True)
class Labelled:
    """A labelled solution; `steps`, `ids`, `labels`, `scores`, `n` and `correct` have one entry a step. `first_error`: index of
    the first False. `n` is 0 where a label rests on no rollouts: implied by a later step, or the verdict of the end. `scores`
    are None where the view knows nothing."""

    solution_id: str
    steps: tuple[str, ...]
    ids: tuple[tuple[int, ...], ...]
    labels: tuple[bool, ...]
    scores: tuple[float | None, ...]
    n: tuple[int, ...]
    correct: tuple[int, ...]
    first_error: int | None
    tail: tuple[str, ...]
    verdict: str
    answer: str | None
    method: str

    def row(self) -> dict[str, Any]:
        """A row of `stepwise`, without what it says about the question and the model."""
        return {
            "completions": list(self.steps),
            "labels": list(self.labels),
            "scores": list(self.scores),
            "tail": list(self.tail),
            "first_error": self.first_error,
            "verdict": self.verdict,
            "answer": self.answer,
            "n": list(self.n),
            "correct": list(self.correct),
            "token_ids": [list(ids) for ids in self.ids],
            "method": self.method,
            "solution_id": self.solution_id,
        }


def labelled(log: StepLog, config: LabelConfig, filtered: bool = False) -> tuple[list[Labelled], dict[str, str]]:
    """Every solution of a question: labelled, or its id with a reason. `filtered`: a judge removes solutions afterwards; it
    changes scores only, never who is labelled.

    Reasons: those of `Hard.first_error`; `empty_step` (one to be labelled holds only blanks); `duplicate` (the same texts and
    labels as an earlier one: after truncation wrong solutions with a common first error are one).

    Without `truncate`, a step after the first error of which nothing is known is bad, for it goes on from a lost prefix.
    """
    hard, scores = Hard(log, config.threshold), _scores(log, config, filtered)
    found, reasons, seen = list[Labelled](), dict[str, str](), set[Any]()
    for solution in log.solutions():
        made = _label(solution, hard, scores, config.truncate, log.method)
        if isinstance(made, Labelled) and (made.steps, made.labels) in seen:
            made = "duplicate"
        if isinstance(made, Labelled):
            seen.add((made.steps, made.labels))
            found.append(made)
        else:
            reasons[solution.leaf.node_id] = made
    return found, reasons


def _label(
    solution: Solution, hard: Hard, scores: Callable[[Solution], Scores] | None, truncate: bool, method: str
) -> Labelled | str:
    error, texts, leaf = hard.first_error(solution), solution.step_texts(), solution.leaf
    if error.reason is not None:
        return error.reason
    end = error.index + 1 if truncate and error.index is not None else len(texts)
    if not all(text.strip() for text in texts[:end]):
        return "empty_step"
    labels = tuple(bool(good) for good in hard.labels(solution)[:end])
    counts = [hard.rests_on(place, solution) for place in solution.places()[:end]]
    return Labelled(
        solution_id=leaf.node_id,
        steps=tuple(texts[:end]),
        ids=tuple(solution.step_ids()[:end]),
        labels=labels,
        scores=tuple(map(float, labels)) if scores is None else tuple(scores(solution)[:end]),
        n=tuple(n for n, _ in counts),
        correct=tuple(correct for _, correct in counts),
        first_error=error.index,
        tail=tuple(texts[end:]),
        verdict=str(leaf.verdict),
        answer=leaf.answer,
        method=method,
    )


def _scores(log: StepLog, config: LabelConfig, filtered: bool) -> Callable[[Solution], Scores] | None:
    """The view asked for: a score for each step of a solution. None: the hard labels themselves."""
    match config.view(log.method, filtered):
        case "hard":
            return None
        case "soft":
            return lambda solution: solution.at_steps(lambda node: node.estimate)
        case "value":
            return lambda solution: solution.at_steps(value_of)
        case "advantage":
            return lambda solution: advantages(log, solution, config.prover, config.best_of, config.alpha)
        case "implicit":
            return lambda solution: implicit_rewards(log, solution)
        case "rest":
            known = rest_values(log, config.rest_mode)
            return lambda solution: [s for node in solution.nodes for s in known.get(node.node_id, (None,) * len(node.cuts))]
