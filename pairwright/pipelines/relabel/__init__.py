"""Relabelling: what turns a pair around or softens its label before filters see it. `RELABELS` maps `use:` to the rule."""

from __future__ import annotations

from pairwright.pipelines.relabel.base import Relabel, Treatment
from pairwright.pipelines.relabel.strength import Strength

AnyRelabel = Strength
RELABELS: dict[str, type[Relabel]] = {r.model_fields["use"].default: r for r in (Strength,)}

__all__ = ["RELABELS", "AnyRelabel", "Relabel", "Treatment"]
