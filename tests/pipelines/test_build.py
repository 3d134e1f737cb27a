"""A build pays for nothing twice, loses no row, and says where each one went."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pairwright.engines.requests import Failed
from pairwright.engines.scripted import ScriptedEngine
from pairwright.errors import EngineError, PairwrightError
from pairwright.pipelines.build import Build, Result
from pairwright.pipelines.preflight import TRIAL
from pairwright.pipelines.recipe import parse_recipe
from pairwright.storage.catalog import connect
from tests.recipes import settings

Make = Callable[..., Build]
seen = ScriptedEngine.requests_seen


def test_a_build_makes_a_version_whose_rows_add_up_at_every_stage(build: Make) -> None:
    made = build(filters=[{"use": "ches"}, {"use": "near_identical"}])
    result = made.run()
    manifest = made.dataset.manifest(result.version)
    assert result.new and result.version == 1
    for account in manifest.accounting:
        account.check()
    assert {a.stage for a in manifest.accounting} >= {"prompts", "sample", "annotate density_ratio", "pair", "filter"}
    assert made.dataset.verify(1, deep=True) == []


def test_the_same_recipe_again_asks_no_model_and_makes_no_version(build: Make) -> None:
    build().run()
    seen.clear()
    result = build().run()
    assert (result.version, result.new, sum(seen.values())) == (1, False, 0)


def test_another_pair_rule_or_filter_makes_a_version_without_a_single_request(build: Make) -> None:
    build().run()
    seen.clear()
    assert build(pair={"rule": "best_random"}).run().version == 2
    assert build(filters=[{"use": "margin", "min_quantile": 0.5}]).run().version == 3
    assert sum(seen.values()) == 0


def test_an_added_annotator_is_the_only_one_to_run(build: Make) -> None:
    build().run()
    seen.clear()
    build(annotators=["density_ratio", "contrastive_prompt"]).run()
    assert seen["scripted-0"] == 12 * 4 * 2 and set(seen) == {"scripted-0"}


def test_added_prompts_are_the_only_ones_to_run_and_old_files_are_linked(build: Make) -> None:
    first = build()
    first.run()
    seen.clear()
    second = build(prompts={"source": "builtin", "limit": 15})
    second.run()
    assert (seen["scripted-0"], seen["scripted-1"], seen["scripted-2"]) == (3, 3 * 4, 3 * 4)
    inodes = [{p.stat().st_ino for p in first.dataset.path(n).glob("responses/*")} for n in (1, 2)]
    assert inodes[0] < inodes[1]


def test_prompts_that_left_the_recipe_leave_the_version(build: Make) -> None:
    build().run()
    fewer = build(prompts={"source": "builtin", "limit": 7})
    result = fewer.run()
    with connect(fewer.dataset, result.version) as con:
        counts = con.execute(
            "select (select count(*) from prompts), (select count(distinct prompt_id) from responses), "
            "(select count(distinct prompt_id) from annotations)"
        ).fetchone()
    assert counts == (7, 7, 7)


def test_a_renamed_annotator_is_not_run_again_and_carries_its_new_name(build: Make) -> None:
    build().run()
    seen.clear()
    renamed = build(annotators=[{"use": "density_ratio", "name": "ratio"}])
    result = renamed.run()
    with connect(renamed.dataset, result.version) as con:
        assert con.execute("select distinct annotator from annotations").fetchall() == [("ratio",)]
    assert sum(seen.values()) == 0


def test_every_model_is_loaded_once_however_many_annotators_use_it(build: Make) -> None:
    made = build(
        annotators=["density_ratio", "follow_up", "contrastive_prompt", "displacement"],
        run={"max_resident": 1, "shard_prompts": 5},
    )
    made.run()
    assert set(made.pool.loads.values()) == {1} and len(made.pool.loads) == 3


def test_chosen_is_never_rejected_and_always_scores_higher(build: Make) -> None:
    made = build()
    with connect(made.dataset, made.run().version) as con:
        rows = con.execute("select chosen, rejected, score_chosen - score_rejected, margin from preference").fetchall()
    assert rows and all(c != r and gap == margin > 0 for c, r, gap, margin in rows)


def test_a_group_of_equal_scores_or_equal_texts_gives_a_reason_not_a_pair(build: Make) -> None:
    same = {"engine": "scripted", "seed": 1}
    with pytest.raises(PairwrightError, match="'pair' dropped all 12 groups \\(all_scores_equal 12\\)"):
        build(models={"policy": {"engine": "scripted"}, "strong": same, "weak": same}).run()
    identical = {"engine": "scripted", "faults": {"identical": 1}}
    with pytest.raises(PairwrightError, match="all_identical 12"):
        build(models={"policy": identical, "strong": same, "weak": "policy"}, sample={"n": 4, "max_tokens": 64}).run()


def test_a_filter_that_drops_everything_is_named_and_nothing_is_lost(build: Make) -> None:
    with pytest.raises(PairwrightError, match=r"the filter 'margin' dropped 12 of 12 pairs, .* is below .*: loosen it"):
        build(filters=[{"use": "margin", "min": 1e9}]).run()
    seen.clear()
    assert build().run().version == 1 and sum(seen.values()) == 0


def test_an_engine_that_dies_once_is_restarted_and_one_that_dies_twice_stops_the_build_which_goes_on_later(build: Make) -> None:
    models = settings(Path())["models"]
    once = build(models=models | {"weak": {"engine": "scripted", "seed": 2, "faults": {"die_after": 10}}})
    assert once.run().version == 1
    twice = {"engine": "scripted", "seed": 3, "faults": {"die_after": 10, "die_twice": True}}
    with pytest.raises(EngineError, match="died twice.*What is finished is kept"):
        build(models=models | {"weak": twice}).run()
    seen.clear()
    assert build(models=models | {"weak": {"engine": "scripted", "seed": 3}}).run().version == 2
    assert seen["scripted-3"] < 48, "the answers before the death came from the journal"


def test_a_damaged_shard_is_set_aside_and_made_again(build: Make) -> None:
    made = build()
    made.run()
    shard = made.samples.files()[0]
    shard.unlink()
    shard.write_bytes(b"PAR1 half a file")
    assert build(pair={"rule": "best_random"}).run().version == 2
    assert shard.with_suffix(".damaged").exists()


def test_a_second_build_of_the_same_dataset_is_refused_at_once(build: Make) -> None:
    first, second = build(), build()
    with first.alone(), pytest.raises(PairwrightError, match="another build of .* is running"):
        second.run()


def test_an_annotator_that_raises_is_reported_after_the_others_are_kept(build: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from pairwright.annotators.contrastive_prompt import ContrastivePrompt

    def broken(self: Any, group: Any) -> Any:
        yield []
        if group is TRIAL:
            return []
        raise ZeroDivisionError("a defect")

    recipe: dict[str, Any] = {"annotators": ["density_ratio", "contrastive_prompt"]}
    with monkeypatch.context() as patch:
        patch.setattr(ContrastivePrompt, "annotate", broken)
        with pytest.raises(PairwrightError, match="'contrastive_prompt' raised ZeroDivisionError .* 12 labels are not made"):
            build(**recipe).run()
    seen.clear()
    build(**recipe).run()
    assert set(seen) == {"scripted-0"}, "the density ratio was kept"


def test_a_role_whose_engine_cannot_do_what_is_asked_is_refused_before_the_first_request(build: Make) -> None:
    server = {"engine": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1"}
    with pytest.raises(PairwrightError, match=r"displacement needs hidden_sum.* of the role 'policy'.*engine: transformers"):
        build(models=settings(Path())["models"] | {"policy": server}, annotators=["density_ratio", "displacement"]).run()
    assert sum(seen.values()) == 0


def test_another_number_of_responses_leaves_stale_labels_out_and_the_old_recipe_still_works(build: Make) -> None:
    build().run()
    more = build(sample={"n": 5, "max_tokens": 40})
    assert more.run().version == 2
    assert build(pair={"rule": "best_random"}).run().version == 3
    with connect(more.dataset) as con:
        stale = (
            "select count(*) from annotations_all a "
            "anti join responses_all r on subject_id = response_id and a.version = r.version"
        )
        assert con.execute(stale).fetchone() == (0,)


def test_a_response_that_cannot_be_paired_does_not_change_what_the_others_are_worth(build: Make) -> None:
    from pairwright.pipelines import cut

    policy = {"engine": "scripted", "faults": {"cut": 0.3}}
    models = settings(Path())["models"] | {"policy": policy}
    made = build(models=models, annotators=["density_ratio", "contrastive_prompt"])
    made.run()
    slabs = cut._scored_slabs(made.stored(), made.recipe)
    for group in ([c for c, _ in located] for _, _, groups in slabs for _, located in groups):
        usable = [c.score for c in group if c.finish_reason != "length" and c.score is not None]
        assert all((c.score is None) == (c.finish_reason == "length") for c in group)
        assert abs(sum(usable)) < 1e-9, "standardised over the responses that may be paired"


def test_a_changed_reference_is_a_new_version_and_its_labels_are_made_anew(build: Make, tmp_path: Path) -> None:
    prompts = {"source": "jsonl", "path": "p.jsonl"}
    for version, reference in enumerate(("one", "two"), 1):
        lines = [json.dumps({"prompt": f"Question {i}?", "reference": reference}) for i in range(4)]
        (tmp_path / "p.jsonl").write_text("\n".join(lines))
        seen.clear()
        made = build(prompts=prompts)
        assert made.run().version == version
        assert made.dataset.manifest(version).cost["this build: annotate"]["tasks_done"] == 4


def test_equal_annotators_under_two_names_run_once_and_both_names_are_published(build: Make) -> None:
    made = build(annotators=["density_ratio", {"use": "density_ratio", "name": "twin"}], combine={"scores": "density_ratio"})
    made.run()
    assert seen["scripted-1"] == 48
    with connect(made.dataset) as con:
        assert con.execute("select annotator, count(*) from annotations group by 1 order by 1").fetchall() == [
            ("density_ratio", 48),
            ("twin", 48),
        ]


def test_a_failure_that_may_pass_is_tried_again_and_makes_a_version_when_it_has_passed(
    build: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = ScriptedEngine.step

    def failing(self: ScriptedEngine) -> Any:
        weak = self.config.label() == "scripted-2"
        return [(key, Failed("server_unavailable") if weak and key < "5" else result) for key, result in step(self)]

    def lost(made: Build, version: int) -> int:
        account = next(a for a in made.dataset.manifest(version).accounting if a.stage == "annotate density_ratio")
        return account.dropped.get("server_unavailable", 0)

    with monkeypatch.context() as patch:
        patch.setattr(ScriptedEngine, "step", failing)
        first = build()
        first.run()
        assert lost(first, 1) > 0
        seen.clear()
        assert build().run() == Result(1, new=False), "the same failures again are no new version"
        assert seen["scripted-2"] == lost(first, 1), "only what failed is asked again"
    second = build()
    assert second.run() == Result(2, new=True)
    assert lost(second, 2) == 0


def test_an_annotator_may_ask_only_the_roles_it_declares(build: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from pairwright.annotators.contrastive_prompt import ContrastivePrompt

    monkeypatch.setattr(ContrastivePrompt, "roles", lambda self: {})
    with pytest.raises(PairwrightError, match="asks roles that `roles\\(\\)` does not name: policy"):
        build(annotators=["density_ratio", "contrastive_prompt"]).run()


def test_the_published_prompt_holds_the_system_turn_that_the_policy_saw(build: Make) -> None:
    made = build(sample={"n": 4, "max_tokens": 40, "system": "Be brief."})
    with connect(made.dataset, made.run().version) as con:
        rows = con.execute("select distinct prompt[1].role, prompt[1].content from preference").fetchall()
    assert ("system", "Be brief.") in rows


def test_every_response_that_is_in_no_pair_is_in_dropped_with_its_reason(build: Make) -> None:
    policy = {"engine": "scripted", "faults": {"cut": 0.3, "empty": 0.1}}
    made = build(models=settings(Path())["models"] | {"policy": policy})
    with connect(made.dataset, made.run().version) as con:
        unpaired = con.execute(
            "select count(*) from responses "
            "where response_id not in (select chosen_id from pairs union select rejected_id from pairs)"
        ).fetchone()
        of_responses = "select reason, count(*) from dropped where unit = 'response' group by 1"
        reasons = dict(con.execute(of_responses).fetchall())
    assert unpaired == (sum(reasons.values()),) and {"cut", "empty", "not_taken"} <= set(reasons)


FAULTS = st.fixed_dictionaries(
    {name: st.sampled_from([0, 0.2, 0.9]) for name in ("too_long", "nan", "identical", "empty", "cut")}
)
LINES = st.lists(
    st.one_of(
        st.sampled_from(["Say hello.", "Count to three.", "Name a bird."]).map(lambda t: json.dumps({"prompt": t})),
        st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=12).map(lambda t: json.dumps({"prompt": t})),
        st.sampled_from(["not json", "[]", '{"prompt": 3}', '{"prompt": "x", "reference": []}']),
    ),
    min_size=1,
    max_size=12,
)


@given(LINES, FAULTS, st.integers(1, 4), st.booleans())
@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_rows_in_are_rows_out_plus_rows_dropped_by_reason_for_any_prompts_and_faults(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], faults: dict[str, float], n: int, drop_cut: bool
) -> None:
    root = tmp_path_factory.mktemp("rows")
    (root / "p.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    recipe = settings(
        root,
        prompts={"source": "jsonl", "path": "p.jsonl", "on_bad_row": "drop"},
        models=settings(root)["models"] | {"policy": {"engine": "scripted", "faults": faults}},
        sample={"n": n},
        pair={"drop_cut": drop_cut},
        filters=[{"use": "ches"}, {"use": "length_ratio", "max": 3}],
    )
    made = Build(parse_recipe(recipe, "recipe"), root)
    try:
        version = made.run().version
    except PairwrightError as error:
        assert "nothing is left to publish" in str(error) or "no prompt is left" in str(error)
        return
    manifest = made.dataset.manifest(version)
    assert manifest.accounting[0].rows_in == len(lines)
    for account in manifest.accounting:
        account.check()
    stages = {a.stage: a for a in manifest.accounting}
    assert stages["sample"].rows_in == stages["prompts"].rows_out * n
    assert stages["annotate density_ratio"].rows_in == stages["sample"].rows_out
    assert stages["filter"].rows_out == stages["publish preference"].rows_out == manifest.rows("preference")
    with connect(made.dataset) as con:
        assert con.execute("select count(*) from preference where chosen = rejected").fetchone() == (0,)
        assert con.execute("select count(*) from annotations where valid <> (score is not null)").fetchone() == (0,)
