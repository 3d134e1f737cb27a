"""What a trainer reads, made from the stored tables: `preference` and `unpaired` rows. Joins are by id only.

DuckDB joins and checks the ids; the texts never enter a join. They are fetched by id, a slice of rows at a time, from just
the row groups that hold them, so memory is bounded by a slice and its row groups whatever the size of the dataset. Rows
come in the order of the response files, so a slice touches few row groups (all, if a prompt's responses are scattered).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from pairwright.errors import PairwrightError
from pairwright.storage import parquet, sql
from pairwright.storage.schemas import MESSAGES, PREFERENCE, UNPAIRED, cast

Pairs: TypeAlias = pa.Table | Sequence[Path]  # the table `pairs` of a version, or its files
BOTH = "both_chosen_and_rejected"
SLICE_ROWS = 10_000
MEMORY = "512MB"  # of DuckDB, beyond which it joins on disk
KEPT = "pair_id, prompt_id, chosen_id, rejected_id, score_chosen, score_rejected, margin, p_chosen"

SIDES = """
CREATE TEMP VIEW sides AS
SELECT n, prompt, chosen AS response, score_chosen AS score, true AS label FROM kept
UNION ALL
SELECT n, prompt, rejected, score_rejected, false FROM kept
"""
PAIR_TWICE = """
WITH found AS (SELECT md5_number(pair_id) AS pair, min(n) AS n, count(*) AS times FROM kept GROUP BY pair HAVING times > 1)
SELECT k.pair_id, 'pair', k.pair_id, times FROM found JOIN kept k USING (n)
"""
PROMPT_ABSENT = "SELECT k.pair_id, 'prompt', k.prompt_id, 0 FROM kept k ANTI JOIN prompts p ON p.id = k.prompt"
PROMPT_TWICE = """
WITH found AS (SELECT id, count(*) AS times FROM prompts GROUP BY id HAVING times > 1)
SELECT k.pair_id, 'prompt', k.prompt_id, times FROM found JOIN kept k ON k.prompt = found.id
"""
RESPONSE_ABSENT = """
SELECT k.pair_id, 'response', CASE WHEN s.label THEN k.chosen_id ELSE k.rejected_id END, 0
FROM sides s ANTI JOIN responses r ON r.id = s.response AND r.prompt = s.prompt JOIN kept k USING (n)
"""
RESPONSE_TWICE = """
WITH found AS (SELECT id, prompt, count(*) AS times FROM responses GROUP BY id, prompt HAVING times > 1)
SELECT k.pair_id, 'response', CASE WHEN s.label THEN k.chosen_id ELSE k.rejected_id END, times
FROM found JOIN sides s ON s.response = found.id AND s.prompt = found.prompt JOIN kept k USING (n)
"""
LOCATED_PAIRS = """
SELECT k.* EXCLUDE (prompt, chosen, rejected), p.at AS prompt_at, c.at AS chosen_at, r.at AS rejected_at
FROM kept k
JOIN prompts p ON p.id = k.prompt
JOIN responses c ON c.id = k.chosen
JOIN responses r ON r.id = k.rejected
ORDER BY c.at, k.n
"""
LABELS = """
CREATE TEMP TABLE labels AS
SELECT response, prompt, bool_or(label) AS label, bool_or(label) AND NOT bool_and(label) AS torn, min(n) AS first,
       CASE WHEN min(score) = max(score) AND count(score) = count(*) THEN min(score) END AS score
FROM sides GROUP BY response, prompt
"""
LOCATED_LABELS = """
SELECT CASE WHEN k.chosen = l.response THEN k.chosen_id ELSE k.rejected_id END AS response_id, k.prompt_id,
       l.label, l.score, p.at AS prompt_at, r.at AS response_at
FROM labels l
JOIN kept k ON k.n = l.first
JOIN prompts p ON p.id = l.prompt
JOIN responses r ON r.id = l.response
WHERE NOT torn
ORDER BY r.at, l.first, NOT l.label
"""


def preference(
    prompts: Sequence[Path], responses: Sequence[Path], pairs: Pairs, split: str | None = None
) -> Iterator[pa.RecordBatch]:
    """PREFERENCE rows, one per kept pair of `pairs` (of one `split`, if given), in conversational form.

    Raises PairwrightError if a pair's prompt or one of its responses is not there exactly once or has no text, and ValueError
    if a pair's two texts are equal.
    """
    questions, answers = Shelf(prompts, "prompt_id"), Shelf(responses, "response_id", "prompt_id")
    with _joined(questions, answers, pairs, split) as con:
        for part in con.sql(LOCATED_PAIRS).to_arrow_reader(SLICE_ROWS):
            chosen = answers.fetch(part["chosen_id"], part["chosen_at"], ["text", "model"])
            rejected = answers.fetch(part["rejected_id"], part["rejected_at"], ["text", "model"])
            same = pc.equal(chosen["text"], rejected["text"])
            if pc.any(same).as_py():
                raise ValueError(f"chosen equals rejected in pair {part['pair_id'].filter(same.combine_chunks())[0]}")
            made = {
                "prompt": questions.fetch(part["prompt_id"], part["prompt_at"], ["messages"])["messages"],
                "chosen": _turn(chosen["text"]),
                "rejected": _turn(rejected["text"]),
                "chosen_model": chosen["model"],
                "rejected_model": rejected["model"],
            }
            yield from cast(_with(part, made), PREFERENCE).combine_chunks().to_batches()


def unpaired(
    prompts: Sequence[Path], responses: Sequence[Path], pairs: Pairs, split: str | None = None
) -> tuple[Iterator[pa.RecordBatch], int]:
    """UNPAIRED rows, each response of the kept `pairs` once, and how many responses were left out.

    Chosen becomes true, rejected false; a response that is both is left out, to be counted under the reason `BOTH`. The
    labels are relative. `score` is null where a response's pairs disagree about it. Errors are those of `preference`.
    """
    questions, answers = Shelf(prompts, "prompt_id"), Shelf(responses, "response_id", "prompt_id")
    stack = contextlib.ExitStack()
    con = stack.enter_context(_joined(questions, answers, pairs, split))
    con.execute(LABELS)
    left_out = int(con.execute("SELECT count(*) FROM labels WHERE torn").fetchall()[0][0])

    def batches() -> Iterator[pa.RecordBatch]:
        with stack:
            for part in con.sql(LOCATED_LABELS).to_arrow_reader(SLICE_ROWS):
                found = answers.fetch(part["response_id"], part["response_at"], ["text", "model"])
                made = {
                    "prompt": questions.fetch(part["prompt_id"], part["prompt_at"], ["messages"])["messages"],
                    "completion": _turn(found["text"]),
                    "model": found["model"],
                }
                yield from cast(_with(part, made), UNPAIRED).combine_chunks().to_batches()

    return batches(), left_out


def count_sides(pairs: Sequence[Path]) -> int:
    """How many responses are in kept `pairs`, on whichever side."""
    sides = (f"SELECT prompt_id, md5_number({side}_id) FROM {sql.parquet(pairs)} WHERE keep" for side in ("chosen", "rejected"))
    with sql.open_memory(MEMORY) as con:
        return int(con.execute(f"SELECT count(*) FROM ({' UNION '.join(sides)})").fetchall()[0][0])


class Shelf:
    """Rows of Parquet files that are fetched by id; `at` is the number of the row group in which one stands."""

    def __init__(self, paths: Sequence[Path], key: str, *also: str) -> None:
        self.key, self.also = key, also
        self.groups = [(path, group) for path in paths for group in range(parquet.row_groups(path))]

    def ids(self) -> pa.RecordBatchReader:
        """The key and `also` of every row, and `at`, as a stream."""
        schema = pa.schema([*((name, pa.string()) for name in (self.key, *self.also)), ("at", pa.int32())])
        return pa.RecordBatchReader.from_batches(schema, self._ids(schema))

    def _ids(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        for i, (path, group) in enumerate(self.groups):
            part = parquet.read_table(path, [self.key, *self.also], group)
            part = part.append_column("at", pa.repeat(pa.scalar(i, pa.int32()), part.num_rows))
            yield from part.cast(schema).to_batches()

    def fetch(self, ids: pa.Array, at: pa.Array, columns: list[str]) -> pa.Table:
        """`columns` of the rows with these ids, in this order; `at` says in which row groups they are."""
        parts = []
        for i in sorted(pc.unique(at).to_pylist()):
            path, group = self.groups[i]
            part = parquet.read_table(path, [self.key, *columns], group)
            parts.append(part.filter(pc.is_in(part[self.key], value_set=ids)))
        found = pa.concat_tables(parts).combine_chunks()
        found = found.take(pc.index_in(ids, value_set=found[self.key].combine_chunks()))
        for name in ids.filter(pc.is_null(found[columns[0]]).combine_chunks())[:1]:
            raise PairwrightError(f"{self.key} {name} has no {columns[0]}, yet a kept pair names it: build again from its stage")
        return found


@contextlib.contextmanager
def _joined(prompts: Shelf, responses: Shelf, pairs: Pairs, split: str | None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the ids of `prompts`, `responses`, `kept` (pairs, numbered by n) and `sides`, all found and unique. Joins
    are on 128-bit sums of the ids, which need a third of the memory of the ids themselves."""
    with sql.open_memory(MEMORY) as con:
        if isinstance(pairs, pa.Table):
            con.register("given", pairs)
        source = "given" if isinstance(pairs, pa.Table) else sql.parquet(pairs)
        con.execute(
            f"CREATE TEMP TABLE kept AS SELECT {KEPT}, row_number() OVER () AS n, md5_number(prompt_id) AS prompt, "
            f"md5_number(chosen_id) AS chosen, md5_number(rejected_id) AS rejected FROM {source} "
            "WHERE keep AND ($split IS NULL OR split = $split)",
            {"split": split},
        )
        for name, shelf in (("prompts", prompts), ("responses", responses)):
            con.register("ids", shelf.ids())
            also = "".join(f", md5_number({column}) AS prompt" for column in shelf.also)
            con.execute(f'CREATE TEMP TABLE {name} AS SELECT md5_number({shelf.key}) AS id{also}, "at" FROM ids')
            con.unregister("ids")
        con.execute(SIDES)
        for problem in (PAIR_TWICE, PROMPT_ABSENT, PROMPT_TWICE, RESPONSE_ABSENT, RESPONSE_TWICE):
            for pair, what, name, times in con.execute(f"{problem} LIMIT 1").fetchall():
                raise PairwrightError(
                    f"pair {pair} needs {what} {name} exactly once, but it was found {times} times: "
                    "the stored tables do not belong together, so build again from the first stage that differs"
                )
        yield con


def _turn(texts: pa.ChunkedArray) -> pa.ListArray:
    """Each text as a conversation of one assistant turn."""
    content = texts.combine_chunks()
    role = pa.repeat(pa.scalar("assistant"), len(content))
    offsets = pa.array(range(len(content) + 1), pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays([role, content], ["role", "content"])).cast(MESSAGES)


def _with(part: pa.RecordBatch, columns: dict[str, pa.Array | pa.ChunkedArray]) -> pa.Table:
    table = pa.Table.from_batches([part])
    for name, column in columns.items():
        table = table.append_column(name, column)
    return table
