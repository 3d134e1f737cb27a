"""A split of prompts into train and test in which near duplicates never part."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pairwright.ids import seed_of
from pairwright.pipelines.hygiene.clusters import cluster
from pairwright.pipelines.hygiene.minhash import library

By = Literal["prompt", "cluster"]
Split = Literal["train", "test"]


class SplitConfig(BaseModel):
    """How pairs are split by their prompts."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    test: float = Field(gt=0, lt=1, description="about this share of the prompts is held out")
    by: By = Field("cluster", description="what stays together: near-duplicate prompts, or only a prompt's own pairs")
    seed: int = 0
    similarity: float = Field(
        0.7, ge=0.3, le=1, description="Jaccard similarity of word 5-grams from which prompts belong together"
    )

    def about(self) -> dict[str, Any]:
        """What a split depends on besides the prompts: the settings and, where near duplicates are looked for, whose finding."""
        finds = self.by == "cluster" and self.similarity < 1
        return {**self.model_dump(mode="json"), **({"library": library()} if finds else {})}

    def settings(self) -> dict[str, Any]:
        """As `split_of` takes them."""
        return {"share": self.test, "by": self.by, "seed": self.seed, "similarity": self.similarity}


def split_of(
    prompts: Iterable[tuple[str, str]], share: float, by: By = "cluster", seed: int = 0, similarity: float = 0.7
) -> dict[str, Split]:
    """Where each prompt of (prompt_id, text) goes: its cluster goes to test if a number in [0, 1), drawn from `seed` and the
    cluster's smallest id, is below `share`.

    So it depends on no order, and a prompt that comes or goes moves no other, unless it is the smallest of its cluster or makes
    one of two. `share` holds on average over clusters, not exactly; prompts of one mould may all be one cluster. If all fell to
    test, the cluster drawn highest trains.
    """
    texts = dict(prompts)
    ids = list(texts)
    together = list(range(len(ids)))
    if by == "cluster":
        together = cluster(ids, [list(texts.values())], similarity).first.tolist()
    draws = {first: seed_of("split", seed, ids[first]) / 2**31 for first in set(together)}
    test = {first for first, drawn in draws.items() if drawn < share}
    if draws and len(test) == len(draws):
        test.remove(max(draws, key=lambda first: (draws[first], ids[first])))
    return {i: "test" if first in test else "train" for i, first in zip(ids, together, strict=True)}
