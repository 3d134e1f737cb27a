"""What a cut reads: finished files of responses and annotations, slab by slab, so that memory does not grow with them.

A *place* is a response's row number over all files of responses. DuckDB puts every annotator's rows into the order of places (on
disk, if they are many), so that one pass over the responses meets its annotations as they come.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pairwright.annotators.base import group_id
from pairwright.pipelines.filters.base import Comparisons, Parts
from pairwright.pipelines.prompts.rows import Prompt
from pairwright.storage import sql
from pairwright.storage.manifest import Manifest
from pairwright.storage.parquet import read_table, row_groups
from pairwright.storage.schemas import ANNOTATIONS

SLAB_ROWS = 20_000  # responses in memory at a time, and the rest of their last group
MEMORY = "512MB"  # of DuckDB, beyond which it sorts on disk
RESPONSE = ["response_id", "prompt_id", "text", "tokens", "finish_reason", "reason"]
WON = {"a": 1.0, "b": 0.0, "tie": 0.5}  # what a verdict gives the first response
PLACES = pa.schema([("response_id", pa.string()), ("place", pa.int64())])

Score = tuple[float | None, str | None]  # a score, or the reason why there is none


class Slab(NamedTuple):
    """Whole groups: the responses at places `low` to `high`, without the end."""

    low: int
    high: int


NOWHERE = Slab(0, 0)


@dataclass(frozen=True)
class Stored:
    """The finished files of a cut: responses, a group's one after the other, and each annotator's annotations. `prompts`: those
    that take part, by id. `source`: the version all this is, every row of which takes part; without one, rows of other prompts
    and of stale groups are passed over."""

    prompts: Mapping[str, Prompt]
    responses: Sequence[Path]
    annotations: Mapping[str, Sequence[Path]]
    source: Manifest | None = None
    slab_rows: int = SLAB_ROWS

    @cached_property
    def index(self) -> Index:
        """Where each response is. It reads all ids once."""
        return Index(self.responses, self.slab_rows)

    @cached_property
    def groups(self) -> frozenset[str]:
        """The ids of the groups that take part, where some do not. Annotations of any other group are stale."""
        return frozenset(found for slab in self.index.slabs for found in self.groups_in(self.read(slab, RESPONSE[:2])))

    @property
    def settled(self) -> bool:
        """Does every row take part?"""
        return self.source is not None

    @property
    def whole(self) -> Slab:
        """All responses as one slab."""
        return Slab(0, self.index.rows)

    def read(self, slab: Slab, columns: Sequence[str]) -> pa.Table:
        """The responses of a slab that were made and whose prompts take part, with their `place`."""
        table = self.index.read(slab, list(dict.fromkeys([*columns, "prompt_id", "reason"])))
        table = table.append_column("place", pa.array(range(slab.low, slab.high), pa.int64()))
        table = table.filter(pc.is_null(table["reason"]))
        if not self.settled:
            known = pa.array([p for p in pc.unique(table["prompt_id"]).to_pylist() if p in self.prompts], pa.string())
            table = table.filter(pc.is_in(table["prompt_id"], known))
        return table

    def groups_in(self, table: pa.Table) -> set[str]:
        """The ids of the groups of these responses."""
        members: dict[str, list[str]] = {}
        for prompt_id, response_id in zip(table["prompt_id"].to_pylist(), table["response_id"].to_pylist(), strict=True):
            members.setdefault(prompt_id, []).append(response_id)
        prompts = ((self.prompts[p], ids) for p, ids in members.items())
        return {group_id(p.prompt_id, ids, p.reference, p.tags) for p, ids in prompts}

    def prompts_of(self, ids: Sequence[str]) -> list[Prompt]:
        """The prompts with these ids, in their order."""
        many = getattr(self.prompts, "many", None)
        return many(ids) if many else [self.prompts[i] for i in ids]

    def annotated(self, annotator: str, columns: Sequence[str]) -> Annotated:
        """The rows of `annotator` on responses, in the order of places."""
        return Annotated(self, annotator, columns)


class Index:
    """Where each response is: its place, and the file and row group of every place."""

    def __init__(self, paths: Sequence[Path], slab_rows: int) -> None:
        self._units = [(path, group) for path in paths for group in range(row_groups(path))]
        self._ends = list[int]()
        self.slabs = list[Slab]()
        self.con = sql.open_memory(MEMORY)
        reader = pa.RecordBatchReader.from_batches(PLACES, self._batches(slab_rows))
        self.con.register("ids", reader)
        self.con.execute("CREATE TABLE places AS SELECT md5_number(response_id) AS response, place FROM ids")
        self.con.unregister("ids")

    @property
    def rows(self) -> int:
        """How many responses there are."""
        return self._ends[-1] if self._ends else 0

    def _batches(self, slab_rows: int) -> Iterator[pa.RecordBatch]:
        """Ids with their places; notes on the way where slabs end, which is between groups."""
        at = low = 0
        last = None
        for path, group in self._units:
            table = read_table(path, ["response_id", "prompt_id"], group).combine_chunks()
            prompts = table["prompt_id"].to_pylist()
            starts = [i for i, (before, this) in enumerate(pairwise([last, *prompts])) if before != this]
            if starts and at + starts[-1] - low >= slab_rows:
                self.slabs.append(Slab(low, at + starts[-1]))
                low = at + starts[-1]
            places = pa.array(range(at, at + len(prompts)), pa.int64())
            at, last = at + len(prompts), prompts[-1] if prompts else last
            self._ends.append(at)
            yield from pa.table([table["response_id"], places], schema=PLACES).to_batches()
        if at > low:
            self.slabs.append(Slab(low, at))

    def read(self, slab: Slab, columns: list[str]) -> pa.Table:
        """All rows of a slab."""
        first = int(np.searchsorted(self._ends, slab.low, side="right"))
        last = int(np.searchsorted(self._ends, slab.high, side="left"))
        parts = [read_table(*unit[:1], columns, unit[1]) for unit in self._units[first : last + 1]]
        start = self._ends[first - 1] if first else 0
        return pa.concat_tables(parts).slice(slab.low - start, slab.high - slab.low)


class Annotated:
    """An annotator's rows in the order of the places of what they are about, to be taken slab after slab."""

    def __init__(self, stored: Stored, annotator: str, columns: Sequence[str]) -> None:
        self._stored = stored
        wanted = list(dict.fromkeys([*columns, "subject_id", *([] if stored.settled else ["group_id"])]))
        files = stored.annotations[annotator]
        self._rows: Iterator[pa.RecordBatch] = iter(())
        self._held = pa.schema([PLACES.field("place"), *(ANNOTATIONS.field(name) for name in wanted)]).empty_table()
        if files:
            names = ", ".join(f'a."{name}"' for name in wanted)
            query = f"""
                SELECT p.place, {names} FROM {sql.parquet(files)} a JOIN places p ON p.response = md5_number(a.subject_id)
                {"" if "other_id" in wanted else "WHERE a.other_id IS NULL"} ORDER BY p.place
            """
            self._rows = iter(_reader(stored.index.con, query))

    def take(self, slab: Slab, groups: set[str] | None = None) -> pa.Table:
        """The rows about responses of this slab. Slabs are asked in order; those left out are passed over. `groups`: the ids of
        the slab's groups, where not all rows take part."""
        parts = []
        while True:
            if self._held.num_rows:
                places = self._held["place"].to_numpy()
                low, high = (int(np.searchsorted(places, edge)) for edge in slab)
                parts.append(self._held.slice(low, high - low))
                self._held = self._held.slice(high)
                if self._held.num_rows:
                    break
            batch = next(self._rows, None)
            if batch is None:
                break
            self._held = pa.Table.from_batches([batch])
        table = pa.concat_tables(parts) if parts else self._held.slice(0, 0)
        if groups is None:
            return table
        return table.filter(pc.is_in(table["group_id"], pa.array(groups, pa.string())))


@dataclass
class Annotations:
    """What the annotators said of the responses of one slab. Ask for slabs in order: `at` moves on."""

    stored: Stored
    slab: Slab = NOWHERE
    _groups: set[str] | None = None
    _streams: dict[tuple[str, str], Annotated] = field(default_factory=dict)
    _found: dict[tuple[str, str], Any] = field(default_factory=dict)

    def at(self, slab: Slab) -> Annotations:
        """Move on to this slab."""
        self.slab, self._found, self._groups = slab, {}, None
        return self

    def scores(self, annotator: str) -> dict[str, Score]:
        """response id -> its score, or the reason why it has none. Comparisons of two responses are not scores."""
        return self._known("scores", annotator, ["score", "reason"], scores_in)

    def comparisons(self, annotator: str) -> Comparisons:
        """What it found of two responses of one group."""
        columns = ["group_id", "other_id", "label", "score"]
        return self._known("comparisons", annotator, columns, comparisons_in)

    def parts(self, annotator: str) -> Parts:
        """response id -> the numbers its annotation was made of, where it is valid."""
        return self._known("parts", annotator, ["valid", "parts"], parts_in)

    def comparison_parts(self, annotator: str) -> dict[tuple[str, str], dict[str, float]]:
        """(id, id) as they were compared -> the numbers of the comparison, whether a verdict came of it or not."""
        return self._known("comparison_parts", annotator, ["other_id", "parts"], comparison_parts_in)

    def _known(self, kind: str, annotator: str, columns: list[str], read: Any) -> Any:
        key = (kind, annotator)
        if key not in self._found:
            if key not in self._streams:
                self._streams[key] = self.stored.annotated(annotator, columns)
            if self._groups is None and not self.stored.settled:
                self._groups = self.stored.groups_in(self.stored.read(self.slab, RESPONSE[:2]))
            self._found[key] = read(self._streams[key].take(self.slab, self._groups))
        return self._found[key]


def scores_in(table: pa.Table) -> dict[str, Score]:
    """subject -> score or reason."""
    columns = (table[name].to_pylist() for name in ("subject_id", "score", "reason"))
    return {subject: (score, reason) for subject, score, reason in zip(*columns, strict=True)}


def comparisons_in(table: pa.Table) -> Comparisons:
    """The verdicts among these annotations, and whom they are about."""
    verdicts, probabilities = dict[tuple[str, str], float](), dict[tuple[str, str], float]()
    both = table.filter(pc.is_valid(table["other_id"]))
    compared = table.filter(pc.is_in(table["group_id"], both["group_id"].combine_chunks()))["subject_id"].to_pylist()
    columns = (both[name].to_pylist() for name in ("subject_id", "other_id", "label", "score"))
    for a, b, label, p in zip(*columns, strict=True):
        if label in WON:
            verdicts[a, b], verdicts[b, a] = WON[label], 1 - WON[label]
            if p is not None:
                probabilities[a, b], probabilities[b, a] = p, 1 - p
    return Comparisons(verdicts, set(compared), probabilities)


def parts_in(table: pa.Table) -> dict[str, dict[str, float]]:
    """subject -> parts, of valid annotations."""
    table = table.filter(table["valid"])
    rows = zip(table["subject_id"].to_pylist(), table["parts"].to_pylist(), strict=True)
    return {subject: {item["name"]: item["value"] for item in items} for subject, items in rows}


def comparison_parts_in(table: pa.Table) -> dict[tuple[str, str], dict[str, float]]:
    """(subject, other) -> parts, of comparisons."""
    table = table.filter(pc.is_valid(table["other_id"]))
    rows = zip(table["subject_id"].to_pylist(), table["other_id"].to_pylist(), table["parts"].to_pylist(), strict=True)
    return {(a, b): {item["name"]: item["value"] for item in items} for a, b, items in rows}


def _reader(con: duckdb.DuckDBPyConnection, query: str) -> pa.RecordBatchReader:
    return con.cursor().sql(query).to_arrow_reader(SLAB_ROWS)
