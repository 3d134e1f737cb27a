"""Goldens of filters_routing_consensus.md 7.5."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.pipelines.quality.diversity import compression_ratio, distinct_n, diversity_of, vendi, vendi_of

ABC = "a b c a b c a b"


def test_ngram_diversity_is_the_golden():
    found = diversity_of([ABC])
    assert found.ngram_diversity == pytest.approx(1.903571, abs=1e-6)
    assert found.distinct == {1: 3 / 8, 2: 3 / 7, 3: 3 / 6, 4: 3 / 5}


def test_no_ngram_reaches_across_two_texts():
    assert distinct_n([["a", "b"], ["c", "d"]], 2) == 1.0
    assert distinct_n([["a", "b"], ["a", "b"]], 2) == 0.5
    assert distinct_n([["a"]], 2) is None


@pytest.mark.parametrize(("kernel", "effective"), [(np.eye(3), 3), (np.ones((3, 3)), 1), ([[1, 0.5], [0.5, 1]], 1.754765)])
def test_vendi_is_the_golden(kernel, effective):
    assert vendi(kernel) == pytest.approx(effective, abs=1e-6)


def test_vendi_of_texts_counts_those_that_differ():
    assert vendi_of(["one two three", "one two three"]) == pytest.approx(1)
    assert vendi_of(["one two three", "four five six"]) == pytest.approx(2, abs=0.01)


@given(st.integers(2, 6), st.integers(1, 9), st.integers(0, 99))
def test_vendi_by_the_smaller_matrix_is_vendi_of_the_cosines(n, dimensions, seed):
    rows = np.random.default_rng(seed).normal(size=(n, dimensions))
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    assert vendi_of(rows) == pytest.approx(vendi(unit @ unit.T))
    assert 1 - 1e-9 <= vendi_of(rows) <= min(n, dimensions) + 1e-9


def test_a_vector_of_zeros_has_no_cosine():
    assert vendi_of([[0.0, 0.0], [1.0, 0.0]]) is None


def test_repeated_text_compresses_better():
    assert compression_ratio(["the same words again"] * 100) > 10 > compression_ratio(["the same words again"]) > 0
    assert compression_ratio([]) is None


def test_the_budget_makes_corpora_of_different_size_comparable():
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{i}" for i in rng.zipf(1.5, 50) % 1000) for _ in range(400)]
    ids = [f"id{i}" for i in range(400)]
    small, large = (diversity_of(texts[:n], ids[:n], budget=2_000, most=2) for n in (100, 400))
    assert small.tokens == large.tokens == 2_000
    assert small.distinct[1] == pytest.approx(large.distinct[1], abs=0.04)
    assert diversity_of(texts, ids, most=2).distinct[1] < large.distinct[1] / 2


def test_what_is_looked_at_depends_on_ids_and_not_on_the_order():
    texts, ids = [f"text number {i} is here" for i in range(50)], [f"id{i}" for i in range(50)]
    found = diversity_of(texts, ids, budget=40, most=10)
    turned = diversity_of(texts[::-1], ids[::-1], budget=40, most=10)
    assert found.tokens == 40 and found.compared == 10
    assert (found.distinct, found.compression) == (turned.distinct, turned.compression)
    assert found.self_bleu == pytest.approx(turned.self_bleu) and found.vendi == pytest.approx(turned.vendi)


def test_given_vectors_take_the_place_of_hashed_words():
    assert diversity_of(["a b", "a b"], vectors=[[1.0, 0.0], [0.0, 1.0]]).vendi == pytest.approx(2)


def test_nothing_to_look_at_is_none_with_a_reason():
    found = diversity_of(["", "  "])
    assert (found.texts, found.tokens, found.compared, found.distinct) == (2, 0, 0, {})
    assert found.ngram_diversity is found.compression is found.self_bleu is found.vendi is None
    assert set(found.why) == {"ngram_diversity", "compression", "self_bleu", "vendi"}
    assert diversity_of(["two words"]).why == {
        "ngram_diversity": "no text has 3 tokens",
        "self_bleu": "it takes two texts that are not blank",
    }
