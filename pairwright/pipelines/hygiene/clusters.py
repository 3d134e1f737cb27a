"""Which texts are the same, or nearly: candidates by MinHash, each checked exactly, and one kept for all that are like it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Literal

import numpy as np
import numpy.typing as npt

from pairwright.pipelines.hygiene.minhash import NOTHING, band_keys, bands_for, signatures
from pairwright.pipelines.hygiene.shingles import Hashes, folded, grams, hash64, jaccard

WORDS = 5  # of a shingle
SLACK = 0.15  # candidates are looked for below the wanted similarity: at its own threshold banding finds only half of them
CHECKS = 16  # of a text in one bucket, so that a million texts of one mould cost no million squared
CHUNK = 2000  # texts hashed at a time

Joined = Literal["direct", "chained"]
Rank = str | tuple[float, str]


@dataclass(frozen=True)
class Clusters:
    """What N texts came to. first[i]: the place of the text that is kept for i, the first of its cluster by rank; of a
    kept text its own. alike[i]: how alike the two are. same[i]: are they equal but for case and white space?"""

    first: npt.NDArray[np.int64]
    alike: npt.NDArray[np.float64]
    same: npt.NDArray[np.bool_]


class Forest:
    """Union-find over 0 ... n - 1; the root of a tree is its smallest member."""

    def __init__(self, n: int) -> None:
        self.parent = list(range(n))

    def find(self, i: int) -> int:
        """The smallest member of i's tree."""
        while self.parent[i] != i:
            self.parent[i] = self.parent[self.parent[i]]
            i = self.parent[i]
        return i

    def join(self, i: int, j: int) -> None:
        """Make one tree of i's and j's."""
        i, j = self.find(i), self.find(j)
        self.parent[max(i, j)] = min(i, j)


class Texts:
    """N texts of one or more parts each, in the order of their ranks. `kinds`: only texts of one kind are ever alike."""

    def __init__(self, order: Sequence[int], columns: Sequence[Sequence[str]], kinds: Sequence[str] | None) -> None:
        self.order, self.columns, self.kinds = order, columns, kinds
        self.shingles = lru_cache(maxsize=4096)(self._shingles)

    def parts(self, rank: int) -> list[str]:
        """The parts of one text."""
        return [column[self.order[rank]] for column in self.columns]

    def kind(self, rank: int) -> str:
        """The kind of one text."""
        return self.kinds[self.order[rank]] if self.kinds is not None else ""

    def exact(self, rank: int) -> bytes:
        """Equal for texts that are equal in kind and, but for case and white space, in every part."""
        key = hashlib.blake2b(digest_size=16)
        for part in (self.kind(rank), *map(folded, self.parts(rank))):
            data = part.encode("utf-8", "surrogatepass")
            key.update(len(data).to_bytes(8, "little") + data)
        return key.digest()

    def similarity(self, i: int, j: int) -> float:
        """The Jaccard similarity of the shingles of two texts of one kind, the smallest of all parts."""
        return min(map(jaccard, self.shingles(i), self.shingles(j)))

    def keys(self, ranks: Sequence[int], shape: tuple[int, int]) -> tuple[list[int], Hashes]:
        """Those of `ranks` that have shingles, and their band keys."""
        columns = [[column[self.order[r]] for r in ranks] for column in self.columns]
        found = np.minimum.reduce([signatures(grams(c, WORDS), tag) for tag, c in enumerate(columns)])
        some = np.flatnonzero((found != NOTHING).any(axis=1))
        kinds = np.array([hash64(self.kind(ranks[i])) for i in some], np.uint64)
        return [ranks[i] for i in some], band_keys(found[some], *shape) + kinds[:, None]

    def _shingles(self, rank: int) -> list[frozenset[int]]:
        """Of each part; one under `WORDS` words is its own and only shingle."""
        parts = self.parts(rank)
        found = grams(parts, WORDS)
        return [frozenset(found.of(i).tolist() or [hash64(folded(part))]) for i, part in enumerate(parts)]


def cluster(
    ranks: Sequence[Rank],
    columns: Sequence[Sequence[str]],
    similarity: float = 0.7,
    kinds: Sequence[str] | None = None,
    clusters: Joined = "chained",
) -> Clusters:
    """Clusters of N texts, each of the parts `columns[0][i]`, `columns[1][i]`, ... Of a cluster the text with
    the smallest rank is kept; `ranks` are ids, or numbers and ids, and differ.

    Two texts are alike if each of their parts is: equal but for case and white space, or with sets of word 5-grams whose
    Jaccard similarity is at least `similarity`. 1 asks for equal ones only. A part under 5 words has no 5-gram and must be equal.
    The order of texts does not matter.

    "chained" clusters are closed under being alike (A like B, B like C), so two members may be less so. "direct" goes through the
    texts by rank: one that is like a text kept before it goes to the first such, any other is kept; so each is like what is kept
    for it, and a mould that hangs together by small steps is thinned out instead of one text of it being kept.

    Every near duplicate found is one; not every one is found (MinHash of 128 permutations, banded for `similarity` - 0.15): at
    the default 0.7 one in fourteen of exactly that similarity is missed, one in 600 at 0.8. Also, a text is compared with at most
    16 others that share a band with it. Other words for the same thing escape: on QQP MinHash has a recall of .206 (secondary).
    """
    n = len(ranks)
    order = sorted(range(n), key=lambda i: ranks[i])
    texts = Texts(order, columns, kinds)
    exact = [texts.exact(rank) for rank in range(n)]
    seen: dict[bytes, int] = {}
    for rank, key in enumerate(exact):
        seen.setdefault(key, rank)
    buckets = _buckets(texts, list(seen.values()), bands_for(round(similarity - SLACK, 6))) if similarity < 1 else iter(())
    joined = (_direct if clusters == "direct" else _chained)(buckets, texts, similarity)
    kept = [joined.get(seen[key], seen[key]) for key in exact]
    places = np.array(order, np.int64)
    found = Clusters(np.arange(n), np.ones(n), np.ones(n, np.bool_))
    found.first[places] = places[kept]
    for rank, first in enumerate(kept):
        if exact[rank] != exact[first]:
            found.same[order[rank]] = False
            found.alike[order[rank]] = texts.similarity(rank, first)
    return found


def _buckets(texts: Texts, ranks: list[int], shape: tuple[int, int]) -> Iterator[list[int]]:
    """Texts that share a band, smallest rank first."""
    chunks = [texts.keys(ranks[i : i + CHUNK], shape) for i in range(0, len(ranks), CHUNK)]
    if not chunks:
        return
    known: npt.NDArray[np.int64] = np.array([rank for some, _ in chunks for rank in some], np.int64)
    keys = np.concatenate([found for _, found in chunks])
    for band in range(shape[0]):
        by_key = np.argsort(keys[:, band], kind="stable")
        edges = np.flatnonzero(np.diff(keys[by_key, band])) + 1
        bounds = np.concatenate([np.zeros(1, np.int64), edges, np.array([len(by_key)])])
        for i in np.flatnonzero(np.diff(bounds) > 1):
            yield known[by_key[bounds[i] : bounds[i + 1]]].tolist()


def _direct(buckets: Iterator[list[int]], texts: Texts, similarity: float) -> dict[int, int]:
    """Which of these texts are not kept, and what is kept for each."""
    met: dict[int, list[list[int]]] = {}  # for each bucket that a text lies in, those of it that are kept
    for bucket in buckets:
        kept: list[int] = []
        for rank in bucket:
            met.setdefault(rank, []).append(kept)
    joined: dict[int, int] = {}
    for rank in sorted(met):
        candidates = sorted(set(chain.from_iterable(met[rank])))
        first = next((other for other in candidates if texts.similarity(rank, other) >= similarity), None)
        if first is not None:
            joined[rank] = first
            continue
        for kept in met[rank]:
            if len(kept) < CHECKS:
                kept.append(rank)
    return joined


def _chained(buckets: Iterator[list[int]], texts: Texts, similarity: float) -> dict[int, int]:
    """The smallest member of the cluster of each of these texts."""
    forest = Forest(len(texts.order))
    members = set[int]()
    for bucket in buckets:
        members.update(bucket)
        _link(bucket, texts, forest, similarity)
    return {rank: forest.find(rank) for rank in members}


def _link(bucket: list[int], texts: Texts, forest: Forest, similarity: float) -> None:
    """Join those of one bucket that are alike. What is already joined is not compared again."""
    groups: list[list[int]] = []
    for rank in bucket:
        joined, others, checks = [rank], list[list[int]](), CHECKS
        for group in groups:
            near = forest.find(group[0]) == forest.find(rank)
            if not near:
                near = any(texts.similarity(rank, other) >= similarity for other in group[:checks])
                checks = max(0, checks - len(group))
            if near:
                forest.join(rank, group[0])
                group.extend(joined)
                joined = group
            else:
                others.append(group)
        groups = [joined, *others][:CHECKS]
