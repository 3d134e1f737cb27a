"""Every search a recipe may name, told apart by `use`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from pairwright.annotators.steps.implicit import Implicit, ImplicitConfig
from pairwright.annotators.steps.monte_carlo import MonteCarlo, MonteCarloConfig
from pairwright.annotators.steps.omega_prm import OmegaConfig, OmegaPRM
from pairwright.annotators.steps.puct import Puct, PuctConfig
from pairwright.annotators.steps.rest import Rest, RestConfig
from pairwright.annotators.steps.search import Search

AnySearch = Annotated[OmegaConfig | MonteCarloConfig | PuctConfig | RestConfig | ImplicitConfig, Field(discriminator="use")]
_METHODS: tuple[type[Search[Any]], ...] = (OmegaPRM, MonteCarlo, Puct, Rest, Implicit)


def search_of(config: AnySearch) -> Search[Any]:
    """The search with these settings."""
    return next(method for method in _METHODS if isinstance(config, method.Config))(config)
