"""Drop pairs that say the opposite of another pair: the same two responses to the same prompt, the other way around."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from pairwright.pipelines.filters.base import Filter, FilterScores, Floats, PairColumns
from pairwright.pipelines.hygiene.shingles import folded, spaced
from pairwright.pipelines.prompts.rows import Prompt

Key = tuple[str, str, str]  # prompt, chosen, rejected


class Contradiction(Filter):
    """Score: how many pairs contradict a pair, which have its prompt and its two texts with chosen and rejected swapped.

    Texts are compared in Unicode NFC with white space folded, prompts turn by turn and without case too; so two prompts that
    are exact duplicates are one. keep: "none" drops all that are contradicted. "margin" keeps a pair whose margin is greater
    than that of every pair that contradicts it, whatever other filters say of these; where the greatest are equal, none is kept.
    A pair that relabelling turned around has a margin below 0: its size is what counts.
    """

    whole = True

    use: Literal["contradiction"] = "contradiction"
    keep: Literal["none", "margin"] = "none"

    def score(self, pairs: PairColumns) -> FilterScores:
        """The number of opposite pairs; the fault names the one with the greatest margin. Never missing."""
        chosen, rejected = ([spaced(text) for text in side.texts] for side in (pairs.chosen, pairs.rejected))
        keys: list[Key] = list(zip(map(_same_prompt, pairs.prompts), chosen, rejected, strict=True))
        places: dict[Key, list[int]] = {}
        for i, key in enumerate(keys):
            places.setdefault(key, []).append(i)
        opposite = [places.get((prompt, r, c), []) if c != r else [] for prompt, c, r in keys]
        values = [float(len(others)) for others in opposite]
        margins = np.abs(pairs.margin).tolist()
        faults = [self._fault(i, others, margins, pairs.pair_ids) for i, others in enumerate(opposite)]
        return FilterScores.of(values, faults=faults)

    def objections(self, values: Floats) -> list[str | None]:
        """None: the faults say which pair contradicts."""
        return [None] * len(values)

    def _fault(self, i: int, others: Sequence[int], margins: Sequence[float], ids: Sequence[str]) -> str | None:
        if not others:
            return None
        other = min(others, key=lambda j: (-margins[j], ids[j]))
        mine, theirs = margins[i], margins[other]
        said = f"the pair {ids[other]} says the opposite"
        if self.keep == "none":
            return said
        return None if mine > theirs else f"{said} with a margin of {theirs:.6g}, not under this one's {mine:.6g}"


def _same_prompt(prompt: Prompt) -> str:
    return "\n".join(f"{turn.role}: {folded(turn.content)}" for turn in prompt.messages)
