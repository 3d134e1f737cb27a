"""From a validation error to sentences a user can act on: the place, what is wrong, and the nearest right name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

TAGGED = ("models", "prompts", "filters")  # pydantic puts the kind of such an item into the place; a user did not write it


def sentences(
    error: ValidationError, known: Callable[[Sequence[str]], Sequence[str]], prefix: Sequence[str] = ()
) -> Iterator[str]:
    """One sentence per mistake. `known(place)`: the keys that an unknown one at that place could have been meant to be."""
    for e in error.errors():
        loc = [*prefix, *(str(part) for part in e["loc"])]
        if loc and loc[0] in TAGGED and len(loc) > 2:
            del loc[2]
        if loc[:2] in (["steps", "search"], ["steps", "segment"]) and len(loc) > 3:
            del loc[2]
        place = ".".join(loc) or "the recipe"
        if e["type"] == "extra_forbidden":
            yield f"unknown key `{place}`{near(loc[-1], known(loc))}"
        elif e["type"] == "missing":
            yield f"`{place}` is missing: add it"
        elif e["type"] == "union_tag_invalid":
            given, expected = e["ctx"]["tag"], [t.strip(" '") for t in e["ctx"]["expected_tags"].split(",")]
            key = str(e["ctx"]["discriminator"]).strip("'")
            yield f"`{place}`: `{key}: {given}` is not one of {', '.join(expected)}{near(given, expected)}"
        elif e["type"] == "union_tag_not_found":
            yield f"`{place}` has no `{str(e['ctx']['discriminator']).strip(chr(39))}`: add it"
        else:
            yield f"`{place}`: {e['msg'].removeprefix('Value error, ')} (given: {str(e['input'])[:60]!r})"


def near(name: str, names: Sequence[str]) -> str:
    """ "; did you mean ...?" if one of `names` is close to `name`, else nothing."""
    found = difflib.get_close_matches(name, names, 1)
    return f"; did you mean `{found[0]}`?" if found else ""


def keys_of(roots: Sequence[type[BaseModel]]) -> list[str]:
    """Every field name of the models in `roots` and of the models inside them."""
    todo, seen = list(roots), set()
    while todo:
        model = todo.pop()
        if model not in seen:
            seen.add(model)
            for field in model.model_fields.values():
                todo += models_in(field.annotation)
    return sorted({name for model in seen for name in model.model_fields})


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The config classes named in a type annotation, however deep."""
    return [t for t in _types(annotation) if isinstance(t, type) and issubclass(t, BaseModel)]


def _types(annotation: Any) -> Iterator[Any]:
    yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _types(inner)
