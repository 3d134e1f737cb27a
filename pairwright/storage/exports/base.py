"""What an export format is: a pure function of one published row, and its inverse.

`stepwise` and `step_preference` rows are step labels, `preference` and `unpaired` rows whole responses (see pairs.py).

Every record holds the ids of what it was made from. A row that a format cannot carry is refused with a reason, and no record is
given that would be read back as something else. In every format of steps but `openr` and `value` the whitespace that ends a step
is taken for the separator, and is not carried.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

Row = Mapping[str, Any]
Record = dict[str, Any]


class Refused(Exception):
    """A row that a format cannot carry: a reason (snake_case, the same for equal causes) and a sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


class Format(ABC):
    """A way to write rows of `table`. `columns`: what it needs of them. `unit`: what one record is about."""

    name: ClassVar[str]
    table: ClassVar[str] = "stepwise"
    unit: ClassVar[str] = "solution"
    columns: ClassVar[tuple[str, ...]]
    everything: ClassVar[bool] = False
    """Does it carry the columns that it does not name too, soft labels (`p_chosen`) among them?"""
    schema: ClassVar[pa.Schema | None] = None
    """Of its records, for Parquet; None: JSON lines only."""

    def units(self, row: Row) -> Iterable[Row]:
        """The parts of `row` that make a record each: the row itself, unless the format says otherwise."""
        return (row,)

    @abstractmethod
    def write(self, row: Row) -> Record:
        """The record of a unit. Raises Refused."""

    @abstractmethod
    def read(self, record: Record) -> dict[str, Any]:
        """What a record says, by the columns of `table`; ids that a foreign record lacks are None. Raises Refused."""

    @abstractmethod
    def carried(self, row: Row) -> dict[str, Any]:
        """What `read` gives back of a unit that was not refused."""

    def record(self, row: Row) -> Record:
        """The record of a unit, read back and compared before it is given. Raises Refused."""
        record = self.write(row)
        if self.read(record) != self.carried(row):
            raise Refused("not_reversible", "the record would be read back as something else")
        return record

    def beside(self, path: Path) -> dict[str, str]:
        """The texts of files that the consumer needs in the folder of `path`, by name."""
        return {}

    def hint(self, path: Path) -> str:
        """What to tell the consumer so that it reads `path`; empty where nothing need be said."""
        return ""


def ids(row: Row) -> dict[str, Any]:
    """Where a record comes from."""
    return {"prompt_id": row.get("prompt_id"), "solution_id": row.get("solution_id")}


def bare(texts: Iterable[str]) -> list[str]:
    """Steps without the whitespace that ends them."""
    return [text.rstrip() for text in texts]


def steps_of(texts: Sequence[str]) -> list[str]:
    """`texts` without the whitespace that ends them. Raises Refused unless there are some and each says something."""
    found = bare(texts)
    if not found:
        raise Refused("no_steps", "there is no step")
    if "" in found:
        raise Refused("empty_step", f"step {found.index('')} says nothing")
    return found


def labels_of(row: Row) -> list[bool]:
    """One hard label a completion. Raises Refused if one is missing."""
    labels = list(row["labels"])
    if len(labels) != len(row["completions"]):
        raise Refused("wrong_count", f"{len(labels)} labels for {len(row['completions'])} steps")
    if None in labels:
        raise Refused("label_missing", f"step {labels.index(None)} has no label")
    return labels


def scores_of(row: Row) -> list[float | None]:
    """One score a completion; None where there is none that is finite."""
    scores = list(row["scores"])
    if len(scores) != len(row["completions"]):
        raise Refused("wrong_count", f"{len(scores)} scores for {len(row['completions'])} steps")
    return [score if score is not None and math.isfinite(score) else None for score in scores]


def shares_of(row: Row) -> list[float | None]:
    """The share of right rollouts, `correct` of `n`, from after each completion; None where there were none."""
    steps, n, correct = len(row["completions"]), list(row["n"]), list(row["correct"])
    if not steps == len(n) == len(correct):
        raise Refused("wrong_count", f"{len(n)} and {len(correct)} counts for {steps} steps")
    return [right / of if of else None for right, of in zip(correct, n, strict=True)]


def refuse_tag(tag: str, texts: Iterable[str]) -> None:
    """Raise Refused if one of `texts` holds the tag by which the format finds its labels."""
    if any(tag in text for text in texts):
        raise Refused("tag_in_text", f"the prompt or a step holds {tag!r} itself")


def signs_to_labels(signs: Sequence[str]) -> list[bool]:
    """Labels from "+" and "-". Raises Refused for anything else."""
    if set(signs) - {"+", "-"}:
        raise Refused("bad_label", "a label is neither + nor -")
    return [sign == "+" for sign in signs]
