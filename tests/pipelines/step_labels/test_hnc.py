from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.pipelines.step_labels.config import LabelConfig
from pairwright.pipelines.step_labels.hnc import compressed
from pairwright.pipelines.step_labels.log import StepLog
from pairwright.pipelines.step_labels.stepwise import labelled
from tests.pipelines.step_labels.trees import logs, s, tree

ALWAYS = LabelConfig(compress=1)


def rows(log: StepLog, config: LabelConfig = ALWAYS):
    return compressed(log, labelled(log, config)[0], config)


def wide(*texts: str, others: int = 0, **about):
    """`a` with these children, each followed by a right end, and some that lead nowhere."""
    ends = [s(text, s(text + "!", end="right"), mc=(i + 1, 8)) for i, text in enumerate(texts)]
    return tree(s("a", *ends, *(s(str(i)) for i in range(others)), mc=(4, 8), **about))


def test_a_merged_step_is_one_with_the_label_of_the_later():
    log = tree(s("a", s("b", s("c", end="wrong"), mc=(0, 8)), *(s(x, s(x, end="right"), mc=(5, 8)) for x in "xyz"), mc=(4, 8)))
    for config in (LabelConfig(compress=1, seed=seed) for seed in range(20)):
        (found,) = rows(log, config)
        x = found.steps[0][1]
        assert found.steps[0] == "a" + x and found.ids[0] == (97, ord(x)) and found.method == "monte_carlo+hnc"
        assert (found.labels[0], found.scores[0], found.n[0], found.correct[0]) == (
            (False, 0.0, 8, 0) if x == "b" else (True, 0.625, 8, 5)
        )
        assert (found.first_error, found.tail) == ((0, ("c",)) if x == "b" else (None, ()))


def test_which_child_is_merged_depends_on_ids_and_the_seed_alone():
    log = wide(*"wxyz")
    found = {seed: [x.steps for x in rows(log, LabelConfig(compress=1, seed=seed))] for seed in range(20)}
    assert found == {seed: [x.steps for x in rows(log, LabelConfig(compress=1, seed=seed))] for seed in range(20)}
    assert len({str(steps) for steps in found.values()}) == 4


@pytest.mark.parametrize(
    "log",
    [
        wide(*"xyz"),  # three children
        tree(*(s(x, s(x + "!", end="right")) for x in "wxyz")),  # the question's own children
        tree(s("a|b", *(s(x, end="right") for x in "wxyz"))),  # a piece of two steps
        tree(s("a", *(s(f"{x}|!", end="right") for x in "wxyz"))),
    ],
)
def test_nothing_is_merged_where_it_would_not_be_two_steps_after_a_parent(log):
    assert labelled(log, ALWAYS)[0] and rows(log) == []


def test_how_often_is_a_setting():
    logs = [tree(*(s(f"{i}a", *(s(x, s(x, end="right")) for x in "wxyz")) for i in range(200)))]
    assert [len(rows(log, LabelConfig(compress=0))) for log in logs] == [0]
    assert 70 < len(rows(logs[0], LabelConfig(compress=0.5))) < 130


def test_a_merge_behind_the_first_error_gives_no_row():
    log = tree(s("a", *(s(x, s(x, end="wrong")) for x in "wxyz"), mc=(0, 8)))
    assert len(labelled(log, ALWAYS)[0]) == 1 and rows(log) == []


@given(logs, st.integers(0, 5), st.booleans())
def test_coarser_rows_say_the_same_text_and_keep_their_labels(log: StepLog, seed: int, truncate: bool):
    config = LabelConfig(compress=1, seed=seed, truncate=truncate)
    solutions = {x.solution_id: x for x in labelled(log, config)[0]}
    for row in compressed(log, list(solutions.values()), config):
        fine = solutions[row.solution_id]
        assert "".join(row.steps) == "".join(fine.steps) and row.tail == fine.tail and len(row.steps) < len(fine.steps)
        assert sum(row.ids, ()) == sum(fine.ids, ())
        assert len({*map(len, (row.steps, row.ids, row.labels, row.scores, row.n, row.correct))}) == 1
        assert row.labels[-1] == fine.labels[-1]
        assert row.first_error == (row.labels.index(False) if False in row.labels else None)
