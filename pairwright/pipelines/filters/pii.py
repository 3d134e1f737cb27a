"""Flag pairs whose texts hold personal data or secrets. Nothing is rewritten: a pair is published as it is or not at all."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import Literal

from pydantic import Field, field_validator

from pairwright.pipelines.filters.base import Filter, FilterScores, Floats, PairColumns
from pairwright.pipelines.quality.personal import KINDS, NAMES, Kind, findings


class Pii(Filter):
    """Score: how many e-mail addresses, phone numbers, IBANs, card numbers, public IP addresses and secrets the prompt, the
    chosen and the rejected response hold in all. What counts, and what cannot be found, is said in `quality.personal`.

    on_found: "flag" keeps every pair, so that the score column is all there is; "drop" drops pairs with any finding, and the
        reason names kinds and places, never what was found.
    regions: countries ("US", "DE") whose phone numbers are found as people there write them; those with a leading + always are.
    """

    use: Literal["pii"] = "pii"
    on_found: Literal["flag", "drop"] = "flag"
    kinds: tuple[Kind, ...] = Field(default=KINDS, min_length=1)
    regions: tuple[str, ...] = ()

    @field_validator("regions")
    @classmethod
    def _known(cls, regions: tuple[str, ...]) -> tuple[str, ...]:
        from phonenumbers import SUPPORTED_REGIONS

        for region in regions:
            if region not in SUPPORTED_REGIONS:
                raise ValueError(f"there is no region {region!r}: write two capital letters, such as US or DE")
        return regions

    def score(self, pairs: PairColumns) -> FilterScores:
        """The number of findings; never missing."""

        @lru_cache(maxsize=4096)  # a prompt and a response stand in several pairs
        def found(text: str) -> Counter[Kind]:
            return findings(text, self.kinds, self.regions)

        prompts = ("\n".join(turn.content for turn in prompt.messages) for prompt in pairs.prompts)
        rows = [
            {"prompt": found(prompt), "chosen response": found(chosen), "rejected response": found(rejected)}
            for prompt, chosen, rejected in zip(prompts, pairs.chosen.texts, pairs.rejected.texts, strict=True)
        ]
        totals = [float(sum(counts.total() for counts in row.values())) for row in rows]
        return FilterScores.of(totals, faults=[self._fault(row) for row in rows])

    def _fault(self, row: dict[str, Counter[Kind]]) -> str | None:
        told = [
            f"{NAMES[kind]} ({counts[kind]} in the {place})" for kind in KINDS for place, counts in row.items() if counts[kind]
        ]
        return f"holds personal data or secrets: {', '.join(told)}" if told and self.on_found == "drop" else None

    def objections(self, values: Floats) -> list[str | None]:
        """None: the faults tell all."""
        return [None] * len(values)
