"""What counts as labelled data, and what is said of a row that does not."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pairwright.errors import PairwrightError
from pairwright.pipelines.evaluation.labelled import named, read_labelled

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data"
PAIR = {"prompt": "Why?", "responses": ["Because.", "No."]}


def golds(path: Path) -> list[str | None]:
    return [item.gold for item in read_labelled(path).items]


def texts(item) -> list[str]:
    return [r.text for r in item.group.responses]


def test_every_way_to_name_the_better_one_is_understood(written):
    rows = [PAIR | label for label in ({"better": 1}, {"better": "tie"}, {"label": "a"}, {"label": "tie"}, {"correct": [1]})]
    assert golds(written(rows)) == ["b", "tie", "a", "tie", "b"]


def test_the_best_of_many_may_be_one_or_several(written):
    row = {"prompt": "?", "responses": ["w", "x", "y", "z"]}
    assert golds(written([row | {"better": 2}, row | {"correct": [0, 3]}, row | {"better": "tie"}])) == ["c", "a+d", "tie"]


def test_names_go_on_after_the_alphabet():
    assert named({0, 25, 26}, 30) == "a+z+r26"


def test_undecided_people_give_no_gold(written):
    assert golds(written([PAIR | {"undecided": True}])) == [None]


def test_subset_reference_language_tags_and_messages_are_kept(written):
    row = PAIR | {"better": 0, "subset": "s", "reference": "42", "language": "de", "tags": ["t"], "id": 7}
    row["prompt"] = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Why?"}]
    [item] = read_labelled(written([row])).items
    assert (item.id, item.subset, item.language) == ("7", "s", "de")
    assert (item.group.reference, item.group.tags, [t.role for t in item.group.prompt]) == ("42", ("t",), ["system", "user"])


def test_trl_rows_are_read_in_all_their_shapes(written):
    user, good, bad = ({"role": r, "content": c} for r, c in (("user", "Why?"), ("assistant", "Yes"), ("assistant", "No")))
    rows = [
        {"prompt": "Why?", "chosen": "Yes", "rejected": "No"},
        {"prompt": [user], "chosen": [good], "rejected": [bad]},
        {"chosen": [user, good], "rejected": [user, bad]},
        {"prompt": "Why?", "chosen": [user, good], "rejected": [user, bad]},
    ]
    for item in read_labelled(written(rows)).items:
        assert [t.content for t in item.group.prompt] == ["Why?"]
        assert texts(item)["ab".index(item.gold)] == "Yes"


def test_chosen_is_not_always_the_first(written):
    rows = [{"prompt": f"Question {i}", "chosen": "Yes", "rejected": "No"} for i in range(60)]
    assert 15 < Counter(golds(written(rows)))["a"] < 45


def test_lists_of_chosen_and_rejected_are_the_best_of_many_in_their_order(written):
    [item] = read_labelled(written([{"prompt": "?", "chosen": ["x"], "rejected": ["u", "v", "w"], "subset": "Math"}])).items
    assert (texts(item), item.right) == (["x", "u", "v", "w"], {0})


def test_ids_follow_from_content_and_equal_rows_are_told_apart(written):
    rows = [PAIR | {"better": 0}, PAIR | {"better": 1}, {"prompt": "Who?", "responses": ["I", "You"], "label": "b"}]
    first = [item.id for item in read_labelled(written(rows)).items]
    assert len(set(first)) == 3
    assert [item.id for item in read_labelled(written(rows, "other.jsonl")).items] == first


def test_a_response_has_one_id_wherever_it_stands(written):
    one, two = read_labelled(written([PAIR | {"better": 0}, PAIR | {"better": 1, "responses": PAIR["responses"][::-1]}])).items
    assert {r.text: r.id for r in one.group.responses} == {r.text: r.id for r in two.group.responses}


def test_fewer_items_are_among_more_and_the_file_order_does_not_matter(written):
    rows = [{"id": f"i{i}", "prompt": f"{i}?", "responses": ["x", "y"], "better": 0} for i in range(30)]
    data, turned = read_labelled(written(rows)), read_labelled(written(rows[::-1], "turned.jsonl"))
    some = [item.id for item in data.drawn(10)]
    assert some == [item.id for item in data.drawn(20)][:10] == [item.id for item in turned.drawn(10)]
    assert len(data.drawn(None)) == 30


def test_json_gzip_and_parquet_hold_the_same(tmp_path, written):
    rows = [PAIR | {"better": 0, "subset": "s"}, PAIR | {"better": 1, "subset": "s"}]
    expected = [item.id for item in read_labelled(written(rows)).items]
    (tmp_path / "x.json").write_text(json.dumps(rows))
    with gzip.open(tmp_path / "x.jsonl.gz", "wt") as handle:
        handle.write("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.Table.from_pylist([row | {"label": None} for row in rows]), tmp_path / "x.parquet")
    for name in ("x.json", "x.jsonl.gz", "x.parquet"):
        assert [item.id for item in read_labelled(tmp_path / name).items] == expected


def test_the_hash_is_of_the_files_bytes(written):
    path = written([PAIR | {"better": 0}])
    assert read_labelled(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"responses": ["x", "y"], "better": 0}, "neither 'prompt' nor 'messages'"),
        ({"prompt": "?", "better": 0}, "neither 'responses' nor both"),
        ({"prompt": "?", "responses": ["x"], "better": 0}, "nothing to choose between"),
        ({"prompt": "?", "responses": ["x", 3], "better": 0}, "not a list of texts"),
        ({"prompt": "?", "responses": "xy", "better": 0}, "not a list of texts"),
        (PAIR, "none of better, label and correct"),
        (PAIR | {"better": 0, "label": "a"}, "give exactly one"),
        (PAIR | {"better": 2}, "counted from 0 to 1"),
        (PAIR | {"better": True}, "counted from 0 to 1"),
        (PAIR | {"correct": []}, "counted from 0 to 1"),
        (PAIR | {"label": "c"}, "'a', 'b' or 'tie'"),
        (PAIR | {"first_error": 2}, "labels steps"),
        ({"prompt": "?", "responses": ["x", "x"], "better": 0}, "both right and wrong"),
        (PAIR | {"better": 0, "id": ["i"]}, "neither text nor a number"),
        ({"prompt": "?", "chosen": "x", "rejected": 1}, "neither texts nor lists"),
        ({"chosen": [{"role": "user", "content": "?"}], "rejected": [{"role": "user", "content": "!"}]}, "end with a turn"),
        ({"prompt": "?", "responses": ["\ud800", "y"], "better": 0}, "half a character"),
    ],
)
def test_a_wrong_row_is_one_sentence_with_its_place(written, row, said):
    path = written([PAIR | {"better": 0, "id": "fine"}, row])
    with pytest.raises(PairwrightError) as error:
        read_labelled(path)
    assert "labelled.jsonl:2 " in str(error.value) and said in str(error.value)


def test_a_wrong_row_of_a_table_is_named_by_its_number(tmp_path):
    pq.write_table(pa.Table.from_pylist([PAIR | {"better": 0}, PAIR | {"better": 5}]), tmp_path / "x.parquet")
    with pytest.raises(PairwrightError, match=r"x.parquet:row 2 has better = 5"):
        read_labelled(tmp_path / "x.parquet")


def test_an_id_may_stand_in_one_row_only(written):
    with pytest.raises(PairwrightError, match=r"labelled.jsonl:2 has the id 'x', which labelled.jsonl:1 has too"):
        read_labelled(written([PAIR | {"better": 0, "id": "x"}, PAIR | {"better": 1, "id": "x"}]))


def test_half_a_line_is_named(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"prompt": "?"')
    with pytest.raises(PairwrightError, match=r"x.jsonl:1 is not JSON"):
        read_labelled(tmp_path / "x.jsonl")


def test_files_that_are_none_are_refused(tmp_path):
    (tmp_path / "empty.jsonl").write_text("\n")
    (tmp_path / "x.csv").write_text("a,b")
    (tmp_path / "bad.parquet").write_text("not parquet")
    (tmp_path / "bad.json").write_text("[1, 2")
    for name, said in (
        ("empty.jsonl", "holds no rows"),
        ("x.csv", "neither JSONL, JSON nor Parquet"),
        ("bad.parquet", "cannot read"),
        ("bad.json", "cannot read"),
        ("absent.jsonl", "there is no file"),
        (".", "is a folder"),
    ):
        with pytest.raises(PairwrightError, match=said):
            read_labelled(tmp_path / name)
    with pytest.raises(PairwrightError, match="no format 'csv'"):
        read_labelled(tmp_path / "x.csv", "csv")


def test_three_people_of_pandalm_are_a_majority_a_tie_or_undecided(tmp_path):
    votes = [(1, 1, 2), (2, 2, 2), (0, 0, 1), (0, 1, 2)]
    rows = [
        {"idx": i, "instruction": "Do", "input": "it", "response1": True, "response2": " no\n"}
        | {f"annotator{k}": v for k, v in enumerate(three, 1)}
        for i, three in enumerate(votes)
    ]
    (tmp_path / "testset-v1.json").write_text(json.dumps(rows))
    data = read_labelled(tmp_path)
    assert data.format == "pandalm"
    assert [item.gold for item in data.items] == ["a", "b", "tie", None]
    assert (data.items[0].group.prompt[0].content, texts(data.items[0])) == ("Do\n\nit", ["True", "no"])
    rows[1]["annotator2"] = 3
    (tmp_path / "testset-v1.json").write_text(json.dumps(rows))
    with pytest.raises(PairwrightError, match="row 2 has 3 as annotator2"):
        read_labelled(tmp_path)


def test_a_conversation_of_the_hhh_data_becomes_turns(written):
    prompt = "Hello?\n\nHuman:  Are you there?\n\nAssistant:  Yes.\n\nHuman:  Good."
    path = written([{"category": "helpful", "prompt": prompt.replace("\n\nHuman:  Are", " Are"), "chosen": "x", "rejected": "y"}])
    [item] = read_labelled(path).items
    assert [(t.role, t.content) for t in item.group.prompt] == [
        ("user", "Hello? Are you there?"),
        ("assistant", "Yes."),
        ("user", "Good."),
    ]
    assert item.subset == "helpful"


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data sets are not beside the repository")
def test_the_shared_data_sets_are_read_whole():
    pandalm, hhh = read_labelled(DATA / "pref_pandalm"), read_labelled(DATA / "pref_hhh_alignment")
    assert Counter(item.gold for item in pandalm.items) == {"a": 422, "b": 472, "tie": 105}
    assert Counter(item.subset for item in hhh.items) == {"honest": 61, "helpful": 59, "harmless": 58, "other": 43}
    assert all(item.group.prompt[-1].role == "user" for item in hhh.items)
    assert max(len(item.group.prompt) for item in hhh.items) == 5
