"""Rows of prompts from files, from the `datasets` library and from a DuckDB query."""

from __future__ import annotations

import contextlib
import glob
import gzip
import json
import threading
import zlib
from collections.abc import Collection, Iterator
from io import BufferedReader
from itertools import count
from pathlib import Path
from typing import Any, Literal

from pairwright.errors import PairwrightError
from pairwright.pipelines.prompts.rows import BadRow, Row, TableSource, nearest, no_prompt_among

BATCH_ROWS = 1024


class Jsonl(TableSource):
    """One JSON object a line; a name that ends in .gz is unpacked. `path` may be a glob. Empty lines are no rows."""

    source: Literal["jsonl"] = "jsonl"
    path: str

    def label(self) -> str:
        return f"jsonl:{Path(self.path).name}"

    def rows(self, base: Path) -> Iterator[tuple[str, Row | BadRow]]:
        for name in find_files(self.path, base):
            with _readable(name), _open(base / name) as lines:
                for number, line in enumerate(lines, 1):
                    if line.strip():
                        yield f"{name}:{number}", _json_row(line)


class Parquet(TableSource):
    """Rows of one Parquet file, or of all that a glob matches, in the order of their names."""

    source: Literal["parquet"] = "parquet"
    path: str

    def label(self) -> str:
        return f"parquet:{Path(self.path).name}"

    def rows(self, base: Path) -> Iterator[tuple[str, Row | BadRow]]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        for name in find_files(self.path, base):
            numbers = count()
            with _readable(name, pa.ArrowException), pq.ParquetFile(base / name) as file:
                wanted = known_columns(self, file.schema_arrow.names, name)
                for batch in file.iter_batches(BATCH_ROWS, columns=wanted):
                    yield from ((f"{name}:row {next(numbers)}", row) for row in batch.to_pylist())


class Datasets(TableSource):
    """Rows of a dataset of the Hub, or of a folder that `datasets` can read (a saved dataset, or data files)."""

    source: Literal["datasets"] = "datasets"
    name: str
    config: str | None = None
    split: str = "train"

    def label(self) -> str:
        return f"datasets:{self.name.rstrip('/').rsplit('/', 1)[-1] if self._is_path() else self.name}"

    def rows(self, base: Path) -> Iterator[tuple[str, Row | BadRow]]:
        data = self._load(base)
        where = f"{self.name}[{self.split}]"
        data = data.select_columns(known_columns(self, data.column_names, where))
        for number, row in enumerate(data):
            yield f"{where}:row {number}", row

    def _is_path(self) -> bool:
        return self.name.startswith((".", "/", "~"))

    def _load(self, base: Path) -> Any:
        import datasets

        folder = base / Path(self.name).expanduser()
        if self._is_path() and not folder.is_dir():
            raise PairwrightError(
                f"there is no folder {self.name}{_did_you_mean(folder)}: correct `name` of the `datasets` source"
            )
        try:
            if (folder / "dataset_dict.json").is_file():
                return datasets.load_from_disk(str(folder))[self.split]
            if (folder / "state.json").is_file():
                return datasets.load_from_disk(str(folder))
            return datasets.load_dataset(str(folder) if folder.is_dir() else self.name, self.config, split=self.split)
        except Exception as error:
            raise PairwrightError(
                f"`datasets` cannot load {self.name!r} (config {self.config!r}, split {self.split!r}): {first_sentence(error)}; "
                "correct the `datasets` source, or check the connection and the login if it is on the Hub"
            ) from error


class DuckDB(TableSource):
    """The rows of one SELECT. `database` is opened for reading only; without it the query reads files, whose relative paths
    start at the recipe's folder, e.g. `SELECT question AS prompt FROM 'questions.csv'`. Order the query if it has a `limit`."""

    source: Literal["duckdb"] = "duckdb"
    query: str
    database: str | None = None

    def label(self) -> str:
        return f"duckdb:{Path(self.database).name}" if self.database else "duckdb"

    def rows(self, base: Path) -> Iterator[tuple[str, Row | BadRow]]:
        import duckdb

        database = find_files(self.database, base)[0] if self.database else None
        try:
            with duckdb.connect(*([str(base / database)] if database else []), read_only=database is not None) as connection:
                statements = connection.extract_statements(self.query)
                if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
                    raise PairwrightError(
                        "the `query` of a `duckdb` source is one SELECT, which reads and changes nothing: rewrite it"
                    )
                with _working_in(base):
                    result = connection.execute(self.query)
                    columns, values = [column[0] for column in result.description], result.fetchall()
        except duckdb.Error as error:
            raise PairwrightError(
                f"the `query` of the `duckdb` source does not run: {first_sentence(error)}; correct it"
            ) from error
        known_columns(self, columns, "the query's result")
        for number, row in enumerate(values):
            yield f"query:row {number}", dict(zip(columns, row, strict=True))


def find_files(path: str, base: Path) -> list[str]:
    """The files that `path` (a name or a glob, relative to `base`) stands for, as names to put behind `base`, sorted."""
    path = str(Path(path).expanduser())
    target = base / path
    if target.is_file():
        return [path]
    if target.is_dir():
        raise PairwrightError(
            f"{path} is a folder: let `path` name a file in it, or many with a glob such as {path}/*{_suffix(target)}"
        )
    if glob.has_magic(path):
        names = glob.glob(path, root_dir=base, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
        found = sorted(name for name in names if (base / name).is_file())
        if not found:
            raise PairwrightError(f"no file matches {path} in {base}: correct `path`")
        return found
    raise PairwrightError(f"there is no file {path} in {base}{_did_you_mean(target)}: correct `path`")


def _open(path: Path) -> gzip.GzipFile | BufferedReader:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def known_columns(source: TableSource, present: Collection[str], where: str) -> list[str]:
    """The columns of `source` that are present; a table without a prompt column is a mistake, not a table of bad rows."""
    columns = source.columns()
    if columns.prompt not in present and columns.messages not in present:
        raise PairwrightError(f"{where} {no_prompt_among(present, columns)}")
    return [name for name in dict.fromkeys(columns) if name in present]


def first_sentence(error: BaseException) -> str:
    """The first paragraph of an error's text on one line, without a full stop: libraries append hints and excerpts."""
    paragraph = str(error).strip().split("\n\n")[0]
    return " ".join(paragraph.split()).rstrip(".") or type(error).__name__


def _json_row(line: bytes) -> Row | BadRow:
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return BadRow("not_json", f"is not UTF-8 (byte {error.start + 1} of the line is 0x{line[error.start]:02x})")
    except json.JSONDecodeError as error:
        return BadRow("not_json", f"is not JSON ({error.msg} at column {error.colno})")
    except (ValueError, RecursionError) as error:
        return BadRow("not_json", f"is not JSON ({first_sentence(error)})")
    if not isinstance(row, dict):
        return BadRow("not_json", f"is JSON but not an object: {line.decode('utf-8-sig').strip()[:40]}")
    return row


def _did_you_mean(missing: Path) -> str:
    folder = missing.parent
    if not folder.is_dir():
        return f" (there is no folder {folder} either)"
    meant = nearest(missing.name, [entry.name for entry in folder.iterdir()])
    return f" (is {meant!r} meant?)" if meant else ""


def _suffix(folder: Path) -> str:
    return next((entry.suffix for entry in sorted(folder.iterdir()) if entry.suffix in (".jsonl", ".gz", ".parquet")), "")


@contextlib.contextmanager
def _readable(name: str, *errors: type[BaseException]) -> Iterator[None]:
    """Turn a file that cannot be opened or unpacked into one sentence."""
    unreadable: tuple[type[BaseException], ...] = (OSError, EOFError, zlib.error, *errors)
    try:
        yield
    except unreadable as error:
        raise PairwrightError(f"cannot read {name}: {first_sentence(error)}; replace the file or correct `path`") from error


_chdir_lock = threading.Lock()


@contextlib.contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    """Run a query from `folder`: DuckDB's `file_search_path` would prefer a file of the same name in the working folder."""
    with _chdir_lock, contextlib.chdir(folder):
        yield
