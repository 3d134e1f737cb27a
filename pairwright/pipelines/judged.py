"""What relabelling and filters make of the pairs of a cut: drafts go in slab by slab, finished rows of `pairs` come out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pairwright.pipelines.filters.base import Filter, FilterOutcome, FilterScores, Floats, Ints, PairColumns, Side, decide
from pairwright.pipelines.hygiene.split import split_of
from pairwright.pipelines.hygiene.turns import conversation
from pairwright.pipelines.pairs import pair_id
from pairwright.pipelines.relabel.base import Relabel
from pairwright.pipelines.stored import SLAB_ROWS, Annotations, Slab, Stored
from pairwright.storage.parquet import read_table, write_table
from pairwright.storage.schemas import pairs_schema
from pairwright.storage.versions import TRAIN

if TYPE_CHECKING:
    from pairwright.pipelines.recipe import Recipe

Bools = npt.NDArray[np.bool_]
SIDE = {
    "id": pa.string(),
    "score": pa.float64(),
    "tokens": pa.int64(),
    "chars": pa.int64(),
    "finish": pa.string(),
    "place": pa.int64(),
}
DRAFT = pa.schema(
    [
        ("pair_id", pa.string()),
        ("prompt_id", pa.string()),
        *[(f"{side}_{name}", kind) for side in ("chosen", "rejected") for name, kind in SIDE.items()],
    ]
)


class Drafts:
    """Pairs that nobody has judged yet, on disk, a row group per slab that has any."""

    def __init__(self, path: Path) -> None:
        self._path, self._writer = path, pq.ParquetWriter(path, DRAFT)
        self.slabs: list[Slab] = []
        self.starts: list[int] = [0]  # the number of each slab's first pair, and at last the number of pairs

    def __enter__(self) -> Drafts:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._writer.close()

    @property
    def rows(self) -> int:
        """How many pairs there are."""
        return self.starts[-1]

    def add(self, slab: Slab, rows: Sequence[tuple[Any, ...]]) -> None:
        """Write down the pairs of a slab, values in the order of DRAFT."""
        if rows:
            columns = [pa.array(column, kind.type) for column, kind in zip(zip(*rows, strict=True), DRAFT, strict=True)]
            self._writer.write_table(pa.table(columns, schema=DRAFT), row_group_size=len(rows))
            self.slabs.append(slab)
            self.starts.append(self.rows + len(rows))

    def read(self, flip: Bools) -> Iterator[tuple[Slab, slice, pa.Table]]:
        """Slab by slab: which pairs are there, and the pairs themselves, turned around where `flip` (of all pairs) says so."""
        for i, slab in enumerate(self.slabs):
            here = slice(self.starts[i], self.starts[i + 1])
            yield slab, here, turned(read_table(self._path, row_group=i), flip[here])


def turned(pairs: pa.Table, flip: Bools) -> pa.Table:
    """Drafts with chosen and rejected changing places where `flip`, which gives a pair another id."""
    if not flip.any():
        return pairs
    mask = pa.array(flip)
    made = {
        f"{side}_{name}": pc.if_else(mask, pairs[f"{other}_{name}"], pairs[f"{side}_{name}"])
        for side, other in (("chosen", "rejected"), ("rejected", "chosen"))
        for name in SIDE
    }
    known = zip(pairs["pair_id"].to_pylist(), flip, strict=True)
    ids = zip(known, pairs["prompt_id"].to_pylist(), made["chosen_id"].to_pylist(), made["rejected_id"].to_pylist(), strict=True)
    made["pair_id"] = pa.array([pair_id(prompt, c, r) if other else same for (same, other), prompt, c, r in ids], pa.string())
    return pa.table({"prompt_id": pairs["prompt_id"], **made}).select(DRAFT.names).cast(DRAFT)


def columns_of(pairs: pa.Table, slab: Slab, annotations: Annotations) -> PairColumns:
    """Drafts as filters see them; what is not in them is read when it is first asked for."""
    stored = annotations.stored
    said = annotations.at(slab)

    @cache
    def texts() -> pa.ChunkedArray:
        return stored.index.read(slab, ["text"])["text"]

    def load(places: Ints) -> Sequence[str]:
        return texts().take(pa.array(places - slab.low)).to_pylist()

    def side(name: str) -> Side:
        places = pairs[f"{name}_place"].to_numpy()
        return Side(
            pairs[f"{name}_id"].to_pylist(),
            pairs[f"{name}_score"].to_numpy(),
            pairs[f"{name}_tokens"].to_numpy().astype(np.float64),  # NaN where nobody counted
            pairs[f"{name}_chars"].to_numpy(),
            pairs[f"{name}_finish"].to_pylist(),
            lambda: load(places),
        )

    return PairColumns(
        pairs["pair_id"].to_pylist(),
        side("chosen"),
        side("rejected"),
        said.parts,
        lambda name: {response: score for response, (score, _) in said.scores(name).items() if score is not None},
        said.comparisons,
        lambda: stored.prompts_of(pairs["prompt_id"].to_pylist()),
        said.comparison_parts,
    )


@dataclass(frozen=True)
class Treated:
    """How many of `pairs` one rule turned around and softened (it may be the same ones), and could not score, most for `why`."""

    rule: str
    pairs: int
    turned: int
    softened: int
    unscored: int
    why: str | None

    def __str__(self) -> str:
        known = f"relabel {self.rule}: turned {self.turned:,}, softened {self.softened:,}, not scored {self.unscored:,}"
        return known if self.why is None else f"{known} (mostly: {self.why})"


@dataclass(frozen=True)
class Labels:
    """What relabelling came to, per pair: turned around?, P(chosen is better) where the label is soft, and the last rule that
    changed anything. treated: what each rule did."""

    flip: Bools
    p_chosen: Floats
    by: npt.NDArray[np.object_]
    treated: list[Treated] = field(default_factory=list)


def judge(drafts: Drafts, stored: Stored, recipe: Recipe, out: Path) -> tuple[FilterOutcome, list[Treated]]:
    """Relabel, filter and split all drafts and write them to `out` as the table `pairs`; what came of it."""
    filters = recipe.filters
    labels = relabelled(drafts, stored, recipe.relabel)
    outcome = decide(filters, scored(filters, drafts, stored, labels.flip), drafts.rows)
    splits = split_of(_texts(stored), **recipe.split.settings()) if recipe.split else None
    schema = pairs_schema([f.name for f in filters])
    finished = (_finished(pairs, here, labels, outcome, splits, schema) for _, here, pairs in drafts.read(labels.flip))
    write_table(out, finished, schema)
    return outcome, labels.treated


def relabelled(drafts: Drafts, stored: Stored, relabels: Sequence[Relabel]) -> Labels:
    """What the rules make of the labels, one after the other."""
    n = drafts.rows
    labels = Labels(np.zeros(n, bool), np.full(n, np.nan), np.full(n, None, object))
    for rule in relabels:
        (scores,) = scored([rule], drafts, stored, labels.flip)
        treatment = rule.treat(scores.values.compressed())
        known = np.flatnonzero(~np.ma.getmaskarray(scores.values))
        soft = ~np.isnan(treatment.p_chosen)
        labels.flip[known] ^= treatment.flip
        labels.p_chosen[known[treatment.flip]] = np.nan  # it was about the other way around
        labels.p_chosen[known[soft]] = treatment.p_chosen[soft]
        labels.by[known[treatment.flip | soft]] = rule.name
        missing = Counter(r for r in scores.reasons if r is not None)
        why = next((reason for reason, _ in missing.most_common(1)), None)
        labels.treated.append(Treated(rule.name, n, int(treatment.flip.sum()), int(soft.sum()), missing.total(), why))
    return labels


def scored(rules: Sequence[Filter | Relabel], drafts: Drafts, stored: Stored, flip: Bools) -> list[FilterScores]:
    """Every rule's score of every pair."""
    found: dict[str, list[FilterScores]] = {rule.name: [] for rule in rules}
    some = [rule for rule in rules if not rule.whole]
    annotations = Annotations(stored)
    for slab, _, pairs in drafts.read(flip) if some else ():
        columns = columns_of(pairs, slab, annotations)
        for rule in some:
            found[rule.name].append(_checked(rule, columns))
    if len(some) < len(rules):
        columns, back = _everything(drafts, stored, flip)
        for rule in rules:
            if rule.whole:
                found[rule.name].append(_checked(rule, columns).take(back))
    return [FilterScores.joined(found[rule.name]) for rule in rules]


def _checked(rule: Filter | Relabel, columns: PairColumns) -> FilterScores:
    scores = rule.score(columns)
    if len(scores.reasons) != len(columns):
        raise ValueError(f"{rule.name!r} gave {len(scores.reasons)} scores for {len(columns)} pairs")
    return scores


def _everything(drafts: Drafts, stored: Stored, flip: Bools) -> tuple[PairColumns, Ints]:
    """All pairs in the order of their ids, which does not depend on what was finished first, and each one's place in it."""
    pairs = pa.concat_tables([DRAFT.empty_table(), *(pairs for _, _, pairs in drafts.read(flip))])
    order = pc.sort_indices(pairs["pair_id"]).to_numpy()
    return columns_of(pairs.take(order), stored.whole, Annotations(stored)), np.argsort(order)


def _texts(stored: Stored) -> Iterator[tuple[str, str]]:
    """All prompts, whether they have pairs or not, so that neither pair rules nor filters move a prompt to another split."""
    ids = list(stored.prompts)
    for start in range(0, len(ids), SLAB_ROWS):
        for prompt in stored.prompts_of(ids[start : start + SLAB_ROWS]):
            yield prompt.prompt_id, conversation(prompt)


def _finished(
    pairs: pa.Table,
    here: slice,
    labels: Labels,
    outcome: FilterOutcome,
    splits: Mapping[str, str] | None,
    schema: pa.Schema,
) -> pa.Table:
    scores = {
        f"{name}_score": pa.array(v[here].filled(0.0), mask=np.ma.getmaskarray(v[here])) for name, v in outcome.scores.items()
    }
    soft = labels.p_chosen[here]
    made = {
        **{name: pairs[name] for name in ("pair_id", "prompt_id", "chosen_id", "rejected_id")},
        "score_chosen": pairs["chosen_score"],
        "score_rejected": pairs["rejected_score"],
        "margin": pc.subtract(pairs["chosen_score"], pairs["rejected_score"]),
        "relabelled_by": pa.array(labels.by[here], pa.string()),
        "p_chosen": pa.array(soft, mask=np.isnan(soft)),
        "split": pa.array([splits[p] if splits else TRAIN for p in pairs["prompt_id"].to_pylist()], pa.string()),
        "keep": outcome.keep[here],
        "dropped_by": pa.array(outcome.dropped_by[here], pa.string()),
        "reason": pa.array(outcome.reason[here], pa.string()),
        **scores,
    }
    return pa.table(made, schema=schema)
