"""Datasets to report on, built once: pairs in two versions, and step labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pairwright.pipelines.build import Build
from pairwright.pipelines.recipe import parse_recipe
from pairwright.storage.versions import Dataset
from tests.recipes import settings, step_settings, write_questions

FILTERS = [{"use": "ches", "max_quantile": 0.7}, {"use": "length_ratio", "max": 3}, {"use": "near_identical"}]


def pair_settings(root: Path, **changes: Any) -> dict[str, Any]:
    """A recipe with scores, comparisons, filters and responses that fail."""
    models = settings(root)["models"] | {
        "policy": {"engine": "scripted", "faults": {"cut": 0.1, "too_long": 0.05}},
        "judge": {"engine": "scripted", "seed": 3},
    }
    judge = {"use": "pairwise", "name": "judge"}
    given = {"models": models, "annotators": ["density_ratio", "contrastive_prompt", judge], "filters": FILTERS}
    return settings(root, **(given | {"prompts": {"source": "builtin", "limit": 24}} | changes))


def made(root: Path, recipe: dict[str, Any]) -> Dataset:
    build = Build(parse_recipe(recipe, "the test's recipe"), root)
    build.run()
    return build.dataset


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Version 1 and a re-cut of it, version 2."""
    root = tmp_path_factory.mktemp("pairs")
    made(root, pair_settings(root))
    looser = [{"use": "ches", "max_quantile": 0.9}, *FILTERS[1:]]
    return made(root, pair_settings(root, filters=looser, pair={"rule": "best_random", "margin": 0.2}))


@pytest.fixture(scope="session")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """One version of step labels."""
    root = tmp_path_factory.mktemp("steps")
    write_questions(root)
    return made(root, step_settings(root))
