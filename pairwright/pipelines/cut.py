"""Cutting: from stored responses and annotations to pairs that were kept or dropped for a reason. No model is called.

Groups are paired slab by slab and written down; then relabelling and filters go over what was written. What is held in memory is
a slab, and a number per pair and filter.
"""

from __future__ import annotations

import math
import tempfile
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pairwright.annotators.displacement import ches_between
from pairwright.annotators.length import debias, fit_alpha
from pairwright.files import scratch
from pairwright.pipelines.combine import combine
from pairwright.pipelines.combining.numbers import spread_within
from pairwright.pipelines.combining.votes import Votes
from pairwright.pipelines.filters.base import Comparisons
from pairwright.pipelines.judged import Drafts, Treated, judge
from pairwright.pipelines.pairs import Candidate, Ches, PairConfig, PairOutcome, admissible, pair_id, pairs_of, ranked, unusable
from pairwright.pipelines.recipe import Recipe
from pairwright.pipelines.stored import RESPONSE, Annotations, Slab, Stored
from pairwright.storage.parquet import read_table, write_table
from pairwright.storage.schemas import DROPPED
from pairwright.storage.versions import TRAIN

__all__ = ["Cut", "Stored", "cut", "draft"]


@dataclass
class Cut:
    """All pairs (kept or not) and every group and response that is in none, written down in a folder that goes with this object.

    groups: how many came in. paired: responses that are in a pair. reasons: for groups and responses, how many are in no pair and
    why. dropped_by: how many pairs each filter dropped; kept: how many none did. treated: what each
    relabelling did.
    """

    folder: tempfile.TemporaryDirectory[str]
    groups: int = 0
    paired: int = 0
    kept_rows: int = 0
    rows: int = 0
    reasons: dict[str, Counter[str]] = field(default_factory=lambda: {"group": Counter(), "response": Counter()})
    dropped_by: dict[str, int] = field(default_factory=dict)
    treated: list[Treated] = field(default_factory=list)

    @property
    def pairs_file(self) -> Path:
        """The pairs, as the table `pairs` of a version."""
        return Path(self.folder.name) / "pairs.parquet"

    @property
    def dropped_file(self) -> Path:
        """Groups and responses that are in no pair, as the table `dropped` of a version."""
        return Path(self.folder.name) / "dropped.parquet"

    @cached_property
    def splits(self) -> list[str]:
        """The splits that have kept pairs; train comes first, and is there even if nothing is."""
        table = read_table(self.pairs_file, ["keep", "split"])
        found = pc.unique(table.filter(table["keep"])["split"]).to_pylist()
        return [TRAIN, *sorted(set(found) - {TRAIN})]

    @cached_property
    def pairs(self) -> pa.Table:
        """All pairs, in memory."""
        return read_table(self.pairs_file)

    @cached_property
    def kept(self) -> pa.Table:
        """The pairs that are published, in memory."""
        return self.pairs.filter(self.pairs["keep"])

    @cached_property
    def dropped(self) -> dict[str, str]:
        """prompt id -> why its group gives no pair."""
        return self._why("group")

    @cached_property
    def left_out(self) -> dict[str, str]:
        """response id -> why it is in no pair."""
        return self._why("response")

    def _why(self, unit: str) -> dict[str, str]:
        table = read_table(self.dropped_file, ["unit", "id", "reason"])
        return {row["id"]: row["reason"] for row in table.to_pylist() if row["unit"] == unit}


def cut(stored: Stored, recipe: Recipe) -> Cut:
    """Combine scores, pair each group, and let every filter score every pair."""
    made, drafts = draft(stored, recipe)
    outcome, made.treated = judge(drafts, stored, recipe, made.pairs_file)
    made.rows, made.kept_rows = drafts.rows, int(outcome.keep.sum())
    made.dropped_by = dict(Counter(name for name in outcome.dropped_by if name is not None))
    return made


def draft(stored: Stored, recipe: Recipe) -> tuple[Cut, Drafts]:
    """Pairs that nobody has relabelled or filtered yet, in the folder of a cut that knows already what is in no pair."""
    made = Cut(tempfile.TemporaryDirectory(prefix="cut-", dir=scratch()))
    budget = _budget(stored, recipe)
    with Drafts(Path(made.folder.name) / "drafts.parquet") as drafts:
        choose = partial(pairs_of, rule=recipe.pair, budget=budget)
        lost = (
            _paired(slab, groups, partial(choose, ches=_ches(said, recipe.pair)), made, drafts)
            for slab, said, groups in _scored_slabs(stored, recipe)
        )
        write_table(made.dropped_file, lost, DROPPED)
    return made, drafts


def _ches(said: Annotations, rule: PairConfig) -> Ches | None:
    """CHES of two responses of a slab, where the rule asks for it."""
    if rule.ches is None:
        return None
    return partial(ches_between, said.parts(rule.ches.annotator), variant=rule.ches.variant)


def _budget(stored: Stored, recipe: Recipe) -> float:
    """The most CHES that the rule allows a pair."""
    ches = recipe.pair.ches
    if ches is None or ches.max is not None:
        return math.inf if ches is None else ches.max or 0.0
    values = array("d")
    for _, said, groups in _scored_slabs(stored, recipe):
        measure = _ches(said, recipe.pair)
        for _, located in groups:
            found = admissible(ranked([c for c, _ in located], recipe.pair).ranked, recipe.pair)
            pairs = [] if isinstance(found, str) else found
            values.extend(v for c, r in pairs if measure and (v := measure(c.response_id, r.response_id)) is not None)
    return float(np.quantile(np.array(values), ches.quantile)) if values else math.inf


Located = tuple[Candidate, int]  # a response and its place


def _paired(
    slab: Slab, groups: Sequence[tuple[str, list[Located]]], choose: Callable[..., PairOutcome], made: Cut, drafts: Drafts
) -> pa.Table:
    """Pair the groups of a slab; returns what is in no pair."""
    lost: list[tuple[str, str, str]] = []
    rows: list[tuple[Any, ...]] = []
    for prompt_id, located in groups:
        outcome = choose([c for c, _ in located], key=prompt_id)
        made.groups += 1
        if outcome.dropped is not None:
            lost.append(("group", prompt_id, outcome.dropped))
        found = {c.response_id: (c, place) for c, place in located}
        paired = set[str]()
        for p in outcome.pairs:
            paired |= {p.chosen_id, p.rejected_id}
            sides = [
                (i, score, c.tokens, c.chars, c.finish_reason, place)
                for i, score in ((p.chosen_id, p.score_chosen), (p.rejected_id, p.score_rejected))
                for c, place in (found[i],)
            ]
            rows.append((pair_id(prompt_id, p.chosen_id, p.rejected_id), prompt_id, *sides[0], *sides[1]))
        made.paired += len(paired)
        lost += [("response", c, outcome.left_out.get(c, "not_taken")) for c in found if c not in paired]
    drafts.add(slab, rows)
    for unit, _, reason in lost:
        made.reasons[unit][reason] += 1
    units, ids_, reasons = zip(*lost, strict=True) if lost else ((), (), ())
    stages, details = ["pair"] * len(lost), [None] * len(lost)
    return pa.table([stages, units, ids_, reasons, details], schema=DROPPED)


def _scored_slabs(stored: Stored, recipe: Recipe) -> Iterator[tuple[Slab, Annotations, list[tuple[str, list[Located]]]]]:
    """A slab, its annotations, and the candidates of each group with their combined scores. A response that can enter no pair
    has no say in what the others are measured against: it is left out before scores are standardised and lengths compared."""
    rule = recipe.combine
    assert rule is not None
    names = tuple(rule.scores)
    alphas = {name: fit_alpha(list(_lengths(stored, recipe.pair, name))) for name in rule.automatic}
    spreads = {
        name: spread_within([debias(s, n, alpha).tolist() for s, n in _lengths(stored, recipe.pair, name)])
        for name, alpha in rule.alphas(alphas).items()
        if name in rule.spread_of
    }
    annotations = Annotations(stored)
    for slab in stored.index.slabs:
        said = annotations.at(slab)
        scores = {name: said.scores(name) for name in names}
        compared = {name: said.comparisons(name) for name in (names if rule.rule == "votes" else ())}
        groups = []
        for prompt_id, rows in read_groups(stored, slab):
            barriers = [unusable(row["text"], row["finish_reason"], recipe.pair) for row in rows]
            found = {
                name: [
                    (None, barrier) if barrier else known.get(row["response_id"], (None, "no_annotation"))
                    for row, barrier in zip(rows, barriers, strict=True)
                ]
                for name, known in scores.items()
            }
            ids, chars = [row["response_id"] for row in rows], [len(row["text"]) for row in rows]
            combined = combine(
                {name: [s for s, _ in column] for name, column in found.items()},
                {name: [r for _, r in column] for name, column in found.items()},
                rule,
                chars,
                alphas,
                spreads,
                {name: _met(ids, barriers, known) for name, known in compared.items() if not known.compared.isdisjoint(ids)},
            )
            candidates = [
                Candidate(row["response_id"], row["text"], score, reason, row["tokens"], n, row["finish_reason"])
                for row, n, score, reason in zip(rows, chars, combined.scores, combined.reasons, strict=True)
            ]
            groups.append((prompt_id, list(zip(candidates, [row["place"] for row in rows], strict=True))))
        yield slab, said, groups


def _met(ids: Sequence[str], barriers: Sequence[str | None], known: Comparisons) -> Votes:
    """The votes of one group by the places of its responses; those that can enter no pair are not voted on."""
    places = [i for i, barrier in enumerate(barriers) if barrier is None]
    return {(i, j): known.verdicts[ids[i], ids[j]] for i, j in combinations(places, 2) if (ids[i], ids[j]) in known.verdicts}


def read_groups(stored: Stored, slab: Slab) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """(prompt_id, its responses that were made), group by group."""
    rows = stored.read(slab, RESPONSE).to_pylist()
    starts = [i for i, (a, b) in enumerate(pairwise([None, *(row["prompt_id"] for row in rows)])) if a != b]
    for start, end in pairwise([*starts, len(rows)]):
        yield rows[start]["prompt_id"], rows[start:end]


def _lengths(stored: Stored, rule: PairConfig, annotator: str) -> Iterator[tuple[list[float], list[int]]]:
    """The scores of each group and the lengths of its responses, in characters."""
    annotations = Annotations(stored)
    for slab in stored.index.slabs:
        scores = annotations.at(slab).scores(annotator)
        for _, rows in read_groups(stored, slab):
            usable = [row for row in rows if unusable(row["text"], row["finish_reason"], rule) is None]
            known = [(scores.get(row["response_id"], (None, None))[0], len(row["text"])) for row in usable]
            group = [(score, n) for score, n in known if score is not None]
            if len(group) > 1:
                yield [s for s, _ in group], [n for _, n in group]
