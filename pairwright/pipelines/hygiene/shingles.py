"""Texts as words and as runs of n words (n-grams, shingles), hashed so that equal runs have equal numbers everywhere."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]

_SEPARATORS = r"\s,.?!:;()\"\\\-“”。、「」『』"
_ONE_BY_ONE = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # kana and ideographs, which no space divides
_WORD = re.compile(rf"[{_ONE_BY_ONE}]|(?:[^{_SEPARATORS}{_ONE_BY_ONE}]|-(?=\s*\d))+")


def spaced(text: str) -> str:
    """`text` in Unicode NFC, every run of white space as one space. Not NFKC, to which 2² and 22 are one."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def folded(text: str) -> str:
    """`text` in Unicode NFC, without case, every run of white space as one space."""
    return spaced(text).casefold()


def words(text: str) -> list[str]:
    """The words of `text`, in Unicode NFC and without case.

    Text is divided at white space, commas, full stops, question and exclamation marks, colons, semicolons, round brackets,
    double quotes, hyphens and backslashes, as the index of open-instruct's decontamination does. Signs of arithmetic stay: 3 + 4
    is not 3 * 4. Ours: a hyphen before a number is one of them, so 5 is not -5; curly quotes and East Asian punctuation divide
    too, and each ideograph or kana is a word.
    """
    return _WORD.findall(unicodedata.normalize("NFC", text).casefold())


@lru_cache(maxsize=1 << 18)
def hash64(text: str) -> int:
    """64 bits that depend on nothing but `text`."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def odd_numbers(what: str, n: int) -> Hashes:
    """`n` fixed odd 64-bit multipliers."""
    return np.array([hash64(f"{what} {i}") | 1 for i in range(n)], np.uint64)


@dataclass(frozen=True)
class Grams:
    """The n-grams of N texts, in the order of their places. `hashes`: those of text i are `hashes[offsets[i]:offsets[i + 1]]`,
    none if it has fewer than n words. `sizes[i]`: its words."""

    hashes: Hashes
    offsets: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]

    def of(self, i: int) -> Hashes:
        """The n-grams of text i."""
        return self.hashes[self.offsets[i] : self.offsets[i + 1]]


def grams(texts: Sequence[str], n: int) -> Grams:
    """All n-grams of `texts`: the hash of words w_0 ... w_(n-1) is the sum of m_k hash64(w_k) modulo 2^64, m_k odd."""
    rows = [words(text) for text in texts]
    sizes = np.fromiter(map(len, rows), np.int64, len(rows))
    counts = np.maximum(sizes - n + 1, 0)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    total = int(sizes.sum())
    if not offsets[-1]:
        return Grams(np.zeros(0, np.uint64), offsets, sizes)
    flat = np.fromiter(map(hash64, chain.from_iterable(rows)), np.uint64, total)
    windows = total - n + 1
    hashes = np.zeros(windows, np.uint64)
    for k, multiplier in enumerate(odd_numbers("word", n)):
        hashes += flat[k : k + windows] * multiplier
    place = np.arange(total) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    inside = place < np.repeat(counts, sizes)  # the others reach into the next text
    return Grams(hashes[inside[:windows]], offsets, sizes)


def jaccard(a: Set[int], b: Set[int]) -> float:
    """|a and b| / |a or b| of two sets that are not both empty."""
    common = len(a & b)
    return common / (len(a) + len(b) - common)
