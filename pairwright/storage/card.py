"""The README.md of a version and of a dataset: front matter that `datasets` reads, then a page for people.

A table without rows gets no config: `load_dataset` cannot make an empty split and would fail with a riddle; DuckDB and
pandas read its file all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import jinja2
import yaml

from pairwright.storage.manifest import Manifest

MAIN = ("preference", "stepwise", "step_preference")  # the first of these that has rows is what `load_dataset` gives unasked
SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))


def version_card(manifest: Manifest) -> str:
    """The README.md of one version: a config per table."""
    configs = [_config(table, f"{table}/train-*", main(manifest)) for table in _loadable(manifest)]
    body = _template("card.md").render(
        name=manifest.dataset, m=manifest, annotators=_annotators(manifest.recipe), main=main(manifest)
    )
    return _front(manifest, configs) + body


def dataset_card(name: str, manifests: Sequence[Manifest]) -> str:
    """The README.md above all versions: `<table>` is the latest version's, `v<n>-<table>` is that of version n."""
    latest = manifests[-1]
    configs = [_config(table, f"version={latest.version}/{table}/train-*", main(latest)) for table in _loadable(latest)]
    configs += [
        _config(f"v{m.version}-{t}", f"version={m.version}/{t}/train-*") for m in reversed(manifests) for t in _loadable(m)
    ]
    return _front(latest, configs) + _template("dataset_card.md").render(
        name=name, manifests=manifests, main=main(manifests[-1]), rows=lambda m: m.rows(main(m))
    )


def _loadable(manifest: Manifest) -> list[str]:
    return [table for table in manifest.tables() if manifest.rows(table)]


def main(manifest: Manifest) -> str:
    """The table a trainer reads first."""
    return next((table for table in MAIN if manifest.rows(table)), MAIN[0])


def _config(name: str, path: str, default_name: str | None = None) -> dict[str, Any]:
    default = {"default": True} if name == default_name else {}
    return {"config_name": name, **default, "data_files": [{"split": "train", "path": path}]}


def _front(manifest: Manifest, configs: list[dict[str, Any]]) -> str:
    rows = manifest.rows(main(manifest))
    meta = {
        "pretty_name": manifest.dataset,
        "license": "apache-2.0",
        "task_categories": ["text-generation"],
        "annotations_creators": ["machine-generated", *(["expert-generated"] if _asks_people(manifest.recipe) else [])],
        "tags": ["preference", "dpo", "synthetic", "on-policy"],
        "size_categories": [next((label for limit, label in SIZES if rows < limit), "n>10M")],
        "configs": configs,
    }
    return f"---\n{yaml.safe_dump(meta, sort_keys=False, allow_unicode=True)}---\n\n"


def _asks_people(recipe: Mapping[str, Any]) -> bool:
    """Does a role of the recipe mean people?"""
    models = recipe.get("models") or {}
    return any(isinstance(model, Mapping) and model.get("engine") == "people" for model in models.values())


def _annotators(recipe: Mapping[str, Any]) -> list[str]:
    """The names of a recipe's annotators, whether it lists them or maps names to settings."""
    found = recipe.get("annotators") or []
    return [str(item.get("name") or item.get("method")) if isinstance(item, Mapping) else str(item) for item in found]


@cache
def _template(name: str) -> jinja2.Template:
    house = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    house.filters["cell"] = lambda text: " ".join(str(text).replace("|", "\\|").split())
    return house.from_string(resources.files("pairwright.storage").joinpath(name).read_text(encoding="utf-8"))
