"""Questions in SQL, answered in the terminal."""

from __future__ import annotations

import json
import sys
from typing import Any

import duckdb

from pairwright.errors import PairwrightError
from pairwright.flows import screen


def answer(con: duckdb.DuckDBPyConnection, sql: str, as_json: bool = False) -> None:
    """Print the rows of one query; DuckDB's complaint becomes one sentence."""
    try:
        found = con.execute(sql)
        columns = [c[0] for c in found.description or []]
        rows = found.fetchall()
    except duckdb.Error as error:
        raise PairwrightError(f"DuckDB says: {' '.join(str(error).split())}") from None
    if as_json:
        print(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], indent=2, default=str))
    else:
        screen.table("", columns, rows)


def converse(con: Any) -> None:
    """Read queries line by line until the input ends; a wrong one is told and the next may come."""
    asked = "sql> " if sys.stdin.isatty() else ""
    while True:
        try:
            line = input(asked).strip().rstrip(";")
        except EOFError:
            return
        if not line:
            continue
        if line in ("exit", "quit", ".exit", ".quit"):
            return
        try:
            answer(con, line)
        except PairwrightError as error:
            print(f"error: {error}", file=sys.stderr)
