"""A build killed at random moments comes to the same version, pays at most a tenth more, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.killing import survives_twenty_kills
from tests.recipes import settings


def write_recipe(folder: Path) -> None:
    folder.mkdir()
    models: dict[str, Any] = {
        role: spec | {"delay_s": 0.01, "batch": 4, "spent_file": str(folder / "spent")}
        for role, spec in settings(folder)["models"].items()
    }
    recipe = settings(
        folder,
        prompts={"source": "builtin", "limit": 60},
        models=models,
        annotators=["density_ratio", "contrastive_prompt"],
        filters=[{"use": "ches"}],
        run={"shard_prompts": 8},
    )
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))


@pytest.mark.kill
def test_a_build_killed_twenty_times_comes_to_the_same_version_for_at_most_a_tenth_more(tmp_path: Path) -> None:
    survives_twenty_kills(tmp_path, write_recipe, "fake", seed=7)
