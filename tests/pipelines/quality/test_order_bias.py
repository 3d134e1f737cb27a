from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.pipelines.quality.measures import orders
from pairwright.pipelines.quality.order_bias import order_bias_of, order_bias_of_parts

P = st.sampled_from([None, 0.0, 0.2, 0.5, 0.8, 1.0])


def test_a_judge_that_takes_the_first_is_never_consistent():
    found = order_bias_of([0.9, 0.8], [0.1, 0.3])
    assert (found.both, found.shown, found.swap_consistency, found.first_position) == (2, 4, 0.0, 1.0)
    assert found.position_bias == pytest.approx((0.9 + 0.8 + 0.9 + 0.7) / 4 - 0.5)


def test_a_judge_that_looks_at_the_content_is():
    found = order_bias_of([0.9, 0.5, 0.1], [0.8, 0.5, 0.4])
    assert (found.swap_consistency, found.first_position) == (1.0, 0.5)


def test_stored_parts_may_lack_an_order():
    found = order_bias_of_parts([{"p_ab": 0.9, "mass": 1.0}, {"p_ba": 0.2}, {}])
    assert (found.both, found.shown, found.first_position) == (0, 2, 1.0)
    assert found.why == {"swap_consistency": "no comparison was answered in both orders"}
    assert set(order_bias_of_parts([{"strength": 1.0}]).why) == {"swap_consistency", "first_position", "position_bias"}


@given(st.lists(st.tuples(P, P), max_size=20))
def test_the_figures_are_those_of_an_evaluation(answers):
    known = orders([{"p_ab": ab, "p_ba": ba} for ab, ba in answers])
    found = order_bias_of([ab for ab, _ in answers], [ba for _, ba in answers])
    assert (found.both, found.shown) == (known["swapped"], known["shown"])
    for name in ("swap_consistency", "first_position", "position_bias"):
        value = known[name]
        assert getattr(found, name) == (None if value is None else pytest.approx(value, abs=1e-12))
        assert (value is None) == (name in found.why)
