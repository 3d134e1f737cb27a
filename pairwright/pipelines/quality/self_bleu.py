"""Self-BLEU (Texygen, arXiv 1802.01886): how much of each text is found in the others."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

ORDERS = 4
EPSILON = 0.1  # takes the place of no match at all: the first smoothing of Chen & Cherry (2014), as in nltk


def self_bleu(texts: Sequence[Sequence[str]]) -> float:
    """Mean BLEU-4 of each of n >= 2 texts, as words (at least one), with all others as its references; in [0, 1].

    An n-gram counts as often as in that other text which has it most often, the brevity penalty is against the nearest other
    length, a shorter one if two are as near. Equal to nltk's `sentence_bleu` with `SmoothingFunction().method1`, but in time
    linear in the words: for each n-gram the two texts that have it most often are all that is needed.
    """
    if len(texts) < 2 or not all(texts):
        raise ValueError("self-BLEU needs two texts, and at least one word in each")
    grams = [[Counter(zip(*(t[i:] for i in range(n)), strict=False)) for t in texts] for n in range(1, ORDERS + 1)]
    tops = [_tops(counts) for counts in grams]
    lengths = sorted(map(len, texts))
    return math.fsum(_bleu(i, texts[i], grams, tops, lengths) for i in range(len(texts))) / len(texts)


Gram = tuple[str, ...]
Tops = dict[Gram, tuple[int, int, int]]  # n-gram -> the text that has it most often, how often, and how often any other at most


def _tops(counts: Sequence[Counter[Gram]]) -> Tops:
    tops: Tops = {}
    for i, counted in enumerate(counts):
        for gram, k in counted.items():
            best, most, second = tops.get(gram, (i, 0, 0))
            tops[gram] = (i, k, most) if k > most else (best, most, max(second, k))
    return tops


def _bleu(
    i: int, words: Sequence[str], grams: Sequence[Sequence[Counter[Gram]]], tops: Sequence[Tops], lengths: list[int]
) -> float:
    logs = 0.0
    for n, (counts, top) in enumerate(zip(grams, tops, strict=True), 1):
        others = ((k, top[gram][2] if top[gram][0] == i else top[gram][1]) for gram, k in counts[i].items())
        matched = sum(min(k, most) for k, most in others)
        if n == 1 and not matched:
            return 0.0
        logs += math.log((matched or EPSILON) / max(1, len(words) - n + 1)) / ORDERS
    nearest = _nearest(len(words), lengths)
    return math.exp(logs + min(0.0, 1 - nearest / len(words)))


def _nearest(own: int, lengths: list[int]) -> int:
    """The length nearest to `own` among the others of the sorted `lengths`, of which one is its own."""
    at = bisect_left(lengths, own)
    around = [lengths[j] for j in (at - 1, at + 1) if 0 <= j < len(lengths)]
    return min(around, key=lambda other: (abs(other - own), other))
