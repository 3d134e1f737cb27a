"""Read prompts from any mix of sources into one set: equal prompts merged, every row accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import Field

from pairwright.errors import PairwrightError
from pairwright.ids import digest
from pairwright.pipelines.prompts.arithmetic import Arithmetic
from pairwright.pipelines.prompts.builtin import Builtin
from pairwright.pipelines.prompts.readers import Datasets, DuckDB, Jsonl, Parquet
from pairwright.pipelines.prompts.rows import BadRow, Prompt, Source, read_row, shorten

if TYPE_CHECKING:
    import pyarrow as pa

PromptSource = Annotated[Builtin | Arithmetic | Jsonl | Parquet | Datasets | DuckDB, Field(discriminator="source")]
COLUMN_SETTINGS = ("prompt_column", "messages_column", "reference_column", "tags_column")
SHOWN = 5  # bad rows spelled out in an error


class Dropped(NamedTuple):
    """A row that became no prompt. `id` is its place, or for a duplicate the prompt it was merged into."""

    id: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Account:
    """Where the rows went: rows_in = rows_out + the sum of `dropped`. Rows beyond a source's `limit` were never in."""

    rows_in: int
    rows_out: int
    dropped: dict[str, int]


@dataclass(frozen=True, slots=True)
class PromptSet:
    """Prompts with distinct ids in the order of their first rows, and what happened to all other rows."""

    prompts: list[Prompt]
    account: Account
    dropped: list[Dropped]


def read_prompts(sources: Source | Sequence[Source], base: Path) -> PromptSet:
    """Read all `sources`, whose relative paths start at `base` (the recipe's folder).

    Equal prompts are merged: `count` counts them, tags are united, and all but the first are dropped as `duplicate`. One whose
    reference contradicts an earlier one is a bad row, `conflicting_reference`. Other reasons of bad rows: `not_json`, `no_text`,
    `bad_messages`, `bad_reference`, `bad_tags`. Bad rows of sources that say `on_bad_row: stop` are collected from all
    sources and raised as one PairwrightError.
    """
    kept: dict[str, Prompt] = {}
    first_place: dict[str, str] = {}
    dropped: list[Dropped] = []
    stopping: list[Dropped] = []
    rows_in = 0
    for source in [sources] if isinstance(sources, Source) else sources:
        for place, found in _select(source, base):
            rows_in += 1
            prompt = _merge(kept, found)
            if isinstance(prompt, BadRow):
                dropped.append(Dropped(place, prompt.reason, prompt.detail))
                stopping += dropped[-1:] if source.on_bad_row == "stop" else []
                continue
            kept[prompt.prompt_id] = prompt
            first = first_place.setdefault(prompt.prompt_id, place)
            if prompt.count > 1:
                dropped.append(Dropped(prompt.prompt_id, "duplicate", f"{place} repeats {first}"))
    if stopping:
        fix = "mend them, or set `on_bad_row: drop` in their source to go on without them"
        raise PairwrightError(f"{_describe(stopping, rows_in)}; {fix}")
    if not rows_in:
        raise PairwrightError("`prompts` names no source: add one")
    if not kept:
        raise PairwrightError(f"no prompt is left: {_describe(dropped, rows_in)}; mend them or add a source")
    account = Account(rows_in, len(kept), dict(Counter(row.reason for row in dropped)))
    return PromptSet(list(kept.values()), account, dropped)


def prompts_table(prompts: PromptSet) -> pa.Table:
    """The prompts as an Arrow table with the schema `storage.schemas.PROMPTS`."""
    import pyarrow as pa

    from pairwright.storage.schemas import PROMPTS

    rows = [
        {
            "prompt_id": prompt.prompt_id,
            "messages": [{"role": turn.role, "content": turn.content} for turn in prompt.messages],
            "reference": prompt.reference,
            "tags": list(prompt.tags),
            "source": prompt.source,
            "count": prompt.count,
        }
        for prompt in prompts.prompts
    ]
    return pa.Table.from_pylist(rows, schema=PROMPTS)


def _select(source: Source, base: Path) -> Iterator[tuple[str, Prompt | BadRow]]:
    columns_seen: set[str] = set()
    found = _parse(source, base, columns_seen)
    if source.shuffle_seed is not None:
        found = iter(sorted(found, key=lambda row: _shuffle_key(source.shuffle_seed, *row)))
    first = next(found, None)
    if first is None:
        raise PairwrightError(f"the prompt source {source.label()} holds no rows: fill it or take it out of `prompts`")
    yield first
    yield from islice(found, None if source.limit is None else source.limit - 1)
    _check_named_columns(source, columns_seen)


def _parse(source: Source, base: Path, columns_seen: set[str]) -> Iterator[tuple[str, Prompt | BadRow]]:
    columns, label = source.columns(), source.label()
    for place, row in source.rows(base):
        if isinstance(row, BadRow):
            yield place, row
            continue
        columns_seen.update(row)
        try:
            yield place, read_row(row, columns, label)
        except BadRow as bad:
            yield place, bad.with_traceback(None)


def _shuffle_key(seed: int | None, place: str, prompt: Prompt | BadRow) -> str:
    return digest("shuffle", seed, prompt.prompt_id if isinstance(prompt, Prompt) else place)


def _check_named_columns(source: Source, seen: set[str]) -> None:
    """A column the recipe names but no row has is a slip of the pen, not a source without, say, references."""
    for setting in source.model_fields_set.intersection(COLUMN_SETTINGS) if seen else ():
        name = getattr(source, setting)
        if name != type(source).model_fields[setting].default and name not in seen:
            raise PairwrightError(f"no row of {source.label()} has {name!r}, which `{setting}` names: correct or remove it")


def _merge(kept: Mapping[str, Prompt], found: Prompt | BadRow) -> Prompt | BadRow:
    """`found` joined to the equal prompt in `kept`, if there is one it does not contradict."""
    earlier = None if isinstance(found, BadRow) else kept.get(found.prompt_id)
    if isinstance(found, BadRow) or earlier is None:
        return found
    if None not in (earlier.reference, found.reference) and earlier.reference != found.reference:
        detail = (
            f"repeats an earlier prompt with the reference {shorten(found.reference)} instead of {shorten(earlier.reference)}"
        )
        return BadRow("conflicting_reference", detail)
    return replace(
        earlier,
        reference=earlier.reference if found.reference is None else found.reference,
        tags=tuple(dict.fromkeys(earlier.tags + found.tags)),
        count=earlier.count + 1,
    )


def _describe(bad: Sequence[Dropped], rows_in: int) -> str:
    places: dict[str, list[str]] = {}
    for row in bad[:SHOWN]:
        places.setdefault(row.detail, []).append(row.id)
    alike = {detail: f" (and {', '.join(ids[1:])})" if ids[1:] else "" for detail, ids in places.items()}
    listed = (f"{ids[0]}{alike[detail]} {detail}" for detail, ids in places.items())
    more = f"; and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
    return f"{len(bad)} of {rows_in} rows of prompts cannot be used: {'; '.join(listed)}{more}"
