from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.pipelines.consensus.votes import Agreed, agree, can_estimate

VOTE = st.sampled_from([1.0, 0.0, 0.5, None])


def one(*votes, **settings) -> Agreed:
    [agreed] = agree({f"w{i}": [v] for i, v in enumerate(votes)}, **settings)
    return agreed


def test_majority_is_the_share_of_votes():
    found = one(1.0, 1.0, 0.0, None)
    assert (found.label, found.votes) == ("a", 3)
    assert found.posterior == pytest.approx({"a": 2 / 3, "b": 1 / 3})
    assert found.disagreement == pytest.approx(1 / 3)
    assert found.entropy == pytest.approx(-(2 / 3) * math.log(2 / 3) - (1 / 3) * math.log(1 / 3))


def test_unanimity_breaks_on_one_vote_or_tie():
    assert one(1.0, 1.0, 1.0, rule="unanimous").label == "a"
    assert one(0.0, 0.0, rule="unanimous").label == "b"
    assert one(1.0, 1.0, 0.0, rule="unanimous").label is None
    assert one(1.0, 1.0, 0.5, rule="unanimous").label is None


def test_a_split_has_no_label_and_is_never_drawn():
    found = one(1.0, 0.0)
    assert (found.label, found.p) == (None, 0.5)
    assert one(1.0, 0.5).label == "a"


def test_a_tie_is_half_a_vote_or_a_label_of_its_own():
    assert one(0.5, 0.5).label is None
    own = one(0.5, 0.5, 1.0, ties="label")
    assert own.label == "tie"
    assert own.posterior == pytest.approx({"a": 1 / 3, "b": 0.0, "tie": 2 / 3})
    assert own.p == pytest.approx(2 / 3)


def test_nobody_voting_says_nothing():
    found = one(None, None)
    assert (found.label, found.votes, found.p, found.disagreement) == (None, 0, 0.5, 0.0)
    assert agree({"w": []}) == []
    assert agree({}) == []


def test_weighted_votes_multiply_odds():
    accuracies = {"w0": 0.9, "w1": 0.6, "w2": 0.6}
    found = one(1.0, 0.0, 0.0, rule="weighted", accuracies=accuracies)
    odds = (0.9 / 0.1) / (0.6 / 0.4) ** 2
    assert found.label == "a"
    assert found.p == pytest.approx(odds / (1 + odds))
    assert found.disagreement == pytest.approx(1 / 3)


def test_weights_of_three_labels_follow_bayes():
    accuracy = 0.7
    found = one(1.0, 0.5, rule="weighted", accuracies={"w0": accuracy, "w1": 0.5}, ties="label")
    joint = {"a": 0.7 * 0.25, "b": 0.15 * 0.25, "tie": 0.15 * 0.5}
    assert found.posterior == pytest.approx({k: v / sum(joint.values()) for k, v in joint.items()})


def test_worse_than_chance_counts_against_what_it_says():
    assert one(1.0, rule="weighted", accuracies={"w0": 0.2}).label == "b"
    assert one(1.0, rule="weighted", accuracies={"w0": 0.5}).label is None


@pytest.mark.parametrize("rule", ["majority", "unanimous", "weighted"])
def test_a_family_has_one_vote(rule):
    accuracies = dict.fromkeys(("w0", "w1", "w2", "w3"), 0.8) if rule == "weighted" else None
    votes = {"w0": [1.0], "w1": [1.0], "w2": [1.0], "w3": [0.0]}
    [apart] = agree(votes, rule, accuracies=accuracies)
    [family] = agree(votes, rule, families={"sisters": ["w0", "w1", "w2"]}, accuracies=accuracies)
    assert (apart.votes, family.votes) == (4, 2)
    assert (apart.p > 0.7, family.p, family.label) == (True, pytest.approx(0.5), None)


def test_a_family_that_is_split_shares_its_vote():
    families = {"sisters": ["w0", "w1"]}
    [found] = agree({"w0": [1.0], "w1": [0.0], "w2": [1.0]}, families=families)
    assert found.posterior == pytest.approx({"a": 0.75, "b": 0.25})
    [absent] = agree({"w0": [1.0], "w1": [None], "w2": [0.0]}, families=families)
    assert absent.posterior == pytest.approx({"a": 0.5, "b": 0.5})


def test_dawid_skene_learns_whom_to_trust_from_all_pairs():
    rng = np.random.default_rng(11)
    truth = rng.integers(0, 2, 150)
    votes = {
        name: [float(t if r < accuracy else 1 - t) for t, r in zip(truth, rng.random(150), strict=True)]
        for name, accuracy in (("good", 0.95), ("fair", 0.75), ("poor", 0.5), ("poorer", 0.45))
    }

    def share(rule):
        return np.mean(
            [(v.label == "a") == bool(t) and v.label is not None for v, t in zip(agree(votes, rule), truth, strict=True)]
        )

    assert share("dawid_skene") > share("majority") + 0.1
    assert share("one_coin") > share("majority") + 0.1


def test_correlated_annotators_are_tamed_by_making_them_a_family():
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 2, 200)

    def noisy(accuracy):
        return [float(t if r < accuracy else 1 - t) for t, r in zip(truth, rng.random(200), strict=True)]

    copied = noisy(0.6)
    votes = {"copy1": copied, "copy2": copied, "copy3": copied, "x": noisy(0.85), "y": noisy(0.85)}

    def share(**settings):
        found = agree(votes, "dawid_skene", **settings)
        return np.mean([(v.label == "a") == bool(t) for v, t in zip(found, truth, strict=True)])

    assert share(families={"copies": ["copy1", "copy2", "copy3"]}) > share() + 0.1


def test_two_families_cannot_be_estimated():
    votes = {"a": [1.0, 0.0], "b": [1.0, 0.0], "c": [1.0, 1.0]}
    assert can_estimate(votes)
    assert not can_estimate(votes, {"f": ["a", "b"]})
    assert not can_estimate({"a": [1.0, None], "b": [1.0, 0.0], "c": [None, 1.0]})
    assert not can_estimate({})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rule": "weighted"}, "accuracy of 'w0'"),
        ({"rule": "weighted", "accuracies": {"w0": 1.0}}, "accuracy of 'w0'"),
        ({"accuracies": {"nobody": 0.5}}, "'nobody'"),
        ({"families": {"f": ["nobody"]}}, "'nobody' must be one of"),
        ({"families": {"f": ["w0"], "g": ["w0"]}}, "one family only"),
    ],
)
def test_what_does_not_fit_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        one(1.0, **settings)
    with pytest.raises(ValueError, match="a vote is 1, 0, 1/2 or None, not 0.7"):
        one(0.7)


@given(st.lists(st.tuples(VOTE, VOTE, VOTE), min_size=1, max_size=8), st.sampled_from(["half", "label"]))
def test_telling_the_pairs_the_other_way_round_turns_every_verdict(rows, ties):
    columns = dict(zip("xyz", map(list, zip(*rows, strict=True)), strict=True))
    turned = {name: [None if v is None else 1 - v for v in column] for name, column in columns.items()}
    other = {"a": "b", "b": "a", "tie": "tie", None: None}
    accuracies = {"x": 0.9, "y": 0.7, "z": 0.6}
    for rule in ("majority", "unanimous", "weighted"):
        extra = {"accuracies": accuracies} if rule == "weighted" else {}
        for found, back in zip(agree(columns, rule, ties=ties, **extra), agree(turned, rule, ties=ties, **extra), strict=True):
            assert back.label == other[found.label]
            assert back.p == pytest.approx(1 - found.p)
            assert sum(found.posterior.values()) == pytest.approx(1)


@pytest.mark.parametrize("rule", ["dawid_skene", "one_coin"])
@given(rows=st.lists(st.tuples(VOTE, VOTE, VOTE), min_size=1, max_size=8), ties=st.sampled_from(["half", "label"]))
def test_estimated_verdicts_do_not_know_which_response_comes_first(rule, rows, ties):
    columns = dict(zip("xyz", map(list, zip(*rows, strict=True)), strict=True))
    turned = {name: [None if v is None else 1 - v for v in column] for name, column in columns.items()}
    if can_estimate(columns):
        for found, back in zip(agree(columns, rule, ties=ties), agree(turned, rule, ties=ties), strict=True):
            assert (back.p, back.lead) == (pytest.approx(1 - found.p), pytest.approx(-found.lead))


def test_the_lead_is_the_plain_majority_whatever_the_weights():
    found = one(1.0, 0.0, 0.0, rule="weighted", accuracies={"w0": 0.95, "w1": 0.6, "w2": 0.6})
    assert (found.label, found.lead) == ("a", pytest.approx(-1 / 3))
    assert one(1.0, 0.5, None).lead == pytest.approx(0.5)
