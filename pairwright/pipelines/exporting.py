"""Step labels of a published version as JSON lines in somebody else's format. No model is asked; at most a tokenizer is read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pairwright.engines.folders import resolve_folder
from pairwright.engines.requests import turns
from pairwright.errors import PairwrightError
from pairwright.files import whole_file
from pairwright.pipelines.mistakes import near

if TYPE_CHECKING:
    from pairwright.engines.rendering import Renderer
    from pairwright.storage.exports.base import Format, Row
    from pairwright.storage.exports.step_dpo import Reader
    from pairwright.storage.manifest import Manifest
    from pairwright.storage.versions import Dataset

BATCH = 1000  # rows held as Python values at a time


@dataclass(slots=True)
class ExportReport:
    """rows_in = rows + dropped, all counted in `unit`s. `inexact`: pairs whose text does not tokenise to the ids beside it."""

    path: Path
    format: str
    unit: str
    version: int
    rows_in: int = 0
    rows: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)  # reason -> the first one dropped for it
    inexact: int = 0


class PolicyReader:
    """A policy's tokenizer and chat template, as `step_dpo` needs them."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        tokenizer = renderer.tokenizer
        self.tokenizer = renderer.tokenizer_id
        self.special = {token: str(tokenizer.decode([token])) for token in {*renderer.eos_ids, *tokenizer.all_special_ids}}

    def prompt(self, messages: Sequence[Any]) -> tuple[str, list[int]]:
        """The conversation with its cue for an answer, and the ids the policy was given for it."""
        from pairwright.engines.rendering import Unscorable
        from pairwright.storage.exports.base import Refused

        try:
            ids = self._renderer.context_ids(turns(messages), "assistant")
        except Unscorable as error:
            raise Refused(error.reason, error.detail) from error
        shown = self._renderer.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, chat_template=self._renderer.template
        )
        return str(shown), list(ids)

    def spell(self, ids: Sequence[int]) -> str:
        """The text of an answer's ids."""
        return self._renderer.text(ids)

    def tokenise(self, text: str) -> list[int]:
        """As a trainer does it: special tokens are taken for such."""
        return list(self._renderer.tokenizer(text, add_special_tokens=False).input_ids)


def export(
    dataset: Dataset,
    version: int | None,
    format: str,
    out: Path,
    render: Reader | None = None,
    force: bool = False,
    neutral_below: float | None = None,
) -> ExportReport:
    """Write version `version` (by default the latest) to `out`, whole or not at all.

    `render`: how the policy reads, for `step_dpo`; by default its tokenizer, where the manifest names a model with a folder.
    `neutral_below`: for `prm800k`, a share of right rollouts. Raises PairwrightError with the fix if there is nothing to write.
    """
    version = dataset.latest() if version is None else version
    if version is None:
        raise PairwrightError(f"dataset {dataset.name} in {dataset.folder.parent} has no version yet: build one first")
    if out.is_dir() or (out.exists() and not force):
        raise PairwrightError(f"{out} is there already: choose another name, or say --force to overwrite a file")
    kind = _format(format, neutral_below)
    tables = dataset.tables(version)
    if kind.table not in tables:
        raise PairwrightError(
            f"version {version} of {dataset.name} has no table {kind.table}, which {format} is made of: "
            "build a version from a recipe with `steps`"
        )
    if neutral_below is not None and not any(any(row["n"]) for row in _rows(tables[kind.table], ["n"])):
        raise PairwrightError(
            f"no step of version {version} of {dataset.name} was rolled out from, so that none is neutral by its share of right "
            "rollouts: leave `neutral_below` out, or export labels of a search that counts rollouts (omega_prm, monte_carlo)"
        )
    if kind.name == "step_dpo":
        kind = _step_dpo(render or policy_reader(dataset.manifest(version)))
    report = ExportReport(out, kind.name, kind.unit, version)
    with whole_file(out) as temporary, temporary.open("w", encoding="utf-8") as handle:
        handle.writelines(f"{line}\n" for line in _lines(kind, _rows(tables[kind.table], kind.columns), report))
        if not report.rows:
            raise PairwrightError(_nothing(report, kind, dataset))
    return report


def policy_reader(manifest: Manifest) -> PolicyReader | None:
    """How the model whose steps these are reads; None where its engine has no tokenizer of its own."""
    from pairwright.engines.rendering import Renderer

    role = (manifest.recipe.get("steps") or {}).get("completer", "policy")
    model = (manifest.recipe.get("models") or {}).get(role, {})
    if model.get("engine") not in ("transformers", "vllm"):
        return None
    folder = resolve_folder(model["model"], model.get("revision"))
    return PolicyReader(Renderer.from_folder(folder, model.get("chat_template"), bool(model.get("trust_remote_code"))))


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


def _rows(paths: Sequence[Path], columns: Sequence[str]) -> Iterator[Row]:
    from pairwright.storage.parquet import read_table, row_groups

    for path in paths:
        for group in range(row_groups(path)):
            table = read_table(path, list(columns), group)
            for start in range(0, table.num_rows, BATCH):
                yield from table.slice(start, BATCH).to_pylist()


def _lines(kind: Format, rows: Iterator[Row], report: ExportReport) -> Iterator[str]:
    from pairwright.storage.exports.base import Refused

    for row in rows:
        for unit in kind.units(row):
            report.rows_in += 1
            try:
                record = kind.record(unit)
            except Refused as refused:
                report.dropped[refused.reason] += 1
                where = row.get("solution_id") or row.get("pair_id")
                report.examples.setdefault(refused.reason, f"{where}: {refused.detail}")
                continue
            report.rows += 1
            report.inexact += record.get("exact_text") is False
            yield json.dumps(record, allow_nan=False)


def _nothing(report: ExportReport, kind: Format, dataset: Dataset) -> str:
    whole = f"version {report.version} of {dataset.name}"
    if not report.rows_in:
        return f"the table {kind.table} of {whole} holds no {kind.unit} to export: use another version"
    reasons = "; ".join(f"{n} {reason} ({report.examples[reason]})" for reason, n in report.dropped.most_common())
    return f"{kind.name} can carry none of the {report.rows_in} {kind.unit}s of {whole}: {reasons}; use another format"
