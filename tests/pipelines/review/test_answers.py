"""Files of answers are read row by row: what is wrong is named with its line, and the rest counts."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.errors import PairwrightError
from pairwright.pipelines.review.answers import read_answers
from pairwright.pipelines.review.take import take
from tests.pipelines.review.people import longer, questions, row, shorter


@pytest.fixture
def items(sampled):
    return list(questions(sampled()).values())


def refused(taken):
    return [(r.place.line, r.reason) for r in taken.refused]


def test_every_bad_row_is_refused_with_its_line_and_reason_and_the_good_ones_count(asking, items, write):
    a, b, c, d, e, f, g = items[:7]
    path = write(
        "answers.json",
        row(a, "Ann", longer(a)),  # line 2: lines count from 1, and the list begins on the first
        row(b, "Ann", longer(b)) | {"item": "0" * 24},
        row(c, "Ann", "the left one"),
        row(d, "  ", longer(d)),
        row(e, "Ann", longer(e), sheet="f" * 24),
        {"who": "Ann", "choice": "tie"},
        row(f, "Ann", longer(a) if longer(a) not in dict(f.review.candidates) else "elsewhere"),
        row(g, "Ann", "invalid"),
    )
    taken = take(asking(), [path])
    assert refused(taken) == [
        (3, "unknown_item"),
        (4, "unknown_choice"),
        (5, "no_name"),
        (6, "other_sheet"),
        (7, "no_item"),
        (8, "unknown_choice"),
    ]
    assert all(r.place.file == str(path) and r.detail for r in taken.refused)
    assert (taken.new, taken.completed, taken.waiting) == (2, 2, 10)


def test_of_a_file_cut_off_in_a_row_the_whole_rows_count(asking, items, write):
    path = write("answers.json", *(row(i, "Ann", longer(i)) for i in items[:4]))
    text = path.read_text()
    path.write_text(text[: text.rindex('"choice"') + 4])
    taken = take(asking(), [path])
    assert (taken.completed, refused(taken)) == (3, [(5, "not_json")])


def test_jsonl_with_a_broken_line_in_its_middle_loses_that_line_only(asking, items, tmp_path):
    lines = [json.dumps(row(i, "Ann", longer(i))) for i in items[:4]]
    lines[1] = lines[1][:-9]
    path = tmp_path / "answers.jsonl"
    path.write_text("\n".join([*lines, "no JSON at all", "[1, 2]"]) + "\n")
    taken = take(asking(), [path])
    assert (taken.completed, refused(taken)) == (3, [(2, "not_json"), (5, "not_json")])
    assert [r.detail for r in taken.refused] == [
        "line 2 is cut off, damaged, or no answer",
        "lines 5 to 6 are cut off, damaged, or no answer",
    ]


def test_what_is_no_object_in_a_list_on_one_line_is_counted_by_its_row_and_the_rows_after_it_count(asking, items, tmp_path):
    a, b, c = (row(i, "Ann", longer(i)) for i in items[:3])
    path = tmp_path / "answers.json"
    path.write_text(json.dumps([a, 5, b, [1, {"who": "Ann"}], "a { in words", None, c]))
    taken = take(asking(), [path])
    assert (taken.completed, refused(taken)) == (3, [(1, "not_json")] * 4)
    assert [r.detail for r in taken.refused] == [f"row {n} is no answer: it is not a JSON object" for n in (2, 4, 5, 6)]


def test_a_list_that_was_cut_off_does_not_swallow_the_one_below_it(asking, items, tmp_path):
    a, b = (json.dumps(row(i, "Ann", longer(i))) for i in items[:2])
    path = tmp_path / "answers.json"
    path.write_text(f"[{a},\n[{b}]\n")
    assert (take(asking(), [path]).completed, read_answers([path]).refused) == (2, [])


def test_who_contradicts_herself_has_neither_answer_counted_and_both_named(asking, items, write):
    a, b, c = items[:3]
    one = write("one.json", row(a, "Ann", longer(a)), row(b, "Ann", longer(b)), row(c, "Ann", "tie"))
    two = write("two.json", row(a, "ann ", shorter(a)), row(b, " Ann", longer(b)), row(c, "Bob", "invalid"))
    taken = take(asking(), [one, two])
    assert [(r.place.file, *x) for r, x in zip(taken.refused, refused(taken), strict=True)] == [
        (str(one), 2, "contradiction"),
        (str(two), 2, "contradiction"),
    ]
    assert f"{two}:2" in taken.refused[0].detail
    assert (taken.new, taken.again, taken.completed) == (3, 1, 2)


def test_an_earlier_import_stands_against_a_change_of_mind_and_against_late_answers(asking, items, write):
    a = items[0]
    take(asking(), [write("first.json", row(a, "Ann", longer(a)))])
    later = write("later.json", row(a, "Ann", shorter(a)), row(a, "Bob", longer(a)), row(a, "Ann", longer(a)))
    taken = take(asking(), [later])
    assert sorted(reason for _, reason in refused(taken)) == ["contradiction", "contradiction", "late"]
    taken = take(asking(), [write("again.json", row(a, "Ann", longer(a)), row(items[1], "Ann", "tie"))])
    assert (taken.new, taken.again, taken.refused) == (1, 1, [])


def test_answers_under_other_instructions_are_of_another_sheet(asking, items, write):
    path = write("answers.json", *(row(i, "Ann", longer(i)) for i in items))
    other = {"policy": {"engine": "scripted"}, "human": {"engine": "people", "instructions": "Prefer what is short."}}
    taken = take(asking(models=other), [path])
    assert {reason for _, reason in refused(taken)} == {"other_sheet"} and taken.new == 0 and taken.waiting == 12


def test_files_that_are_no_text_or_not_there_are_named(asking, items, tmp_path):
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(PairwrightError, match=r"picture.png is not a text file in UTF-8"):
        take(asking(), [tmp_path / "picture.png"])
    with pytest.raises(PairwrightError, match=r"cannot read the answers in .*gone.json: No such file"):
        take(asking(), [tmp_path / "gone.json"])


def test_a_name_or_note_of_broken_characters_does_no_harm(asking, items, tmp_path):
    path = tmp_path / "answers.json"
    path.write_text(json.dumps(row(items[0], "A\ud800nn", longer(items[0]), note="\udfff", seconds="soon")))
    assert take(asking(), [path]).completed == 1


def test_answers_take_effect_in_whatever_layout_the_json_is(items, tmp_path):
    rows = [row(i, "Ann", longer(i)) for i in items[:3]]
    layouts = [json.dumps(rows), json.dumps(rows, indent=2), "\n".join(map(json.dumps, rows)), "\ufeff" + json.dumps(rows)]
    for i, text in enumerate(layouts):
        (tmp_path / f"{i}.json").write_text(text)
        read = read_answers([tmp_path / f"{i}.json"])
        assert ([a.item for a in read.answers], read.refused) == ([i.id for i in items[:3]], [])


@given(text=st.text(st.sampled_from('{}[],:"\\ \nab1'), max_size=60))
def test_no_text_whatever_makes_reading_fail(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("any") / "answers.json"
    path.write_text(text)
    read = read_answers([path])
    assert all(1 <= r.place.line <= text.count("\n") + 1 for r in read.refused)


def test_of_an_argilla_record_only_what_was_submitted_counts(tmp_path):
    said = [{"value": "1", "user_id": who, "status": who} for who in ("draft", "discarded", "submitted")]
    records = [
        {"id": id, "metadata": {"id_1": "x", "id_2": "y"}, "responses": {"choice": choices}}
        for id, choices in (("i", said), ("j", said[:2]))
    ]
    path = tmp_path / "argilla.json"
    path.write_text(json.dumps(records))
    read = read_answers([path])
    assert [(a.item, a.opinion.who, a.opinion.choice) for a in read.answers] == [("i", "submitted", "x")]
    assert (read.refused, read.empty) == ([], 1)
