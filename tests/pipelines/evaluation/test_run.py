"""An evaluation end to end on judges whose share of right answers is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pairwright.engines.scripted import Breakdowns, ScriptedEngine
from pairwright.errors import EngineError, PairwrightError
from pairwright.pipelines.evaluation.labelled import Item, read_labelled
from pairwright.pipelines.evaluation.report import markdown, report, write
from pairwright.pipelines.evaluation.rows import BASELINE
from pairwright.pipelines.evaluation.run import Evaluated, Plan, plan_of, run
from pairwright.pipelines.progress import Progress
from pairwright.pipelines.quality.measures import measured
from pairwright.pipelines.recipe import AnnotatorSpec, parse_recipe
from tests.pipelines.evaluation.oracle import OracleModel
from tests.recipes import settings

pytestmark = pytest.mark.usefixtures("oracles", "_uncounted")


@pytest.fixture
def _uncounted() -> None:
    ScriptedEngine.requests_seen.clear()


def asked() -> int:
    return ScriptedEngine.requests_seen["oracle-0"]


def rows(n: int = 40, wrong: int = 10) -> list[dict[str, Any]]:
    """n pairs; the judge is wrong about the first `wrong` of them. The good response is the first in every other one."""
    made = []
    for i in range(n):
        good, bad = f"good {9 - i % 3}", f"bad {i % 5} and a longer one"
        pair = [good, bad] if i % 2 else [bad, good]
        word = " wrong" if i < wrong else ""
        made.append(
            {"id": f"i{i}", "prompt": f"Q{i}{word}", "responses": pair, "better": pair.index(good), "subset": f"s{i % 2}"}
        )
    return made


def plan(items: list[Item], *uses: str, model: OracleModel | None = None, **about: Any) -> Plan:
    return Plan([AnnotatorSpec(use=use) for use in uses], {"judge": model or OracleModel()}, items, **about)


def evaluated(written, out: Path, data: list[dict[str, Any]], *uses: str, **about: Any) -> Evaluated:
    return run(plan(read_labelled(written(data)).drawn(None), *uses, **about), out, Progress())


def test_a_judge_of_a_known_rate_is_measured_at_that_rate(written, tmp_path):
    found = evaluated(written, tmp_path / "out", rows(), "oracle")
    figures = measured(found.of("oracle"), found.of(BASELINE))
    assert (figures["n"], figures["agreement"], figures["gain"]) == (40, 0.75, 0.75)  # the longer one is never the good one
    assert figures["swap_consistency"] == 1.0 and figures["first_position"] == 0.5
    assert figures["brier"] == pytest.approx(0.75 * 0.04 + 0.25 * 0.64)
    assert figures["ece"] == pytest.approx(0.05) and figures["aurc"] == pytest.approx(0.25)
    assert (figures["tokens_per_row"], figures["seconds_per_row"]) == (20, 1.0)
    assert figures["subsets"]["s0"]["n"] == figures["subsets"]["s1"]["n"] == 20


def test_the_baseline_always_stands_beside_the_judges(written, tmp_path):
    found = evaluated(written, tmp_path / "out", rows(), "oracle")
    assert [r["annotator"] for r in found.rows] == [BASELINE] * 40 + ["oracle"] * 40
    assert measured(found.of(BASELINE), found.of(BASELINE))["agreement"] == 0.0


def test_a_row_says_how_its_annotator_is_written_in_a_recipe(written, tmp_path):
    specs = [AnnotatorSpec.model_validate({"use": "oracle", "name": "wary", "guard": True})]
    found = run(Plan(specs, {"judge": OracleModel()}, read_labelled(written(rows(2))).drawn(None)), tmp_path / "out", Progress())
    assert {(r["use"], str(r["settings"])) for r in found.of("wary")} == {("oracle", "{'guard': True}")}
    assert {(r["use"], str(r["settings"])) for r in found.of(BASELINE)} == {(None, "{}")}


def test_a_lean_to_the_first_is_seen_and_swapping_takes_it_out(written, tmp_path):
    found = evaluated(written, tmp_path / "out", rows(), "oracle", model=OracleModel(lean=0.35))
    figures = measured(found.of("oracle"), found.of(BASELINE))
    assert figures["first_position"] == 1.0 and figures["swap_consistency"] == 0.0
    assert figures["agreement"] == 0.75


def test_a_row_tells_of_its_two_responses_in_the_items_order(written, tmp_path):
    data = rows(2, wrong=0)
    found = evaluated(written, tmp_path / "out", data, "oracle", "worth", model=OracleModel(lean=0.1, price=0.5))
    first = next(r for r in found.of("oracle") if r["id"] == "i0")
    assert (first["gold"], first["verdict"], first["correct"], first["credit"]) == ("b", "b", True, 1.0)
    assert first["p_ab"] == pytest.approx(0.3) and first["p_ba"] == pytest.approx(0.1) and first["p"] == pytest.approx(0.2)
    assert first["scores"][0] < first["scores"][1] and first["chars"] == [22, 6]
    assert first["features"]["swap_gap"] == pytest.approx(0.2) and first["money"] == 10.0
    rated = next(r for r in found.of("worth") if r["id"] == "i0")
    assert (rated["protocol"], rated["p"], rated["verdict"], rated["scores"]) == ("pointwise", None, "b", [0.0, 9.0])
    assert rated["features"]["margin"] == 9.0


def test_what_cannot_be_read_or_was_refused_stays_in_with_its_reason(written, tmp_path):
    data = [
        {"id": "mad", "prompt": "gibberish", "responses": ["good 1", "bad 2"], "better": 0},
        {"id": "shy", "prompt": "unanswerable", "responses": ["good 1", "bad 2"], "better": 0},
        {"id": "mute", "prompt": "Q", "responses": ["good", "bad 2"], "better": 0},
    ]
    found = evaluated(written, tmp_path / "out", data, "oracle", "worth")
    said = {(r["annotator"], r["id"]): (r["verdict"], r["reason"], r["credit"], r["correct"]) for r in found.rows}
    assert said["oracle", "mad"] == ("invalid", "two_verdicts", 0.0, None)
    assert said["oracle", "shy"] == (None, "refused", 0.0, None)
    assert said["worth", "mute"] == (None, "no_number", 0.0, None)


def test_ties_of_people_and_judges_are_told_apart(written, tmp_path):
    data = [
        {"id": "people", "prompt": "Q", "responses": ["good 1", "bad 2"], "better": "tie"},
        {"id": "judge", "prompt": "Q", "responses": ["good 2", "bad 2"], "better": 0},
        {"id": "both", "prompt": "Q", "responses": ["good 3", "bad 3"], "better": "tie"},
        {"id": "nobody", "prompt": "Q", "responses": ["good 4", "bad 2"], "undecided": True},
    ]
    found = evaluated(written, tmp_path / "out", data, "worth")
    said = {r["id"]: (r["gold"], r["verdict"], r["correct"], r["credit"]) for r in found.of("worth")}
    assert said == {
        "people": ("tie", "b", False, 0.0),
        "judge": ("a", "tie", False, 0.5),
        "both": ("tie", "tie", True, 1.0),
        "nobody": (None, "a", None, None),
    }
    assert measured(found.of("worth"), found.of(BASELINE))["three_way"] == pytest.approx(1 / 3)


def test_the_best_of_four_shares_its_credit(written, tmp_path):
    row = {"prompt": "Q", "correct": [0]}
    data = [
        row | {"id": "right", "responses": ["9", "1", "2", "3"]},
        row | {"id": "shared", "responses": ["9", "9.", "2", "3"]},
        row | {"id": "wrong", "responses": ["1", "9", "2", "3"]},
    ]
    found = evaluated(written, tmp_path / "out", data, "worth")
    said = {r["id"]: (r["verdict"], r["credit"], r["correct"]) for r in found.of("worth")}
    assert said == {"right": ("a", 1.0, True), "shared": ("a+b", 0.5, False), "wrong": ("b", 0.0, False)}


def test_a_judge_that_compares_ranks_four_by_its_strengths(written, tmp_path):
    data = [
        {"id": "right", "prompt": "Q", "responses": ["bad 1", "bad 2", "good 3", "bad 4"], "correct": [2]},
        {"id": "wrong", "prompt": "Q wrong", "responses": ["bad 1", "bad 2", "good 3", "bad 4"], "correct": [2]},
    ]
    said = {r["id"]: r for r in evaluated(written, tmp_path / "out", data, "oracle").of("oracle")}
    assert (said["right"]["verdict"], said["right"]["credit"], said["right"]["p"]) == ("c", 1.0, None)
    assert (said["wrong"]["verdict"], said["wrong"]["credit"]) == ("a+b+d", 0.0)


def test_an_evaluation_that_runs_again_asks_nothing(written, tmp_path):
    before = evaluated(written, tmp_path / "out", rows(), "oracle", "worth")
    assert asked() == 80
    again = evaluated(written, tmp_path / "out", rows(), "oracle", "worth")
    assert asked() == 80 and again.stats.from_journal == 80
    assert again.rows == before.rows


def test_a_stopped_evaluation_goes_on_and_pays_for_the_rest_only(written, tmp_path):
    items = read_labelled(written(rows())).drawn(None)
    dying = OracleModel(window=1, batch=1, faults=Breakdowns(die_after=30, die_twice=True))
    with pytest.raises(EngineError, match="What is finished is kept"):
        run(plan(items, "oracle", model=dying), tmp_path / "out", Progress())
    before = asked()
    found = run(plan(items, "oracle"), tmp_path / "out", Progress())
    assert measured(found.of("oracle"), [])["agreement"] == 0.75
    assert (found.stats.from_journal, asked() - before) == (30, 50)


def test_each_annotator_has_its_own_limit_and_its_baseline_on_the_same_items(written, tmp_path):
    found = evaluated(written, tmp_path / "out", rows(), "oracle", "worth", limits={"oracle": 8})
    assert [len(found.of(name)) for name in ("oracle", "worth", BASELINE)] == [8, 40, 40]
    assert {r["id"] for r in found.of("oracle")} == {r["id"] for r in found.rows[:8]}


def test_a_defect_of_a_method_is_named_after_everything_else_is_done(written, tmp_path):
    data = [{**rows(3)[i], "prompt": "trip over" if i == 1 else "Q"} for i in range(3)]
    with pytest.raises(PairwrightError, match="the annotator 'faulty' raised KeyError"):
        evaluated(written, tmp_path / "out", data, "faulty", "oracle")
    assert asked() == 6


def test_a_recipe_gives_its_rating_annotators_or_those_named(tmp_path):
    recipe = parse_recipe(settings(tmp_path, annotators=["density_ratio", "worth", "silent"]), "r")
    whole, left_out = plan_of(recipe, [])
    assert (list(whole.annotators), left_out) == (["density_ratio", "worth"], ["silent"])
    assert list(plan_of(recipe, [], ["worth"])[0].annotators) == ["worth"]
    with pytest.raises(PairwrightError, match="did you mean `worth`"):
        plan_of(recipe, [], ["wort"])
    with pytest.raises(PairwrightError, match="silent gives no preference"):
        plan_of(recipe, [], ["silent"])


def test_a_role_without_a_model_is_refused_before_anything_is_asked(written, tmp_path):
    items = read_labelled(written(rows())).items
    with pytest.raises(PairwrightError, match="'judge' has no model"):
        run(Plan([AnnotatorSpec(use="oracle")], {}, items), tmp_path / "out", Progress())


def test_report_and_items_are_written_whole_and_hold_what_recounts_them(written, tmp_path):
    path = written(rows())
    data, out = read_labelled(path), tmp_path / "out"
    found = run(plan(data.drawn(20), "oracle", "worth"), out, Progress())
    made = report(data, found, 20)
    write(out, made, found.rows)
    kept = [json.loads(line) for line in (out / "items.jsonl").read_text().splitlines()]
    assert kept == found.rows
    told = json.loads((out / "report.json").read_text())
    assert told["data"] == {"file": "labelled.jsonl", "format": "rows", "sha256": data.sha256, "rows": 40, "drawn": 20}
    assert told["annotators"]["oracle"]["orders"] == "both" and told["annotators"]["oracle"]["method"] == "oracle"
    recounted = [r for r in kept if r["annotator"] == "oracle"]
    assert told["figures"]["oracle"]["agreement"] == sum(r["credit"] for r in recounted) / len(recounted)
    assert told["rating_and_ranking"][0]["rating"] == "worth"
    assert not list(out.glob(".part-*"))


def test_the_tables_can_be_pasted(written, tmp_path):
    data = read_labelled(written(rows()))
    found = run(plan(data.drawn(None), "oracle", "worth"), tmp_path / "out", Progress())
    main, about, subsets, ratings = markdown(report(data, found, 40)).strip().split("\n\n")
    table = main.splitlines()
    assert [line.split(" | ")[0] for line in table[2:]] == ["| longer wins", "| worth", "| oracle"]
    assert len({line.count("|") for line in table}) == 1
    assert "75.0 [59.8, 85.8]" in table[4] and "+75.0" in table[4]
    assert about.startswith("40 of 40 items of labelled.jsonl")
    assert subsets.splitlines()[-1] == "| oracle | 75.0 % (20) | 75.0 % (20) |"
    assert ratings.splitlines()[-1] == "| worth | 75.0 % (40) |"


def test_a_figure_that_is_zero_for_everybody_stands_in_the_table_and_one_that_nobody_has_does_not(written, tmp_path):
    data = read_labelled(written(rows()))
    shown = markdown(report(data, run(plan(data.items, "oracle", model=OracleModel(lean=0.35)), tmp_path / "o", Progress()), 40))
    head, _, _, line = ([c.strip() for c in line.split("|")] for line in shown.splitlines()[:4])
    assert line[head.index("swap consistency")] == "0.0 %"
    assert (line[head.index("coverage")], line[head.index("three-way")]) == ("100.0 %", "75.0 %")
    rated = markdown(report(data, run(plan(data.items, "worth"), tmp_path / "w", Progress()), 40))
    assert "swap consistency |" not in rated and "Brier |" not in rated and "coverage |" in rated


def test_the_table_says_why_verdicts_are_missing(written, tmp_path):
    data = read_labelled(written([{"prompt": "gibberish", "responses": ["good 1", "bad 2"], "better": 0}]))
    found = run(plan(data.items, "oracle"), tmp_path / "out", Progress())
    assert "oracle, no verdict: two_verdicts 1" in markdown(report(data, found, 1))
