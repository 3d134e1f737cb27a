"""Pairs whose errors are known: a fifth flipped, a tenth ambiguous, a twentieth copies, each exactly.

Generating model. A prompt has two responses of quality q ~ N(0, 1), drawn apart; in a tenth of all pairs (*ambiguous*) both have
one quality, so that no label is right. Every response has `polish`, N(0, 1), half of which every rater takes for quality, and a
length, which has nothing to do with quality. The label is one rater, `label`, whose score alone makes the pairs. It prefers the
worse response of exactly a fifth of all pairs (*flipped*), in one of three ways:

- "slips": any clear pair may be flipped, however clear, as if two columns had been exchanged. Its score is q + polish / 2 + noise
  of deviation 0.5, and only the size of the difference is used: it says nothing of flips.
- "close": its score is q + s * (polish / 2 + N(0, 1)), s being the number with which the count comes out. So flips gather where
  qualities are close and margins small, as those of any rater do whose noise is the same everywhere.
- "length": its score is q + s * (2 * length + N(0, 1)), length in deviations: errors with a cause, which one other rater shares.

A quarter of the ambiguous pairs and a fiftieth of the clear ones are one text with a word or two changed; opinions of such two
have correlation 0.9. A twentieth of all pairs are *copies* of others: half with the same responses and the prompt in capitals,
half with a word of the prompt and one to three words of each response changed. Opinions of a copy have correlation 0.9 with those
of its original. Its label is the original's, but for a quarter of the copies, which are *turned* around.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from pairwright.ids import digest

Flips = Literal["slips", "close", "length"]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

FLIPS: tuple[Flips, ...] = get_args(Flips)
FLIPPED, AMBIGUOUS, COPIES, TURNED = 0.2, 0.1, 0.05, 0.25  # shares of all pairs; the last of the copies
SAME = 0.9  # correlation of opinions of texts that are nearly the same
WORDS = [a + b + c for a in "bdfgklmnprst" for b in ("ad", "it", "ur", "ell", "om", "isk", "an") for c in "oe"]


@dataclass(frozen=True)
class Planted:
    """N pairs; arrays [N, 2] are of the better and the worse response (of an ambiguous pair: in no order).

    ids: of responses. margin: of the label, better - worse. alike: is one text the other with a word or two changed? origin: the
    place of the pair that a pair is a copy of, -1 of none; copies come last. turned: copies whose label is not their original's.
    """

    prompts: list[str]
    ids: list[tuple[str, str]]
    prompt_texts: list[str]
    texts: list[tuple[str, str]]
    quality: Floats
    polish: Floats
    margin: Floats
    alike: Bools
    origin: Ints
    turned: Bools

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def ambiguous(self) -> Bools:
        """No label is right."""
        return np.asarray(self.quality[:, 0] == self.quality[:, 1])

    @property
    def flipped(self) -> Bools:
        """The label is wrong."""
        return np.asarray(~self.ambiguous & (self.margin < 0))

    @property
    def words(self) -> Ints:
        """How many each response has [N, 2]."""
        return np.array([[len(text.split()) for text in two] for two in self.texts])


@dataclass(frozen=True)
class Copied:
    """How many copies there are of originals that are right, flipped and ambiguous: labelled alike, and turned around."""

    same: tuple[int, int, int]
    turned: tuple[int, int, int]

    @classmethod
    def of(cls, n: int) -> Copied:
        """For `n` pairs: as among all pairs; of the turned as many were right as flipped."""
        copies = round(COPIES * n)
        turned = round(TURNED * copies)
        same_f, same_a, turned_a = (
            round(FLIPPED * (copies - turned)),
            round(AMBIGUOUS * (copies - turned)),
            round(AMBIGUOUS * turned),
        )
        turned_r = (turned - turned_a) // 2
        return cls((copies - turned - same_f - same_a, same_f, same_a), (turned_r, turned - turned_a - turned_r, turned_a))


def planted(n: int, flips: Flips, seed: int) -> Planted:
    """`n` pairs. One `seed` gives one set of texts and qualities, but for the copies, whatever `flips` are."""
    rng, copied = np.random.default_rng(seed), Copied.of(n)
    m = n - sum(copied.same) - sum(copied.turned)
    quality = -np.sort(-rng.normal(size=(m, 2)), axis=1)
    ambiguous = rng.permutation(m) < round(AMBIGUOUS * n) - copied.same[2] - copied.turned[2]
    quality[ambiguous, 1] = quality[ambiguous, 0]
    alike = rng.random(m) < np.where(ambiguous, 0.25, 0.02)
    polish = opinions(rng, alike)
    texts = [_two_texts(rng, bool(near)) for near in alike]
    prompt_texts = [_text(rng, 25, 60) for _ in range(m)]
    length = deviations(np.array([[len(text.split()) for text in two] for two in texts]))
    flipped = round(FLIPPED * n) - copied.same[1] - copied.turned[0]
    margin = _label(rng, flips, quality, polish, length, opinions(rng, alike), flipped)

    origin, turned = _origins(rng, ambiguous, margin < 0, copied)
    for o in origin:
        edited = rng.random() < 0.5
        texts.append((_edited(rng, texts[o][0], 1, 3), _edited(rng, texts[o][1], 1, 3)) if edited else texts[o])
        prompt_texts.append(_edited(rng, prompt_texts[o], 1, 1) if edited else prompt_texts[o].upper())
    of = np.concatenate([np.arange(m), origin])
    prompts = [digest("prompt", text) for text in prompt_texts]
    ids = [(digest("response", p, 0), digest("response", p, 1)) for p in prompts]
    copies = margin[origin] * rng.uniform(0.8, 1.25, n - m) * np.where(turned, -1, 1)
    return Planted(
        prompts,
        ids,
        prompt_texts,
        texts,
        quality[of],
        polish[of],
        np.concatenate([margin, copies]),
        alike[of],
        np.concatenate([np.full(m, -1), origin]),
        np.concatenate([np.zeros(m, bool), turned]),
    )


def _origins(rng: np.random.Generator, ambiguous: Bools, negative: Bools, copied: Copied) -> tuple[Ints, Bools]:
    """Which originals are copied, none twice, and which copies are turned around."""
    kinds = (~ambiguous & ~negative, ~ambiguous & negative, ambiguous)
    lots = [rng.permutation(np.flatnonzero(kind)) for kind in kinds]
    same = [lot[:count] for lot, count in zip(lots, copied.same, strict=True)]
    turned = [lot[len(lot) - count :] for lot, count in zip(lots, copied.turned, strict=True)]
    return np.concatenate([*same, *turned]), np.repeat([False, True], [sum(copied.same), sum(copied.turned)])


def _label(
    rng: np.random.Generator, flips: Flips, quality: Floats, polish: Floats, length: Floats, noise: Floats, count: int
) -> Floats:
    """The label's margin, better - worse, below 0 for exactly `count` of the clear pairs."""
    gap = apart(quality)
    if flips == "slips":
        sign = np.where(gap > 0, 1.0, rng.choice([-1.0, 1.0], len(gap)))
        sign[rng.permutation(np.flatnonzero(gap > 0))[:count]] = -1
        return np.asarray(sign * abs(gap + apart(polish / 2 + noise / 2)))
    error = apart(polish / 2 + noise if flips == "close" else 2 * length + noise)
    tempted = (gap > 0) & (error < 0)
    needed = np.sort(gap[tempted] / -error[tempted])  # from this s on a pair is flipped
    return np.asarray(gap + needed[count - 1 : count + 1].mean() * error)


def apart(two: Floats) -> Floats:
    return np.asarray(two[:, 0] - two[:, 1])


def deviations(counts: npt.NDArray[Any]) -> Floats:
    return np.asarray((counts - counts.mean()) / counts.std())


def opinions(rng: np.random.Generator, alike: Bools, origin: Ints | None = None) -> Floats:
    """N(0, 1) of every response [N, 2]; nearly the same of texts that are. `origin`: of the copies, which come last."""
    drawn = rng.normal(size=(len(alike), 2))
    fresh = np.sqrt(1 - SAME**2)
    drawn[alike, 1] = SAME * drawn[alike, 0] + fresh * drawn[alike, 1]
    if origin is not None:
        copies = origin >= 0
        drawn[copies] = SAME * drawn[origin[copies]] + fresh * drawn[copies]
    return drawn


def _text(rng: np.random.Generator, least: int, most: int) -> str:
    return " ".join(WORDS[i] for i in rng.integers(0, len(WORDS), rng.integers(least, most + 1)))


def _edited(rng: np.random.Generator, text: str, least: int, most: int) -> str:
    """`text` with `least` to `most` of its words exchanged for others."""
    words = text.split()
    for place in rng.choice(len(words), rng.integers(least, most + 1), replace=False):
        words[place] = str(rng.choice([w for w in WORDS if w != words[place]]))
    return " ".join(words)


def _two_texts(rng: np.random.Generator, alike: bool) -> tuple[str, str]:
    text = _text(rng, 30, 90)
    return text, _edited(rng, text, 1, 2) if alike else _text(rng, 30, 90)
