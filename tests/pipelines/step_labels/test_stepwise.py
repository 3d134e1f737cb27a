from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pairwright.pipelines.step_labels.config import LabelConfig
from pairwright.pipelines.step_labels.log import StepLog
from pairwright.pipelines.step_labels.stepwise import labelled
from pairwright.storage.schemas import STEPWISE
from tests.pipelines.step_labels.trees import at, chain, logs, s, tree

WRONG = chain("a", "b", "c", "d", mc=[(6, 8), (2, 8), (0, 8)], end="wrong")


def one(*below, config: LabelConfig | None = None, filtered: bool = False, **about):
    (found,), dropped = labelled(tree(*below, **about), config or LabelConfig(), filtered)
    assert not dropped
    return found


def test_a_wrong_solution_is_labelled_up_to_its_first_error():
    found = one(WRONG)
    assert (found.steps, found.tail) == (("a", "b", "c"), ("d",))
    assert (found.labels, found.first_error, found.verdict, found.answer) == ((True, True, False), 2, "wrong", "15")
    assert (found.n, found.correct, found.scores) == ((8, 8, 8), (6, 2, 0), (0.75, 0.25, 0.0))
    assert found.ids == ((97,), (98,), (99,))


def test_without_truncation_what_follows_the_error_is_labelled_too():
    found = one(chain("a", "b", "c", "d", mc=[(0, 8), (1, 8), None], end="wrong"), config=LabelConfig(truncate=False))
    assert (found.labels, found.first_error, found.tail) == ((False, True, False, False), 0, ())
    assert (found.n, found.scores) == ((8, 8, 0, 0), (0.0, 0.125, None, 0.0))


def test_a_right_answer_with_a_wrong_step_ends_at_that_step():
    found = one(chain("a", "b", "c", mc=[(4, 8), (0, 8)], end="right"))
    assert (found.steps, found.tail, found.first_error, found.verdict) == (("a", "b"), ("c",), 1, "right")


def test_a_label_that_rests_on_no_rollouts_says_so():
    found = one(s("a|b", s("c", s("d", end="right"), mc=(4, 8), unparsed=4)))
    assert (found.labels, found.n, found.correct) == ((True,) * 4, (0,) * 4, (0,) * 4)
    assert found.scores == (None, None, None, 1.0)


def test_equal_steps_with_equal_labels_are_given_once():
    log = tree(s("a", s("b", s("c", end="wrong"), s("d", end="wrong"), mc=(0, 8)), mc=(1, 8)))
    found, dropped = labelled(log, LabelConfig())
    assert [x.tail for x in found] == [("c",)]
    assert dropped == {at(log, "abd").node_id: "duplicate"}
    assert len(labelled(log, LabelConfig(truncate=False))[0]) == 2


def test_an_empty_step_is_never_labelled():
    log = tree(chain("a", "  ", "c", mc=[(1, 8), (1, 8)], end="right"), chain("x", " ", "z", mc=[(0, 8), None], end="wrong"))
    found, dropped = labelled(log, LabelConfig())
    assert [x.steps for x in found] == [("x",)]
    assert set(dropped.values()) == {"empty_step"}


def test_scores_are_soft_until_a_judge_filters_and_then_hard():
    assert one(WRONG).scores == (0.75, 0.25, 0.0)
    assert one(WRONG, filtered=True).scores == (1.0, 1.0, 0.0)
    assert one(WRONG, config=LabelConfig(scores="soft"), filtered=True).scores == (0.75, 0.25, 0.0)
    assert one(WRONG, config=LabelConfig(scores="hard")).scores == (1.0, 1.0, 0.0)


def test_every_view_lies_beside_the_same_labels():
    below = s("a", s("b", end="right", q=1.0, value=0.5), q=0.75, value=0.25, mc=(4, 8))
    about = {"mc": (2, 8), "method": "puct"}
    scores = {view: one(below, config=LabelConfig(scores=view), **about).scores for view in ("value", "advantage", "rest")}
    assert scores == {"value": (0.75, 1.0), "advantage": (0.25, 0.5), "rest": (0.5, 1.0)}
    rewards = one(below, method="implicit")
    assert rewards.scores == (0.25, 0.25), "auto: an implicit search has rewards"


def test_rest_values_of_pieces_are_given_step_by_step():
    log = tree(s("a|b", s("c|d", end="right")), s("e|f", s("g", end="wrong"), mc=(0, 4)), method="rest_mcts")
    found, dropped = labelled(log, LabelConfig(scores="rest"))
    assert [x.scores for x in found] == [pytest.approx((0.25, 0.5, 0.75, 1.0))]
    assert dropped == {at(log, "efg").node_id: "not_located"}


def test_a_row_fits_the_table():
    row = one(WRONG).row()
    table = pa.Table.from_pylist([row | {"prompt_id": "q"}], schema=STEPWISE)
    stored = table.to_pylist()[0]
    assert {name: stored[name] for name in row} == row
    assert set(STEPWISE.names) - set(row) == {"prompt", "reference", "tokenizer", "messages", "model", "prompt_id"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"alpha": 0.5}, "`alpha` has no effect with `scores: auto`"),
        ({"scores": "soft", "prover": "weak"}, "`prover` has no effect"),
        ({"scores": "rest", "best_of": 4}, "use `scores: advantage`"),
        ({"rest_mode": "simple"}, "use `scores: rest`"),
        ({"scores": "advantage", "compress": 0.5}, "is a difference"),
        ({"pairs": {"rule": "counts", "min_visits": 2}}, "`min_visits` has no effect"),
        ({"treshold": 1}, "Extra inputs"),
    ],
)
def test_a_setting_without_effect_is_a_mistake(settings, said):
    with pytest.raises(ValidationError, match=said):
        LabelConfig.model_validate(settings)


def test_implicit_scores_need_an_implicit_search():
    assert LabelConfig(scores="implicit").mismatch("implicit") is None
    assert LabelConfig().mismatch("puct") is None
    assert "needs `steps.search: implicit`" in (LabelConfig(scores="implicit").mismatch("puct") or "")


VIEWS = st.sampled_from(["auto", "hard", "soft", "value", "advantage", "implicit", "rest"])
CONFIGS = st.builds(LabelConfig, scores=VIEWS, threshold=st.integers(0, 4), truncate=st.booleans())


@given(logs, CONFIGS, st.booleans())
def test_every_solution_is_labelled_or_has_a_reason(log: StepLog, config: LabelConfig, filtered: bool):
    found, dropped = labelled(log, config, filtered)
    ids = [x.solution_id for x in found]
    assert sorted([*ids, *dropped]) == sorted(solution.leaf.node_id for solution in log.solutions())
    assert all(dropped.values())
    for solution in log.solutions():
        if solution.leaf.reason is not None:
            assert dropped[solution.leaf.node_id] == solution.leaf.reason


@given(logs, CONFIGS, st.booleans())
def test_labels_agree_with_counts_and_with_each_other(log: StepLog, config: LabelConfig, filtered: bool):
    paths = {solution.leaf.node_id: solution for solution in log.solutions()}
    seen = set()
    for x in labelled(log, config, filtered)[0]:
        assert len({*map(len, (x.steps, x.ids, x.labels, x.scores, x.n, x.correct))}) == 1 and x.steps
        assert x.first_error == (x.labels.index(False) if False in x.labels else None)
        assert all(label == (c > config.threshold) for label, n, c in zip(x.labels, x.n, x.correct, strict=True) if n)
        assert [*x.steps, *x.tail] == paths[x.solution_id].step_texts()
        assert all(text.strip() for text in x.steps)
        assert not x.tail or (config.truncate and x.first_error == len(x.steps) - 1)
        assert x.first_error is not None or x.verdict == "right"
        bounds = {"advantage": (-1, 1), "implicit": (0, 0)}.get(config.scores, (0, 1))
        assert all(score is None or bounds[0] <= score <= bounds[1] for score in x.scores)
        assert (x.steps, x.labels) not in seen
        seen.add((x.steps, x.labels))


@given(logs, CONFIGS)
def test_filtering_and_the_view_change_scores_only(log: StepLog, config: LabelConfig):
    plain = labelled(log, LabelConfig(threshold=config.threshold, truncate=config.truncate))
    other = labelled(log, config, filtered=True)
    assert plain[1] == other[1]
    assert [(x.solution_id, x.labels) for x in plain[0]] == [(x.solution_id, x.labels) for x in other[0]]


def test_of_an_implicit_search_only_right_solutions_are_labelled_and_the_rewards_of_all_stay_in_the_log():
    right, wrong = (s(x, s("!", end=end, value=2.0), value=1.0) for x, end in (("a", "right"), ("b", "wrong")))
    log = tree(right, wrong, method="implicit")
    solutions, dropped = labelled(log, LabelConfig())
    assert [(x.steps, x.labels, x.scores) for x in solutions] == [(("a", "!"), (True, True), (1.0, 1.0))]
    assert dropped == {at(log, "b!").node_id: "not_located"} and at(log, "b").value == 1.0
