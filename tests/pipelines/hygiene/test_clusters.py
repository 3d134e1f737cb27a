from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairwright.pipelines.hygiene.clusters import WORDS, cluster
from pairwright.pipelines.hygiene.minhash import bands_for, hit_probability
from pairwright.pipelines.hygiene.shingles import folded, grams, jaccard

# few words in a fixed order, with some changed: many texts are somewhat alike
texts = st.lists(
    st.dictionaries(st.integers(0, 29), st.sampled_from("xy"), max_size=4).map(
        lambda changes: " ".join(changes.get(i, f"w{i}") for i in range(30))
    ),
    min_size=1,
    max_size=12,
)


def similarity(a, b):
    x, y = (frozenset(grams([text], WORDS).hashes.tolist()) for text in (a, b))
    return jaccard(x, y) if x and y else float(folded(a) == folded(b))


def names(n, seed=0):
    return [f"{random.Random(seed * 1000 + i).getrandbits(64):016x}" for i in range(n)]


def test_equal_texts_are_one_whatever_their_case_and_spacing():
    found = cluster(["b", "a", "c"], [["Hello  there", "hello there", "hello, there"]])
    assert found.first.tolist() == [1, 1, 2]
    assert found.same.all()


def test_texts_too_short_for_a_shingle_are_never_nearly_the_same():
    assert cluster(["a", "b"], [["one two three four", "one two three for"]]).first.tolist() == [0, 1]


@settings(max_examples=60, deadline=None)
@given(texts)
def test_clusters_hold_together_and_begin_with_their_smallest_id(rows):
    ids = names(len(rows))
    found = cluster(ids, [rows], 0.6)
    for first in set(found.first.tolist()):
        members = [i for i in range(len(rows)) if found.first[i] == first]
        assert ids[first] == min(ids[i] for i in members)
        reached, todo = {first}, [first]
        while todo:
            i = todo.pop()
            near = {j for j in members if j not in reached and similarity(rows[i], rows[j]) >= 0.6}
            reached, todo = reached | near, [*todo, *near]
        assert reached == set(members)
    for i, first in enumerate(found.first):
        assert found.alike[i] == pytest.approx(1.0 if found.same[i] else similarity(rows[i], rows[first]))
        assert found.same[i] == (folded(rows[i]) == folded(rows[first]))


@settings(max_examples=100, deadline=None)
@given(texts, st.sampled_from([0.4, 0.6, 0.8]))
def test_directly_each_text_that_is_not_kept_is_like_a_kept_one_of_a_smaller_id(rows, limit):
    ids = names(len(rows))
    found = cluster(ids, [rows], limit, clusters="direct")
    for i, first in enumerate(found.first.tolist()):
        assert found.first[first] == first
        assert first == i or ids[first] < ids[i]
        assert found.same[i] == (folded(rows[i]) == folded(rows[first]))
        assert found.alike[i] == pytest.approx(1.0 if found.same[i] else similarity(rows[i], rows[first]))
        assert found.alike[i] >= limit


@settings(max_examples=30, deadline=None)
@given(texts, st.randoms(use_true_random=False), st.sampled_from(["direct", "chained"]))
def test_the_order_of_texts_does_not_matter(rows, rng, how):
    ids = names(len(rows))
    shuffled = rng.sample(range(len(rows)), len(rows))
    found = cluster(ids, [rows], clusters=how)
    again = cluster([ids[i] for i in shuffled], [[rows[i] for i in shuffled]], clusters=how)
    assert [ids[i] for i in found.first[shuffled]] == [ids[shuffled[i]] for i in again.first]


@pytest.mark.parametrize("how", ["direct", "chained"])
def test_planted_near_duplicates_are_found_as_often_as_promised(how):
    rng = random.Random(3)
    rows, n = [], 600
    for i in range(n):
        text = [f"w{rng.randrange(5000)}" for _ in range(84)]
        other = list(text)
        for k in rng.sample(range(84), 1 + i % 4):
            other[k] = "new"
        rows += [" ".join(text), " ".join(other)]
    found = cluster(names(2 * n), [rows], clusters=how)
    true = np.array([similarity(rows[2 * i], rows[2 * i + 1]) for i in range(n)])
    together = found.first[::2] == found.first[1::2]
    assert not together[true < 0.7].any()
    assert len(set(found.first.tolist())) == 2 * n - together.sum()  # nothing else was joined
    wanted = true >= 0.7
    assert 0.3 < wanted.mean() < 1
    assert together[wanted].mean() == pytest.approx(hit_probability(true[wanted], *bands_for(0.55)).mean(), abs=0.02)
    assert together[true > 0.8].mean() > 0.99


def test_the_recall_that_the_docstring_states():
    assert 1 / (1 - hit_probability(np.array([0.7, 0.8]), *bands_for(0.55))) == pytest.approx([14, 600], rel=0.05)


def test_each_part_must_be_alike():
    long = " ".join(f"w{i}" for i in range(200))
    prompts = ["What is the capital of France, please?", "What is the capital of Spain, please?"]
    assert cluster(["a", "b"], [prompts, [long, long]]).first.tolist() == [0, 1]
    assert cluster(["a", "b"], [[prompts[0]] * 2, [long, long + " more"]]).first.tolist() == [0, 0]


def test_texts_of_different_kinds_are_never_alike():
    text = " ".join(f"w{i}" for i in range(20))
    assert cluster(["a", "b", "c"], [[text, text, text + " x"]], kinds=["k", "l", "l"]).first.tolist() == [0, 1, 1]


def test_similarity_1_asks_for_equal_texts():
    text = " ".join(f"w{i}" for i in range(100))
    assert cluster(["a", "b", "c"], [[text, text + " x", text.upper()]], 1.0).first.tolist() == [0, 1, 0]


def test_a_chain_is_one_cluster_though_its_ends_are_less_alike():
    base = [f"w{i}" for i in range(104)]
    chain = [" ".join([*(["new"] * k), *base[k:]]) for k in (0, 14, 28)]
    assert similarity(chain[0], chain[1]) >= 0.75 > 0.7 > similarity(chain[0], chain[2])
    found = cluster(["a", "b", "c"], [chain])
    assert found.first.tolist() == [0, 0, 0]
    assert found.alike[2] == similarity(chain[0], chain[2])


def test_of_a_long_chain_of_small_steps_one_text_in_several_is_kept_directly():
    base = [f"w{i}" for i in range(2000)]
    chain = [" ".join(base[10 * k : 10 * k + 104]) for k in range(60)]
    ids = [f"{k:03}" for k in range(60)]
    assert len(set(cluster(ids, [chain]).first.tolist())) == 1
    assert cluster(ids, [chain], clusters="direct").first.tolist() == [k - k % 2 for k in range(60)]


def test_what_equals_a_text_that_is_not_kept_goes_where_that_goes():
    text = " ".join(f"w{i}" for i in range(100))
    found = cluster(["a", "b", "c"], [[text, text + " x", text.upper() + "  X"]], clusters="direct")
    assert found.first.tolist() == [0, 0, 0]
    assert found.same.tolist() == [True, False, False] and found.alike[1] == found.alike[2] < 1


def test_nothing_makes_no_clusters():
    assert cluster([], [[]]).first.tolist() == []
