"""Goldens of filters_routing_consensus.md 8.1 to 8.6."""

from __future__ import annotations

from typing import Any

import pytest

from pairwright.pipelines.evaluation import suites


def test_rewardbench_2_shares_the_credit_among_the_best():
    assert [suites.best_of(s) for s in ([3, 1, 2, 0], [3, 3, 2, 0], [3, 3, 3, 3], [2, 3, 1, 0])] == [1, 0.5, 0.25, 0]


def test_a_missing_score_is_not_a_low_one():
    assert suites.best_of([3, None, 1, 0]) == 0


def test_the_ties_score_is_the_golden():
    assert suites.ties({"ref:1": ([8, 3, 5], 1), "tied:1": ([7, 6.5, 6, 4, 2], 3)}) == pytest.approx(1.0076159, abs=1e-7)


def test_the_ties_score_survives_a_spread_of_zero():
    even = {"ref:1": ([8, 3], 1), "tied:1": ([7, 7, 4], 2)}
    assert suites.ties(even) == pytest.approx(1 + 0.01)  # x / 0: tanh(inf)
    nothing = {"ref:1": ([5, 5], 1), "tied:1": ([7, 7, 7], 2)}
    assert suites.ties(nothing) == 0.0  # 0 / 0 counts 0, and nothing is accurate
    wrong = {"ref:1": ([3, 8], 1), "tied:1": ([7, 7, 9], 2)}
    assert suites.ties(wrong) == pytest.approx(-0.01)


def test_a_failed_rating_never_enters_ties_as_a_number():
    assert suites.ties({"ref:1": ([8, 3], 1), "tied:1": ([7, None, 4], 2)}) == pytest.approx(0.3 - 0.01)


def test_rewardbench_weighs_subsets_in_their_section():
    assert suites.REWARDBENCH["Reasoning"]["math-prm"] == 984
    credits = {s: [1.0] for section in suites.REWARDBENCH.values() for s in section}
    credits["math-prm"] = [0.0, 0.0]
    found = suites.rewardbench(credits)
    assert found["sections"]["Reasoning"] == pytest.approx(984 / (2 * 984))
    assert found["overall"] == pytest.approx((3 + 0.5) / 4)
    assert found["missing"] == []


def test_a_section_without_items_leaves_the_whole_open():
    found = suites.rewardbench({"donotanswer": [1.0]})
    assert found["sections"]["Safety"] == 1.0 and found["overall"] is None
    assert "math-prm" in found["missing"]


def test_m_rewardbench_is_a_mean_of_means():
    found = suites.m_rewardbench({"de": {"donotanswer": [1.0], "math-prm": [0.0]}, "fr": {"donotanswer": [1.0, 1.0]}})
    assert found == {"languages": {"de": 0.5, "fr": 1.0}, "overall": 0.75}


def test_rm_bench_is_the_golden_matrix():
    found = suites.rm_bench([([3, 4, 5], [3.5, 3, 6])])
    assert (found["hard"], found["normal"], found["easy"]) == (0, pytest.approx(1 / 3), 1)
    assert found["mean"] == pytest.approx(4 / 9)


def test_processbench_is_the_harmonic_mean_and_zero_when_both_are():
    assert suites.f1(0.6, 0.9) == pytest.approx(0.72)
    assert suites.f1(0.0, 0.0) == 0.0
    assert suites.processbench([(1, 1), (None, 2), (-1, -1), (0, -1)]) == {"error": 0.5, "correct": 0.5, "f1": 0.5}
    assert suites.processbench([(1, 1)])["f1"] is None


def test_prm_bench_is_the_golden():
    found = suites.prm_score([1, 1, 1, 0, 0, 1], [1, 0, 1, 0, 1, 1])
    assert (found["f1"], found["negative_f1"], found["prm_score"]) == (0.75, 0.5, 0.625)


def row(subset: str, verdict: str = "a", credit: float = 1.0, **about: Any) -> dict[str, Any]:
    plain = {"id": "i", "language": None, "scores": [1.0, 0.0], "right": [0], "protocol": "pairwise"}
    return {"subset": subset, "verdict": verdict, "credit": credit, **plain, **about}


def test_a_suite_is_known_by_its_subsets():
    assert suites.of_rows([row("helpful")]) == {} and suites.of_rows([]) == {}
    assert suites.of_rows([row("donotanswer")])["rewardbench"]["sections"]["Safety"] == 1.0
    assert set(suites.of_rows([row("donotanswer", language="de")])) == {"m_rewardbench"}


def test_rewardbench_counts_a_tie_of_a_judge_half_and_of_ratings_nothing():
    said = [row("donotanswer", verdict="tie", credit=0.5), row("donotanswer", verdict="invalid", credit=0.0)]
    assert suites.of_rows(said)["rewardbench"]["sections"]["Safety"] == 0.5
    rated = [{**r, "protocol": "pointwise"} for r in said]
    assert suites.of_rows(rated)["rewardbench"]["sections"]["Safety"] == 0.0


def test_rewardbench_2_takes_credits_and_ties_from_rows():
    scores = [3.0, 1.0, 2.0, 0.0]
    rows = [row(s, scores=scores) for s in suites.REWARDBENCH_2[:-1]]
    rows += [
        row("Ties", id="ref:1", scores=[8.0, 3.0, 5.0]),
        row("Ties", id="tied:1", scores=[7.0, 6.5, 6.0, 4.0, 2.0], right=[0, 1, 2]),
    ]
    found = suites.of_rows(rows)["rewardbench_2"]
    assert found["overall"] == pytest.approx((5 + 1.0076159) / 6)


def test_rm_bench_pools_both_kinds_of_safety():
    right, wrong = [9.0, 9.0, 9.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 9.0, 9.0, 9.0]
    rows = [row(d, scores=right, right=[0, 1, 2]) for d in ("chat", "code", "math", "safety-refuse")]
    rows += [row("safety-response", scores=wrong, right=[0, 1, 2])]
    found = suites.of_rows(rows)["rm_bench"]
    assert found["domains"]["safety"]["hard"] == 0.5
    assert found["overall"] == pytest.approx(3.5 / 4)


def test_right_responses_may_stand_anywhere():
    chat = row("chat", scores=[1.0, 1.0, 1.0, 3.0, 4.0, 5.0], right=[3, 4, 5])
    assert suites.of_rows([chat])["rm_bench"]["domains"]["chat"]["mean"] == 1.0
    told = [row("Ties", id="ref:1", scores=[3.0, 8.0, 5.0], right=[1])]
    told += [row("Ties", id="tied:1", scores=[4.0, 7.0, 6.5, 2.0, 6.0], right=[1, 2, 4])]
    assert suites.of_rows(told)["rewardbench_2"]["domains"]["Ties"] == pytest.approx(1.0076159, abs=1e-7)


def test_six_responses_that_are_not_three_right_and_three_wrong_are_not_rm_bench():
    assert suites.of_rows([row("chat", scores=[1.0] * 6, right=[0])]) == {}


@pytest.mark.parametrize("ids", [("abc", "abd"), ("ref:1", "tied:2"), ("ref:1", "other:1"), ("tied:1", "tied:2")])
def test_ties_that_do_not_belong_together_have_no_score(ids):
    rows = [row("Ties", id=id, scores=[9.0, 1.0, 2.0]) for id in ids]
    assert suites.of_rows(rows)["rewardbench_2"]["domains"]["Ties"] is None


def test_rewardbench_counts_a_request_that_failed_as_wrong():
    rows = [row("donotanswer"), row("donotanswer", verdict=None, credit=0.0, reason="server_error")]
    assert suites.of_rows(rows)["rewardbench"]["sections"]["Safety"] == 0.5


def test_items_that_people_did_not_agree_on_are_in_no_suite():
    undecided = {"credit": None, "right": None}
    for subset, scores in (("donotanswer", [1.0, 0.0]), ("Math", [3.0, 1.0, 2.0, 0.0]), ("chat", [1.0] * 6)):
        assert suites.of_rows([row(subset, scores=scores, **undecided)]) == {}
    both = [row("donotanswer"), row("donotanswer", **undecided)]
    assert suites.of_rows(both)["rewardbench"]["sections"]["Safety"] == 1.0
