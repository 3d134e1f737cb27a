"""Every kind of model a recipe may name, told apart by `engine`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from pairwright.engines.base import ModelConfig
from pairwright.engines.folders import is_pattern, newest_checkpoint
from pairwright.engines.given import GivenModel
from pairwright.engines.openai_engine import OpenAIModel
from pairwright.engines.people import PeopleModel
from pairwright.engines.scripted import ScriptedModel
from pairwright.engines.solver import SolverModel
from pairwright.engines.transformers_engine import TransformersModel
from pairwright.engines.verification.models import ExactVerifier, FunctionVerifier, MathVerifier, RegexVerifier
from pairwright.engines.vllm_engine import VllmModel

AnyVerifier = MathVerifier | ExactVerifier | RegexVerifier | FunctionVerifier
AnyModel = Annotated[
    TransformersModel | VllmModel | OpenAIModel | ScriptedModel | SolverModel | AnyVerifier | PeopleModel | GivenModel,
    Field(discriminator="engine"),
]
_ADAPTER: TypeAdapter[ModelConfig] = TypeAdapter(AnyModel)


def pinned(models: Mapping[str, ModelConfig]) -> dict[str, ModelConfig]:
    """The same roles, each pattern of checkpoints replaced by the folder it means now; equal patterns mean one folder.

    Raises PairwrightError if a pattern matches no whole model.
    """
    patterns = {m.model for m in models.values() if isinstance(m, TransformersModel | VllmModel) and is_pattern(m.model)}
    folders = {pattern: str(newest_checkpoint(pattern)) for pattern in sorted(patterns)}
    return {
        role: m.model_copy(update={"model": folders[m.model]})
        if isinstance(m, TransformersModel | VllmModel) and m.model in folders
        else m
        for role, m in models.items()
    }


def model_config(value: str | Mapping[str, Any] | ModelConfig) -> ModelConfig:
    """A model from what a user writes: a name or folder (run by `transformers`), a mapping, or a ready config."""
    if isinstance(value, ModelConfig):
        return value
    if isinstance(value, str):
        return TransformersModel(model=value)
    return _ADAPTER.validate_python({"engine": "transformers", **value})
