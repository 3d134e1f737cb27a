from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pairwright.errors import PairwrightError
from pairwright.pipelines.filters import apply_filters
from pairwright.pipelines.filters.decontaminate import Decontaminate
from tests.pipelines.hygiene.pairs import pairs_of, prompt


def run(start, stop):
    return " ".join(f"w{i}" for i in range(start, stop))


@pytest.fixture
def evals(tmp_path):
    path = tmp_path / "quiz.jsonl"
    rows = [{"question": run(0, 10), "answer": run(50, 60)}, {"question": run(100, 116), "answer": "no"}]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def outcome(rows, path, **about):
    return apply_filters([Decontaminate.model_validate({"evals": str(path), **about})], pairs_of(rows))


def test_a_prompt_that_covers_more_than_half_of_an_item_goes(evals):
    found = outcome([(f"{run(0, 8)} x", "A", "B"), (run(100, 108), "A", "B"), ("else", "A", "B")], evals)
    assert found.scores["decontaminate"].tolist() == [0.8, 0.5, 0]
    assert found.keep.tolist() == [False, True, True]
    assert found.reason[0] == f"the prompt covers 0.8 of the item {evals}:1, above 0.5"


def test_only_what_users_say_is_looked_at_turn_by_turn_and_together(evals):
    rows = [(prompt("hello", run(0, 10), "and?"), "A", "B"), (prompt("hello", "yes", run(0, 10)), "A", "B")]
    rows += [(prompt(run(100, 108), "go on", run(108, 116)), "A", "B"), (prompt("x", system=run(0, 10)), "A", "B")]
    assert outcome(rows, evals).scores["decontaminate"].tolist() == [0, 1, 1, 0]


def test_a_chosen_response_counts_only_when_asked_and_a_rejected_never(evals):
    rows = [("x", run(50, 60), "B"), ("x", "A", run(50, 60))]
    both = [{"path": str(evals)}, {"path": str(evals), "fields": "answer"}]
    assert outcome(rows, evals, evals=both).keep.all()
    found = outcome(rows, evals, evals=both, responses=True)
    assert found.keep.tolist() == [False, True]
    assert found.reason[0] == f"the chosen response covers 1 of the item {evals}:1, above 0.5"


def test_the_build_key_goes_with_what_the_file_holds(evals):
    before = Decontaminate.model_validate({"evals": [str(evals)]}).about()
    assert before == Decontaminate.model_validate({"evals": [str(evals)]}).about()
    evals.write_text(json.dumps({"question": "another"}))
    assert before != Decontaminate.model_validate({"evals": [str(evals)]}).about()


@given(st.lists(st.integers(0, 12), max_size=6), st.integers(0, 6))
def test_batches_of_pairs_are_judged_as_all_at_once(tmp_path_factory, lengths, cut):
    path = tmp_path_factory.mktemp("e") / "e.jsonl"
    path.write_text(json.dumps({"question": run(0, 10)}))
    rows = [(f"x {run(0, n)}", "A", "B") for n in lengths]
    f = [Decontaminate.model_validate({"evals": str(path)})]
    whole, parts = apply_filters(f, pairs_of(rows)), [apply_filters(f, pairs_of(part)) for part in (rows[:cut], rows[cut:])]
    assert whole.reason == [reason for part in parts for reason in part.reason]


@pytest.mark.parametrize("about", [{}, {"evals": []}, {"evals": "a.jsonl", "threshold": 1}, {"evals": "a.jsonl", "ngram": 1}])
def test_settings_that_find_nothing_are_refused(about):
    with pytest.raises(ValidationError):
        Decontaminate.model_validate(about)


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(PairwrightError, match="there is no file"):
        outcome([("x", "A", "B")], tmp_path / "none.jsonl")
