from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairwright.pipelines.hygiene.contamination import EvalIndex, report
from pairwright.pipelines.hygiene.evals import EvalFile, EvalItem

GSM8K = Path(__file__).resolve().parents[4] / "shared" / "data" / "gsm8k" / "test.jsonl"

few_words = st.lists(st.sampled_from("abc"), max_size=14).map(" ".join)


def index(*items, ngram=8):
    texts = [(item,) if isinstance(item, str) else item for item in items]
    return EvalIndex([EvalItem("eval", f"eval:{i}", t) for i, t in enumerate(texts)], ngram)


def run(start, stop):
    return " ".join(f"w{i}" for i in range(start, stop))


def by_hand(item, text, n):
    """The share of the item's words that lie in an n-gram of both."""
    w, t = item.split(), text.split()
    inside = {tuple(t[k : k + n]) for k in range(len(t) - n + 1)}
    matched = {k + j for k in range(len(w) - n + 1) if tuple(w[k : k + n]) in inside for j in range(n)}
    return len(matched) / len(w)


def test_the_golden_scores():
    found = index(run(0, 10), run(100, 116))
    assert found.scores([f"{run(0, 8)} and more words that are new"]) == [{0: 0.8}]
    assert found.scores([f"see {run(100, 108)}"]) == [{1: 0.5}]


def test_an_n_gram_that_is_repeated_counts_wherever_it_stands():
    chorus = run(0, 8)
    assert index(f"{chorus} x {chorus}").scores([chorus]) == [{0: 16 / 17}]
    assert index("a " * 12).scores(["a " * 8]) == [{0: 1.0}]


@settings(max_examples=300, deadline=None)
@given(st.lists(few_words, max_size=4), st.lists(few_words, max_size=4), st.integers(1, 4))
def test_scores_are_those_counted_by_hand(items, texts, n):
    for text, scores in zip(texts, index(*items, ngram=n).scores(texts), strict=True):
        for i, item in enumerate(items):
            short = 0 < len(item.split()) < n
            expected = float(item == text) if short else by_hand(item, text, n) if item else 0.0
            assert scores.get(i, 0.0) == pytest.approx(expected)
            assert i not in scores or scores[i] > 0


@settings(deadline=None)
@given(st.lists(few_words, max_size=6), st.lists(few_words, max_size=6))
def test_texts_are_scored_as_if_alone(items, texts):
    found = index(*items, ngram=3)
    assert found.scores(texts) == [found.scores([text])[0] for text in texts]


def test_an_item_of_several_fields_has_their_mean_over_those_that_can_be_found():
    found = index((run(0, 20), run(50, 60)), (run(0, 20), "short one"))
    assert found.scores([run(0, 20)]) == [{0: 0.5, 1: 1.0}]
    assert found.scores([f"{run(0, 20)} {run(50, 60)}"])[0][0] == 1.0


def test_wide_digits_and_powers_hide_no_item():
    assert index(run(0, 8) + " 22").scores([run(0, 8) + " ２²"]) == [{0: 1.0}]
    assert index("What is 22?").scores(["What is ２２?"]) == [{0: 1.0}]


@pytest.mark.parametrize(
    ("text", "scores"),
    [("what IS  2+2", {0: 1.0}), ("What is 2+2?", {0: 1.0}), ("What is 2*2?", {}), ("Now: what is 2+2? Tell me", {}), ("", {})],
)
def test_an_item_under_eight_words_must_be_the_whole_text(text, scores):
    assert index("What is 2+2?", ()).scores([text]) == [scores]


def test_no_items_are_found_nowhere():
    assert index().scores(["a text", ""]) == [{}, {}]


def written(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return EvalFile(path=str(path))


def test_the_report_counts_items_and_rows_of_each_file(tmp_path):
    clean = written(tmp_path / "clean.jsonl", [{"question": run(900 + 20 * i, 920 + 20 * i)} for i in range(3)])
    rows = [{"question": run(20 * i, 20 * i + 20)} for i in range(99)] + [{"question": None}]
    held = written(tmp_path / "held.jsonl", rows)
    documents = [("r0", [run(0, 20)]), ("r1", ["new", run(0, 15)]), ("r2", [run(20, 33)]), ("r3", [run(40, 50)])]
    for evals in ([clean, held], [held, clean]):
        by_file = {Path(r.file).name: r for r in report(evals, iter(documents))}
        found = by_file["held.jsonl"]
        assert (found.items, found.empty, found.contaminated, found.rows) == (100, 1, 2, 3)
        assert found.share == 0.02 and not found.is_contaminated
        assert [(e.row, e.score) for e in found.examples] == [("r0", 1.0), ("r2", 0.65)]
        assert found.examples[0].place.endswith("held.jsonl:1") and found.examples[0].text == run(0, 20)
        assert by_file["clean.jsonl"].contaminated == by_file["clean.jsonl"].rows == 0
    assert report([held], [*documents, ("r4", [run(60, 80)])])[0].is_contaminated


@pytest.mark.skipif(not GSM8K.exists(), reason="needs the data beside the repository")
def test_gsm8k_is_found_where_it_is_and_once_in_its_own_training_half():
    test = [json.loads(line)["question"] for line in GSM8K.open(encoding="utf-8")]
    train = [json.loads(line)["question"] for line in GSM8K.with_name("train_first500.jsonl").open(encoding="utf-8")]
    found = report([EvalFile(path=str(GSM8K))], [(str(i), [text]) for i, text in enumerate(train)])[0]
    assert (found.items, found.contaminated, found.rows, found.is_contaminated) == (len(test), 1, 1, False)
    assert (found.examples[0].row, found.examples[0].score) == ("20", 0.625)  # the same stamps, bought by another child
    planted = [
        ("plain", [test[3]]),
        ("loud", [f"Please help: {test[8].upper()} Thanks!"]),
        ("half", [test[9][: len(test[9]) // 3]]),
    ]
    assert {e.row for e in report([EvalFile(path=str(GSM8K))], planted)[0].examples} == {"plain", "loud"}
