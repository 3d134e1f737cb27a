from __future__ import annotations

import json
import math

import pytest

from pairwright.errors import PairwrightError
from pairwright.pipelines.calibration.judged import Judged, joined, read_judged

ROW = {
    "id": "i1",
    "annotator": "pairwise",
    "p": 0.8,
    "verdict": "a",
    "gold": "a",
    "correct": True,
    "tokens": 120,
    "seconds": 0.5,
    "money": 0.01,
    "reason": None,
    "features": {"confidence": 0.8},
}


@pytest.fixture
def written(tmp_path):
    def write(*rows, name="items.jsonl"):
        path = tmp_path / name
        path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows) + "\n")
        return path

    return write


def test_a_row_is_read_as_it_was_written(written):
    assert read_judged([written(ROW)]) == {"pairwise": [Judged("i1", 0.8, True, 120, 0.5, {"confidence": 0.8}, 0.01, gold="a")]}


def test_the_method_and_settings_are_read_where_a_row_says_them_and_a_mixture_is_refused(written):
    row = ROW | {"use": "pairwise", "settings": {"role": "weak"}}
    members = joined(read_judged([written(row | {"annotator": "small"}, row | {"annotator": "other", "settings": {}})])).members
    assert members == [{"use": "pairwise", "role": "weak"}, {"use": "pairwise"}]
    assert not joined(read_judged([written(ROW)])).described
    with pytest.raises(PairwrightError, match="'pairwise' judged 'i1' and 'i2' with different settings"):
        joined(read_judged([written(row, row | {"id": "i2", "settings": {"role": "strong"}})]))


def test_annotators_keep_the_order_of_the_files(written):
    files = [written(ROW | {"annotator": "z"}, name="1.jsonl"), written(ROW | {"annotator": "b"}, "", ROW, name="2.jsonl")]
    assert list(read_judged(files)) == ["z", "b", "pairwise"]


def test_an_answer_that_could_not_be_read_has_no_p_and_its_costs_count(written):
    silent = ROW | {"p": None, "verdict": "invalid", "correct": False, "reason": "no_verdict", "features": {}}
    [found] = read_judged([written(silent)])["pairwise"]
    assert found.p is None and found.confidence is None and found.cost_tokens == 120


def test_an_annotator_that_rates_has_the_p_it_would_have_as_a_member(written):
    rating = ROW | {"p": None, "scores": [-1.0, 1.0], "verdict": "b", "gold": "b"}
    lacking = ROW | {"id": "i2", "p": None, "scores": [-1.0, None], "verdict": None, "correct": None}
    first, second = read_judged([written(rating, lacking)])["pairwise"]
    assert first.p == pytest.approx(1 / (1 + math.e**2)) and first.difference == -2 and first.correct is True
    assert second.p is None and second.difference is None


@pytest.mark.parametrize(("gold", "correct"), [("tie", True), ("a", False), (None, None)])
def test_a_tie_is_right_only_where_gold_is_a_tie(written, gold, correct):
    [found] = read_judged([written(ROW | {"p": 0.5, "verdict": "tie", "gold": gold, "correct": None})])["pairwise"]
    assert found.correct is correct


@pytest.mark.parametrize(
    "fault",
    [
        {"p": 1.2},
        {"p": "0.8"},
        {"p": float("nan")},
        {"verdict": "invalid"},
        {"correct": 0.5},
        {"features": {"x": "many"}},
        {"tokens": "many"},
        {"p": None, "scores": [1.0, 2.0, 3.0]},
    ],
)
def test_a_row_that_makes_no_sense_is_named_by_file_and_line(written, fault):
    path = written(ROW, ROW | fault)
    with pytest.raises(PairwrightError, match=rf"{path.name}:2 cannot be read .*evaluate"):
        read_judged([path])


def test_the_baseline_of_an_evaluation_is_no_judge(written):
    baseline = ROW | {"annotator": "longer wins", "p": None, "scores": [3.0, 9.0, 1.0]}
    assert list(read_judged([written(baseline, ROW)])) == ["pairwise"]
    with pytest.raises(PairwrightError, match="hold no judged item"):
        read_judged([written(baseline)])


def test_items_of_other_data_with_the_same_ids_are_refused(written):
    other = ROW | {"annotator": "strong", "gold": "b", "correct": False}
    judges = read_judged([written(ROW, other)])
    with pytest.raises(
        PairwrightError, match="'i1' has the gold label a where 'pairwise' judged it and b where 'strong' did: eval"
    ):
        joined(judges)


def test_an_item_without_a_gold_label_is_left_out_even_if_nobody_said_anything_readable(written):
    silent = ROW | {"p": None, "verdict": "invalid", "correct": None}
    rows = [ROW, silent | {"id": "unread"}, silent | {"id": "undecided", "gold": None}]
    judges = joined(read_judged([written(*rows, *({**row, "annotator": "strong"} for row in rows))]))
    assert {x.id for x in judges.answers[0]} == {"i1", "unread"} and judges.unlabelled == 1


def test_half_a_row_and_a_missing_key_are_named_too(written, tmp_path):
    with pytest.raises(PairwrightError, match=r"items\.jsonl:1 cannot be read"):
        read_judged([written('{"id": "i1", ')])
    with pytest.raises(PairwrightError, match=r"items\.jsonl:1 cannot be read"):
        read_judged([written("[1, 2]")])
    with pytest.raises(PairwrightError, match=r"items\.jsonl:1 has no 'gold'"):
        read_judged([written({k: v for k, v in ROW.items() if k != "gold"})])
    with pytest.raises(PairwrightError, match=r"there is no file .*none\.jsonl"):
        read_judged([tmp_path / "none.jsonl"])
    with pytest.raises(PairwrightError, match="hold no judged item"):
        read_judged([written("")])
