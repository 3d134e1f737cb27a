"""The pair part of a version: responses, annotations, pairs, and the views a trainer reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from pairwright.pipelines.cut import Cut, Stored
from pairwright.pipelines.publish import named, put, reasons, summed
from pairwright.pipelines.recipe import Recipe
from pairwright.storage import views
from pairwright.storage.manifest import StageAccount
from pairwright.storage.parquet import read_table
from pairwright.storage.schemas import ANNOTATIONS, PREFERENCE, RESPONSES, UNPAIRED, pairs_schema
from pairwright.storage.versions import Staging


@dataclass(frozen=True)
class PairPart:
    """Pairs that were cut from stored responses and annotations."""

    recipe: Recipe
    stored: Stored
    made: Cut

    def rows(self) -> int:
        """Kept pairs."""
        return int(self.made.kept.num_rows)

    def write(self, staging: Staging, prompts: Sequence[Path]) -> Iterator[StageAccount]:
        """Responses and annotations are linked where they can be; `preference` and `unpaired` are made."""
        stored, made = self.stored, self.made
        put(staging, "responses", stored.responses, RESPONSES, "prompt_id", stored.prompts)
        for name, files in stored.annotations.items():
            put(staging, "annotations", files, ANNOTATIONS, "group_id", stored.groups, name)
        staging.write("pairs", made.pairs, pairs_schema([f.name for f in self.recipe.filters]))
        published = staging.write("preference", views.preference(prompts, stored.responses, made.kept), PREFERENCE)
        rows, torn = views.unpaired(prompts, stored.responses, made.kept)
        labelled = staging.write("unpaired", rows, UNPAIRED)
        yield StageAccount(stage="publish preference", unit="pair", rows_in=made.kept.num_rows, rows_out=published)
        yield StageAccount(
            stage="publish unpaired",
            unit="response",
            rows_in=len({*made.kept["chosen_id"].to_pylist(), *made.kept["rejected_id"].to_pylist()}),
            rows_out=labelled,
            dropped={views.BOTH: torn} if torn else {},
        )

    def accounts(self) -> Iterator[StageAccount]:
        """Rows in and out of every stage; responses of stale prompts do not take part."""
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
        dropped = dict(Counter(made.dropped.values()))
        yield StageAccount(
            stage="pair", unit="group", rows_in=made.groups, rows_out=made.groups - sum(dropped.values()), dropped=dropped
        )
        left_out = dict(Counter(made.left_out.values()))
        total = made.paired + len(made.left_out)
        yield StageAccount(stage="pair", unit="response", rows_in=total, rows_out=made.paired, dropped=left_out)
        yield StageAccount(
            stage="filter", unit="pair", rows_in=made.pairs.num_rows, rows_out=made.kept.num_rows, dropped=made.dropped_by
        )

    def dropped(self) -> Iterator[Mapping[str, Any]]:
        """Every row that fell out before pairs; pairs carry their reasons themselves."""
        for path in self.stored.responses:
            table = read_table(path, ["response_id", "prompt_id", "reason"])
            for row in table.filter(pc.is_valid(table["reason"])).to_pylist():
                if row["prompt_id"] in self.stored.prompts:
                    yield {
                        "stage": "sample",
                        "unit": "response",
                        "id": row["response_id"],
                        "reason": row["reason"],
                        "detail": None,
                    }
        for response_id, reason in self.made.left_out.items():
            yield {"stage": "pair", "unit": "response", "id": response_id, "reason": reason, "detail": None}
        for prompt_id, reason in self.made.dropped.items():
            yield {"stage": "pair", "unit": "group", "id": prompt_id, "reason": reason, "detail": None}

    def cost(self) -> dict[str, dict[str, float]]:
        """Tokens and seconds of sampling and of every annotator."""
        stored = self.stored
        labels = {f"annotate {name}": summed(files, "group_id", stored.groups) for name, files in stored.annotations.items()}
        return {"sample": summed(stored.responses, "prompt_id", stored.prompts), **labels}
