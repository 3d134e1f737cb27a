"""Use an annotator on lists of texts: no recipe, no build, nothing written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pairwright.annotators.base import Annotation, Annotator, Group, Response
from pairwright.annotators.registry import load
from pairwright.engines.requests import turns
from pairwright.errors import PairwrightError
from pairwright.ids import digest

if TYPE_CHECKING:
    from pairwright.engines.base import ModelConfig

Messages = Sequence[Mapping[str, str]]


def annotate(
    annotator: Annotator[Any] | str,
    prompts: Sequence[str | Messages],
    responses: Sequence[Sequence[str]],
    models: Mapping[str, ModelConfig | str | Mapping[str, Any]] | None = None,
) -> list[list[Annotation]]:
    """Annotate `responses[i]`, the answers to `prompts[i]`, with `annotator` (or the one of that name, with its defaults).

    `models` gives each role the annotator asks a model: a config, its fields, or a name or path. One list per prompt; an
    annotator of responses gives one annotation per response, in their order; one that compares gives one per compared pair,
    by first and then second response (`groups` tells the ids). Raises PairwrightError if the lists do not fit together
    or a role has no model, EngineError if a model cannot be loaded.
    """
    from pairwright.engines.pool import EnginePool
    from pairwright.engines.runner import Broken, Runner

    if isinstance(annotator, str):
        annotator = load(annotator).configured()
    name, roles, given = type(annotator).__name__, annotator.roles(), models or {}
    lacking = sorted(roles.keys() - given.keys())
    if lacking:
        raise PairwrightError(
            f"{name} needs a model for {', '.join(map(repr, lacking))}: add it to `models`, e.g. models={{{lacking[0]!r}: ...}}"
        )
    pool = EnginePool({role: _model(role, given[role]) for role in roles})
    for role, needs in roles.items():
        pool.require(role, needs, name)
    asked = groups(prompts, responses)
    done = {}
    try:
        for key, value in Runner(pool).run((i, annotator.annotate(group)) for i, group in enumerate(asked)):
            if isinstance(value, Broken):
                raise value.error
            done[key] = value
    finally:
        pool.close()
    return [_in_order(group, done[i]) for i, group in enumerate(asked)]


def groups(prompts: Sequence[str | Messages], responses: Sequence[Sequence[str]]) -> list[Group]:
    """The groups `annotate` makes. Ids follow from content and place: equal texts in one group are told apart."""
    if len(prompts) != len(responses):
        raise PairwrightError(f"{len(prompts)} prompts but {len(responses)} lists of responses: give one list for each prompt")
    made = []
    for i, (prompt, texts) in enumerate(zip(prompts, responses, strict=True)):
        if isinstance(texts, str):
            raise PairwrightError(f"responses[{i}] is one text: give a list of texts, even for a single response")
        conversation = turns(prompt)
        prompt_id = digest("prompt", [(t.role, t.content) for t in conversation])
        answers = tuple(Response(digest("response", prompt_id, k, text), text) for k, text in enumerate(texts))
        made.append(Group(prompt_id, conversation, answers))
    return made


def _model(role: str, value: ModelConfig | str | Mapping[str, Any]) -> ModelConfig:
    from pairwright.engines.models import model_config

    try:
        return model_config(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"[{part!r}]" for part in (role, *first["loc"]))
        raise PairwrightError(f"models{place} is wrong: {first['msg']}") from error


def _in_order(group: Group, annotations: Sequence[Annotation]) -> list[Annotation]:
    place = {r.id: k for k, r in enumerate(group.responses)}
    return sorted(annotations, key=lambda a: (place[a.subject], place[a.other] if a.other else -1))
