from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from pairwright.errors import PairwrightError
from pairwright.pipelines.hygiene.evals import EvalFile, anchored

ROWS = [{"Question": "How many?", "answer": 3}, {"Question": "Which one?", "answer": 4}]


def texts(path, **about):
    return [item.texts for item in EvalFile(path=str(path), **about).items()]


def parquet(path, rows):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows), path)


@pytest.mark.parametrize("name", ["e.jsonl", "e.jsonl.gz", "e.json", "nested.json", "e.csv", "e.parquet"])
def test_every_kind_of_file_gives_the_same_items(tmp_path, name):
    path = tmp_path / name
    lines = "\n".join(map(json.dumps, ROWS))
    match name:
        case "e.jsonl":
            path.write_text(lines)
        case "e.jsonl.gz":
            path.write_bytes(gzip.compress(lines.encode()))
        case "e.json":
            path.write_text(json.dumps(ROWS))
        case "nested.json":
            path.write_text(json.dumps({"version": 1, "tags": ["x"], "data": ROWS}))
        case "e.csv":
            path.write_text('Question,answer\n"How many?",3\n"Which one?",4\n')
        case _:
            parquet(path, ROWS)
    assert texts(path) == [("How many?",), ("Which one?",)]
    assert texts(path, fields=["Question", "answer"])[0] == ("How many?", "3")


def test_items_know_their_file_and_line(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"prompt": "x"}\n\n{"prompt": "y"}\n')
    (tmp_path / "b.csv").write_text("prompt\nz\n")
    items = EvalFile(path=str(tmp_path / "*.*")).items()
    assert [item.place.removeprefix(f"{tmp_path.name}/") for item in items] == ["a.jsonl:1", "a.jsonl:3", "b.csv:row 1"]


def test_a_relative_path_is_made_absolute_so_that_it_holds_in_every_folder(tmp_path, monkeypatch):
    (tmp_path / "e.jsonl").write_text('{"prompt": "x"}')
    monkeypatch.chdir(tmp_path)
    found = EvalFile(path="e.jsonl")
    monkeypatch.chdir("/")
    assert [item.texts for item in found.items()] == [("x",)]
    again = EvalFile.model_validate(found.model_dump())
    assert again == found and again.path == str(tmp_path / "e.jsonl")


def test_what_a_recipe_says_of_its_evaluations_starts_at_its_folder():
    said = ["a.jsonl", {"path": "b/*.csv", "fields": "q"}, "/c.json", 3]
    expected = ["/x/a.jsonl", {"path": "/x/b/*.csv", "fields": "q"}, "/c.json", 3]
    assert anchored(said, Path("/x")) == expected
    assert anchored("a.jsonl", Path("/x")) == "/x/a.jsonl"


def test_what_users_say_is_taken_from_messages_and_turns(tmp_path):
    path = tmp_path / "e.jsonl"
    turns = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "no"}, {"role": "user", "content": "two"}]
    shared = [{"from": "human", "value": "one"}, {"from": "gpt", "value": "no"}, {"from": "human", "value": "two"}]
    path.write_text("\n".join(json.dumps({"messages": m}) for m in (turns, shared, ["one", "two"])))
    assert texts(path) == [("one\ntwo",)] * 3


def test_an_item_without_text_stays_an_item(tmp_path):
    path = tmp_path / "e.jsonl"
    path.write_text('{"question": null}\n{"question": " "}\n{"question": "x"}\n{"answer": "y"}\n')
    assert texts(path) == [(), (), ("x",), ()]


def test_a_path_alone_is_a_file_and_a_field_alone_a_list():
    assert EvalFile.model_validate("a.jsonl") == EvalFile(path="a.jsonl")
    assert EvalFile.model_validate({"path": "a", "fields": "q"}).fields == ("q",)
    with pytest.raises(ValidationError):
        EvalFile.model_validate({"path": "a", "columns": ["q"]})


@pytest.mark.parametrize(
    ("name", "content", "fields", "message"),
    [
        (
            "e.jsonl",
            '{"stem": "x", "key": 1}',
            (),
            r"no text in a column of a usual name .* it has 'stem', 'key': .* fields: \[stem\]\}",
        ),
        ("e.jsonl", '{"question": "x"}', ("qestion",), r"no column 'qestion', it has 'question': write `fields: \[question\]`"),
        ("e.jsonl", "{oops", (), "e.jsonl:1 is not JSON .*; correct the line or take it out"),
        ("e.json", '{"question": "x"}', (), "holds no list of objects with named columns: make it one, or JSONL"),
        ("e.json", '["x"]', (), "row 1 is not an object but 'x': give a list of objects"),
        ("e.json", '{"question": "x"}\n{"question": "y"}', (), "is not JSON .* in line 2.*: name it .jsonl if it is that"),
        ("e.parquet", "no parquet", (), "cannot read .*e.parquet: .*; replace the file or correct its path"),
        ("e.txt", "x", (), "is none of .jsonl, .* give it the ending of what it is"),
        ("e.jsonl", '{"question": {"stem": "x"}, "key": 1}', (), r"no text in a column of a usual name .* fields: \[key\]\}"),
        (
            "e.jsonl",
            '{"question": null, "stem": "x"}',
            ("question",),
            r"no text under 'question'; with text it has 'stem': write `fields: \[stem\]`",
        ),
        (
            "e.jsonl",
            '{"question": null}',
            ("question",),
            "has no text in any column, it has 'question': give texts, lists of them, or messages",
        ),
        ("e.jsonl", "", (), "holds no items: give a file of evaluation items"),
        ("e.csv", "question\n", (), "holds no items"),
        ("e.csv", b"question\n\xff\n", (), "cannot read .*e.csv: 'utf-8' codec .*; replace"),
    ],
)
def test_a_file_of_another_shape_gets_one_sentence(tmp_path, name, content, fields, message):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(PairwrightError, match=message) as error:
        EvalFile(path=str(path), fields=fields).items()
    assert "\n" not in str(error.value)


def test_a_column_of_a_usual_name_without_text_is_passed_over(tmp_path):
    path = tmp_path / "e.jsonl"
    path.write_text('{"question": null, "problem": "x"}\n{"question": {"stem": "z"}, "problem": "y"}\n')
    assert texts(path) == [("x",), ("y",)]


def test_who_speaks_is_read_in_any_case(tmp_path):
    path = tmp_path / "e.jsonl"
    path.write_text(json.dumps({"messages": [{"role": "USER", "content": "one"}, {"role": "Assistant", "content": "no"}]}))
    assert texts(path) == [("one",)]


def test_a_missing_file_is_named(tmp_path):
    (tmp_path / "gsm8k.jsonl").write_text("{}")
    with pytest.raises(PairwrightError, match=r"no file .*gsm8.jsonl.*is 'gsm8k.jsonl' meant"):
        EvalFile(path=str(tmp_path / "gsm8.jsonl")).items()


def test_the_digest_of_a_file_goes_with_its_content(tmp_path):
    path = tmp_path / "e.jsonl"
    path.write_text('{"question": "x"}')
    before = EvalFile(path=str(path)).digests()
    path.write_text('{"question": "y"}')
    assert [name for name, _ in before] == [f"{tmp_path.name}/e.jsonl"] and before != EvalFile(path=str(path)).digests()


def test_a_glob_that_matches_nothing_says_where_it_looked(tmp_path):
    with pytest.raises(PairwrightError, match=rf"no file matches \*/e.jsonl in {tmp_path}: correct `path`"):
        EvalFile(path=str(tmp_path / "*" / "e.jsonl")).items()
