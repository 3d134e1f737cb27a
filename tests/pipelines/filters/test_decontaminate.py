from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pairwright.errors import PairwrightError
from pairwright.pipelines.filters import apply_filters
from pairwright.pipelines.filters.decontaminate import Decontaminate
from pairwright.pipelines.recut import recut
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
    assert found.reason[0] == f"the prompt covers 0.8 of the item {evals.parent.name}/quiz.jsonl:1, above 0.5"


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
    assert found.reason[0] == f"the chosen response covers 1 of the item {evals.parent.name}/quiz.jsonl:1, above 0.5"


def test_the_build_key_goes_with_what_the_file_holds(evals):
    before = Decontaminate.model_validate({"evals": [str(evals)]}).about()
    assert before == Decontaminate.model_validate({"evals": [str(evals)]}).about()
    evals.write_text(json.dumps({"question": "another"}))
    assert before != Decontaminate.model_validate({"evals": [str(evals)]}).about()


def test_the_build_key_does_not_go_with_where_the_folder_of_the_file_lies(evals, tmp_path):
    before = Decontaminate.model_validate({"evals": f"{tmp_path}/e/quiz.jsonl"})
    after = Decontaminate.model_validate({"evals": f"{tmp_path}/elsewhere/e/quiz.jsonl"})
    for f in (before, after):
        path = Path(f.evals[0].path)
        path.parent.mkdir(parents=True)
        path.write_text(evals.read_text())
    assert before.about() == after.about()


@given(st.lists(st.integers(0, 12), max_size=6), st.integers(0, 6))
def test_batches_of_pairs_are_judged_as_all_at_once(tmp_path_factory, lengths, cut):
    path = tmp_path_factory.mktemp("e") / "e.jsonl"
    path.write_text(json.dumps({"question": run(0, 10)}))
    rows = [(f"x {run(0, n)}", "A", "B") for n in lengths]
    f = [Decontaminate.model_validate({"evals": str(path)})]
    whole, parts = apply_filters(f, pairs_of(rows)), [apply_filters(f, pairs_of(part)) for part in (rows[:cut], rows[cut:])]
    assert whole.reason == [reason for part in parts for reason in part.reason]


@pytest.mark.parametrize(
    "about", [{}, {"evals": []}, {"evals": 3}, {"evals": "a.jsonl", "threshold": 1}, {"evals": "a.jsonl", "ngram": 1}]
)
def test_settings_that_find_nothing_are_refused(about):
    with pytest.raises(ValidationError):
        Decontaminate.model_validate(about)


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(PairwrightError, match="there is no file"):
        outcome([("x", "A", "B")], tmp_path / "none.jsonl")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"the filter 'clean': there is no file quiz.jsonl in .*: correct `path`, as in `filters.clean.evals=PATH`$"),
        (
            '{"stem": "x"}',
            "the filter 'clean': .* has no text in a column of a usual name such as question or prompt, it has 'stem'",
        ),
        ("[1]", "the filter 'clean': .*quiz.jsonl:1 is JSON but not an object"),
    ],
)
def test_a_file_that_is_not_there_or_of_another_shape_stops_a_build_before_any_model_runs(build, evals, content, message):
    evals.unlink() if content is None else evals.write_text(content)
    made = build(filters=[{"use": "decontaminate", "name": "clean", "evals": str(evals)}])
    with pytest.raises(PairwrightError, match=message) as error:
        made.run()
    assert "\n" not in str(error.value)
    assert not made.samples.files()


def test_after_a_move_of_the_file_a_new_cut_is_told_how_to_go_on_and_does(build, evals, tmp_path):
    dataset = (made := build(filters=[{"use": "decontaminate", "evals": str(evals)}])).dataset
    made.run()
    moved = evals.rename(tmp_path / "moved.jsonl")
    with pytest.raises(PairwrightError, match=r"no file quiz.jsonl in .*`filters.decontaminate.evals=PATH`; or .*`filters=\[\]`"):
        recut(dataset, 1, ["pair.margin=0.1"])
    assert dataset.versions() == [1]
    assert recut(dataset, 1, ["pair.margin=0.1", f"filters.decontaminate.evals={moved}"]).version == 2
    assert recut(dataset, 1, ["filters=[]"]).version == 3
