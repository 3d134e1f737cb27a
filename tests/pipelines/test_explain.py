from __future__ import annotations

import re
from pathlib import Path

import pytest

from pairwright.errors import PairwrightError
from pairwright.pipelines import explain as module
from pairwright.pipelines.explain import explain, funnel

SCRIPTED = {"engine": "scripted"}
MODELS = {"policy": SCRIPTED, "strong": SCRIPTED | {"seed": 1, "quality": 0.9}, "weak": SCRIPTED | {"seed": 2, "quality": 0.1}}


def plans(build):
    return {plan.stage: plan for plan in explain(build)}


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in folder.rglob("*")}


def test_before_the_first_build_everything_is_left_because_nothing_is_stored(build):
    found = plans(build())
    assert list(found) == ["sample", "annotate density_ratio", "cut"]
    for stage in ("sample", "annotate density_ratio"):
        assert (found[stage].total, found[stage].done, found[stage].missing) == (12, 0, 12)
        assert found[stage].why == "nothing is stored yet"
    assert found["cut"].why == "there is no version yet: version 1 will be made"


def test_after_a_build_nothing_is_left(build):
    build().run()
    found = plans(build())
    assert [plan.missing for plan in found.values()] == [0, 0, 0]
    assert found["sample"].why == found["annotate density_ratio"].why == "everything is stored"
    assert found["cut"].why == "version 1 is already what this recipe comes to"


def test_new_prompts_are_counted_by_every_stage(build):
    build().run()
    found = plans(build(prompts={"source": "builtin", "limit": 15}))
    assert (found["sample"].done, found["sample"].missing, found["sample"].why) == (12, 3, "3 new prompts")
    assert found["annotate density_ratio"].missing == 3
    assert found["annotate density_ratio"].why == "3 prompts without responses yet"
    assert found["cut"].changes == ("prompts.0.limit: 12 -> 15", "3 prompts added")


def test_groups_that_were_sampled_but_not_labelled_are_new_groups(build):
    build().run()
    more = build(prompts={"source": "builtin", "limit": 13})
    with more.alone():
        more.sample()
    found = plans(more)
    assert found["sample"].missing == 0
    assert (found["annotate density_ratio"].missing, found["annotate density_ratio"].why) == (1, "1 new group")


def test_a_changed_sampling_setting_is_named_and_the_cut_says_so_too(build):
    build().run()
    found = plans(build(sample={"n": 4, "max_tokens": 40, "temperature": 0.9}))
    assert (found["sample"].missing, found["sample"].why) == (12, "sample.temperature: 0.8 -> 0.9")
    assert found["annotate density_ratio"].why == "12 prompts without responses yet"
    assert found["cut"].why == "version 2 will be made: sample.temperature: 0.8 -> 0.9"


def test_the_nearest_of_several_earlier_settings_is_compared(build):
    near = build(sample={"n": 2, "max_tokens": 30, "temperature": 0.5})
    with near.alone():
        near.sample()
    build().run()
    found = plans(build(sample={"n": 2, "max_tokens": 31, "temperature": 0.5}))
    assert found["sample"].changes == ("sample.max_tokens: 30 -> 31",)


def test_a_changed_annotator_setting_is_named_under_its_name_in_the_recipe(build):
    build().run()
    found = plans(build(annotators=[{"use": "density_ratio", "reduction": "mean"}]))
    assert found["sample"].missing == 0
    assert found["annotate density_ratio"].missing == 12
    assert re.fullmatch(r'annotators\.density_ratio\.reduction: "\w+" -> "mean"', found["annotate density_ratio"].why)


def test_a_second_annotator_of_a_method_is_new_and_not_a_change_of_the_first(build):
    build().run()
    second = {"use": "density_ratio", "name": "per_token", "reduction": "mean"}
    found = plans(build(annotators=["density_ratio", second]))
    assert found["annotate density_ratio"].missing == 0
    assert found["annotate per_token"].why == "nothing is stored yet"


def test_another_model_is_named_as_such(build):
    build().run()
    found = plans(build(models=MODELS | {"policy": SCRIPTED | {"seed": 7}}))
    assert found["sample"].why == "the model of policy has changed: scripted-0 -> scripted-7"
    assert found["cut"].changes == ("models.policy.seed: 0 -> 7",)
    other = plans(build(models=MODELS | {"weak": SCRIPTED | {"seed": 2, "quality": 0.2}}))
    assert other["sample"].missing == 0
    assert other["annotate density_ratio"].why == ("the model of weak has changed: scripted-2 with other weights or settings")


def test_a_model_that_changed_under_its_name_makes_a_new_version(build, monkeypatch):
    build().run()
    same = build()
    real = same.pool.model
    monkeypatch.setattr(same.pool, "model", lambda role: "other weights" if role == "weak" else real(role))
    assert plans(same)["cut"].changes == ("the model of weak has changed: scripted-2 with other weights or settings",)


def test_a_changed_pair_rule_changes_only_the_cut(build):
    build().run()
    found = plans(build(pair={"rule": "best_worst", "margin": 0.25}, run={"shard_prompts": 3}))
    assert [plan.missing for plan in found.values()] == [0, 0, 1]
    assert len(found["cut"].changes) == 1
    assert found["cut"].changes[0].startswith("pair.margin: ")


def test_only_the_first_changes_are_spelt_out(build):
    build().run()
    found = plans(build(sample={"n": 2, "max_tokens": 30, "temperature": 0.5, "top_k": 3, "seed": 9}))
    assert len(found["sample"].changes) == 5
    assert found["sample"].why.endswith("; and 2 more changes")


def test_nothing_is_written_even_where_a_file_is_damaged(build, tmp_path):
    build().run()
    made = build()
    damaged = made.samples.files()[0]
    damaged.write_bytes(damaged.read_bytes()[:50])
    lost = 12 - len(module.stored_keys(made.samples))
    before = tree(tmp_path)
    found = plans(build())
    assert found["sample"].missing == lost > 0
    assert tree(tmp_path) == before


def test_nothing_is_written_before_the_first_build(build, tmp_path):
    explain(build())
    assert tree(tmp_path) == {}


def test_the_funnel_adds_up_and_puts_the_commonest_reason_first(build):
    made = build(pair={"rule": "best_worst", "margin": 0.5})
    made.run()
    rows = funnel(made.dataset)
    assert rows[0].stage == "prompts"
    assert all(row.rows_in == row.rows_out + sum(n for _, n in row.dropped) for row in rows)
    assert all([n for _, n in row.dropped] == sorted((n for _, n in row.dropped), reverse=True) for row in rows)
    assert funnel(made.dataset, 1) == rows


def test_a_dataset_without_versions_has_no_funnel(build):
    with pytest.raises(PairwrightError, match="no version yet: build one first"):
        funnel(build().dataset)
