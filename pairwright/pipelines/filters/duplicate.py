"""Drop pairs that say what another pair says, so that nothing is learnt twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field

from pairwright.pipelines.filters.base import Filter, FilterScores, Floats, PairColumns
from pairwright.pipelines.hygiene.clusters import Clusters, Joined, Rank, cluster
from pairwright.pipelines.hygiene.minhash import library
from pairwright.pipelines.hygiene.shingles import folded
from pairwright.pipelines.hygiene.turns import conversation, system
from pairwright.pipelines.prompts.rows import Prompt

WHAT = {"pair": "the same prompt, chosen and rejected", "prompt": "the same prompt", "chosen": "the same chosen response"}


class Duplicate(Filter):
    """Of each cluster of duplicates keep the pair with the greatest margin (of equal ones that with the smallest id). Score: how
    alike a pair is to what is kept in its stead, in [0, 1]; 0 for a pair that is kept. What other filters say of a pair does not
    count, so what is kept here may be dropped by another.

    clusters: "direct" goes through the pairs, the greatest margin first, and drops those that are like one that is kept, so that
    a dropped pair is never farther from a kept one than `similarity` says. "chained" is text-dedup's union-find: what is like
    something that is like a third goes with it, and of prompts of one mould, which hang together by small steps, a single one may
    be left.

    key: what must be alike.
    "pair": prompt, chosen and rejected, each of the three; so one response in two prompts is no duplicate.
    "prompt": the prompt; all pairs of the kept prompt, which is the one with the greatest margin of any, stay, and a prompt's own
        pairs are no duplicates of each other.
    "chosen": the chosen response, whatever the prompt; also of two pairs of one prompt that share it.

    Alike are texts that are equal but for case and white space, or whose sets of word 5-grams have a Jaccard similarity
    of at least `similarity` (0.7 as in text-dedup; 1: equal texts only). Texts under 5 words must be equal, and so must system
    turns, which many prompts share. `clusters.cluster` says how they are found, and which are missed. Prompts of one mould that
    differ in a number are near duplicates to this measure: give those `similarity: 1`.
    """

    whole = True

    use: Literal["duplicate"] = "duplicate"
    key: Literal["pair", "prompt", "chosen"] = "pair"
    similarity: float = Field(default=0.7, ge=0.3, le=1)
    clusters: Joined = "direct"

    def about(self) -> dict[str, Any]:
        """Its settings and, where near duplicates are looked for, the library that finds them."""
        return {**super().about(), **({"library": library()} if self.similarity < 1 else {})}

    def score(self, pairs: PairColumns) -> FilterScores:
        """The similarity with what is kept; the fault names it. Never missing."""
        if self.key == "prompt":
            prompts = {p.prompt_id: p for p in pairs.prompts}
            ids, where = list(prompts), ""
            best = dict[str, float]()
            for prompt, margin in zip(pairs.prompts, pairs.margin.tolist(), strict=True):
                best[prompt.prompt_id] = max(margin, best.get(prompt.prompt_id, margin))
            found = self._clusters([(-best[i], i) for i in ids], list(prompts.values()), [])
            place = {prompt_id: i for i, prompt_id in enumerate(prompts)}
            units = [place[p.prompt_id] for p in pairs.prompts]
        else:
            ids, where = list(pairs.pair_ids), "in the pair "
            ranks = list(zip((-pairs.margin).tolist(), ids, strict=True))
            if self.key == "pair":
                found = self._clusters(ranks, pairs.prompts, [pairs.chosen.texts, pairs.rejected.texts])
            else:
                found = cluster(ranks, [pairs.chosen.texts], self.similarity, clusters=self.clusters)
            units = list(range(len(ids)))
        stays = found.first[units] == np.array(units, np.int64)
        sentences = [
            None if first == unit else self._sentence(where + ids[first], float(found.alike[unit]), bool(found.same[unit]))
            for unit, first in zip(units, found.first[units].tolist(), strict=True)
        ]
        return FilterScores.of(np.where(stays, 0.0, found.alike[units]), faults=sentences)

    def objections(self, values: Floats) -> list[str | None]:
        """None: the faults say which pair is kept."""
        return [None] * len(values)

    def _clusters(self, ranks: Sequence[Rank], prompts: Sequence[Prompt], more: list[Sequence[str]]) -> Clusters:
        columns, kinds = [[conversation(p) for p in prompts], *more], [folded(system(p)) for p in prompts]
        return cluster(ranks, columns, self.similarity, kinds, self.clusters)

    def _sentence(self, kept: str, alike: float, same: bool) -> str:
        what = WHAT[self.key]
        if same:
            return f"{what} as {kept}, which this filter keeps"
        through = "" if alike >= self.similarity else ", by way of others that lie between"
        return f"nearly {what} as {kept}, which this filter keeps: {alike:.3g} alike{through}"
