"""Two content hashes of a set of tables that depend neither on row order nor on how rows are cut into files.

Why two: a real engine's scores differ in their last bits with what else was in the batch, so two honest builds of the same
recipe rarely agree to the bit. The *logical* hash covers identities and decisions only: equal means "the same rows and the
same decisions". Which rule relabelled a pair is a decision, the probability of a soft label (`p_chosen`) is a number: two
versions that differ only in it have one logical hash. The *exact* hash covers every column but the cost (tokens, seconds):
equal means "the same numbers and texts too".

How: a row's canonical text is the JSON array of its columns; the rows' MD5 sums are added modulo 2**128. A sum does not
depend on order and, unlike xor, counts duplicates. JSON and MD5 have the same meaning in every version of DuckDB, which its
own `hash()` has not. Neither hash is a signature: they tell versions apart, they do not resist an attacker.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow.parquet as pq

from pairwright.errors import PairwrightError
from pairwright.ids import digest
from pairwright.storage import sql

DECISIONS: dict[str, tuple[str, ...]] = {
    "prompts": ("prompt_id", "count", "reference", "tags"),
    "responses": ("response_id", "reason"),
    "annotations": ("subject_id", "other_id", "annotator", "fingerprint", "label", "valid", "reason"),
    "pairs": ("pair_id", "keep", "dropped_by", "relabelled_by", "split"),
    "preference": ("pair_id",),
    "unpaired": ("response_id", "label"),
    "steps": ("node_id", "parent_id", "n", "correct", "unparsed", "terminal", "verdict", "reason"),
    "stepwise": ("solution_id", "labels", "first_error"),
    "step_preference": ("pair_id",),
}
COST = frozenset({"tokens", "seconds"})


class Sums(NamedTuple):
    """What one file adds to the two hashes, 32 hex digits each; "" where it adds nothing."""

    logical: str
    exact: str


def sums_of(tables: Mapping[str, Sequence[Path]], known: Mapping[Path, Sums] | None = None) -> dict[Path, Sums]:
    """The sums of every file. `known`: those that need not be taken again; of a table that is not `uniform` all are."""
    found: dict[Path, Sums] = {}
    with sql.open_memory() as con:
        for name, paths in tables.items():
            columns = _columns(paths)
            same = uniform(paths)
            new = [path for path in paths if not same or path not in (known or {})]
            exact = _sums(con, new, columns)
            logical = _sums(con, new, DECISIONS[name]) if name in DECISIONS else {}
            for path in paths:
                found[path] = Sums(logical.get(path, ""), exact[path]) if path in exact else (known or {})[path]
    return found


def uniform(paths: Sequence[Path]) -> bool:
    """Do all files have the same columns? Else their sums are over columns that some have not, and hold in this table only."""
    return len({_columns([path]) for path in paths}) < 2


def hashes(tables: Mapping[str, Sequence[Path]], sums: Mapping[Path, Sums]) -> tuple[str, str]:
    """The logical and the exact hash of files whose sums are known."""
    logical = {
        name: [list(DECISIONS[name]), _added(sums[p].logical for p in paths)]
        for name, paths in tables.items()
        if name in DECISIONS and paths
    }
    exact = {name: [list(_columns(paths)), _added(sums[p].exact for p in paths)] for name, paths in tables.items() if paths}
    return digest("logical", logical), digest("exact", exact)


def logical_hash(tables: Mapping[str, Sequence[Path]]) -> str:
    """The hash of identities and decisions: `DECISIONS`' columns of those tables; other tables do not enter."""
    return hashes(tables, sums_of(tables))[0]


def exact_hash(tables: Mapping[str, Sequence[Path]]) -> str:
    """The hash of every column of every table but what it cost to make."""
    return hashes(tables, sums_of(tables))[1]


def _added(sums: Iterable[str]) -> str:
    return f"{sum(int(s, 16) for s in sums) % (1 << 128):032x}"


def _columns(paths: Sequence[Path]) -> tuple[str, ...]:
    return tuple(sorted({name for path in paths for name in pq.read_schema(path).names} - COST))


def _sums(con: duckdb.DuckDBPyConnection, paths: Sequence[Path], columns: Sequence[str]) -> dict[Path, str]:
    """Of each file the sum of its rows' MD5 sums modulo 2**128, added as two halves so that no sum overflows."""
    if not paths:
        return {}
    names = ", ".join(f'"{name}"' for name in columns)
    query = f"""
        SELECT filename, sum(('0x' || sum[1:16])::UBIGINT), sum(('0x' || sum[17:32])::UBIGINT)
        FROM (SELECT filename, md5(json_array({names})::VARCHAR) AS sum FROM {sql.parquet(paths, "filename = true")})
        GROUP BY filename
    """
    try:
        found = con.execute(query).fetchall()
    except duckdb.Error as error:
        files = ", ".join(map(str, paths[:3])) + (" ..." if len(paths) > 3 else "")
        raise PairwrightError(
            f"cannot read {files} ({str(error).splitlines()[0]}): delete the damaged file and build again"
        ) from error
    by_name = {Path(name): ((int(high) << 64) + int(low)) % (1 << 128) for name, high, low in found}
    return {path: f"{by_name.get(path.resolve(), 0):032x}" for path in paths}
