from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairwright.pipelines.consensus.agreement import cohen_kappa
from pairwright.pipelines.quality.agreement import agreement_of

VOTES = st.lists(st.tuples(*[st.sampled_from([None, 0.0, 0.5, 1.0])] * 2), min_size=1, max_size=30)


WORDS = {None: None, 0.0: "a", 0.5: "tie", 1.0: "b"}


def both_ways(votes):
    return [WORDS[v] for v in [*votes, *(None if v is None else 1 - v for v in votes)]]


def test_share_and_number_of_common_votes():
    found = agreement_of({"x": [1.0, 0.0, 0.5, None], "y": [1.0, 1.0, 0.5, 1.0]})
    assert found.names == ("x", "y")
    assert found.n == ((3, 3), (3, 4))
    assert found.share == ((1.0, pytest.approx(2 / 3)), (pytest.approx(2 / 3), 1.0))


@settings(max_examples=50)
@given(VOTES)
def test_kappa_is_cohens_over_pairs_told_both_ways(votes):
    x, y = zip(*votes, strict=True)
    found = agreement_of({"x": x, "y": y})
    expected = cohen_kappa(both_ways(x), both_ways(y))
    assert found.kappa[0][1] == (None if expected is None else pytest.approx(expected))
    assert found.kappa[0][1] == found.kappa[1][0]
    assert (found.kappa[0][1] is None) == (("x", "y") in found.why)


def test_that_most_chosen_responses_are_found_better_is_not_taken_for_chance():
    same = [1.0] * 9 + [0.0]
    assert agreement_of({"x": same, "y": [1.0] * 10}).kappa[0][1] == pytest.approx(0.8)


def test_a_kappa_that_is_not_defined_says_why():
    found = agreement_of({"x": [0.5, None], "y": [0.5, None], "z": [None, 1.0]})
    assert found.share[0][1] == 1.0 and found.kappa[0][1] is None
    assert found.why["x", "y"] == "both call every pair a tie, so they agree by chance"
    assert found.share[0][2] is None and found.why["z", "x"] == "they vote on no common pair"


def test_what_is_no_vote_is_refused():
    with pytest.raises(ValueError, match="1, 0, 1/2 or None"):
        agreement_of({"x": [0.7]})
