from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from pairwright.pipelines.consensus.dawid_skene import dawid_skene, identifiable

ACCURACIES = (0.9, 0.8, 0.7, 0.6, 0.25)


def simulated(seed=0, tasks=200, accuracies=ACCURACIES, coverage=1.0):
    """Votes [W, T, 2] of workers with these accuracies, and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, tasks)
    votes = np.zeros((len(accuracies), tasks, 2))
    for w, accuracy in enumerate(accuracies):
        right, asked = rng.random(tasks) < accuracy, rng.random(tasks) < coverage
        for t in np.flatnonzero(asked):
            votes[w, t, truth[t] if right[t] else 1 - truth[t]] = 1
    return votes, truth


def slow_em(votes, smoothing=0.01, steps=100, close=1e-5):
    """The same model written out loop by loop with plain probabilities."""
    workers, tasks, labels = votes.shape
    posterior = [[sum(votes[w][t][k] for w in range(workers)) for k in range(labels)] for t in range(tasks)]
    posterior = [[x / sum(row) for x in row] for row in posterior]
    before = -math.inf
    for _ in range(steps):
        prior = [sum(row[k] for row in posterior) / tasks for k in range(labels)]
        confusion = []
        for w in range(workers):
            rows = []
            for k in range(labels):
                counts = [sum(posterior[t][k] * votes[w][t][m] for t in range(tasks)) + smoothing for m in range(labels)]
                rows.append([c / sum(counts) for c in counts])
            confusion.append(rows)
        total = 0.0
        for t in range(tasks):
            joint = [
                prior[k] * math.prod(confusion[w][k][m] ** votes[w][t][m] for w in range(workers) for m in range(labels))
                for k in range(labels)
            ]
            posterior[t] = [j / sum(joint) for j in joint]
            total += math.log(sum(joint))
        if total - before < close:
            break
        before = total
    return np.array(posterior)


def test_it_finds_the_truth_where_the_majority_does_not():
    votes, truth = simulated()
    majority = (votes.sum(axis=0).argmax(axis=1) == truth).mean()
    fit = dawid_skene(votes)
    assert (fit.posterior.argmax(axis=1) == truth).mean() > majority + 0.03
    assert fit.accuracy == pytest.approx(ACCURACIES, abs=0.12)


@pytest.mark.parametrize("coverage", [1.0, 0.8])
def test_the_posteriors_are_those_of_a_second_way_to_write_it(coverage):
    votes, _ = simulated(seed=3, tasks=60, coverage=coverage)
    votes = votes[:, votes.sum(axis=(0, 2)) > 0]
    assert dawid_skene(votes).posterior == pytest.approx(slow_em(votes), abs=1e-9)


def test_one_coin_is_right_with_one_probability_whatever_the_truth():
    votes, truth = simulated(seed=1)
    fit = dawid_skene(votes, one_coin=True)
    assert np.allclose(fit.confusion, fit.confusion.transpose(0, 2, 1))
    assert fit.accuracy == pytest.approx(ACCURACIES, abs=0.12)
    assert (fit.posterior.argmax(axis=1) == truth).mean() > 0.85


def test_a_one_coin_posterior_is_the_product_of_its_odds():
    votes, _ = simulated(seed=5, tasks=80)
    fit = dawid_skene(votes, one_coin=True)
    weight = np.log(fit.confusion[:, 0, 0] / fit.confusion[:, 0, 1])
    odds = np.log(fit.prior[0] / fit.prior[1]) + np.einsum("w,wt->t", weight, votes[:, :, 0] - votes[:, :, 1])
    assert fit.posterior[:, 0] == pytest.approx(1 / (1 + np.exp(-odds)))


def test_renaming_labels_and_reordering_annotators_changes_nothing():
    votes, _ = simulated(seed=2, tasks=50)
    plain = dawid_skene(votes).posterior
    assert dawid_skene(votes[:, :, ::-1]).posterior == pytest.approx(plain[:, ::-1])
    assert dawid_skene(votes[::-1]).posterior == pytest.approx(plain)
    assert dawid_skene(votes[:, ::-1]).posterior == pytest.approx(plain[::-1])


def test_an_item_without_votes_has_the_prior():
    votes, _ = simulated(seed=4, tasks=30)
    votes[:, 7] = 0
    fit = dawid_skene(votes)
    assert fit.posterior[7] == pytest.approx(fit.prior)
    assert np.isfinite(fit.log_likelihood)


def test_an_annotator_who_always_says_the_same_tells_nothing():
    votes, _ = simulated(seed=6, tasks=80, accuracies=(0.9, 0.85, 0.8))
    parrot = np.zeros((1, 80, 2))
    parrot[:, :, 0] = 1
    plain, joined = dawid_skene(votes), dawid_skene(np.concatenate([votes, parrot]))
    assert joined.posterior == pytest.approx(plain.posterior, abs=0.06)
    assert joined.confusion[3] == pytest.approx(np.array([[1, 0], [1, 0]]), abs=0.01)


def test_an_annotator_who_is_always_wrong_is_as_good_as_one_who_is_right():
    votes, truth = simulated(seed=7, accuracies=(0.85, 0.8, 0.8, 0.05))
    fit = dawid_skene(votes)
    assert fit.accuracy[3] < 0.2
    assert (fit.posterior.argmax(axis=1) == truth).mean() > 0.9


def test_if_most_are_mostly_wrong_it_agrees_with_them():
    votes, truth = simulated(seed=8, accuracies=(0.2, 0.2, 0.2, 0.9))
    assert (dawid_skene(votes).posterior.argmax(axis=1) == truth).mean() < 0.5


def test_two_annotators_cannot_be_told_apart():
    votes, _ = simulated(accuracies=(0.9, 0.6))
    assert not identifiable(votes)
    with pytest.raises(ValueError, match="3 annotators have labelled"):
        dawid_skene(votes)


def test_three_annotators_who_never_meet_cannot_be_told_apart_either():
    votes, _ = simulated(tasks=30, accuracies=(0.9, 0.8, 0.7))
    for t, w in zip(range(30), itertools.cycle(range(3)), strict=False):
        votes[w, t] = 0
    assert not identifiable(votes)
    votes[:, 0, 0] = 1
    assert identifiable(votes)


@pytest.mark.parametrize("votes", [np.zeros((3, 4)), -np.ones((3, 4, 2)), np.full((3, 4, 2), np.nan), np.ones((3, 4, 1))])
def test_what_is_no_table_of_votes_is_refused(votes):
    with pytest.raises(ValueError, match="counts of at least 0"):
        dawid_skene(votes)


def test_posteriors_match_crowd_kit():
    crowdkit = pytest.importorskip("crowdkit.aggregation", reason="crowd-kit is not installed")
    import pandas as pd

    votes, _ = simulated()
    rows = [(t, w, int(votes[w, t].argmax())) for w in range(votes.shape[0]) for t in range(votes.shape[1])]
    frame = pd.DataFrame(rows, columns=["task", "worker", "label"])
    known = crowdkit.DawidSkene(n_iter=100).fit_predict_proba(frame).sort_index()[[0, 1]].to_numpy()
    assert dawid_skene(votes).posterior == pytest.approx(known, abs=1e-2)
