"""Pairs and labels of a published version in somebody else's format. No model is asked; at most a tokenizer is read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress, islice
from pathlib import Path
from typing import TYPE_CHECKING

from pairwright.errors import PairwrightError
from pairwright.files import whole_file, write_text
from pairwright.pipelines.mistakes import near
from pairwright.pipelines.policy_reader import policy_reader

if TYPE_CHECKING:
    from pairwright.storage.exports.base import Format, Record, Row
    from pairwright.storage.exports.step_dpo import Reader
    from pairwright.storage.versions import Dataset

BATCH = 1000  # rows held as Python values at a time
SOFT = "p_chosen"  # a column of `preference`: null where the label is hard


@dataclass(slots=True)
class ExportReport:
    """What was written: rows_in = rows + dropped, all counted in `unit`s.

    inexact: pairs whose text does not tokenise to the ids beside it. soft: pairs whose soft label the format cannot carry; they
    are written as hard ones. turned: pairs that a rule turned around, written without their margin. elsewhere: rows of the
    version's other splits.
    """

    path: Path
    format: str
    unit: str
    version: int
    split: str = "train"
    rows_in: int = 0
    rows: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)  # reason -> the first one dropped for it
    inexact: int = 0
    soft: int = 0
    turned: int = 0
    elsewhere: int = 0
    beside: list[Path] = field(default_factory=list)
    hint: str = ""

    def notes(self) -> list[str]:
        """What the user should know besides the counts, a sentence each."""
        found = []
        if self.soft:
            found.append(f"{self.soft:,} soft labels are written as hard ones, for {self.format} has none: jsonl keeps p_chosen")
        if self.turned:
            found.append(f"{self.turned:,} pairs that a rule turned around are written without their margin, which is below 0")
        if self.inexact:
            found.append(f"the text of {self.inexact:,} tokenises to other ids than the policy's own: train on the ids beside it")
        if self.elsewhere:
            found.append(f"{self.elsewhere:,} rows are of other splits than {self.split}: --split chooses one, or all")
        return found + [f"wrote {path}" for path in self.beside] + ([self.hint] if self.hint else [])


def export(
    dataset: Dataset,
    version: int | None,
    format: str,
    out: Path,
    render: Reader | None = None,
    force: bool = False,
    neutral_below: float | None = None,
    split: str = "train",
) -> ExportReport:
    """Write version `version` (by default the latest) to `out`, whole or not at all: Parquet if it is named so, else JSON lines.

    `render`: how the policy reads, for `step_dpo`; by default its tokenizer, where the manifest names a model with a folder.
    `neutral_below`: for `prm800k`, a share of right rollouts. `split`: train, test, or all. Raises PairwrightError with the fix
    if there is nothing to write.
    """
    version = dataset.latest() if version is None else version
    if version is None:
        raise PairwrightError(f"dataset {dataset.name} in {dataset.folder.parent} has no version yet: build one first")
    kind = _format(format, neutral_below)
    parquet = out.suffix == ".parquet"
    if parquet and kind.schema is None:
        raise PairwrightError(f"{kind.name} is written as JSON lines only: name the file {out.with_suffix('.jsonl').name}")
    if out.is_dir() or (out.exists() and not force):
        raise PairwrightError(f"{out} is there already: choose another name, or say --force to overwrite a file")
    kind.beside(out)  # says now what it would say after the work
    tables = dataset.tables(version)
    if kind.table not in tables:
        part = "annotators" if kind.table in ("preference", "unpaired") else "steps"
        raise PairwrightError(
            f"version {version} of {dataset.name} has no table {kind.table}, which {format} is made of: "
            f"build a version from a recipe with `{part}`"
        )
    if neutral_below is not None and not any(any(row["n"]) for row in _rows(tables[kind.table], ["n"])):
        raise PairwrightError(
            f"no step of version {version} of {dataset.name} was rolled out from, so that none is neutral by its share of right "
            "rollouts: leave `neutral_below` out, or export labels of a search that counts rollouts (omega_prm, monte_carlo)"
        )
    if kind.name == "step_dpo":
        kind = _step_dpo(render or policy_reader(dataset.manifest(version)))
    files, others = _split(tables[kind.table], split, f"{kind.table} of version {version} of {dataset.name}")
    report = ExportReport(out, kind.name, kind.unit, version, split, elsewhere=_count(others))
    if kind.table == "unpaired":
        report.soft = _soft(_split(tables["preference"], split, "preference")[0])
    records = _records(kind, _rows(files, _columns(kind, files)), report, dataset)
    (_write_parquet if parquet else _write_lines)(out, kind, records)
    for name, text in kind.beside(out).items():
        write_text(out.parent / name, text)
        report.beside.append(out.parent / name)
    report.hint = kind.hint(out)
    return report


def _format(name: str, neutral_below: float | None) -> Format:
    from pairwright.storage.exports import FORMATS, Prm800k

    if name not in FORMATS:
        raise PairwrightError(f"there is no export format {name!r}{near(name, list(FORMATS))}: use one of {', '.join(FORMATS)}")
    if neutral_below is None:
        return FORMATS[name]()
    if name != Prm800k.name:
        raise PairwrightError(f"the format {name} knows no neutral steps: leave `neutral_below` out, or use {Prm800k.name}")
    return Prm800k(neutral_below)


def _step_dpo(reader: Reader | None) -> Format:
    from pairwright.storage.exports import StepDpo

    return StepDpo(reader)


def _split(paths: Sequence[Path], split: str, where: str) -> tuple[list[Path], list[Path]]:
    """The files of `split` and the others. A file's split is told by its name, as in test-00000-of-00001.parquet."""
    splits = [path.name.partition("-")[0] for path in paths]
    if split != "all" and split not in splits:
        raise PairwrightError(f"the table {where} has no split {split!r}: it has {', '.join(dict.fromkeys(splits))}")
    chosen = [split in ("all", name) for name in splits]
    return list(compress(paths, chosen)), list(compress(paths, [not c for c in chosen]))


def _count(paths: Sequence[Path]) -> int:
    from pairwright.storage import parquet

    return sum(parquet.rows(path) for path in paths)


def _soft(paths: Sequence[Path]) -> int:
    """How many pairs have a soft label, which the labels of their two responses cannot say."""
    import pyarrow.parquet as pq

    known = [path for path in paths if SOFT in pq.read_schema(path).names]
    return sum(row[SOFT] is not None for row in _rows(known, [SOFT]))


def _columns(kind: Format, paths: Sequence[Path]) -> list[str]:
    """What to read: the columns that the format names, and those that are there and may matter."""
    import pyarrow.parquet as pq

    there = pq.read_schema(paths[0]).names
    return there if kind.everything else [*kind.columns, *(name for name in (SOFT,) if name in there)]


def _rows(paths: Sequence[Path], columns: Sequence[str]) -> Iterator[Row]:
    from pairwright.storage.parquet import read_table, row_groups

    for path in paths:
        for group in range(row_groups(path)):
            table = read_table(path, list(columns), group)
            for start in range(0, table.num_rows, BATCH):
                yield from table.slice(start, BATCH).to_pylist()


def _records(kind: Format, rows: Iterator[Row], report: ExportReport, dataset: Dataset) -> Iterator[Record]:
    """The records of `rows`, counted in `report`. Raises PairwrightError at the end if there was none."""
    from pairwright.storage.exports.base import Refused

    for row in rows:
        for unit in kind.units(row):
            report.rows_in += 1
            try:
                record = kind.record(unit)
            except Refused as refused:
                report.dropped[refused.reason] += 1
                where = row.get("solution_id") or row.get("pair_id") or row.get("response_id")
                report.examples.setdefault(refused.reason, f"{where}: {refused.detail}")
                continue
            report.rows += 1
            report.inexact += record.get("exact_text") is False
            report.soft += not kind.everything and row.get(SOFT) is not None
            report.turned += "margin" in record and record["margin"] is None and row.get("margin") is not None
            yield record
    if not report.rows:
        raise PairwrightError(_nothing(report, kind, dataset))


def _write_lines(out: Path, kind: Format, records: Iterator[Record]) -> None:
    with whole_file(out) as temporary, temporary.open("w", encoding="utf-8") as handle:
        handle.writelines(f"{json.dumps(record, allow_nan=False)}\n" for record in records)


def _write_parquet(out: Path, kind: Format, records: Iterator[Record]) -> None:
    import pyarrow as pa

    from pairwright.storage.parquet import write_table

    batches = iter(lambda: list(islice(records, BATCH)), [])
    write_table(out, (pa.RecordBatch.from_pylist(batch, kind.schema) for batch in batches), kind.schema)


def _nothing(report: ExportReport, kind: Format, dataset: Dataset) -> str:
    whole = f"version {report.version} of {dataset.name}"
    if not report.rows_in:
        return f"the table {kind.table} of {whole} holds no {kind.unit} to export: use another version"
    reasons = "; ".join(f"{n} {reason} ({report.examples[reason]})" for reason, n in report.dropped.most_common())
    return f"{kind.name} can carry none of the {report.rows_in} {kind.unit}s of {whole}: {reasons}; use another format"
