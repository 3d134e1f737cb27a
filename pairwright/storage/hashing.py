"""Two content hashes of a set of tables that depend neither on row order nor on how rows are cut into files.

Why two: a real engine's scores differ in their last bits with what else was in the batch, so two honest builds of the same
recipe rarely agree to the bit. The *logical* hash covers identities and decisions only: equal means "the same rows and the
same decisions". The *exact* hash covers every column but the cost (tokens, seconds): equal means "the same numbers
and texts too".

How: a row's canonical text is the JSON array of its columns; the rows' MD5 sums are added modulo 2**128. A sum does not
depend on order and, unlike xor, counts duplicates. JSON and MD5 have the same meaning in every version of DuckDB, which its
own `hash()` has not. Neither hash is a signature: they tell versions apart, they do not resist an attacker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from pairwright.errors import PairwrightError
from pairwright.ids import digest
from pairwright.storage import sql

DECISIONS: dict[str, tuple[str, ...]] = {
    "prompts": ("prompt_id", "count", "reference", "tags"),
    "responses": ("response_id", "reason"),
    "annotations": ("subject_id", "other_id", "annotator", "fingerprint", "label", "valid", "reason"),
    "pairs": ("pair_id", "keep", "dropped_by"),
    "preference": ("pair_id",),
    "unpaired": ("response_id", "label"),
    "steps": ("node_id", "parent_id", "n", "correct", "unparsed", "terminal", "verdict", "reason"),
    "stepwise": ("solution_id", "labels", "first_error"),
    "step_preference": ("pair_id",),
}
COST = frozenset({"tokens", "seconds"})


def logical_hash(tables: Mapping[str, Sequence[Path]]) -> str:
    """The hash of identities and decisions: `DECISIONS`' columns of those tables; other tables do not enter."""
    return _hash("logical", {name: (paths, DECISIONS[name]) for name, paths in tables.items() if name in DECISIONS})


def exact_hash(tables: Mapping[str, Sequence[Path]]) -> str:
    """The hash of every column of every table but what it cost to make."""
    return _hash("exact", {name: (paths, _columns(paths)) for name, paths in tables.items()})


def _hash(kind: str, parts: Mapping[str, tuple[Sequence[Path], Sequence[str]]]) -> str:
    with sql.open_memory() as con:
        sums = {name: [list(columns), f"{_sum(con, paths, columns):032x}"] for name, (paths, columns) in parts.items() if paths}
    return digest(kind, sums)


def _columns(paths: Sequence[Path]) -> tuple[str, ...]:
    return tuple(sorted({name for path in paths for name in pq.read_schema(path).names} - COST))


def _sum(con: duckdb.DuckDBPyConnection, paths: Sequence[Path], columns: Sequence[str]) -> int:
    """The sum of the rows' MD5 sums modulo 2**128, added as two halves so that no sum overflows."""
    names = ", ".join(f'"{name}"' for name in columns)
    query = f"""
        SELECT coalesce(sum(('0x' || sum[1:16])::UBIGINT), 0), coalesce(sum(('0x' || sum[17:32])::UBIGINT), 0)
        FROM (SELECT md5(json_array({names})::VARCHAR) AS sum FROM {sql.parquet(paths)})
    """
    try:
        high, low = con.execute(query).fetchall()[0]
    except duckdb.Error as error:
        files = ", ".join(map(str, paths[:3])) + (" ..." if len(paths) > 3 else "")
        raise PairwrightError(
            f"cannot read {files} ({str(error).splitlines()[0]}): delete the damaged file and build again"
        ) from error
    return ((int(high) << 64) + int(low)) % (1 << 128)
