from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pairwright.pipelines.filters import apply_filters
from pairwright.pipelines.filters.contradiction import Contradiction
from tests.pipelines.hygiene.pairs import pairs_of, prompt

texts = st.sampled_from(["A", "a", "B", " B"])
some_rows = st.lists(st.tuples(st.sampled_from(["P", "p ", "Q"]), texts, texts, st.sampled_from([0.1, 0.2, 0.3])), max_size=8)


def outcome(rows, margins=None, **about):
    return apply_filters([Contradiction(**about)], pairs_of(rows, margins=margins))


def test_two_pairs_that_say_the_opposite_both_go():
    found = outcome([("P", "A", "B"), ("p", "B", " A"), ("P", "A", "C"), ("Q", "B", "A")])
    assert found.keep.tolist() == [False, False, True, True]
    assert found.scores["contradiction"].tolist() == [1, 1, 0, 0]
    assert found.reason[0] == "the pair p1 says the opposite"


def test_the_one_with_the_larger_margin_stays_if_asked():
    rows = [("P", "A", "B"), ("P", "B", "A"), ("P", "A", "B")]
    found = outcome(rows, [0.5, 0.7, 0.6], keep="margin")
    assert found.keep.tolist() == [False, True, False]
    assert found.reason[0] == "the pair p1 says the opposite with a margin of 0.7, not under this one's 0.5"
    assert not outcome(rows, [0.5, 0.5, 0.5], keep="margin").keep.any()


def test_of_a_turned_pair_the_size_of_the_margin_counts():
    rows = [("P", "A", "B"), ("P", "B", "A")]
    found = outcome(rows, [0.5, -0.7], keep="margin")
    assert found.keep.tolist() == [False, True]
    assert found.reason[0] == "the pair p1 says the opposite with a margin of 0.7, not under this one's 0.5"


def test_a_conversation_is_not_its_last_turn():
    assert outcome([(prompt("x", "y", "P"), "A", "B"), ("P", "B", "A")]).keep.all()


@given(some_rows, st.sampled_from(["none", "margin"]))
def test_what_is_kept_never_contradicts_itself_and_what_goes_is_contradicted(rows, keep):
    found = outcome([row[:3] for row in rows], [row[3] for row in rows], keep=keep)
    keys = [(p.strip().lower(), c.strip(), r.strip()) for p, c, r, _ in rows]
    opposites = [{j for j, key in enumerate(keys) if c != r and key == (p, r, c)} for p, c, r in keys]
    assert found.scores["contradiction"].tolist() == [len(o) for o in opposites]
    for i, others in enumerate(opposites):
        if found.keep[i]:
            assert not any(found.keep[j] for j in others)
            assert keep == "margin" or not others
        else:
            assert others and (keep == "none" or max(rows[j][3] for j in others) >= rows[i][3])
