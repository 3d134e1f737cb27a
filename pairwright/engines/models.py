"""Every kind of model a recipe may name, told apart by `engine`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from pairwright.engines.base import ModelConfig
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


def model_config(value: str | Mapping[str, Any] | ModelConfig) -> ModelConfig:
    """A model from what a user writes: a name or folder (run by `transformers`), a mapping, or a ready config."""
    if isinstance(value, ModelConfig):
        return value
    if isinstance(value, str):
        return TransformersModel(model=value)
    return _ADAPTER.validate_python({"engine": "transformers", **value})
