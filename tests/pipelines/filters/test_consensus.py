from __future__ import annotations

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from pairwright.errors import PairwrightError
from pairwright.pipelines.filters import AnyFilter, apply_filters
from pairwright.pipelines.filters.consensus import Consensus
from pairwright.pipelines.recipe import parse_recipe
from tests.pipelines.filters.columns import columns
from tests.recipes import settings

THREE = {"annotators": ["x", "y", "z"]}


def judged(pairs, **about):
    return apply_filters([Consensus.model_validate({**THREE, **about})], pairs)


def test_a_pair_is_kept_contradicted_or_sent_back():
    pairs = columns(3, {"x": [1.0, -1.0, 1.0], "y": [2.0, -0.1, -1.0], "z": [0.5, 3.0, 0.0]})
    outcome = judged(pairs)
    assert outcome.scores["consensus"].tolist() == pytest.approx([1.0, 1 / 3, 0.5])
    assert outcome.keep.tolist() == [True, False, False]
    assert outcome.reason[1] == "contradicted: the consensus prefers the rejected response (P that the chosen is better: 0.333)"
    assert outcome.reason[2] == "re-annotate: split (P that the chosen is better: 0.5; 0.5 is needed)"


def test_a_higher_threshold_sends_more_back_and_keeps_less():
    pairs = columns(3, {"x": [1.0] * 3, "y": [1.0, 1.0, -1.0], "z": [1.0, -1.0, -1.0]})
    outcome = judged(pairs, threshold=0.7)
    assert outcome.keep.tolist() == [True, False, False]
    assert [r and r.split(":")[0] for r in outcome.reason] == [None, "re-annotate", "re-annotate"]
    unanimous = judged(pairs, rule="unanimous")
    assert unanimous.keep.tolist() == [True, False, False]


def test_too_few_votes_are_no_consensus():
    pairs = columns(2, {"x": [1.0, 1.0], "y": [None, 1.0], "z": [None, None]})
    outcome = judged(pairs)
    assert outcome.scores["consensus"].tolist() == [None, 1.0]
    assert outcome.reason == ["consensus_missing: re-annotate: fewer than 2 of 3 voted", None]
    assert judged(pairs, on_missing="keep").keep.all()
    assert judged(pairs, min_votes=1).keep.all()


def test_an_annotator_that_compares_votes_by_its_comparison_not_its_strengths():
    pairs = columns(2, {"x": [1.0, 1.0], "y": [1.0, 1.0], "z": [9.0, 9.0]}, {"y": [0.0, 0.5], "z": [0.0, None]})
    outcome = judged(pairs)
    assert outcome.scores["consensus"].tolist() == pytest.approx([1 / 3, 0.75])


def test_an_annotator_that_compares_some_groups_and_rates_others_votes_in_both():
    pairs = columns(3, {name: [1.0] * 3 for name in "xyz"}, {"z": [0.0, None, "rated"]})
    assert judged(pairs).scores["consensus"].tolist() == pytest.approx([2 / 3, 1.0, 1.0])
    assert judged(pairs, min_votes=3).scores["consensus"].tolist() == pytest.approx([2 / 3, None, 1.0])


def test_small_score_differences_are_ties():
    pairs = columns(1, {"x": [0.2], "y": [0.2], "z": [-0.2]})
    assert judged(pairs).scores["consensus"].tolist() == pytest.approx([2 / 3])
    assert judged(pairs, tie_band=0.2).scores["consensus"].tolist() == [0.5]
    assert judged(pairs, tie_band={"z": 0.2}).scores["consensus"].tolist() == pytest.approx([5 / 6])


def test_ties_as_a_label_neither_help_nor_contradict():
    pairs = columns(1, {"x": [0.0], "y": [0.0], "z": [-1.0]})
    outcome = judged(pairs, ties="label", threshold=0.7)
    assert outcome.scores["consensus"].tolist() == pytest.approx([1 / 3])
    assert outcome.reason[0].startswith("re-annotate: split")


def test_a_pair_whose_consensus_is_a_tie_is_not_kept():
    pairs = columns(3, {"x": [0.0, 0.0, 1.0], "y": [0.0, 1.0, 1.0], "z": [1.0, 1.0, 0.0]})
    outcome = judged(pairs, ties="label")
    assert outcome.scores["consensus"].tolist() == pytest.approx([2 / 3, 5 / 6, 5 / 6])
    assert outcome.keep.tolist() == [False, True, True]
    assert outcome.reason[0] == "re-annotate: the consensus is a tie (P of a tie: 0.667)"
    level = judged(columns(1, {"x": [0.0], "y": [1.0], "z": [None]}), ties="label")
    assert level.reason[0].startswith("re-annotate: split (no label is the likeliest")


def test_accuracies_weigh_votes():
    pairs = columns(1, {"x": [1.0], "y": [-1.0], "z": [-1.0]})
    weighted = judged(pairs, rule="weighted", accuracies={"x": 0.95, "y": 0.6, "z": 0.6})
    assert weighted.keep.tolist() == [True]
    assert judged(pairs).keep.tolist() == [False]


def test_a_family_is_one_vote():
    pairs = columns(1, {"x": [1.0], "y": [-1.0], "z": [-1.0]})
    outcome = judged(pairs, families={"sisters": ["y", "z"]})
    assert outcome.scores["consensus"].tolist() == [0.5]


def test_dawid_skene_learns_from_all_pairs_at_once():
    rng = np.random.default_rng(0)
    truth = np.where(rng.random(200) < 0.6, 1.0, -1.0)
    workers = {"v": 0.95, "x": 0.85, "y": 0.5, "z": 0.45}
    pairs = columns(200, {n: list(np.where(rng.random(200) < accuracy, truth, -truth)) for n, accuracy in workers.items()})

    def right(rule):
        return np.mean(judged(pairs, annotators=list(workers), rule=rule, threshold=0.5).keep == (truth > 0))

    assert right("dawid_skene") > 0.9
    assert right("dawid_skene") > right("majority") + 0.1


@pytest.mark.parametrize("rule", ["dawid_skene", "one_coin"])
def test_that_most_pairs_are_right_does_not_outweigh_votes_against_one(rule):
    rng = np.random.default_rng(1)
    truth = np.where(rng.random(300) < 0.95, 1.0, -1.0)
    margins = {name: list(np.where(rng.random(300) < 0.8, truth, -truth)) for name in "wxyz"}
    outcome = judged(columns(300, margins), annotators=list("wxyz"), rule=rule)
    in_favour = (np.array(list(margins.values())) > 0).sum(axis=0)
    assert set(in_favour[outcome.keep]) == {3, 4} and set(in_favour[~outcome.keep]) >= {0, 1, 2}


def test_a_pair_that_most_vote_against_is_not_kept_however_good_the_one_that_votes_for_it():
    rng = np.random.default_rng(2)
    truth = np.where(rng.random(400) < 0.5, 1.0, -1.0)
    accuracy = {"expert": 0.99, "w": 0.7, "x": 0.6, "y": 0.6, "z": 0.6}
    margins = {name: list(np.where(rng.random(400) < share, truth, -truth)) for name, share in accuracy.items()}
    outcome = judged(columns(400, margins), annotators=list(accuracy), rule="one_coin")
    against = (np.array(list(margins.values())) > 0).sum(axis=0) < 2.5
    barred = against & (outcome.scores["consensus"].filled(0) > 0.9)
    assert barred.any() and not outcome.keep[against].any()
    assert all(outcome.reason[i].startswith("re-annotate: most votes are for the rejected") for i in np.flatnonzero(barred))


def test_dawid_skene_without_three_votes_anywhere_says_so():
    pairs = columns(2, {"x": [1.0, None], "y": [1.0, 1.0], "z": [None, 1.0]})
    outcome = judged(pairs, rule="dawid_skene")
    assert outcome.reason == ["consensus_missing: re-annotate: on no pair do three annotators vote, a family as one"] * 2
    assert judged(columns(0, {n: [] for n in "xyz"}), rule="dawid_skene").keep.tolist() == []


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"annotators": ["x"]}, "at least 2"),
        ({"annotators": ["x", "x"]}, "listed twice"),
        ({"families": {"f": ["x", "w"]}}, "`families` speaks of 'w'"),
        ({"families": {"f": ["x"], "g": ["x"]}}, "in two families"),
        ({"tie_band": {"w": 1}}, "`tie_band` speaks of 'w'"),
        ({"tie_band": -1}, "at least 0"),
        ({"rule": "weighted", "accuracies": {"x": 0.9}}, "accuracy of 'y'"),
        ({"rule": "weighted", "accuracies": {"x": 1.0}}, "less than 1"),
        ({"accuracies": {"x": 0.9}}, "no effect with rule 'majority'"),
        ({"rule": "unanimous", "threshold": 0.7}, "no effect with rule 'unanimous'"),
        ({"rule": "dawid_skene", "families": {"f": ["x", "y"]}}, "needs three annotators"),
        ({"min_votes": 4}, "can never be reached"),
        ({"threshold": 0.3}, "greater than or equal to 0.5"),
    ],
)
def test_settings_that_make_no_sense_are_refused(about, message):
    with pytest.raises(ValidationError, match=message):
        Consensus.model_validate({**THREE, **about})


def test_settings_survive_a_round_trip():
    f = Consensus.model_validate({**THREE, "rule": "weighted", "accuracies": dict.fromkeys("xyz", 0.8), "tie_band": {"x": 1}})
    assert TypeAdapter(AnyFilter).validate_json(f.model_dump_json()) == f


@pytest.mark.parametrize("use", ["consensus", "strength"])
def test_an_annotator_that_is_not_in_the_recipe_is_named(tmp_path, use):
    filters = [{"use": use, "annotators": ["density_ratio", "density_rato"], **({"min": 0} if use == "strength" else {})}]
    with pytest.raises(PairwrightError) as error:
        parse_recipe(settings(tmp_path, filters=filters), "my.yaml")
    assert str(error.value) == (
        f"my.yaml: the filter '{use}' uses 'density_rato', but the recipe's annotators are density_ratio; "
        "did you mean `density_ratio`?"
    )
