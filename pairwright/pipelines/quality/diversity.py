"""How varied texts are: repeated words, repeated text, and how many texts there are in effect.

Every figure grows or shrinks with the amount of text, so it is taken at a fixed amount: the first `budget` tokens, or at most
`most` texts, drawn by `sampling`. Compare figures of equal `tokens` (or `compared`) only. Tokens are runs of letters and digits,
and single other signs; case counts. Scripts without spaces between words have few and long ones.
"""

from __future__ import annotations

import gzip
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pairwright.pipelines.quality.sampling import order_of, sample
from pairwright.pipelines.quality.self_bleu import self_bleu

Floats = npt.NDArray[np.float64]
Words = Sequence[str]
WORD = re.compile(r"\w+|[^\w\s]")
ORDERS = 4
HASHED = 4096  # dimensions of the hashed n-grams


@dataclass(frozen=True)
class Diversity:
    """How varied `texts` texts are, from `tokens` tokens of them and, for the last two figures, `compared` of them.

    distinct: n -> distinct n-grams / n-grams, n = 1..4, absent where no text is that long. ngram_diversity: their sum, in (0, 4].
    compression: bytes / bytes after gzip, the more the more is repeated. self_bleu: mean BLEU-4 of each text against the others,
    in [0, 1], the more the more alike. vendi: the number of texts in effect, from 1 (all the same) to `compared` (nothing in
    common). why: field -> why it is None.
    """

    texts: int
    tokens: int
    distinct: Mapping[int, float]
    ngram_diversity: float | None
    compression: float | None
    compared: int
    self_bleu: float | None
    vendi: float | None
    why: Mapping[str, str] = field(default_factory=dict)


def diversity_of(
    texts: Sequence[str],
    ids: Sequence[str] | None = None,
    vectors: Sequence[Sequence[float]] | Floats | None = None,
    budget: int = 100_000,
    most: int = 1_000,
) -> Diversity:
    """From N texts. `ids` say which of them are looked at (default: their places); `vectors` are embeddings, [N, D], for the
    Vendi score, which else compares hashed words and pairs of words."""
    ids = [str(i) for i in range(len(texts))] if ids is None else ids
    taken = _within(texts, ids, budget)
    words = [w for _, w in taken]
    distinct = {n: d for n in range(1, ORDERS + 1) if (d := distinct_n(words, n)) is not None}
    chosen = [i for i in sample(ids, most, "diversity") if WORD.search(texts[i])]
    few = len(chosen) < 2
    told = texts if vectors is None else vectors
    found = None if not chosen else vendi_of([told[i] for i in chosen])  # type: ignore[arg-type]
    bleu = None if few else self_bleu([WORD.findall(texts[i]) for i in chosen])
    why = {"ngram_diversity": f"no text has {len(distinct) + 1} tokens"} if len(distinct) < ORDERS else {}
    why |= {"compression": "there is no text"} if not words else {}
    why |= {"self_bleu": "it takes two texts that are not blank"} if few else {}
    why |= {"vendi": "there is no text, or a vector is zero"} if found is None else {}
    return Diversity(
        len(texts),
        sum(map(len, words)),
        distinct,
        sum(distinct.values()) if len(distinct) == ORDERS else None,
        compression_ratio([text for text, _ in taken]),
        len(chosen),
        bleu,
        found,
        why,
    )


def distinct_n(texts: Sequence[Words], n: int) -> float | None:
    """Distinct n-grams / n-grams over all texts, none reaching across two of them; None if there is none."""
    counts = Counter(gram for words in texts for gram in zip(*(words[i:] for i in range(n)), strict=False))
    return len(counts) / counts.total() if counts else None


def compression_ratio(texts: Sequence[str]) -> float | None:
    """UTF-8 bytes of the texts, a line break between them, / bytes after gzip (level 9); None if there are none."""
    raw = "\n".join(texts).encode("utf-8", "surrogatepass")
    return len(raw) / len(gzip.compress(raw, 9, mtime=0)) if raw else None


def vendi(kernel: Sequence[Sequence[float]] | Floats) -> float:
    """exp(-sum l log l) over the eigenvalues l of K / n for a similarity K, [n, n], with ones on the diagonal (Friedman & Dieng,
    arXiv 2210.02410). Goldens: the identity of 3 gives 3, all ones 1, [[1, .5], [.5, 1]] 1.754765."""
    k = np.asarray(kernel, np.float64)
    return _effective(np.linalg.eigvalsh(k / len(k)))


def vendi_of(items: Sequence[str] | Sequence[Sequence[float]] | Floats) -> float | None:
    """The Vendi score by cosine of n > 0 vectors, [n, D], or of the words and pairs of words of n texts, hashed to `HASHED`
    dimensions. None if a vector is zero. By way of the smaller of [n, n] and [D, D]; n^2 D work, so sample first."""
    rows = _hashed(items) if isinstance(items[0], str) else np.asarray(items, np.float64)
    norms = np.linalg.norm(rows, axis=1)
    if not norms.all():
        return None
    unit = rows / norms[:, None]
    gram = unit @ unit.T if len(unit) <= unit.shape[1] else unit.T @ unit
    return _effective(np.linalg.eigvalsh(gram / len(unit)))


def _effective(eigenvalues: npt.NDArray[Any]) -> float:
    positive = eigenvalues[eigenvalues > 0]
    return float(np.exp(-(positive * np.log(positive)).sum()))


def _hashed(texts: Any) -> Floats:
    from sklearn.feature_extraction.text import HashingVectorizer

    counted = HashingVectorizer(n_features=HASHED, ngram_range=(1, 2), token_pattern=WORD.pattern, lowercase=False, norm=None)
    return np.asarray(counted.transform(texts).toarray(), np.float64)


def _within(texts: Sequence[str], ids: Sequence[str], budget: int) -> list[tuple[str, list[str]]]:
    """Texts, in the order of hashes of their ids, with their words, until there are `budget` of them; the last one is cut."""
    taken: list[tuple[str, list[str]]] = []
    left = budget
    for i in np.argsort(order_of(ids, "diversity"), kind="stable"):
        if left <= 0:
            break
        found = list(WORD.finditer(texts[i]))[:left]
        if found:
            taken.append((texts[i][: found[-1].end()], [match.group() for match in found]))
        left -= len(found)
    return taken
