"""Filters over pairs, one file each. `FILTERS` maps what a recipe writes after `use:` to the filter."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pairwright.pipelines.filters.base import Filter, FilterOutcome, PairColumns, Side, apply_filters, check_names
from pairwright.pipelines.filters.ches import Ches
from pairwright.pipelines.filters.consensus import Consensus
from pairwright.pipelines.filters.consistency import Consistency
from pairwright.pipelines.filters.contradiction import Contradiction
from pairwright.pipelines.filters.correctness import Correctness
from pairwright.pipelines.filters.decontaminate import Decontaminate
from pairwright.pipelines.filters.difficulty import Difficulty
from pairwright.pipelines.filters.duplicate import Duplicate
from pairwright.pipelines.filters.floor import Floor
from pairwright.pipelines.filters.fresh_sample import FreshSample
from pairwright.pipelines.filters.fused_margin import FusedMargin
from pairwright.pipelines.filters.implicit_margin import ImplicitMargin
from pairwright.pipelines.filters.length_balance import LengthBalance
from pairwright.pipelines.filters.length_ratio import LengthRatio
from pairwright.pipelines.filters.margin import Margin
from pairwright.pipelines.filters.near_identical import NearIdentical
from pairwright.pipelines.filters.outlier import Outlier
from pairwright.pipelines.filters.pii import Pii
from pairwright.pipelines.filters.strength import Strength
from pairwright.pipelines.filters.uncertainty import Uncertainty
from pairwright.pipelines.filters.verdict import Verdict

AnyFilter = Annotated[
    Ches
    | Consensus
    | Consistency
    | Contradiction
    | Correctness
    | Decontaminate
    | Difficulty
    | Duplicate
    | Floor
    | FreshSample
    | FusedMargin
    | ImplicitMargin
    | LengthBalance
    | LengthRatio
    | Margin
    | NearIdentical
    | Outlier
    | Pii
    | Strength
    | Uncertainty
    | Verdict,
    Field(discriminator="use"),
]
FILTERS: dict[str, type[Filter]] = {
    f.model_fields["use"].default: f
    for f in (
        Ches,
        Consensus,
        Consistency,
        Contradiction,
        Correctness,
        Decontaminate,
        Difficulty,
        Duplicate,
        Floor,
        FreshSample,
        FusedMargin,
        ImplicitMargin,
        LengthBalance,
        LengthRatio,
        Margin,
        NearIdentical,
        Outlier,
        Pii,
        Strength,
        Uncertainty,
        Verdict,
    )
}

__all__ = ["FILTERS", "AnyFilter", "Filter", "FilterOutcome", "PairColumns", "Side", "apply_filters", "check_names"]
