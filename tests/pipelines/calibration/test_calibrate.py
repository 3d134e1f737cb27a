from __future__ import annotations

import dataclasses
import math
import random

import pytest
import yaml

from pairwright.annotators.routing.budgeted import agreement
from pairwright.errors import PairwrightError
from pairwright.pipelines.calibration.calibrate import calibrate_budget, calibrate_cascade
from pairwright.pipelines.calibration.judged import Judged, sigmoid


def through(cascade, stages):
    """(accepted, wrong) when items pass the calibrated thresholds."""
    accepted = wrong = 0
    for answers in zip(*stages, strict=True):
        for threshold, answer in zip(cascade.thresholds, answers, strict=True):
            if threshold is not None and answer.p is not None and answer.confidence >= threshold:
                accepted += 1
                wrong += not answer.correct
                break
    return accepted, wrong


def test_what_it_says_it_did_is_what_its_thresholds_do(simulated):
    stages = simulated(600, silent=0.1)
    c = calibrate_cascade(stages, 0.15, 0.1)
    accepted, wrong = through(c, stages)
    assert (c.accepted, c.coverage) == (accepted, accepted / 600) and 0 < wrong < accepted
    assert c.agreement == pytest.approx(1 - wrong / accepted)
    first, second = c.stages
    assert first.asked == 600 and first.silent == sum(x.p is None for x in stages[0]) > 0
    assert second.asked == 600 - first.accepted and c.mix == [first.accepted / accepted, second.accepted / accepted]
    assert c.tokens == (600 * 10 + second.asked * 100) / 600


def test_every_stage_keeps_its_bound_with_its_share_of_delta(simulated):
    stages = simulated(2000)
    joint, each = calibrate_cascade(stages, 0.2, 0.1), calibrate_cascade(stages, 0.2, 0.1, per_stage_delta=True)
    assert (joint.stage_delta, each.stage_delta) == (0.05, 0.1)
    assert all(s.threshold is not None and s.threshold.bound <= 0.2 for c in (joint, each) for s in c.stages)
    assert each.stages[0].accepted > joint.stages[0].accepted > 0


def test_the_guarantee_holds_in_repeated_draws(simulated):
    """Thresholds from 300 items, tried on 20,000 others: disagreement above alpha in at most a share delta of the runs."""
    alpha, delta, runs = 0.2, 0.2, 60
    population = simulated(20_000, run=10**6)
    broken = 0
    for run in range(runs):
        accepted, wrong = through(calibrate_cascade(simulated(300, run), alpha, delta), population)
        broken += wrong > alpha * accepted
    assert broken <= delta * runs + 2.33 * math.sqrt(runs * delta * (1 - delta))
    # the same check must catch thresholds that were not tested: accept everything the first judge says
    everything = sum(not x.correct for x in population[0])
    assert everything > alpha * len(population[0])


def test_a_stage_for_which_nothing_qualifies_accepts_nothing_and_the_next_sees_all_its_items(simulated):
    guessing, good = simulated(400, skill=(0.0, 1.5))
    c = calibrate_cascade([guessing, good], 0.1, 0.1)
    assert c.thresholds[0] is None and c.stages[0].accepted == 0
    assert c.stages[1].asked == 400 and c.stages[1].accepted > 0


def test_when_nobody_qualifies_everything_abstains(simulated):
    c = calibrate_cascade(simulated(300, skill=(0.0, 0.0)), 0.05, 0.1)
    assert c.thresholds == [None, None] and c.coverage == 0 and c.agreement is None and c.mix is None
    assert [s["threshold"] for s in yaml.safe_load(c.to_recipe())["annotators"][0]["stages"]] == [None, None]


def test_items_are_joined_by_id_and_those_that_cannot_be_used_are_counted(simulated):
    cheap, strong = simulated(400)
    reference = calibrate_cascade([cheap, strong], 0.15, 0.1)
    extra = [Judged("only the cheap one", 0.9, True), dataclasses.replace(cheap[0], id="no gold", correct=None)]
    more = [dataclasses.replace(strong[0], id="no gold", correct=None)]
    c = calibrate_cascade([[*reversed(cheap), *extra], strong + more], 0.15, 0.1)
    assert (c.judges.n, c.judges.unmatched, c.judges.unlabelled) == (400, 1, 1)
    assert c.thresholds == reference.thresholds and c.stages == reference.stages


def test_the_recipe_holds_the_exact_thresholds(simulated):
    c = calibrate_cascade(simulated(500), 0.15, 0.1, names=["pairwise", "solve_first"])
    [annotator] = yaml.safe_load(c.to_recipe())["annotators"]
    assert annotator == {
        "use": "cascade",
        "final": "abstain",
        "stages": [{"use": n, "threshold": t} for n, t in zip(["pairwise", "solve_first"], c.thresholds, strict=True)],
    }
    assert "0.15 with probability 0.9; 500 items" in c.to_recipe()


def test_scores_of_any_size_keep_their_order_and_the_recipe_makes_the_same_confidences():
    rng = random.Random(5)
    differences = [rng.gauss(0, 300) for _ in range(400)]
    rows = [Judged(str(i), sigmoid(d), rng.random() < 0.6 + abs(d) / 1500, difference=d) for i, d in enumerate(differences)]
    assert sum(r.confidence == 1 for r in rows) > 200
    c = calibrate_cascade([rows], 0.2, 0.1, ["density_ratio"])
    [stage] = yaml.safe_load(c.to_recipe())["annotators"][0]["stages"]
    assert stage["slope"] == pytest.approx(1 / 300, rel=0.1) and 0.5 < stage["threshold"] < 1
    confident = [max(p := sigmoid(stage["slope"] * d), 1 - p) >= stage["threshold"] for d in differences]
    assert sum(confident) == c.accepted and 0.1 < c.coverage < 0.9
    reached = min(abs(d) for d, x in zip(differences, confident, strict=True) if x)
    assert all(x == (abs(d) >= reached) for d, x in zip(differences, confident, strict=True))


def test_a_budget_is_kept_and_spent_where_the_cheap_judge_is_probably_wrong(simulated):
    cheap, strong = simulated(1500)
    b = calibrate_budget(cheap, strong, 0.3, ["one", "two"])
    assert 0.29 < b.chosen.share <= 0.3
    assert b.cheap < b.chosen.agreement and b.chosen.tokens == pytest.approx(10 + 100 * b.chosen.share)
    assert b.apgr > 0.55 and b.model.auroc > 0.65
    assert 0 < b.cpt(0.5) < 0.5
    assert (b.points[0].agreement, b.points[-1].agreement) == (b.cheap, b.strong)
    [annotator] = yaml.safe_load(b.to_recipe())["annotators"]
    assert set(annotator) == {"use", "cheap", "strong", "weights", "bias", "tau"} and annotator["cheap"] == {"use": "one"}
    p = [agreement(annotator["weights"], annotator["bias"], dict(x.features)) for x in cheap]
    assert sum(x < annotator["tau"] for x in p) / 1500 == pytest.approx(0.3, abs=0.001)


def test_what_the_cheap_judge_leaves_unsaid_goes_to_the_strong_one_even_beyond_the_budget(simulated):
    cheap, strong = simulated(600, silent=0.2)
    b = calibrate_budget(cheap, strong, 0.05)
    assert b.chosen.share == b.points[0].share == sum(x.p is None for x in cheap) / 600 > 0.05
    assert b.apgr is not None and b.cheap == sum(bool(x.correct) for x in cheap) / 600


@pytest.mark.parametrize(("share", "sent"), [(0.0, 0.0), (1.0, 1.0)])
def test_the_ends_of_the_budget_ask_nobody_or_everybody(simulated, share, sent):
    assert calibrate_budget(*simulated(300), share).chosen.share == sent


@pytest.mark.parametrize(
    ("stages", "more", "says"),
    [
        (
            [[Judged("a", 0.9, True)], [Judged("b", 0.9, True)]],
            {},
            "no item with a gold label was judged by all of stage_0, stage_1",
        ),
        ([[Judged("a", 0.9, None)]], {}, "no item with a gold label"),
        ([[Judged("a", 0.9, True), Judged("a", 0.8, True)]], {}, "'stage_0' has judged the item 'a' twice"),
        ([[Judged("a", 0.9, True)]], {"alpha": 0.0}, "alpha is 0: give a number between 0 and 1"),
        ([[Judged("a", 0.9, True)]], {"delta": 1.5}, "delta is 1.5"),
        ([[Judged("a", 0.9, True)]] * 2, {"names": ["same", "same"]}, "2 judges need 2 different names"),
    ],
)
def test_mistakes_are_said_in_one_sentence(stages, more, says):
    with pytest.raises(PairwrightError, match=says):
        calibrate_cascade(stages, **{"alpha": 0.1, "delta": 0.1, **more})


def test_a_budget_that_is_no_share_is_refused(simulated):
    with pytest.raises(PairwrightError, match="the budget is 30: give the share"):
        calibrate_budget(*simulated(50), 30)
