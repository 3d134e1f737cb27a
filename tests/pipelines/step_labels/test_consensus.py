from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.annotators.steps.judge import Judgement
from pairwright.pipelines.step_labels.consensus import Retention, agreed, compared, confirmed, must_judge, retention


@dataclass(frozen=True)
class Solution:
    solution_id: str
    first_error: int | None
    steps: tuple[str, ...] = ("a", "b", "c")
    tail: tuple[str, ...] = ()
    verdict: str = "wrong"


TABLE = [  # e_MC, judgement, kind, why it is not kept (null: it is kept)
    (None, Judgement(None), "both_none", None),
    (0, Judgement(0), "same_error", None),
    (2, Judgement(2), "same_error", None),
    (2, Judgement(1), "judge_earlier", "consensus_disagrees"),
    (0, Judgement(1), "judge_later", "consensus_disagrees"),
    (None, Judgement(0), "only_judge", "consensus_disagrees"),
    (0, Judgement(None), "only_mc", "consensus_disagrees"),
    (0, Judgement(None, "judge_unparsed", "?"), "judge_unparsed", "judge_unparsed"),
    (None, Judgement(None, "judge_unparsed", "?"), "judge_unparsed", "judge_unparsed"),
    (None, Judgement(None, "judge_split", "?"), "judge_split", "judge_split"),
    (None, Judgement(None, "too_long", "?"), "too_long", "too_long"),
    (None, None, "not_judged", "not_judged"),
    (0, None, "not_judged", "not_judged"),
]


@pytest.mark.parametrize(("first_error", "judgement", "kind", "reason"), TABLE)
def test_only_the_same_first_error_or_none_on_both_sides_is_kept(first_error, judgement, kind, reason):
    solution = Solution("s", first_error)
    assert compared(first_error, judgement) == kind
    kept, refuted = agreed([solution], {} if judgement is None else {"s": judgement})
    assert (kept, refuted) == (([solution], {}) if reason is None else ([], {"s": reason}))


@pytest.mark.parametrize(("said", "kept"), [(1, True), (None, False)])
def test_a_right_answer_with_a_wrong_step_is_kept_if_the_judge_finds_that_step(said, kept):
    solution = Solution("s", 1, verdict="right")
    assert bool(agreed([solution], {"s": Judgement(said)})[0]) is kept


def test_a_step_pair_is_confirmed_if_it_rejects_the_first_wrong_step_of_a_kept_solution():
    pairs = [{"pair_id": at, "prefix": "ab"[:at], "rejected": "abc"[at]} for at in range(3)]
    for error in range(3):
        kept, others = confirmed(pairs, [Solution("s", error)])
        assert kept == [pairs[error]]
        assert others == {at: "not_confirmed_by_judge" for at in range(3) if at != error}
    for solutions in ([], [Solution("s", None, verdict="right")], [Solution("s", 1, ("a", "x"), ("b", "c"))]):
        assert confirmed(pairs, solutions) == ([], dict.fromkeys(range(3), "not_confirmed_by_judge"))


def test_the_retention_table_counts_every_kind():
    solutions = [Solution(str(i), e) for i, (e, *_) in enumerate(TABLE)]
    judgements = {str(i): judgement for i, (_, judgement, *_) in enumerate(TABLE) if judgement is not None}
    found = retention(solutions, judgements)
    assert found.kinds == {
        "both_none": 1,
        "same_error": 2,
        "judge_earlier": 1,
        "judge_later": 1,
        "only_judge": 1,
        "only_mc": 1,
        "judge_unparsed": 2,
        "not_judged": 2,
        "judge_split": 1,
        "too_long": 1,
    }
    assert (found.kept, found.solutions, found.share) == (3, 13, 3 / 13)
    assert list(found.kinds)[:6] == [
        "both_none",
        "same_error",
        "judge_earlier",
        "judge_later",
        "only_judge",
        "only_mc",
    ]


def test_a_wrong_index_base_shows_as_hardly_anything_kept_but_solutions_without_an_error():
    solutions = [Solution(str(i), i % 3) for i in range(30)] + [Solution(f"right {i}", None) for i in range(10)]
    from_one = {s.solution_id: Judgement(None if s.first_error is None else s.first_error + 1) for s in solutions}
    found = retention(solutions, from_one)
    assert found.kinds["judge_later"] == 30 and found.share == 0.25


def test_nothing_labelled_has_no_retention():
    assert retention([], {}) == Retention(dict.fromkeys(retention([Solution("s", 0)], {"s": Judgement(0)}).kinds, 0))
    assert retention([], {}).share is None


def test_the_judge_reads_each_labelled_solution_once_and_none_without_steps():
    first, second = Solution("a", 0), Solution("b", None)
    assert must_judge([first, second, first, Solution("empty", None, ())]) == [first, second]


def test_a_judgement_of_another_solution_changes_nothing():
    assert agreed([Solution("a", 0)], {"b": Judgement(0)}) == ([], {"a": "not_judged"})


ERRORS = st.none() | st.integers(0, 3)
JUDGEMENTS = (
    st.none() | st.builds(Judgement, ERRORS) | st.builds(Judgement, st.none(), st.sampled_from(["judge_unparsed", "down"]))
)


@given(st.lists(st.tuples(ERRORS, JUDGEMENTS)))
def test_every_solution_is_kept_or_has_a_reason_and_the_table_adds_up(cases):
    solutions = [Solution(str(i), e) for i, (e, _) in enumerate(cases)]
    judgements = {str(i): judgement for i, (_, judgement) in enumerate(cases) if judgement is not None}
    kept, refuted = agreed(solutions, judgements)
    assert sorted([s.solution_id for s in kept] + list(refuted)) == sorted(s.solution_id for s in solutions)
    assert all(judgements[s.solution_id].index == s.first_error for s in kept)
    table = retention(solutions, judgements)
    assert (table.kept, table.solutions) == (len(kept), len(solutions))
