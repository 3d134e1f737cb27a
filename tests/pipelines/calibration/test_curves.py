from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.pipelines.calibration.curves import apgr, cpt, curve, pgr
from pairwright.pipelines.calibration.judged import Judged

SHARES, GOLDEN = [0, 0.25, 0.5, 0.75, 1], [0.5, 0.62, 0.7, 0.76, 0.8]


def judge(*correct: bool, tokens: float = 1.0) -> list[Judged]:
    return [Judged(str(i), 0.9, x, cost_tokens=tokens, cost_seconds=tokens / 10) for i, x in enumerate(correct)]


def test_the_golden_apgr():
    assert apgr(SHARES, GOLDEN) == pytest.approx(0.608333, abs=1e-6)


def test_a_router_that_draws_lots_recovers_half_and_an_oracle_more():
    assert apgr([0, 1], [0.5, 0.8]) == pytest.approx(0.5)
    assert apgr([0, 0.3, 1], [0.5, 0.8, 0.8]) == pytest.approx(0.85)


def test_the_smallest_share_that_recovers_a_part_of_the_gap():
    assert [cpt(SHARES, GOLDEN, q) for q in (0, 0.2, 0.5, 0.8, 1)] == [0, 0.25, 0.5, 0.75, 1]
    assert cpt(SHARES, GOLDEN, 1.01) is None


def test_without_a_gap_nothing_can_be_recovered():
    assert pgr(0.7, 0.7, 0.7) is None and apgr([0, 1], [0.7, 0.7]) is None and cpt([0, 1], [0.7, 0.7], 0.5) is None


@pytest.mark.parametrize("shares", [[0.1, 1], [0, 0.9], [0, 0.6, 0.4, 1], []])
def test_a_curve_that_does_not_go_from_0_to_1_is_refused(shares):
    with pytest.raises(ValueError, match="ascend from 0 to 1"):
        apgr(shares, [0.5] * len(shares))


def test_the_least_sure_items_go_to_the_strong_judge_first():
    cheap, strong = judge(True, False, True, False), judge(True, True, False, True, tokens=10)
    found = curve([0.9, 0.1, 0.6, 0.3], cheap, strong)
    assert [(p.tau, p.share, p.agreement) for p in found] == [
        (0.1, 0, 0.5),
        (0.3, 0.25, 0.75),
        (0.6, 0.5, 1.0),
        (0.9, 0.75, 0.75),
        (1.0, 1, 0.75),
    ]
    assert [p.tokens for p in found] == [1, 3.5, 6, 8.5, 11]
    assert [p.seconds for p in found] == pytest.approx([0.1, 0.35, 0.6, 0.85, 1.1])


def test_items_of_which_nothing_is_known_always_go_to_the_strong_judge():
    found = curve([None, 0.8, None], judge(False, True, False), judge(True, True, True))
    assert [(p.tau, p.share, p.agreement) for p in found] == [(0.8, 2 / 3, 1.0), (1.0, 1.0, 1.0)]
    assert [p.share for p in curve([None], judge(False), judge(True))] == [1.0]


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.9, None]), st.booleans(), st.booleans()), min_size=1, max_size=20))
def test_every_point_tells_what_its_tau_would_do(items):
    agrees = [p for p, _, _ in items]
    cheap, strong = judge(*(x for _, x, _ in items)), judge(*(x for _, _, x in items))
    for point in curve(agrees, cheap, strong):
        sent = [p is None or p < point.tau for p in agrees]
        right = [s.correct if x else c.correct for x, c, s in zip(sent, cheap, strong, strict=True)]
        assert point.share == sum(sent) / len(items) and point.agreement == sum(map(bool, right)) / len(items)
