"""The step part of a version: the search log, the judge's words, and the views a trainer reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from pairwright.pipelines.publish import dropped_table, put, summed
from pairwright.pipelines.steps.cut import StepCut, StoredSteps
from pairwright.pipelines.steps.search import question
from pairwright.storage.manifest import StageAccount
from pairwright.storage.schemas import ANNOTATIONS, STEP_PREFERENCE, STEPS, STEPWISE
from pairwright.storage.versions import Staging


@dataclass(frozen=True)
class StepPart:
    """Labels that were cut from stored trees."""

    stored: StoredSteps
    made: StepCut

    def rows(self) -> int:
        """Labelled solutions and step pairs."""
        return int(self.made.stepwise.num_rows + self.made.pairs.num_rows)

    def accounts(self) -> Iterator[StageAccount]:
        """Questions set aside, solutions without a label, and solutions and step pairs that the judge did not confirm."""
        made = self.made
        yield StageAccount(
            stage="search",
            unit="question",
            rows_in=made.questions,
            rows_out=made.searched,
            dropped=made.counted(made.set_aside),
        )
        yield StageAccount(
            stage="label",
            unit="solution",
            rows_in=made.solutions,
            rows_out=len(made.labelled),
            dropped=made.counted(made.dropped),
        )
        if made.judged:
            yield StageAccount(
                stage="consensus",
                unit="solution",
                rows_in=len(made.labelled),
                rows_out=made.kept,
                dropped=made.counted(made.refuted),
            )
            yield StageAccount(
                stage="pair steps",
                unit="pair",
                rows_in=made.pairs.num_rows + len(made.unconfirmed),
                rows_out=made.pairs.num_rows,
                dropped=made.counted(made.unconfirmed),
            )

    def write(self, staging: Staging, prompts: Sequence[Path]) -> Iterator[StageAccount]:
        """The log is linked where it can be; `stepwise` and `step_preference` are made."""
        stored, made = self.stored, self.made
        put(staging, "steps", stored.searches, STEPS, "question_id", self._questions())
        put(staging, "annotations", stored.judgements, ANNOTATIONS, "subject_id", made.labelled)
        rows = staging.write("stepwise", made.stepwise, STEPWISE)
        staging.write("step_preference", made.pairs, STEP_PREFERENCE)
        yield StageAccount(stage="publish stepwise", unit="row", rows_in=made.stepwise.num_rows, rows_out=rows)

    def dropped(self) -> Iterator[pa.Table]:
        """Every question and solution that carries no label, and every step pair that was not confirmed."""
        for stage, unit, found in (
            ("search", "question", self.made.set_aside),
            ("label", "solution", self.made.dropped),
            ("consensus", "solution", self.made.refuted),
            ("pair steps", "pair", self.made.unconfirmed),
        ):
            yield dropped_table(stage, unit, ((i, reason, None) for i, reason in found.items()))

    def notes(self) -> tuple[str, ...]:
        """Nothing besides the accounts."""
        return ()

    def cost(self) -> dict[str, dict[str, float]]:
        """Tokens and seconds of searching and judging."""
        found = {"search": summed(self.stored.searches, "question_id", self._questions())}
        if self.stored.judgements:
            found["judge"] = summed(self.stored.judgements, "subject_id", self.made.labelled)
        return found

    def _questions(self) -> set[str]:
        return {question(prompt).id for prompt in self.stored.prompts.values()}
