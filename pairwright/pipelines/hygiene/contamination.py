"""Which texts hold items of an evaluation, by coverage with 8-grams. The index holds the evaluations, never the data."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from pairwright.pipelines.hygiene.evals import EvalFile, EvalItem
from pairwright.pipelines.hygiene.shingles import Hashes, folded, grams

NGRAM = 8
THRESHOLD = 0.5
CONTAMINATED = 0.02  # of an evaluation's items
EXAMPLES = 5
BATCH = 1000
MARKS = " .,?!:;\"'"

Document = tuple[str, Sequence[str]]  # the id of a row, and its texts


class EvalIndex:
    """The n-grams of all items. `scores` finds the items that texts hold.

    As open-instruct decontaminates for Tulu 3: a word of an item is matched by a text if it lies in an n-gram of the item that
    stands in the text too, wherever and however often; a field's score is its share of matched words, an item's the mean over
    its fields. Ours, where that tool scores 0, skips the item or stops: an absent or empty field has no say; nor has one under
    n words beside one of n or more; an item whose fields are all shorter has score 1 for a text that equals it (all its fields,
    one after the other) but for case, width, white space and marks at the ends. Nothing caps what a search finds.
    """

    def __init__(self, items: Sequence[EvalItem], ngram: int = NGRAM) -> None:
        self.items, self.ngram = items, ngram
        owner = np.array([i for i, item in enumerate(items) for _ in item.texts], np.int64)
        found = grams([_plain(text) for item in items for text in item.texts], ngram)
        self._sizes, self._owner = found.sizes, owner
        self._fields = np.bincount(owner[found.sizes >= ngram], minlength=len(items))  # of each item: those that are long enough
        self._field = np.repeat(np.arange(len(found.sizes)), np.diff(found.offsets))  # of each n-gram, in order of place
        self._order = np.argsort(found.hashes, kind="stable")
        self._hashes = found.hashes[self._order]
        self._short: dict[str, list[int]] = {}
        for i in np.flatnonzero(self._fields == 0).tolist():
            if text := _bare(" ".join(items[i].texts)):
                self._short.setdefault(text, []).append(i)

    def scores(self, texts: Sequence[str]) -> list[dict[int, float]]:
        """For each text: place of an item -> its score, in (0, 1]; an item that shares nothing with the text is absent."""
        found = grams([_plain(text) for text in texts], self.ngram)
        at = np.searchsorted(self._hashes, found.hashes)
        known = at < len(self._hashes)
        known[known] = self._hashes[at[known]] == found.hashes[known]
        scores = [dict.fromkeys(self._short.get(_bare(text), ()), 1.0) for text in texts]
        text_of = np.repeat(np.arange(len(texts)), np.diff(found.offsets))
        for i in np.unique(text_of[known]).tolist():
            span = slice(found.offsets[i], found.offsets[i + 1])
            scores[i] |= self._covered(np.unique(found.hashes[span][known[span]]))
        return scores

    def _covered(self, hashes: Hashes) -> dict[int, float]:
        """The scores by a text that has these n-grams, all of which are in the index."""
        ends = zip(np.searchsorted(self._hashes, hashes), np.searchsorted(self._hashes, hashes, "right"), strict=True)
        entries = np.sort(np.concatenate([self._order[start:end] for start, end in ends]))  # by field, then by place in it
        field = self._field[entries]
        step = np.full(len(entries), self.ngram)  # words that this n-gram covers and the next one does not
        step[:-1] = np.where(np.diff(field) == 0, np.minimum(np.diff(entries), self.ngram), self.ngram)
        fields, which = np.unique(field, return_inverse=True)
        shares = np.bincount(which, step) / self._sizes[fields]
        items, which = np.unique(self._owner[fields], return_inverse=True)
        means = np.bincount(which, shares) / self._fields[items]
        return dict(zip(items.tolist(), means.tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class Example:
    """An item of an evaluation and the row that holds most of it. `text`: the item's first 200 characters."""

    place: str
    text: str
    row: str
    score: float


@dataclass(frozen=True, slots=True)
class EvalReport:
    """What one evaluation file and the data have in common. empty: items without text. contaminated: items that score above the
    threshold. rows: rows of the data to drop. examples: of the highest scores, one an item."""

    file: str
    items: int
    empty: int
    contaminated: int
    rows: int
    examples: tuple[Example, ...]

    @property
    def share(self) -> float:
        """Contaminated items / items."""
        return self.contaminated / self.items

    @property
    def is_contaminated(self) -> bool:
        """Are more than 2 % of the items contaminated (the rule of Tulu 3)?"""
        return self.share > CONTAMINATED


def report(
    evals: Sequence[EvalFile], documents: Iterable[Document], threshold: float = THRESHOLD, ngram: int = NGRAM
) -> list[EvalReport]:
    """For each file: how much of it `documents` hold, each (the id of a row, its texts). Documents are read once, in batches."""
    index = EvalIndex([item for e in evals for item in e.items()], ngram)
    best: dict[int, Example] = {}
    rows: dict[str, set[str]] = {item.file: set() for item in index.items}
    for row, scores in _scored(index, documents):
        for i, score in scores.items():
            if score > threshold:
                item = index.items[i]
                rows[item.file].add(row)
                if i not in best or score > best[i].score:
                    best[i] = Example(item.place, " ".join(item.texts)[:200], row, score)
    reports = []
    for file, dropped in rows.items():
        places = [i for i, item in enumerate(index.items) if item.file == file]
        found = sorted((best[i] for i in places if i in best), key=lambda example: -example.score)
        empty = sum(not index.items[i].texts for i in places)
        reports.append(EvalReport(file, len(places), empty, len(found), len(dropped), tuple(found[:EXAMPLES])))
    return reports


def _scored(index: EvalIndex, documents: Iterable[Document]) -> Iterator[tuple[str, dict[int, float]]]:
    remaining = iter(documents)
    while batch := list(islice(remaining, BATCH)):
        rows = [row for row, texts in batch for _ in texts]
        yield from zip(rows, index.scores([text for _, texts in batch for text in texts]), strict=True)


def _plain(text: str) -> str:
    """In Unicode NFKC: rather one row too many than an item that is missed because its digits are wide."""
    return unicodedata.normalize("NFKC", text)


def _bare(text: str) -> str:
    return folded(_plain(text)).strip(MARKS)
