"""MinHash and banding: which of many texts may be alike, without comparing each with each.

A MinHash signature is a text's smallest n-gram hash under each of P permutations; two signatures agree in a share of places that
estimates the Jaccard similarity of the two sets (Broder 1997). Cut into b bands of r places, two texts of similarity s have at
least one band in common with probability 1 - (1 - s^r)^b.

Signatures are rensa's (R-MinHash, in which one hash of an n-gram finds its place among many: arXiv 1704.04370).
Bands are ours: rensa's index tells of a text that it has a double, not which, or lists all of a bucket for each of its members.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import version

import numpy as np
import numpy.typing as npt
from rensa import RMinHash

from pairwright.pipelines.hygiene.shingles import Grams, Hashes, odd_numbers

PERMUTATIONS = 128
SEED = 1
NOTHING = np.uint32(0xFFFFFFFF)  # in the signature of a text without n-grams

Signatures = npt.NDArray[np.uint32]


def library() -> str:
    """Whose signatures they are; another version may find other candidates."""
    return f"rensa {version('rensa')}"


def signatures(grams: Grams, tag: int = 0, permutations: int = PERMUTATIONS) -> Signatures:
    """The signatures of N texts, shape [N, permutations]. Equal n-grams of different `tag` are different; so the signature of a
    text of several parts is the elementwise minimum of its parts' signatures, each with a tag of its own."""
    hashes = grams.hashes + odd_numbers("tag", tag + 1)[tag]
    offsets = grams.offsets.astype(np.uint64)
    found = RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets, permutations, SEED)
    return np.array(found.to_rows(), np.uint32).reshape(len(grams.sizes), permutations)


def hit_probability(similarity: float | npt.NDArray[np.float64], bands: int, rows: int) -> npt.NDArray[np.float64]:
    """P(two texts of this Jaccard similarity have a band in common)."""
    return 1.0 - (1.0 - np.asarray(similarity, np.float64) ** rows) ** bands


@lru_cache
def bands_for(threshold: float, permutations: int = PERMUTATIONS) -> tuple[int, int]:
    """(bands, rows): of all with bands x rows <= permutations those that make the area of false candidates below `threshold` plus
    the area of missed ones above it smallest (the rule of datasketch, whose choices it makes)."""
    s = (np.arange(1000) + 0.5) / 1000

    def error(shape: tuple[int, int]) -> float:
        hit = hit_probability(s, *shape)
        return float(np.where(s < threshold, hit, 1.0 - hit).sum())

    return min(((b, r) for b in range(1, permutations + 1) for r in range(1, permutations // b + 1)), key=error)


def band_keys(found: Signatures, bands: int, rows: int) -> Hashes:
    """One number per band, shape [N, bands]: equal where all places of the band are."""
    kept = found[:, : bands * rows].reshape(len(found), bands, rows).astype(np.uint64)
    return (kept * odd_numbers("row", rows)).sum(axis=2, dtype=np.uint64)
