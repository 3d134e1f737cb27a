"""What a recipe's file says before it is checked, and changes to it by dot-path."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import yaml

from pairwright.errors import PairwrightError


def read_settings(path: Path) -> dict[str, Any]:
    """The settings in a YAML file; one sentence if there are none to be had."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        near = difflib.get_close_matches(
            path.name, [p.name for p in path.parent.glob("*.y*ml")] if path.parent.exists() else [], 1
        )
        raise PairwrightError(f"there is no recipe at {path}" + (f": did you mean {near[0]}?" if near else "")) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PairwrightError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise PairwrightError(f"cannot read the recipe {path}: {error.strerror}") from None
    if not isinstance(data, dict):
        raise PairwrightError(f"{path} holds no settings: `pairwright init` writes a recipe to start from")
    return data


def override(data: dict[str, Any], text: str) -> None:
    """Apply one override such as `sample.n=8` to what a recipe says."""
    _open_shorthands(data)
    path, equals, value = text.partition("=")
    if not equals:
        raise PairwrightError(f"the override {text!r} has no '=': write it as sample.n=8")
    *parents, last = path.split(".")
    place: Any = data
    for step in parents:
        if isinstance(place, list):
            place = place[_index(step, place, text)]
        elif isinstance(place, dict):
            if place.get(step) is None:  # as a version's recipe says of a part that was left out
                place[step] = {}
            place = place[step]
        else:
            raise PairwrightError(f"the override {text!r} goes through {step!r}, which is not a group of settings")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise PairwrightError(f"the override {text!r} has no value that is YAML: {' '.join(str(error).split())}") from None
    if isinstance(place, list):
        place[_index(last, place, text)] = parsed
    elif isinstance(place, dict):
        place[last] = parsed
    else:
        raise PairwrightError(f"the override {text!r} goes into a single value: give the path of a setting")


def _open_shorthands(data: dict[str, Any]) -> None:
    """Spell out what is written as a bare name, so that an override can reach into it."""
    if isinstance(data.get("annotators"), list):
        data["annotators"] = [{"use": a} if isinstance(a, str) else a for a in data["annotators"]]
    if isinstance(models := data.get("models"), dict):
        data["models"] = {r: {"model": m} if isinstance(m, str) and m not in models else m for r, m in models.items()}


def _index(step: str, items: list[Any], text: str) -> int:
    names = [item.get("name") or item.get("use") if isinstance(item, dict) else item for item in items]
    if step in names:
        return names.index(step)
    if step.isdigit() and int(step) < len(items):
        return int(step)
    raise PairwrightError(f"the override {text!r}: there is no item {step!r}; the items are {', '.join(map(str, names))}")
