"""Cutting: from stored responses and annotations to pairs that were kept or dropped for a reason. No model is called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pairwright.annotators.base import group_id
from pairwright.annotators.length import debias, fit_alpha
from pairwright.pipelines.combine import combine
from pairwright.pipelines.combining.numbers import spread_within
from pairwright.pipelines.combining.votes import Votes
from pairwright.pipelines.filters import PairColumns, Side, apply_filters
from pairwright.pipelines.filters.base import Comparisons
from pairwright.pipelines.pairs import Candidate, Pair, PairConfig, pair_id, pairs_of, unusable
from pairwright.pipelines.prompts.rows import Prompt
from pairwright.pipelines.recipe import Recipe
from pairwright.storage.parquet import read_table
from pairwright.storage.schemas import pairs_schema

Score = tuple[float | None, str | None]  # a score, or the reason why there is none
COLUMNS = ["response_id", "prompt_id", "text", "tokens", "finish_reason", "reason"]
WON = {"a": 1.0, "b": 0.0, "tie": 0.5}  # what a verdict gives the first response


@dataclass(frozen=True)
class Stored:
    """The finished files a cut reads: responses, and per annotator its annotations. `prompts`: those that take part, by id."""

    prompts: Mapping[str, Prompt]
    responses: Sequence[Path]
    annotations: Mapping[str, Sequence[Path]]

    @cached_property
    def groups(self) -> frozenset[str]:
        """The ids of the groups that take part. Annotations of any other group, of the same prompts or not, are stale."""
        members: dict[str, list[str]] = {}
        for path in self.responses:
            table = read_table(path, ["response_id", "prompt_id", "reason"])
            table = table.filter(pc.is_null(table["reason"]))
            for prompt_id, response_id in zip(table["prompt_id"].to_pylist(), table["response_id"].to_pylist(), strict=True):
                members.setdefault(prompt_id, []).append(response_id)
        known = ((self.prompts[p], ids) for p, ids in members.items() if p in self.prompts)
        return frozenset(group_id(p.prompt_id, ids, p.reference, p.tags) for p, ids in known)


@dataclass(frozen=True)
class Cut:
    """All pairs (kept or not) as a table, how many groups came in, and why those without a pair have none."""

    pairs: pa.Table
    groups: int
    dropped: dict[str, str]  # prompt_id -> reason
    left_out: dict[str, str]  # response_id -> why it is in no pair
    paired: int  # responses that are in a pair

    @cached_property
    def dropped_by(self) -> dict[str, int]:
        """How many pairs each filter dropped."""
        return dict(Counter(x for x in self.pairs["dropped_by"].to_pylist() if x is not None))

    @cached_property
    def kept(self) -> pa.Table:
        """The pairs that are published."""
        return self.pairs.filter(self.pairs["keep"])


def cut(stored: Stored, recipe: Recipe) -> Cut:
    """Combine scores, pair each group, and let every filter score every pair."""
    candidates: dict[str, Candidate] = {}
    pairs: list[tuple[str, Pair]] = []
    dropped: dict[str, str] = {}
    left_out: dict[str, str] = {}
    groups = 0
    for prompt_id, group in _scored_groups(stored, recipe):
        outcome = pairs_of(group, recipe.pair, prompt_id)
        groups += 1
        if outcome.dropped is not None:
            dropped[prompt_id] = outcome.dropped
        paired = {i for p in outcome.pairs for i in (p.chosen_id, p.rejected_id)}
        for c in group:
            if c.response_id in paired:
                candidates[c.response_id] = c
            else:
                left_out[c.response_id] = outcome.left_out.get(c.response_id, "not_taken")
        pairs += [(prompt_id, pair) for pair in outcome.pairs]
    pairs.sort(key=lambda item: (item[0], -item[1].margin, item[1].rejected_id))
    return Cut(_judged(pairs, candidates, stored, recipe), groups, dropped, left_out, len(candidates))


def _scored_groups(stored: Stored, recipe: Recipe) -> Iterator[tuple[str, list[Candidate]]]:
    """The candidates of each group with their combined scores. A response that can enter no pair has no say in what the others
    are measured against: it is left out before scores are standardised and lengths compared."""
    assert recipe.combine is not None
    scores = {name: read_scores(stored.annotations[name], stored.groups) for name in recipe.combine.scores}
    alphas = {name: fit_alpha(list(_lengths(stored, recipe.pair, scores[name]))) for name in recipe.combine.automatic}
    spreads = {
        name: spread_within([debias(s, n, alpha).tolist() for s, n in _lengths(stored, recipe.pair, scores[name])])
        for name, alpha in recipe.combine.alphas(alphas).items()
        if name in recipe.combine.spread_of
    }
    voters = recipe.combine.scores if recipe.combine.rule == "votes" else ()
    comparisons = {name: read_comparisons(stored.annotations[name], stored.groups) for name in voters}
    for prompt_id, rows in read_groups(stored):
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
            recipe.combine,
            chars,
            alphas,
            spreads,
            {name: _met(ids, barriers, known) for name, known in comparisons.items() if not known.compared.isdisjoint(ids)},
        )
        yield (
            prompt_id,
            [
                Candidate(row["response_id"], row["text"], score, reason, row["tokens"] or 0, n, row["finish_reason"])
                for row, n, score, reason in zip(rows, chars, combined.scores, combined.reasons, strict=True)
            ],
        )


def _met(ids: Sequence[str], barriers: Sequence[str | None], known: Comparisons) -> Votes:
    """The votes of one group by the places of its responses; those that can enter no pair are not voted on."""
    places = [i for i, barrier in enumerate(barriers) if barrier is None]
    return {(i, j): known.verdicts[ids[i], ids[j]] for i, j in combinations(places, 2) if (ids[i], ids[j]) in known.verdicts}


def read_groups(stored: Stored) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """(prompt_id, its responses that were made), one file at a time; a file holds whole groups."""
    wanted = pa.array(list(stored.prompts), pa.string())
    for path in stored.responses:
        table = read_table(path, COLUMNS)
        table = table.filter(pc.and_(pc.is_null(table["reason"]), pc.is_in(table["prompt_id"], wanted)))
        rows: dict[str, list[dict[str, Any]]] = {}
        for row in table.to_pylist():
            rows.setdefault(row["prompt_id"], []).append(row)
        yield from rows.items()


def read_scores(files: Iterable[Path], groups: frozenset[str]) -> dict[str, Score]:
    """response id -> its score in one of `groups`, or the reason why it has none. Comparisons of two responses are not scores."""
    scores: dict[str, Score] = {}
    wanted = pa.array(groups, pa.string())
    for path in files:
        table = read_table(path, ["group_id", "subject_id", "other_id", "score", "reason"])
        table = table.filter(pc.and_(pc.is_null(table["other_id"]), pc.is_in(table["group_id"], wanted)))
        columns = (table[name].to_pylist() for name in ("subject_id", "score", "reason"))
        scores |= {subject: (score, reason) for subject, score, reason in zip(*columns, strict=True)}
    return scores


def read_comparisons(files: Iterable[Path], groups: frozenset[str]) -> Comparisons:
    """What an annotator found of two responses of one of `groups`."""
    verdicts, probabilities = dict[tuple[str, str], float](), dict[tuple[str, str], float]()
    compared, wanted = set[str](), pa.array(groups, pa.string())
    for path in files:
        table = read_table(path, ["group_id", "subject_id", "other_id", "label", "score"])
        table = table.filter(pc.is_in(table["group_id"], wanted))
        both = table.filter(pc.is_valid(table["other_id"]))
        compared.update(table.filter(pc.is_in(table["group_id"], both["group_id"].combine_chunks()))["subject_id"].to_pylist())
        columns = (both[name].to_pylist() for name in ("subject_id", "other_id", "label", "score"))
        for a, b, label, p in zip(*columns, strict=True):
            if label in WON:
                verdicts[a, b], verdicts[b, a] = WON[label], 1 - WON[label]
                if p is not None:
                    probabilities[a, b], probabilities[b, a] = p, 1 - p
    return Comparisons(verdicts, compared, probabilities)


def read_parts(files: Iterable[Path], groups: frozenset[str], subjects: set[str]) -> dict[str, dict[str, float]]:
    """response id -> the numbers its annotation in one of `groups` was made of, for the valid ones of `subjects`."""
    wanted, inside, parts = pa.array(subjects, pa.string()), pa.array(groups, pa.string()), {}
    for path in files:
        table = read_table(path, ["group_id", "subject_id", "other_id", "valid", "parts"])
        here = pc.and_(pc.is_in(table["group_id"], inside), pc.is_in(table["subject_id"], wanted))
        table = table.filter(pc.and_(pc.and_(table["valid"], pc.is_null(table["other_id"])), here))
        for subject, items in zip(table["subject_id"].to_pylist(), table["parts"].to_pylist(), strict=True):
            parts[subject] = {item["name"]: item["value"] for item in items}
    return parts


def _lengths(stored: Stored, rule: PairConfig, scores: Mapping[str, Score]) -> Iterator[tuple[list[float], list[int]]]:
    for _, rows in read_groups(stored):
        usable = [row for row in rows if unusable(row["text"], row["finish_reason"], rule) is None]
        known = [(scores.get(row["response_id"], (None, None))[0], len(row["text"])) for row in usable]
        group = [(score, n) for score, n in known if score is not None]
        if len(group) > 1:
            yield [s for s, _ in group], [n for _, n in group]


def _judged(pairs: Sequence[tuple[str, Pair]], candidates: Mapping[str, Candidate], stored: Stored, recipe: Recipe) -> pa.Table:
    def side(ids: list[str], scores: list[float]) -> Side:
        found = [candidates[i] for i in ids]
        return Side(
            ids,
            np.array(scores, np.float64),
            np.array([c.tokens for c in found], np.int64),
            np.array([c.chars for c in found], np.int64),
            [c.finish_reason for c in found],
            lambda: [c.text for c in found],
        )

    ids = [pair_id(prompt_id, p.chosen_id, p.rejected_id) for prompt_id, p in pairs]
    columns = PairColumns(
        ids,
        side([p.chosen_id for _, p in pairs], [p.score_chosen for _, p in pairs]),
        side([p.rejected_id for _, p in pairs], [p.score_rejected for _, p in pairs]),
        lambda name: read_parts(stored.annotations[name], stored.groups, set(candidates)),
        lambda name: {i: s for i, (s, _) in read_scores(stored.annotations[name], stored.groups).items() if s is not None},
        lambda name: read_comparisons(stored.annotations[name], stored.groups),
    )
    outcome = apply_filters(recipe.filters, columns)
    return pa.table(
        {
            "pair_id": ids,
            "prompt_id": [prompt_id for prompt_id, _ in pairs],
            "chosen_id": columns.chosen.ids,
            "rejected_id": columns.rejected.ids,
            "score_chosen": columns.chosen.scores,
            "score_rejected": columns.rejected.scores,
            "margin": [p.margin for _, p in pairs],
            "keep": outcome.keep,
            "dropped_by": outcome.dropped_by,
            "reason": outcome.reason,
            **{f"{name}_score": pa.array(v.filled(0.0), mask=np.ma.getmaskarray(v)) for name, v in outcome.scores.items()},
        },
        schema=pairs_schema([f.name for f in recipe.filters]),
    )
