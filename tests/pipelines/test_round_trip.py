"""A manifest keeps a recipe with every setting written out; read again, it is the same recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from pairwright.pipelines.combining.config import Rule
from pairwright.pipelines.filters import FILTERS
from pairwright.pipelines.pairs import PairConfig
from pairwright.pipelines.recipe import Recipe, parse_recipe
from pairwright.pipelines.relabel import RELABELS
from tests.recipes import settings

TWO = ["density_ratio", "contrastive_prompt"]
RATER = {"use": "density_ratio"}
ANNOTATORS = [
    *TWO,
    "pairwise",
    "cream",
    "scir",
    "implicit_reward",
    "mc_dropout",
    {"use": "fresh_sample", "rater": RATER},
    {"use": "jury", "members": [{"use": "pairwise"}, {"use": "graded", "slope": 2}], "rule": "majority"},
    {"use": "debate", "agents": ["judge", "strong"]},
]
ROLES = ("judge", "fresh", "scorer", "reference", "previous", "old", "previous_policy")
SIGMOID = {"flip_quantile": 0.2, "soften_quantile": 0.4, "soft": "sigmoid", "soften_flipped": True}
CUTS: list[dict[str, Any]] = [
    {"filters": [{"use": "ches"}]},
    {"filters": [{"use": "ches", "max": -0.02}]},
    {"filters": [{"use": "ches", "min": -1, "max_quantile": 0.3, "on_missing": "keep"}]},
    {"filters": [{"use": "consensus", "annotators": TWO}]},
    {"filters": [{"use": "consistency", "annotator": "pairwise", "of": "orders"}]},
    {"filters": [{"use": "consistency", "annotator": "cream", "of": "ranks"}]},
    {"filters": [{"use": "consistency", "annotator": "scir", "of": "views"}]},
    {"filters": [{"use": "contradiction", "keep": "margin"}]},
    {"filters": [{"use": "correctness"}]},
    {"filters": [{"use": "decontaminate", "evals": ["quiz.jsonl", {"path": "quiz.csv", "fields": ["stem"]}]}]},
    {"filters": [{"use": "difficulty", "max_quantile": 0.8}]},
    {"filters": [{"use": "duplicate"}, {"use": "duplicate", "name": "of_prompts", "key": "prompt"}]},
    {"filters": [{"use": "floor", "chosen": {"density_ratio": 0.5}}]},
    {"filters": [{"use": "fresh_sample"}]},
    {"filters": [{"use": "fused_margin", "annotators": TWO, "clip": {"density_ratio": [0, 2]}}]},
    {"filters": [{"use": "implicit_margin", "absolute": True, "max_quantile": 0.1}]},
    {"filters": [{"use": "length_balance"}, {"use": "length_ratio", "max": 2}]},
    {"filters": [{"use": "margin", "min": 0}, {"use": "near_identical"}, {"use": "outlier"}, {"use": "pii", "regions": ["DE"]}]},
    {"filters": [{"use": "strength", "annotators": TWO, "min": 0}]},
    {"filters": [{"use": "uncertainty"}]},
    {"filters": [{"use": "uncertainty", "max_quantile": 0.5}]},
    {"filters": [{"use": "uncertainty", "select": "hard", "keep": 0.3, "slope": 0.1}]},
    {"filters": [{"use": "uncertainty", "statistic": "ensemble", "annotators": TWO, "select": "easy"}]},
    {"filters": [{"use": "uncertainty", "statistic": "vote_entropy", "annotators": ["jury"]}]},
    {"filters": [{"use": "verdict", "annotator": "pairwise"}]},
    {"relabel": [{"use": "strength", "annotators": TWO, "flip_quantile": 0.2}]},
    {"relabel": [{"use": "strength", "annotators": TWO, "soften_top": 0.1, "epsilon": 0.2, "standardise": "none"}]},
    {"relabel": [{"use": "strength", "annotators": TWO, "name": "turn"} | SIGMOID]},
    {"pair": {"ches": {}}},
    {"pair": {"ches": {"max": 1.0}, "per_prompt": 2}},
    {"pair": {"ches": {"quantile": 0.2, "variant": "raw"}, "margin": 0.5, "chosen_floor": 0.0}},
    {"pair": {"rule": "best_random", "max_length_ratio": 2}},
    {"pair": {"rule": "best_percentile"}},
    {"pair": {"rule": "best_percentile", "rejected_at": -1.0}},
    {"pair": {"rule": "best_percentile", "percentile": 25}},
    {"combine": "density_ratio"},
    {"combine": {"scores": TWO}},
    {"combine": {"scores": {"density_ratio": 2, "contrastive_prompt": {"length_alpha": "auto"}}, "rule": "weighted"}},
    {"combine": {"scores": TWO, "rule": "log_sigmoid"}},
    *({"combine": {"scores": TWO, "rule": rule, "standardise": "none"}} for rule in ("mean", "median", "min")),
    {"combine": {"scores": TWO, "rule": "lower", "k": 0.5, "penalty": "variance"}},
    {"combine": {"scores": {"density_ratio": {"reference_quantile": [0.2, 0.8], "slope": 2}}, "rule": "par"}},
    {"combine": {"scores": {"density_ratio": {"references": [0.5]}}, "rule": "par"}},
    {"combine": {"scores": TWO, "rule": "direction", "theta": 30, "order": TWO}},
    {"combine": {"scores": {"density_ratio": {"weight": 0.3}, "contrastive_prompt": {"weight": 0.7}}, "rule": "direction"}},
    {"combine": {"scores": {"density_ratio": {"margin": 0.2}, "contrastive_prompt": {}}, "rule": "heron", "order": TWO}},
    {"combine": {"scores": {"density_ratio": {"tie_band": 0.1}, "pairwise": {}}, "rule": "votes", "prior": 1}},
    {"split": {"test": 0.2}},
    {"split": {"test": 0.2, "by": "prompt", "seed": 3}},
]


def recipe_of(root: Path, cut: dict[str, Any]) -> Recipe:
    models = settings(root)["models"] | {role: {"engine": "scripted"} for role in ROLES}
    return parse_recipe(settings(root, models=models, annotators=ANNOTATORS) | cut, "the recipe")


@pytest.mark.parametrize("cut", CUTS, ids=str)
def test_a_recipe_that_is_written_out_and_read_again_is_the_same(tmp_path: Path, cut: dict[str, Any]) -> None:
    (tmp_path / "quiz.jsonl").write_text('{"question": "What is the capital of the country to the west of here?"}\n')
    recipe = recipe_of(tmp_path, cut)
    again = parse_recipe(json.loads(recipe.model_dump_json()), "the recipe of version 1")
    assert again == recipe and again.model_dump_json() == recipe.model_dump_json()
    assert again.combine == recipe.combine and again.annotators == recipe.annotators


def test_every_filter_relabelling_and_rule_is_among_them() -> None:
    def used(part: str) -> set[str]:
        return {rule["use"] for cut in CUTS for rule in cut.get(part, [])}

    assert used("filters") == set(FILTERS) and used("relabel") == set(RELABELS)
    combined = {cut["combine"].get("rule") for cut in CUTS if isinstance(cut.get("combine"), dict)}
    assert combined >= set(get_args(Rule)) - {"single"}
    paired = {cut["pair"].get("rule", "best_worst") for cut in CUTS if "pair" in cut}
    assert paired == set(get_args(PairConfig.model_fields["rule"].annotation))
