"""What a trainer reads, made from the stored tables by SQL: `preference` and `unpaired` rows. Joins are by id only.

Both stream: DuckDB holds at most `MEMORY` and spills the rest to the temporary folder. Rows come in the order of `pairs`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from pairwright.errors import PairwrightError
from pairwright.storage import sql
from pairwright.storage.schemas import PREFERENCE, UNPAIRED, cast

BOTH = "both_chosen_and_rejected"
MEMORY = "1500MB"
BATCH_ROWS = 10_000

SIDES = """
CREATE TEMP VIEW sides AS
SELECT n, pair_id, prompt_id, chosen_id AS response_id, score_chosen AS score, true AS label FROM kept
UNION ALL
SELECT n, pair_id, prompt_id, rejected_id, score_rejected, false FROM kept
"""


def preference(prompts: Sequence[Path], responses: Sequence[Path], pairs: pa.Table) -> Iterator[pa.RecordBatch]:
    """PREFERENCE rows, one per row of `pairs` (kept pairs only), in conversational form.

    Raises PairwrightError before the first row if a pair's prompt or one of its responses is not there exactly once, and
    ValueError if a row of `pairs` is not kept or a pair's two texts are equal.
    """
    with _joined(prompts, responses, pairs) as con:
        for batch in _stream(
            con,
            """
            SELECT k.*, p.messages AS prompt,
                   [{'role': 'assistant', 'content': c.text}] AS chosen, c.model AS chosen_model,
                   [{'role': 'assistant', 'content': r.text}] AS rejected, r.model AS rejected_model
            FROM kept k
            JOIN prompts p ON p.prompt_id = k.prompt_id
            JOIN responses c ON c.response_id = k.chosen_id
            JOIN responses r ON r.response_id = k.rejected_id
            ORDER BY k.n
            """,
            PREFERENCE,
        ):
            same = pc.equal(_texts(batch["chosen"]), _texts(batch["rejected"]))
            if pc.any(same).as_py():
                raise ValueError(f"chosen equals rejected in pair {batch['pair_id'].filter(same)[0]}")
            yield batch


def unpaired(prompts: Sequence[Path], responses: Sequence[Path], pairs: pa.Table) -> tuple[Iterator[pa.RecordBatch], int]:
    """UNPAIRED rows, each response of `pairs` (kept pairs only) once, and how many responses were left out.

    Chosen becomes true, rejected false; a response that is both is left out, to be counted under the reason `BOTH`. The
    labels are relative. `score` is null where a response's pairs disagree about it. Errors are those of `preference`.
    """
    stack = contextlib.ExitStack()
    con = stack.enter_context(_joined(prompts, responses, pairs))
    con.execute(
        """
        CREATE TEMP TABLE labels AS
        SELECT response_id, prompt_id, bool_or(label) AS label, bool_or(label) AND NOT bool_and(label) AS torn, min(n) AS first,
               CASE WHEN min(score) = max(score) AND count(score) = count(*) THEN min(score) END AS score
        FROM sides GROUP BY response_id, prompt_id
        """
    )
    left_out = int(con.execute("SELECT count(*) FROM labels WHERE torn").fetchall()[0][0])

    def batches() -> Iterator[pa.RecordBatch]:
        with stack:
            yield from _stream(
                con,
                """
                SELECT p.messages AS prompt, [{'role': 'assistant', 'content': r.text}] AS completion, l.label, l.score,
                       l.prompt_id, l.response_id, r.model
                FROM labels l
                JOIN prompts p ON p.prompt_id = l.prompt_id
                JOIN responses r ON r.response_id = l.response_id
                WHERE NOT torn
                ORDER BY l.first, NOT l.label
                """,
                UNPAIRED,
            )

    return batches(), left_out


@contextlib.contextmanager
def _joined(prompts: Sequence[Path], responses: Sequence[Path], pairs: pa.Table) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with `prompts`, `responses`, `kept` (pairs, numbered by n) and `sides`, after every id was found."""
    if "keep" in pairs.column_names and not pc.all(pairs["keep"], min_count=0).as_py():
        raise ValueError("only kept pairs can be published")
    wanted = ["pair_id", "prompt_id", "chosen_id", "rejected_id", "score_chosen", "score_rejected", "margin"]
    with sql.kind_errors([*prompts, *responses]), sql.open_memory(memory_limit=MEMORY, threads=2) as con:
        con.register("kept", pairs.select(wanted).append_column("n", pa.array(range(pairs.num_rows), pa.int64())))
        con.execute(f"CREATE TEMP VIEW prompts AS SELECT prompt_id, messages FROM {sql.parquet(prompts)}")
        con.execute(
            "CREATE TEMP VIEW responses AS SELECT response_id, prompt_id, text, model "
            f"FROM {sql.parquet(responses)} WHERE text IS NOT NULL"
        )
        con.execute(SIDES)
        _check(con, "SELECT pair_id, 'pair', pair_id, count(*) AS times FROM kept GROUP BY ALL HAVING times <> 1")
        _check(
            con,
            """
            SELECT min(pair_id), 'prompt', k.prompt_id, count(p.prompt_id) AS times
            FROM (SELECT prompt_id, min(pair_id) AS pair_id FROM kept GROUP BY prompt_id) k LEFT JOIN prompts p USING (prompt_id)
            GROUP BY k.prompt_id HAVING times <> 1
            """,
        )
        _check(
            con,
            """
            SELECT min(pair_id), 'response', s.response_id, count(r.response_id) AS times
            FROM (SELECT response_id, prompt_id, min(pair_id) AS pair_id FROM sides GROUP BY ALL) s
            LEFT JOIN responses r ON r.response_id = s.response_id AND r.prompt_id = s.prompt_id
            GROUP BY s.response_id, s.prompt_id HAVING times <> 1
            """,
        )
        yield con


def _check(con: duckdb.DuckDBPyConnection, query: str) -> None:
    for pair, what, name, times in con.execute(f"{query} LIMIT 1").fetchall():
        raise PairwrightError(
            f"pair {pair} needs {what} {name} exactly once, but it was found {times} times: "
            "the stored tables do not belong together, so build again from the first stage that differs"
        )


def _stream(con: duckdb.DuckDBPyConnection, query: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for batch in con.sql(query).to_arrow_reader(BATCH_ROWS):
        yield from cast(pa.Table.from_batches([batch]), schema).to_batches()


def _texts(messages: pa.ListArray) -> pa.Array:
    """The content of the one message in each list."""
    return messages.flatten().field("content")
