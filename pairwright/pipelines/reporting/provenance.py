"""What a version cost, and what it was made from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from pairwright.pipelines.reporting import plots
from pairwright.pipelines.reporting.collect import Source
from pairwright.pipelines.reporting.page import Block, Cell, Figure, Folded, Section, Table

SECRET = re.compile(r"api_?key|secret|passw|token$|authorization|credential|private_?key", re.IGNORECASE)
NAMES_ONE = re.compile(r"_(env|file|name)$", re.IGNORECASE)  # `api_key_env` names a variable, and holds no key
LOGIN = re.compile(r"(?<=://)[^/\s@]+@")
HIDDEN = "(hidden)"
LONGEST = 40_000  # characters of a recipe
BUILD = "this build: "


def cost(source: Source) -> Section:
    """Tokens and seconds behind the rows of the version, and what its build itself paid."""
    found = source.manifest.cost
    stages = {stage: c for stage, c in found.items() if not stage.startswith(BUILD)}
    paid = {stage.removeprefix(BUILD): c for stage, c in found.items() if stage.startswith(BUILD)}
    if not found:
        return Section("cost", "Cost", "This version does not say what it cost.")
    blocks: list[Block] = []
    shown = {stage: c for stage, c in stages.items() if c.get("tokens")}
    if shown:
        tokens = [c["tokens"] for c in shown.values()]
        notes = [f"{t:,.0f} tokens, {c.get('seconds', 0):,.4g} s" for t, c in zip(tokens, shown.values(), strict=True)]
        svg = plots.bars(list(shown), {"tokens": tokens}, {"tokens": "plain"}, notes, "tokens")
        alt = "; ".join(f"{stage}: {note}" for stage, note in zip(shown, notes, strict=True))
        blocks.append(Figure(svg, "Look for the longest bar: that stage is what to make cheaper.", alt))
    if stages:
        blocks.append(_costs(stages, "Behind the rows of this version, whenever they were paid for"))
    if paid:
        blocks.append(_costs(paid, "Paid by the build that made this version; what the journal already held was free"))
    lead = "Tokens a model read or wrote, and seconds of its engine. Cutting pairs again costs neither."
    return Section("cost", "Cost", lead, blocks)


def tokens(source: Source) -> tuple[float, float]:
    """Tokens and seconds behind the rows of the version."""
    stages = [c for stage, c in source.manifest.cost.items() if not stage.startswith(BUILD)]
    return sum(c.get("tokens", 0) for c in stages), sum(c.get("seconds", 0) for c in stages)


def provenance(source: Source) -> Section:
    """Recipe, models, hashes, parents, files, notes."""
    m = source.manifest
    facts = [
        ("dataset", m.dataset),
        ("version", str(m.version)),
        ("made", m.created),
        ("by Pairwright", m.pairwright),
        ("parents", ", ".join(map(str, m.parents)) or "none"),
        ("logical hash", m.logical_hash),
        ("exact hash", m.exact_hash),
        ("build key", m.build_key or "none"),
        *(("note", note) for note in m.notes),
    ]
    models = [(role, str(found.get("label", "")), str(found.get("fingerprint", ""))) for role, found in m.models.items()]
    files = [(f.path, f.rows, f.bytes, f.sha256[:16]) for f in m.files]
    recipe = yaml.safe_dump(hidden(m.recipe), sort_keys=False, allow_unicode=True)
    more = f"\n… {len(recipe) - LONGEST:,} more characters" if len(recipe) > LONGEST else ""
    blocks: list[Block] = [
        Table(("what", "value"), facts),
        Table(("role", "model", "fingerprint"), models, "Models"),
        Folded("The recipe", recipe[:LONGEST] + more),
        Table(("file", "rows", "bytes", "SHA-256 begins"), files, "Files"),
    ]
    return Section(
        "provenance", "Provenance", "What this version was made from, to make it again or to tell it from another.", blocks
    )


def hidden(value: Any) -> Any:
    """`value` without what could be a secret. Recipes hold none, by their rules; a manifest written by something else might."""
    if isinstance(value, Mapping):
        return {str(k): HIDDEN if _secret(str(k)) and v is not None else hidden(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [hidden(v) for v in value]
    return LOGIN.sub(f"{HIDDEN}@", value) if isinstance(value, str) else value


def _secret(key: str) -> bool:
    return bool(SECRET.search(key)) and not NAMES_ONE.search(key)


def _costs(stages: Mapping[str, Mapping[str, float]], caption: str) -> Table:
    names = list(dict.fromkeys(name for c in stages.values() for name in c))
    rows: list[tuple[Cell, ...]] = [(stage, *(_whole(c.get(name)) for name in names)) for stage, c in stages.items()]
    return Table(("stage", *(name.replace("_", " ") for name in names)), rows, caption)


def _whole(value: float | None) -> Cell:
    return int(value) if value is not None and float(value).is_integer() else value
