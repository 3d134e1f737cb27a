from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.pipelines.hygiene.shingles import folded, grams, jaccard, words

letters = st.lists(st.sampled_from("abc"), max_size=12).map(" ".join)


def test_case_and_white_space_are_folded_and_nothing_that_has_a_meaning():
    assert folded("  Two\tWORDS\n") == "two words" and folded("e\u0301") == "é"
    assert folded("3 m²") != folded("3 m2")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What is 3+4? (well-known)", ["what", "is", "3+4", "well", "known"]),
        ("What is 3 * 4", ["what", "is", "3", "*", "4"]),
        (r"\frac{1}{2};:x", ["frac{1}{2}", "x"]),
        ("東京は晴れ。OK", ["東", "京", "は", "晴", "れ", "ok"]),
        (" .,! ", []),
        ("x = -5, 7 - 3 and well-known", ["x", "=", "-5", "7", "-", "3", "and", "well", "known"]),
    ],
)
def test_the_words_of_a_text(text, expected):
    assert words(text) == expected


@given(st.lists(letters, max_size=6), st.integers(1, 4))
def test_n_grams_are_those_of_each_text_alone_in_order(texts, n):
    found = grams(texts, n)
    names: dict[tuple[str, ...], int] = {}
    for i, text in enumerate(texts):
        w = text.split()
        expected = [tuple(w[k : k + n]) for k in range(len(w) - n + 1)]
        assert found.sizes[i] == len(w)
        assert len(found.of(i)) == len(expected)
        for gram, value in zip(expected, found.of(i).tolist(), strict=True):
            assert names.setdefault(gram, value) == value
    assert len(set(names.values())) == len(names)


def test_hashes_do_not_depend_on_the_run():
    assert grams(["one two three"], 2).hashes.tolist() == [2908389250813724835, 11081061798790425573]


def test_no_texts_have_no_n_grams():
    assert len(grams([], 5).hashes) == 0
    assert grams(["a b", "c"], 5).offsets.tolist() == [0, 0, 0]


def test_the_jaccard_similarity_of_sets():
    assert jaccard({1, 2, 3}, {2, 3, 4}) == 0.5
    assert jaccard(set(), {1}) == 0
    assert np.isclose(jaccard(set(range(15)), set(range(19))), 15 / 19)
