"""A search killed at random moments comes to the same trees, pays at most a tenth more, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.killing import survives_twenty_kills
from tests.recipes import step_settings, write_questions


def write_recipe(folder: Path) -> None:
    write_questions(folder, 40)
    spent = {"delay_s": 0.02, "batch": 8, "spent_file": str(folder / "spent")}
    models = {
        "policy": {"engine": "solver", "error": 0.12, **spent},
        "judge": {"engine": "solver", "seed": 1, "judge_noise": 0.02, **spent},
        "verifier": {"engine": "exact"},
    }
    steps = step_settings(folder)["steps"] | {"judge": {"mode": "choose"}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(step_settings(folder, models=models, steps=steps)))


@pytest.mark.kill
def test_a_search_killed_twenty_times_comes_to_the_same_trees_for_at_most_a_tenth_more(tmp_path: Path) -> None:
    survives_twenty_kills(tmp_path, write_recipe, "steps", seed=11)
