"""The pair part of a version: responses, annotations, pairs, and the views a trainer reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pairwright.errors import PairwrightError
from pairwright.pipelines.cut import Cut, Stored
from pairwright.pipelines.publish import dropped_table, named, put, reasons, summed
from pairwright.pipelines.recipe import Recipe
from pairwright.storage import views
from pairwright.storage.manifest import StageAccount
from pairwright.storage.parquet import read_table, row_groups
from pairwright.storage.schemas import ANNOTATIONS, PREFERENCE, RESPONSES, UNPAIRED
from pairwright.storage.versions import TRAIN, Staging


@dataclass(frozen=True)
class PairPart:
    """Pairs that were cut from stored responses and annotations."""

    recipe: Recipe
    stored: Stored
    made: Cut

    def rows(self) -> int:
        """Kept pairs."""
        return self.made.kept_rows

    def write(self, staging: Staging, prompts: Sequence[Path]) -> Iterator[StageAccount]:
        """Responses and annotations are linked where they can be; `preference` and `unpaired` are made."""
        stored, made = self.stored, self.made
        put(staging, "responses", stored.responses, RESPONSES, "prompt_id", None if stored.source else stored.prompts)
        for name, files in stored.annotations.items():
            put(staging, "annotations", files, ANNOTATIONS, "group_id", None if stored.source else stored.groups, name)
        staging.link("pairs", made.pairs_file)
        published = labelled = torn = 0
        for split in made.splits:
            where = (prompts, stored.responses, [made.pairs_file], split)
            rows_here = staging.write("preference", views.preference(*where), PREFERENCE, split=split)
            if not rows_here and split == TRAIN and made.kept_rows:
                raise PairwrightError("the split leaves no pair to train on: lower `split.test`, or keep more pairs")
            published += rows_here
            rows, both = views.unpaired(*where)
            labelled, torn = labelled + staging.write("unpaired", rows, UNPAIRED, split=split), torn + both
        yield StageAccount(stage="publish preference", unit="pair", rows_in=made.kept_rows, rows_out=published)
        yield StageAccount(
            stage="publish unpaired",
            unit="response",
            rows_in=views.count_sides([made.pairs_file]),
            rows_out=labelled,
            dropped={views.BOTH: torn} if torn else {},
        )

    def accounts(self) -> Iterator[StageAccount]:
        """Rows in and out of every stage; responses of stale prompts do not take part."""
        made = self.made
        yield from self._made()
        dropped = dict(made.reasons["group"])
        yield StageAccount(
            stage="pair", unit="group", rows_in=made.groups, rows_out=made.groups - sum(dropped.values()), dropped=dropped
        )
        left_out = dict(made.reasons["response"])
        total = made.paired + sum(left_out.values())
        yield StageAccount(stage="pair", unit="response", rows_in=total, rows_out=made.paired, dropped=left_out)
        for t in made.treated:
            yield StageAccount(stage=f"relabel {t.rule}", unit="pair", rows_in=t.pairs, rows_out=t.pairs)
        yield StageAccount(stage="filter", unit="pair", rows_in=made.rows, rows_out=made.kept_rows, dropped=made.dropped_by)

    def _made(self) -> Iterator[StageAccount]:
        """Of the stages that made what is stored: as the version says that it is from, or counted."""
        if self.stored.source:
            yield from (a for a in self.stored.source.accounting if _stored_stage(a.stage))
            return
        stored, made = self.stored, self.made
        why = reasons(stored.responses, "prompt_id", stored.prompts)
        asked = len(stored.prompts) * self.recipe.sample.n
        count = why.pop(None, 0)
        yield StageAccount(stage="sample", unit="response", rows_in=asked, rows_out=count, dropped=named(why))
        prompts = len(stored.prompts)
        without = {"no_response": prompts - made.groups} if prompts > made.groups else {}
        yield StageAccount(stage="group", unit="prompt", rows_in=prompts, rows_out=made.groups, dropped=without)
        for name, files in stored.annotations.items():
            single = reasons(files, "group_id", stored.groups, compared=False)
            compared = reasons(files, "group_id", stored.groups, compared=True)
            if single or not compared:
                rows_in = count if not compared else sum(single.values())
                valid = single.pop(None, 0)
                yield StageAccount(
                    stage=f"annotate {name}", unit="response", rows_in=rows_in, rows_out=valid, dropped=named(single)
                )
            if compared:
                rows_in, valid = sum(compared.values()), compared.pop(None, 0)
                yield StageAccount(
                    stage=f"annotate {name}", unit="comparison", rows_in=rows_in, rows_out=valid, dropped=named(compared)
                )

    def dropped(self) -> Iterator[pa.Table]:
        """Every row that fell out before pairs; pairs carry their reasons themselves."""
        stored = self.stored
        for path in stored.responses:
            table = read_table(path, ["response_id", "prompt_id", "reason"])
            lost = table.filter(pc.is_valid(table["reason"])).to_pylist()
            known = ((r["response_id"], r["reason"], None) for r in lost if stored.settled or r["prompt_id"] in stored.prompts)
            yield dropped_table("sample", "response", known)
        for number in range(row_groups(self.made.dropped_file)):
            yield read_table(self.made.dropped_file, row_group=number)

    def notes(self) -> list[str]:
        """What each relabelling did."""
        return [str(treated) for treated in self.made.treated]

    def cost(self) -> dict[str, dict[str, float]]:
        """Tokens and seconds of sampling and of every annotator."""
        stored = self.stored
        if stored.source:
            return {stage: cost for stage, cost in stored.source.cost.items() if _stored_stage(stage)}
        labels = {f"annotate {name}": summed(files, "group_id", stored.groups) for name, files in stored.annotations.items()}
        return {"sample": summed(stored.responses, "prompt_id", stored.prompts), **labels}


def _stored_stage(stage: str) -> bool:
    return stage in ("sample", "group") or stage.startswith("annotate ")
