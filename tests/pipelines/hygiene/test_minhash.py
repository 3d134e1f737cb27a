from __future__ import annotations

import random

import numpy as np
import pytest

from pairwright.pipelines.hygiene.minhash import NOTHING, band_keys, bands_for, hit_probability, library, signatures
from pairwright.pipelines.hygiene.shingles import Grams, grams, jaccard, odd_numbers

SIMILARITIES = np.array([0.5, 0.6, 0.7, 0.8, 0.9])
GOLDEN = {
    (14, 9): [0.027, 0.132, 0.438, 0.867, 0.999],
    (9, 13): [0.001, 0.012, 0.084, 0.399, 0.929],
    (25, 10): [0.024, 0.141, 0.511, 0.942, 1.0],
}


def altered(rng, size, changes):
    """A text of `size` words, and the same with some words changed."""
    text = [f"w{rng.randrange(5000)}" for _ in range(size)]
    other = list(text)
    for i in rng.sample(range(size), changes):
        other[i] = "new"
    return " ".join(text), " ".join(other)


@pytest.mark.parametrize(("shape", "expected"), GOLDEN.items())
def test_the_golden_hit_probabilities(shape, expected):
    assert hit_probability(SIMILARITIES, *shape).tolist() == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize(("threshold", "permutations", "shape"), [(0.7, 128, (14, 9)), (0.8, 128, (9, 13)), (0.7, 256, (25, 10))])
def test_bands_are_chosen_as_datasketch_chooses_them(threshold, permutations, shape):
    assert bands_for(threshold, permutations) == shape


def test_the_estimate_of_one_pair_is_near_its_similarity():
    common = [f"a{i}" for i in range(19)]
    found = grams([" ".join([*common, "b", "c"]), " ".join([*common, "d", "e"])], 5)  # 15 of 19 shingles in common
    one, other = signatures(found)
    assert jaccard(set(found.of(0).tolist()), set(found.of(1).tolist())) == pytest.approx(0.789, abs=5e-4)
    assert (one == other).mean() == pytest.approx(0.789, abs=0.05)  # the method page saw .797 on a pair of its own


@pytest.mark.skipif(library() != "rensa 0.5.0", reason="another version may find other signatures")
def test_signatures_do_not_depend_on_the_run():
    assert signatures(grams(["one two three four five"], 5))[0, :3].tolist() == [3745417657, 4016993075, 3651825175]


def test_signatures_estimate_the_similarity_without_bias():
    rng = random.Random(1)
    couples = [altered(rng, 80, 1 + i % 12) for i in range(300)]
    found = [grams([couple[side] for couple in couples], 5) for side in (0, 1)]
    true = np.array([jaccard(set(found[0].of(i).tolist()), set(found[1].of(i).tolist())) for i in range(300)])
    errors = (signatures(found[0]) == signatures(found[1])).mean(axis=1) - true
    assert abs(errors.mean()) < 4 * 0.044 / np.sqrt(300)  # one estimate of 128 places has a deviation of at most .0442
    assert errors.std() < 0.05


def test_texts_meet_in_a_band_as_often_as_the_formula_says():
    rng = random.Random(2)
    couples = [altered(rng, 84, 3) for _ in range(1500)]  # 15 of 80 shingles changed
    keys = [band_keys(signatures(grams([couple[side] for couple in couples], 5)), 14, 9) for side in (0, 1)]
    met = (keys[0] == keys[1]).any(axis=1).mean()
    true = [jaccard(*(set(grams([text], 5).hashes.tolist()) for text in couple)) for couple in couples]
    assert met == pytest.approx(hit_probability(np.array(true), 14, 9).mean(), abs=0.04)


def test_a_text_without_n_grams_has_an_empty_signature_and_disturbs_no_other():
    texts = ["a b c d e f", "x", "g h i j k l", ""]
    found = signatures(grams(texts, 5))
    assert (found[[1, 3]] == NOTHING).all()
    assert (found[[0, 2]] == signatures(grams([texts[0], texts[2]], 5))).all()


@pytest.mark.parametrize("sizes", [(1, 1), (0, 3), (7, 40), (300, 2000)])
def test_the_signature_of_several_parts_is_that_of_all_their_shingles(sizes):
    rng = np.random.default_rng(sum(sizes))
    parts = [rng.integers(0, 2**63, size, np.uint64) for size in sizes]

    def of(hashes):
        return signatures(Grams(hashes, np.array([0, len(hashes)]), np.array([len(hashes)])))

    tags = odd_numbers("tag", 2)
    together = np.concatenate([part + tag - tags[0] for part, tag in zip(parts, tags, strict=True)])
    by_part = [signatures(Grams(p, np.array([0, len(p)]), np.array([len(p)])), tag) for tag, p in enumerate(parts)]
    assert (np.minimum(*by_part) == of(together)).all()


def test_the_same_words_in_another_part_are_other_shingles():
    found = grams(["a b c d e f g h"], 5)
    assert (signatures(found, 0) != signatures(found, 1)).mean() > 0.9
