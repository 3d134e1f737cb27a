"""Filters over pairs, one file each. `FILTERS` maps what a recipe writes after `use:` to the filter."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pairwright.pipelines.filters.base import Filter, FilterOutcome, PairColumns, Side, apply_filters, check_names
from pairwright.pipelines.filters.ches import Ches
from pairwright.pipelines.filters.consensus import Consensus
from pairwright.pipelines.filters.length_ratio import LengthRatio
from pairwright.pipelines.filters.margin import Margin
from pairwright.pipelines.filters.near_identical import NearIdentical
from pairwright.pipelines.filters.strength import Strength
from pairwright.pipelines.filters.verdict import Verdict

AnyFilter = Annotated[Ches | Margin | LengthRatio | NearIdentical | Consensus | Strength | Verdict, Field(discriminator="use")]
FILTERS: dict[str, type[Filter]] = {
    f.model_fields["use"].default: f for f in (Ches, Margin, LengthRatio, NearIdentical, Consensus, Strength, Verdict)
}

__all__ = ["FILTERS", "AnyFilter", "Filter", "FilterOutcome", "PairColumns", "Side", "apply_filters", "check_names"]
