"""The README.md of a version and of a dataset: front matter that `datasets` reads, then a page for people.

A table, or a split of one, without rows gets no config: `load_dataset` cannot make an empty split and would fail with a riddle;
DuckDB and pandas read its file all the same. The licence of the data is its maker's to choose: the card says `unknown`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import jinja2
import yaml

from pairwright.storage.manifest import Manifest

MAIN = ("preference", "stepwise", "step_preference")  # the first of these that has rows is what `load_dataset` gives unasked
SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
TAGS = {"preference": ["preference", "dpo"], "stepwise": ["process-reward"], "step_preference": ["step-dpo"]}
NO_LICENSE = "unknown"
FOLDER = "path/to/version={}"  # how a version's card calls the place where it is


def version_card(manifest: Manifest) -> str:
    """The README.md of one version: a config per table."""
    configs = [_config(table, table, manifest, main(manifest)) for table in _loadable(manifest)]
    body = _template("card.md").render(
        name=manifest.dataset,
        m=manifest,
        annotators=annotators(manifest.recipe),
        main=main(manifest),
        splits=lambda table: splits(manifest, table),
        folder=FOLDER.format(manifest.version),
        given=_engine(manifest.recipe, "policy") == "given",
    )
    return _front(manifest, configs) + body


def hub_card(text: str, version: int, repo: str, license: str | None = None) -> str:
    """The README.md of version `version` as it stands in a hub's repository; `license` takes the place of the one it names."""
    text = text.replace(f'"{FOLDER.format(version)}"', f'"{repo}", revision="v{version}"')
    return text if license is None else re.sub(r"(?m)^license: .*$", f"license: {license}", text, count=1)


def dataset_card(name: str, manifests: Sequence[Manifest]) -> str:
    """The README.md above all versions: `<table>` is the latest version's, `v<n>-<table>` is that of version n."""
    latest = manifests[-1]
    configs = [_config(table, f"version={latest.version}/{table}", latest, main(latest)) for table in _loadable(latest)]
    configs += [
        _config(f"v{m.version}-{table}", f"version={m.version}/{table}", m) for m in reversed(manifests) for table in _loadable(m)
    ]
    return _front(latest, configs) + _template("dataset_card.md").render(
        name=name, manifests=manifests, main=main(latest), rows=lambda m: m.rows(main(m))
    )


def splits(manifest: Manifest, table: str) -> dict[str, int]:
    """The rows of each split of `table` that has some, by the names of its files."""
    found: Counter[str] = Counter()
    for entry in manifest.files:
        folder, _, name = entry.path.partition("/")
        if folder == table:
            found[name.partition("-")[0]] += entry.rows
    return {split: rows for split, rows in found.items() if rows}


def annotators(recipe: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name, method and settings of a recipe's annotators, whether it lists them or maps names to settings."""
    given = recipe.get("annotators") or []
    if isinstance(given, Mapping):
        given = [{**(settings or {}), "name": name} for name, settings in given.items()]
    return [_annotator(item if isinstance(item, Mapping) else {"use": item}) for item in given]


def _annotator(item: Mapping[str, Any]) -> tuple[str, str, str]:
    method = str(item.get("use") or item.get("method") or "")
    settings = {key: value for key, value in item.items() if key not in ("use", "method", "name")}
    return str(item.get("name") or method), method, ", ".join(f"{k}={json.dumps(v)}" for k, v in settings.items())


def _loadable(manifest: Manifest) -> list[str]:
    return [table for table in manifest.tables() if manifest.rows(table)]


def main(manifest: Manifest) -> str:
    """The table a trainer reads first."""
    return next((table for table in MAIN if manifest.rows(table)), MAIN[0])


def _config(name: str, folder: str, manifest: Manifest, default_name: str | None = None) -> dict[str, Any]:
    default = {"default": True} if name == default_name else {}
    found = splits(manifest, folder.rpartition("/")[2])
    return {
        "config_name": name,
        **default,
        "data_files": [{"split": split, "path": f"{folder}/{split}-*"} for split in found],
    }


def _front(manifest: Manifest, configs: list[dict[str, Any]]) -> str:
    rows = manifest.rows(main(manifest))
    on_policy = [] if _engine(manifest.recipe, "policy") == "given" else ["on-policy"]
    meta = {
        "pretty_name": manifest.dataset,
        "license": NO_LICENSE,
        "task_categories": ["text-generation"],
        "annotations_creators": ["machine-generated", *(["expert-generated"] if _asks_people(manifest.recipe) else [])],
        "tags": [*(tag for table in TAGS if manifest.rows(table) for tag in TAGS[table]), "synthetic", *on_policy],
        "size_categories": [next((label for limit, label in SIZES if rows < limit), "n>10M")],
        "configs": configs,
    }
    return f"---\n{yaml.safe_dump(meta, sort_keys=False, allow_unicode=True)}---\n\n"


def _asks_people(recipe: Mapping[str, Any]) -> bool:
    """Does a role of the recipe mean people?"""
    return any(_engine(recipe, role) == "people" for role in recipe.get("models") or {})


def _engine(recipe: Mapping[str, Any], role: str) -> str | None:
    model = (recipe.get("models") or {}).get(role)
    return model.get("engine") if isinstance(model, Mapping) else None


@cache
def _template(name: str) -> jinja2.Template:
    house = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    house.filters["cell"] = lambda text: " ".join(str(text).replace("|", "\\|").split())
    return house.from_string(resources.files("pairwright.storage").joinpath(name).read_text(encoding="utf-8"))
