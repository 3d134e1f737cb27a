"""From a validation error to sentences a user can act on: the place, what is wrong, and the nearest right name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

TAGGED = ("models", "prompts", "filters")  # pydantic puts the kind of such an item into the place; a user did not write it
FEW = 12  # so many settings of a method can be listed in a sentence


class Known(NamedTuple):
    """The keys that an unknown one could have been meant to be; `of`: whose settings they are, if the part says it."""

    keys: Sequence[str]
    of: str = ""


def sentences(
    error: ValidationError,
    known: Callable[[Sequence[str]], Known],
    prefix: Sequence[str] = (),
    roots: Sequence[type[BaseModel]] = (),
) -> Iterator[str]:
    """One sentence per mistake. `known(place)`: what an unknown key at that place could have been meant to be. `roots`: the
    models that were read, to say what a group of settings looks like."""
    for e in error.errors():
        loc = [*prefix, *(str(part) for part in e["loc"])]
        if loc and loc[0] in TAGGED and len(loc) > 2:
            del loc[2]
        if loc[:2] in (["steps", "search"], ["steps", "segment"]) and len(loc) > 3:
            del loc[2]
        place = ".".join(loc) or "the recipe"
        if e["type"] == "extra_forbidden":
            yield f"unknown key `{place}`{instead(loc[-1], known(loc))}"
        elif e["type"] == "missing":
            yield f"`{place}` is missing: add it"
        elif e["type"] == "union_tag_invalid":
            given, expected = e["ctx"]["tag"], [t.strip(" '") for t in e["ctx"]["expected_tags"].split(",")]
            key = str(e["ctx"]["discriminator"]).strip("'")
            yield f"`{place}`: `{key}: {given}` is not one of {', '.join(expected)}{near(given, expected)}"
        elif e["type"] == "union_tag_not_found":
            yield f"`{place}` has no `{str(e['ctx']['discriminator']).strip(chr(39))}`: add it"
        elif e["type"] in ("model_type", "dict_type"):
            group = next((m for m in models_below(roots) if m.__name__ == e.get("ctx", {}).get("class_name")), None)
            like = next(iter(group.model_fields), "name") if group else "name"
            yield f"`{place}` takes a group of settings such as {{{like}: ...}}, not {str(e['input'])[:60]!r}"
        else:
            yield f"`{place}`: {e['msg'].removeprefix('Value error, ')} (given: {str(e['input'])[:60]!r})"


def instead(name: str, known: Known) -> str:
    """What to write instead of an unknown key, or why it does not belong there."""
    if guess := near(name, known.keys):
        return guess
    if known.of:
        has = f", which has {', '.join(known.keys)}" if len(known.keys) <= FEW else ""
        return f": `{name}` is no setting of {known.of}{has}"
    return f": `{name}` is a setting of another part" if name in known.keys else ""


def near(name: str, names: Sequence[str]) -> str:
    """ "; did you mean ...?" if one of `names` is close to `name` and not the same, else nothing."""
    found = difflib.get_close_matches(name, [n for n in names if n != name], 1)
    return f"; did you mean `{found[0]}`?" if found else ""


def keys_of(roots: Sequence[type[BaseModel]]) -> list[str]:
    """Every field name of the models in `roots` and of the models inside them."""
    return sorted({name for model in models_below(roots) for name in model.model_fields})


def models_below(roots: Sequence[type[BaseModel]]) -> list[type[BaseModel]]:
    """The models in `roots` and the models inside them."""
    todo: list[type[BaseModel]] = list(roots)
    seen: dict[type[BaseModel], None] = {}
    while todo:
        model = todo.pop()
        if model not in seen:
            seen[model] = None
            for field in model.model_fields.values():
                todo += models_in(field.annotation)
    return list(seen)


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The config classes named in a type annotation, however deep."""
    return [t for t in _types(annotation) if isinstance(t, type) and issubclass(t, BaseModel)]


def _types(annotation: Any) -> Iterator[Any]:
    yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _types(inner)
