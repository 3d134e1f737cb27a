from __future__ import annotations

import re

import pytest
import yaml

from pairwright.errors import PairwrightError
from pairwright.pipelines.recipe import load_recipe, parse_recipe
from pairwright.pipelines.recut import with_changes
from tests.recipes import settings, step_settings

JUDGE = {"engine": "scripted"}


def refusal(data):
    with pytest.raises(PairwrightError) as refused:
        parse_recipe(data, "the recipe")
    return str(refused.value).removeprefix("the recipe: ")


def verdict(root, *annotators, of):
    models = settings(root)["models"] | {"judge": JUDGE}
    return settings(root, models=models, annotators=list(annotators), filters=[{"use": "verdict", "annotator": of}])


def test_a_setting_of_another_method_is_not_proposed_for_itself(tmp_path):
    said = refusal(step_settings(tmp_path, steps={"search": {"use": "monte_carlo", "searches": 4}}))
    assert said.startswith("unknown key `steps.search.searches`: `searches` is no setting of monte_carlo")
    assert "did you mean" not in said


def test_a_misspelt_key_gets_the_nearest_setting_of_its_own_method(tmp_path):
    said = refusal(step_settings(tmp_path, steps={"search": {"use": "omega_prm", "serches": 4}}))
    assert said == "unknown key `steps.search.serches`; did you mean `searches`?"


def test_what_a_short_method_has_is_listed(tmp_path):
    said = refusal(settings(tmp_path, filters=[{"use": "ches", "slope": 2}]))
    assert said.startswith("unknown key `filters.0.slope`: `slope` is no setting of ches, which has ") and "name" in said


def test_a_single_value_in_the_place_of_a_group_of_settings_is_told_what_a_group_is(tmp_path):
    said = refusal(step_settings(tmp_path, steps={"search": "omega_prm", "labels": {"pairs": "svpo"}}))
    assert said == "`steps.labels.pairs` takes a group of settings such as {rule: ...}, not 'svpo'"


def test_a_member_given_as_a_bare_name_is_told_what_a_group_is(tmp_path):
    said = refusal(settings(tmp_path, annotators=[{"use": "jury", "members": ["pairwise", {"use": "graded"}]}]))
    assert said == "`annotators.0.members.0` takes a group of settings such as {use: ...}, not 'pairwise'"


def test_a_misspelt_setting_of_a_stage_is_named_with_its_place(tmp_path):
    said = refusal(settings(tmp_path, annotators=[{"use": "cascade", "stages": [{"use": "graded", "thresold": 0.4}]}]))
    assert said.startswith("`annotators.0.stages.0`: unknown setting 'thresold' of graded: did you mean threshold?")


def test_scores_to_combine_can_be_a_list_of_names(tmp_path):
    both = [{"use": "density_ratio", "name": name} for name in ("a", "b")]
    made = [
        parse_recipe(settings(tmp_path, annotators=both, combine={"scores": s}), "") for s in (["a", "b"], {"a": {}, "b": {}})
    ]
    assert made[0].combine == made[1].combine
    said = refusal(settings(tmp_path, annotators=both, combine={"scores": 3}))
    assert said == "`combine.scores` takes a group of settings such as {name: ...}, not '3'"


@pytest.mark.parametrize(
    ("annotators", "combined"),
    [
        (["density_ratio", "correctness", "displacement"], ["density_ratio"]),
        ([{"use": "fresh_sample", "rater": {"use": "density_ratio"}}, "density_ratio"], ["density_ratio"]),
        (["correctness"], ["correctness"]),
    ],
)
def test_what_a_filter_is_to_read_is_combined_by_itself_only_where_nothing_else_rates(tmp_path, annotators, combined):
    models = settings(tmp_path)["models"] | {"fresh": "policy"}
    recipe = parse_recipe(settings(tmp_path, models=models, annotators=annotators), "the recipe")
    assert list(recipe.combine.scores) == combined


def test_a_verdict_can_only_be_read_of_an_annotator_that_compares(tmp_path):
    said = refusal(verdict(tmp_path, "graded", "pairwise", of="graded"))
    assert said == "the filter 'verdict' reads comparisons, and graded compares nothing: name one of pairwise"
    assert refusal(verdict(tmp_path, "graded", of="graded")).endswith("name an annotator that does, such as pairwise")
    router = {"use": "domain_router", "default": {"use": "pairwise"}}
    for fine in ("pairwise", router):
        name = fine if isinstance(fine, str) else fine["use"]
        assert parse_recipe(verdict(tmp_path, fine, of=name), "").filters[0].reads() == (name,)


def test_a_missing_person_comes_with_the_engine_that_asks_people(tmp_path):
    said = refusal(settings(tmp_path, annotators=["person"]))
    assert "has no model: add `human: {engine: people}` under `models`" in said


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        (
            {"use": "ches", "annotator": "mine"},
            "'ches' reads what an annotator of method displacement stores, and 'mine' is of method",
        ),
        ({"use": "uncertainty", "annotators": ["mine"]}, "'uncertainty' reads .* mc_dropout stores"),
        (
            {"use": "difficulty", "annotator": "mine", "max": 1},
            "implicit_reward or density_ratio .*: name weighed as its annotator",
        ),
        (
            {"use": "implicit_margin", "annotator": "weighed", "min": 0},
            "'weighed' is of method density_ratio: name one with `use: impl",
        ),
        ({"use": "outlier", "annotator": "mine"}, "'outlier' reads .* implicit_reward stores"),
        ({"use": "fresh_sample", "annotator": "mine"}, "'fresh_sample' reads .* fresh_sample stores"),
        ({"use": "consistency", "annotator": "mine", "of": "ranks", "name": "c"}, "'c' reads .* cream stores"),
        ({"use": "correctness", "annotator": "mine"}, "'correctness' reads .* correctness stores"),
    ],
)
def test_a_filter_is_not_given_an_annotator_whose_method_stores_other_numbers(tmp_path, rule, sentence):
    annotators = [{"use": "density_ratio", "name": "weighed"}, {"use": "contrastive_prompt", "name": "mine"}]
    said = refusal(settings(tmp_path, annotators=annotators, filters=[rule]))
    assert re.search(sentence, said) and "\n" not in said


def test_a_pair_rule_is_not_given_one_either(tmp_path):
    annotators = ["density_ratio", {"use": "contrastive_prompt", "name": "displacement"}]
    assert "`pair.ches` reads what an annotator of method displacement" in refusal(
        settings(tmp_path, annotators=annotators, pair={"ches": {}})
    )


def test_evaluations_are_looked_for_beside_the_recipe_and_those_of_an_override_in_the_working_folder(tmp_path, monkeypatch):
    (tmp_path / "recipes").mkdir()
    path = tmp_path / "recipes" / "r.yaml"
    path.write_text(
        yaml.safe_dump(settings(tmp_path, filters=[{"use": "decontaminate", "evals": ["e.jsonl", {"path": "f.csv"}]}]))
    )
    monkeypatch.chdir(tmp_path)
    (found,) = load_recipe(path.relative_to(tmp_path)).filters
    assert [e.path for e in found.evals] == [str(tmp_path / "recipes" / name) for name in ("e.jsonl", "f.csv")]
    (other,) = load_recipe(path, ["filters.decontaminate.evals=g.jsonl"]).filters
    assert [e.path for e in other.evals] == [str(tmp_path / "g.jsonl")]
    assert with_changes(parse_recipe(settings(tmp_path), "r"), [str(here(tmp_path, "sub"))]).filters[0].evals[0].path == str(
        tmp_path / "sub" / "quiz.jsonl"
    )


def here(root, folder):
    """A cut in a folder of its own, with an evaluation beside it."""
    (root / folder).mkdir()
    (root / folder / "quiz.jsonl").write_text('{"question": "x"}')
    cut = root / folder / "cut.yaml"
    cut.write_text("filters: [{use: decontaminate, evals: quiz.jsonl}]")
    return cut
