from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.pipelines.quality.self_bleu import self_bleu

TEXTS = st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=8), min_size=2, max_size=6)


def test_it_is_what_nltk_says():
    texts = ["the cat sat on the mat today", "the cat sat on a mat", "a dog ran in the park today"]
    assert self_bleu([t.split() for t in texts]) == pytest.approx(0.3248259608412344)  # nltk 3.10.4, sentence_bleu, method1


def test_equal_texts_have_one_and_texts_without_a_common_word_none():
    assert self_bleu([list("abcde")] * 3) == pytest.approx(1)
    assert self_bleu([list("abcd"), list("efgh")]) == 0


@given(TEXTS)
def test_it_lies_between_none_and_one_and_does_not_depend_on_the_order(texts):
    assert 0 <= self_bleu(texts) <= 1 + 1e-12
    assert self_bleu(texts) == pytest.approx(self_bleu(texts[::-1]))


def test_one_text_has_no_others():
    with pytest.raises(ValueError, match="two texts"):
        self_bleu([["a"]])
