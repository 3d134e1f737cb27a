from __future__ import annotations

import json
import random

import pytest
import yaml

from pairwright.errors import PairwrightError
from pairwright.flows.calibrating import calibrate
from pairwright.flows.evaluating import evaluate
from pairwright.pipelines.calibration.calibrate import calibrate_budget, calibrate_cascade
from pairwright.pipelines.calibration.judged import read_judged
from pairwright.pipelines.recipe import AnnotatorSpec
from tests.recipes import settings


@pytest.fixture
def files(tmp_path):
    """Per-item files of two judges, the second one better."""

    def write(name, skill, seed):
        rng = random.Random(seed)
        rows = []
        for i in range(400):
            confidence = rng.uniform(0.5, 1)
            right = rng.random() < confidence ** (1 / skill)
            gold = "ab"[i % 2]
            verdict = gold if right else {"a": "b", "b": "a"}[gold]
            p = confidence if verdict == "a" else 1 - confidence
            row = {"id": str(i), "annotator": name, "p": p, "verdict": verdict, "gold": gold, "correct": right, "reason": None}
            rows.append(row | {"tokens": 50 * skill, "seconds": 0.1, "money": 0.0, "features": {"confidence": confidence}})
        rows[7] |= {"p": None, "verdict": "invalid", "correct": False, "reason": "no_verdict", "features": {}}
        path = tmp_path / f"{name}.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)))
        return path

    return [write("cheap", 1.0, 1), write("strong", 4.0, 2)]


def test_a_cascade_is_shown_and_written_to_paste(files, tmp_path, capsys):
    calibrate(files, alpha=0.2, delta=0.1, out=tmp_path / "router.yaml")
    judges = read_judged(files)
    found = calibrate_cascade(list(judges.values()), 0.2, 0.1, list(judges))
    shown = capsys.readouterr().out
    [annotator] = yaml.safe_load((tmp_path / "router.yaml").read_text())["annotators"]
    assert [s["use"] for s in annotator["stages"]] == ["cheap", "strong"]
    assert [s["threshold"] for s in annotator["stages"]] == found.thresholds and None not in found.thresholds
    assert f"coverage {found.coverage:.1%}" in shown and "no answer" in shown and "strong alone" in shown


def test_a_budget_makes_a_budgeted_router_and_without_a_file_it_is_printed(files, capsys):
    calibrate(files, budget=0.25)
    found = calibrate_budget(*read_judged(files).values(), 0.25, ["cheap", "strong"])
    shown = capsys.readouterr().out
    printed = yaml.safe_load(shown[shown.index("# calibrated") :])
    assert printed["annotators"][0]["tau"] == found.chosen.tau
    assert found.chosen.share <= 0.25 and "APGR" in shown


def test_a_budget_needs_two_judges(files):
    with pytest.raises(PairwrightError, match="a cheap and a strong judge, but the files hold cheap: give two"):
        calibrate(files[:1], budget=0.25)


@pytest.mark.parametrize("budget", [None, 0.3])
def test_what_calibrate_writes_of_evaluated_judges_is_an_annotator_that_asks_the_same_roles(tmp_path, budget):
    words = random.Random(0)
    rows = []
    for i in range(80):
        texts = [" ".join(words.choices(["red", "blue", "sun", "tree"], k=words.randint(4, 12))) for _ in range(2)]
        rows.append({"prompt": f"Q{i}", "responses": texts, "better": i % 2})
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    judges = [
        {"use": "pairwise", "name": name, "role": role, "criteria": "Which is true?"}
        for name, role in (("small", "weak"), ("judge", "strong"))
    ]
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(settings(tmp_path / "data", annotators=judges)))
    for name in ("small", "judge"):
        evaluate(tmp_path / "recipe.yaml", tmp_path / "pairs.jsonl", annotator=[name], out=tmp_path / name)
    files = [tmp_path / name / "items.jsonl" for name in ("small", "judge")]
    calibrate(files, alpha=0.7, budget=budget, out=tmp_path / "router.yaml")
    [router] = yaml.safe_load((tmp_path / "router.yaml").read_text())["annotators"]
    members = router["stages"] if budget is None else [router["cheap"], router["strong"]]
    for member, judge in zip(members, judges, strict=True):
        assert {k: v for k, v in member.items() if k != "threshold"} == {k: v for k, v in judge.items() if k != "name"}
    assert set(AnnotatorSpec(**router).build().roles()) == {"weak", "strong"}
    text = (tmp_path / "router.yaml").read_text()
    assert "80 items" in text and "own settings" not in text


def test_files_that_do_not_say_the_judges_settings_leave_them_to_the_reader(files, tmp_path):
    calibrate(files, alpha=0.2, out=tmp_path / "router.yaml")
    assert "put each `use`'s own settings beside it" in (tmp_path / "router.yaml").read_text()


def test_a_cascade_that_would_never_decide_is_not_put_into_a_recipe(files, tmp_path, capsys):
    for out in (None, tmp_path / "router.yaml"):
        with pytest.raises(PairwrightError, match="none of its stages would ever decide: give more labelled items"):
            calibrate(files, alpha=0.001, out=out)
        shown = capsys.readouterr().out
        assert "this cascade would never decide" in shown and "use:" not in shown
    assert not (tmp_path / "router.yaml").exists()
