"""Annotators made of others: how one names its members, and how any member compares two responses."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from pydantic import ConfigDict, Field, ValidationError, model_validator

from pairwright.annotators.base import Annotator, AnnotatorConfig, Group, Response
from pairwright.annotators.comparing import Comparer, Comparing, Comparison, passing, sigmoid, verdict_of
from pairwright.annotators.registry import load


class Member(AnnotatorConfig):
    """One annotator inside another: `use` names the method, the rest are that method's own settings.

    slope: how a score difference of a member that rates single responses becomes P(a is better) = sigmoid(slope * difference).
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    use: str
    slope: float = Field(1.0, gt=0)

    @model_validator(mode="after")
    def _sound(self) -> Member:
        try:
            if not self.annotator.rates:
                raise ValueError(f"{self.use} says nothing about which response is better: use another annotator here")
        except ValidationError as error:
            raise ValueError(self._mistake(error)) from None
        return self

    def _mistake(self, error: ValidationError) -> str:
        """The first mistake in the settings, in one sentence."""
        first = error.errors()[0]
        place, key = ".".join(map(str, first["loc"])), str(first["loc"][-1]) if first["loc"] else ""
        if first["type"] == "missing":
            return f"{self.use}: {place} is missing: add it"
        if first["type"] == "extra_forbidden":
            known = [] if len(first["loc"]) > 1 else [*load(self.use).Config.model_fields, *type(self).model_fields]
            near = difflib.get_close_matches(key, known, 1)
            return f"unknown setting {place!r} of {self.use}: " + (f"did you mean {near[0]}?" if near else "remove it")
        return ": ".join(part for part in (self.use, place, first["msg"].removeprefix("Value error, ")) if part)

    @cached_property
    def annotator(self) -> Annotator[Any]:
        """The annotator with its settings; a slope that is a setting of its own (as of debate) is meant for it."""
        method = load(self.use)
        own = {"slope": self.slope} if "slope" in self.model_fields_set & method.Config.model_fields.keys() else {}
        return method.configured({**(self.model_extra or {}), **own})

    def compare(self, group: Group, a: Response, b: Response) -> Comparing:
        """Compare two responses: by the annotator's own comparison, or by the difference of the scores it gives them."""
        annotator = self.annotator
        if isinstance(annotator, Comparer):
            return (yield from annotator.compare(group, a, b))
        pair = Group(group.prompt_id, group.prompt, (a, b), group.reference, group.tags)
        rated = {x.subject: x for x in (yield from annotator.annotate(pair)) if x.other is None}
        unrated = [rated[r.id] for r in (a, b) if rated[r.id].score is None]
        if unrated:
            lost = passing(unrated) or unrated[0]
            return Comparison(None, reason=lost.reason, raw=lost.raw)
        first, second = float(rated[a.id].score or 0.0), float(rated[b.id].score or 0.0)
        p = sigmoid(self.slope * (first - second))
        return Comparison(verdict_of(p), p, parts={"score_a": first, "score_b": second})


def roles_of(members: Sequence[Member]) -> dict[str, frozenset[str]]:
    """Every role the members ask, with all that any of them needs of it."""
    roles: dict[str, frozenset[str]] = {}
    for member in members:
        for role, needs in member.annotator.roles().items():
            roles[role] = roles.get(role, frozenset()) | needs
    return roles


def about_members(members: Sequence[Member]) -> Mapping[str, Any]:
    """What the labels of an annotator depend on through its members, besides their settings."""
    return {"members": [_about(member.use, member.annotator) for member in members]}


def _about(use: str, annotator: Annotator[Any]) -> dict[str, Any]:
    settings = annotator.config.model_dump(mode="json")
    return {"use": use, "version": annotator.version, "settings": settings, **annotator.about()}
