"""Exports are whole files of a published version: every row is written or counted under a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pairwright.errors import PairwrightError
from pairwright.pipelines import exporting
from pairwright.pipelines.exporting import ExportReport, export
from pairwright.pipelines.policy_reader import PolicyReader, policy_reader
from pairwright.storage.exports import FORMATS, Prm800k
from pairwright.storage.manifest import Manifest
from pairwright.storage.schemas import PREFERENCE, PROMPTS, STEP_PREFERENCE, STEPWISE, UNPAIRED
from pairwright.storage.versions import Dataset
from tests.storage.exports.export_rows import pair, preferred, response, solution

SOLVER = {"models": {"policy": {"engine": "scripted"}}, "steps": {"completer": "policy"}}


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset(tmp_path, "sums")


def publish(
    dataset: Dataset,
    solutions: list[dict[str, Any]],
    pairs: list[dict[str, Any]] | None = None,
    recipe: dict[str, Any] | None = None,
    shard_rows: int = 100,
) -> int:
    with dataset.stage() as staging:
        staging.write("stepwise", pa.Table.from_pylist(solutions, schema=STEPWISE), STEPWISE, shard_rows)
        staging.write("step_preference", pa.Table.from_pylist(pairs or [], schema=STEP_PREFERENCE), STEP_PREFERENCE)
        return staging.commit(Manifest(dataset=dataset.name, recipe=recipe or SOLVER))


def many(n: int) -> list[dict[str, Any]]:
    return [solution(solution_id=f"s{i}") for i in range(n)]


def records(report: ExportReport) -> list[dict[str, Any]]:
    return [json.loads(line) for line in report.path.read_text(encoding="utf-8").split("\n")[:-1]]


def publish_pairs(dataset: Dataset, pairs: list[dict[str, Any]], schema: pa.Schema = PREFERENCE) -> int:
    responses = [response(response_id=f"r{i}", label=i % 2 == 0) for i in range(3)]
    with dataset.stage() as staging:
        staging.write("preference", pa.Table.from_pylist(pairs, schema=schema), schema)
        staging.write("unpaired", pa.Table.from_pylist(responses, schema=UNPAIRED), UNPAIRED)
        return staging.commit(Manifest(dataset=dataset.name))


STEPS = [name for name, kind in FORMATS.items() if kind.table in ("stepwise", "step_preference")]
WHOLE = sorted(FORMATS.keys() - {*STEPS})


@pytest.mark.parametrize("name", STEPS)
def test_every_format_writes_a_record_a_line(dataset: Dataset, tmp_path: Path, name: str) -> None:
    publish(dataset, many(3), [pair(pair_id=f"pair{i}") for i in range(6)])
    report = export(dataset, None, name, tmp_path / "out.jsonl")
    assert len(records(report)) == report.rows == report.rows_in == (3 if report.unit == "solution" else 6)
    assert report.version == 1 and not report.dropped


@pytest.mark.parametrize("name", WHOLE)
def test_whole_responses_are_written_with_the_ids_they_come_from(dataset: Dataset, tmp_path: Path, name: str) -> None:
    publish_pairs(dataset, [preferred(pair_id=f"pair{i}") for i in range(5)])
    report = export(dataset, None, name, tmp_path / "out.jsonl")
    key, ids = ("pair_id", [f"pair{i}" for i in range(5)]) if report.unit == "pair" else ("response_id", ["r0", "r1", "r2"])
    assert [record[key] for record in records(report)] == ids
    assert [FORMATS[name]().read(record)["prompt_id"] for record in records(report)] == ["p1"] * report.rows


@pytest.mark.parametrize("name", sorted(name for name in FORMATS if FORMATS[name].schema is not None))
def test_parquet_holds_the_same_records_as_json_lines(
    dataset: Dataset, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "BATCH", 2)
    if name in STEPS:
        publish(dataset, many(5))
    else:
        publish_pairs(dataset, [preferred(pair_id=f"pair{i}") for i in range(5)])
    lines = export(dataset, 1, name, tmp_path / "lines.jsonl")
    table = export(dataset, 1, name, tmp_path / "table.parquet")
    assert pq.read_table(table.path).to_pylist() == records(lines)
    assert pq.read_schema(table.path).equals(FORMATS[name].schema) and table.rows == lines.rows


@pytest.mark.parametrize("name", ["jsonl", "prm800k"])
def test_a_format_without_a_schema_is_no_parquet(dataset: Dataset, tmp_path: Path, name: str) -> None:
    publish_pairs(dataset, [preferred()])
    with pytest.raises(PairwrightError, match=rf"{name} is written as JSON lines only: name the file out\.jsonl"):
        export(dataset, 1, name, tmp_path / "out.parquet")


def test_soft_labels_are_kept_by_jsonl_and_counted_elsewhere(dataset: Dataset, tmp_path: Path) -> None:
    publish_pairs(dataset, [preferred(pair_id="soft", p_chosen=0.75), preferred(pair_id="hard")])
    report = export(dataset, 1, "jsonl", tmp_path / "out.jsonl")
    assert [record["p_chosen"] for record in records(report)] == [0.75, None] and report.soft == 0 and report.notes() == []
    report = export(dataset, 1, "trl_preference", tmp_path / "trl.jsonl")
    assert report.rows == 2 and report.soft == 1 and "p_chosen" not in records(report)[0]
    (note,) = report.notes()
    assert note.startswith("1 soft labels are written as hard ones")


@pytest.mark.parametrize("name", ["trl_unpaired", "llama_factory_kto", "jsonl_unpaired"])
def test_soft_labels_of_pairs_are_counted_where_responses_are_written_alone(dataset: Dataset, tmp_path: Path, name: str) -> None:
    publish_pairs(dataset, [preferred(pair_id="soft", p_chosen=0.75), preferred(pair_id="hard")])
    report = export(dataset, 1, name, tmp_path / "out.jsonl")
    assert report.rows == 3 and report.soft == 1 and report.notes()[0].startswith("1 soft labels are written as hard ones")


def test_a_reward_trainer_is_never_given_the_margin_of_a_turned_pair(dataset: Dataset, tmp_path: Path) -> None:
    publish_pairs(dataset, [preferred(pair_id="as_cut"), preferred(pair_id="turned", margin=-0.25)])
    report = export(dataset, 1, "trl_reward", tmp_path / "trl.jsonl")
    assert [(r["pair_id"], r["margin"]) for r in records(report)] == [("as_cut", 0.5)] and report.dropped == {"turned_pair": 1}
    report = export(dataset, 1, "openrlhf", tmp_path / "openrlhf.jsonl")
    assert [(r["pair_id"], r["margin"]) for r in records(report)] == [("as_cut", 0.5), ("turned", None)]
    assert report.turned == 1 and report.notes()[0].startswith(
        "1 pairs that a rule turned around are written without their margin"
    )


@pytest.mark.parametrize("name", ["trl_preference", "jsonl"])
def test_a_version_from_before_soft_labels_is_exported_too(dataset: Dataset, tmp_path: Path, name: str) -> None:
    old = pa.schema([field for field in PREFERENCE if field.name != "p_chosen"])
    publish_pairs(dataset, [preferred()], old)
    report = export(dataset, 1, name, tmp_path / "out.jsonl")
    assert report.rows == 1 and report.soft == 0 and "p_chosen" not in records(report)[0]


@pytest.fixture
def split(dataset: Dataset) -> Dataset:
    """A dataset with three pairs to train on and two held out."""
    with dataset.stage() as staging:
        for name, ids in (("train", "012"), ("test", "34")):
            rows = pa.Table.from_pylist([preferred(pair_id=f"pair{i}") for i in ids], schema=PREFERENCE)
            staging.write("preference", rows, PREFERENCE, split=name)
        staging.commit(Manifest(dataset=dataset.name))
    return dataset


@pytest.mark.parametrize("name, ids, elsewhere", [("train", "012", 2), ("test", "34", 3), ("all", "01234", 0)])
def test_a_split_is_exported_alone_unless_all_are_asked_for(
    split: Dataset, tmp_path: Path, name: str, ids: str, elsewhere: int
) -> None:
    report = export(split, 1, "trl_preference", tmp_path / "out.jsonl", split=name)
    assert [record["pair_id"] for record in records(report)] == [f"pair{i}" for i in ids]
    assert report.elsewhere == elsewhere and len(report.notes()) == (elsewhere > 0)


def test_a_split_that_is_not_there_is_named(split: Dataset, tmp_path: Path) -> None:
    with pytest.raises(PairwrightError, match="preference of version 1 of sums has no split 'dev': it has train, test"):
        export(split, 1, "trl_preference", tmp_path / "out.jsonl", split="dev")


def test_llama_factory_finds_every_export_of_a_folder_in_its_list(dataset: Dataset, tmp_path: Path) -> None:
    publish_pairs(dataset, [preferred()])
    info = tmp_path / "dataset_info.json"
    info.write_text('{"mine": {"file_name": "mine.json"}}')
    report = export(dataset, 1, "llama_factory", tmp_path / "prefs.jsonl")
    export(dataset, 1, "llama_factory_kto", tmp_path / "kto.parquet")
    listed = json.loads(info.read_text())
    assert {name: entry["file_name"] for name, entry in listed.items()} == {
        "mine": "mine.json",
        "prefs": "prefs.jsonl",
        "kto": "kto.parquet",
    }
    assert listed["prefs"]["ranking"] is True and report.beside == [info]
    assert report.notes() == [f"wrote {info}", f"LLaMA-Factory: dataset: prefs, dataset_dir: {tmp_path}"]


@pytest.mark.parametrize("text", ["[]", "{", '{"a": 1}'])
def test_a_list_of_data_sets_that_is_none_is_left_alone(dataset: Dataset, tmp_path: Path, text: str) -> None:
    publish_pairs(dataset, [preferred()])
    (tmp_path / "dataset_info.json").write_text(text)
    with pytest.raises(PairwrightError, match="dataset_info.json is not a JSON object of data sets"):
        export(dataset, 1, "llama_factory", tmp_path / "prefs.jsonl")
    assert [p.name for p in tmp_path.glob("*.json*")] == ["dataset_info.json"]
    assert (tmp_path / "dataset_info.json").read_text() == text


def test_an_entry_for_another_file_is_not_overwritten(dataset: Dataset, tmp_path: Path) -> None:
    publish_pairs(dataset, [preferred()])
    export(dataset, 1, "llama_factory", tmp_path / "prefs.jsonl")
    with pytest.raises(PairwrightError, match="has another data set 'prefs': choose another file name"):
        export(dataset, 1, "llama_factory", tmp_path / "prefs.parquet")
    export(dataset, 1, "llama_factory", tmp_path / "prefs.jsonl", force=True)


def test_rows_come_in_their_order_over_all_shards(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "BATCH", 3)
    publish(dataset, many(25), shard_rows=10)
    report = export(dataset, 1, "trl_stepwise", tmp_path / "out.jsonl")
    assert [r["solution_id"] for r in records(report)] == [f"s{i}" for i in range(25)]


def test_what_a_format_cannot_carry_is_counted_by_reason_with_an_example(dataset: Dataset, tmp_path: Path) -> None:
    tagged = [solution(solution_id=f"t{i}", prompt="ки?") for i in range(2)]
    publish(dataset, [*many(3), *tagged, solution(solution_id="e", completions=["a", " "])])
    report = export(dataset, 1, "math_shepherd", tmp_path / "out.jsonl")
    assert report.dropped == {"tag_in_text": 2, "empty_step": 1}
    assert report.rows_in == report.rows + sum(report.dropped.values()) == 6
    assert report.examples["tag_in_text"].startswith("t0: ")
    assert {r["solution_id"] for r in records(report)} == {"s0", "s1", "s2"}


def test_odd_line_ends_in_a_text_do_not_end_a_record(dataset: Dataset, tmp_path: Path) -> None:
    publish(dataset, [solution(completions=["a\u2028b\x85c", "d\re"])])
    out = tmp_path / "out.jsonl"
    export(dataset, 1, "trl_stepwise", out)
    (line,) = out.read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["completions"] == ["a\u2028b\x85c", "d\re"]


def test_a_file_that_is_there_is_kept_unless_force_is_said(dataset: Dataset, tmp_path: Path) -> None:
    publish(dataset, many(1))
    out = tmp_path / "out.jsonl"
    out.write_text("mine")
    with pytest.raises(PairwrightError, match="is there already.*--force"):
        export(dataset, 1, "trl_stepwise", out)
    assert out.read_text() == "mine"
    export(dataset, 1, "trl_stepwise", out, force=True)
    assert out.read_text().count("\n") == 1
    with pytest.raises(PairwrightError, match="is there already"):
        export(dataset, 1, "trl_stepwise", tmp_path, force=True)


def test_an_export_that_fails_leaves_the_old_file_and_nothing_else(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(dataset, many(2))
    folder = tmp_path / "elsewhere"
    out = folder / "out.jsonl"
    export(dataset, 1, "trl_stepwise", out)
    before = out.read_bytes()

    def broken(*_: Any) -> Any:
        raise RuntimeError("power cut")

    monkeypatch.setattr(FORMATS["trl_stepwise"], "write", broken)
    with pytest.raises(RuntimeError):
        export(dataset, 1, "trl_stepwise", out, force=True)
    assert out.read_bytes() == before and [p.name for p in folder.iterdir()] == ["out.jsonl"]


def test_nothing_to_write_is_said_with_the_reasons_and_leaves_no_file(dataset: Dataset, tmp_path: Path) -> None:
    publish(dataset, [solution(verdict=None)])
    out = tmp_path / "out.jsonl"
    with pytest.raises(PairwrightError, match="processbench can carry none of the 1 solutions.*1 no_verdict .s1: "):
        export(dataset, 1, "processbench", out)
    with pytest.raises(PairwrightError, match="step_preference.* holds no pair to export"):
        export(dataset, 1, "step_dpo", out)
    assert not out.exists()


def test_mistakes_are_one_sentence_with_the_fix(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with pytest.raises(PairwrightError, match="has no version yet"):
        export(dataset, None, "trl_stepwise", out)
    publish(dataset, many(1))
    with pytest.raises(PairwrightError, match="no export format 'math_sheperd'; did you mean `math_shepherd`"):
        export(dataset, 1, "math_sheperd", out)
    with pytest.raises(PairwrightError, match="no version 7"):
        export(dataset, 7, "trl_stepwise", out)
    with pytest.raises(PairwrightError, match="trl_stepwise knows no neutral steps"):
        export(dataset, 1, "trl_stepwise", out, neutral_below=0.5)
    with dataset.stage() as staging:
        staging.write("prompts", PROMPTS.empty_table(), PROMPTS)
        other = staging.commit(Manifest(dataset=dataset.name))
    with pytest.raises(PairwrightError, match="has no table stepwise.*recipe with `steps`"):
        export(dataset, other, "trl_stepwise", out)
    with pytest.raises(PairwrightError, match="has no table preference.*recipe with `annotators`"):
        export(dataset, other, "trl_preference", out)


def test_without_counts_no_step_can_be_called_neutral(dataset: Dataset, tmp_path: Path) -> None:
    uncounted = {"n": [0, 0], "correct": [0, 0]}
    publish(dataset, [solution(**uncounted)])
    with pytest.raises(PairwrightError, match="no step of version 1 of sums was rolled out from.*leave `neutral_below` out"):
        export(dataset, 1, "prm800k", tmp_path / "out.jsonl", neutral_below=0.5)
    assert not (tmp_path / "out.jsonl").exists()
    publish(dataset, [solution(solution_id="s2", **uncounted), *many(1)])
    assert export(dataset, 2, "prm800k", tmp_path / "out.jsonl", neutral_below=0.5).rows == 2, "some have"


def test_steps_that_seldom_led_to_the_answer_are_neutral_on_request(dataset: Dataset, tmp_path: Path) -> None:
    publish(dataset, many(1))
    report = export(dataset, 1, "prm800k", tmp_path / "out.jsonl", neutral_below=0.9)
    assert Prm800k(neutral="unknown").read(records(report)[0])["labels"] == [None, False]


@pytest.mark.parametrize("model", [{"engine": "scripted"}, {"engine": "openai", "model": "smollm2"}, {}])
def test_an_engine_without_a_tokenizer_of_its_own_has_no_reader(model: dict[str, Any]) -> None:
    assert policy_reader(Manifest(dataset="d", recipe={"models": {"policy": model}})) is None
    assert policy_reader(Manifest(dataset="d")) is None


@pytest.mark.model
class TestPolicyReader:
    """With the small model's tokenizer."""

    PROMPT = [{"role": "user", "content": "What is 2 + 2, doubled?"}]  # noqa: RUF012

    @pytest.fixture(scope="class")
    def recipe(self) -> dict[str, Any]:
        return {"models": {"solver": {"engine": "transformers", "model": "smollm2"}}, "steps": {"completer": "solver"}}

    @pytest.fixture(scope="class")
    def reader(self, recipe: dict[str, Any]) -> PolicyReader:
        found = policy_reader(Manifest(dataset="d", recipe=recipe))
        assert found is not None
        return found

    def row(self, reader: PolicyReader, **changes: Any) -> dict[str, Any]:
        texts = {"prefix": "2 + 2 = 4.", "chosen": " Doubled, 8.", "rejected": " Doubled, 6."}
        texts |= {name: changes[name] for name in texts.keys() & changes.keys()}
        ids = {f"{name}_ids": reader.tokenise(text) for name, text in texts.items()}
        about = {"messages": self.PROMPT, "tokenizer": reader.tokenizer}
        return pair(**{**about, **texts, **ids, **changes})

    def test_the_ids_are_what_the_policy_was_given_and_said(
        self, dataset: Dataset, tmp_path: Path, recipe: dict[str, Any], reader: PolicyReader
    ) -> None:
        from pairwright.engines.folders import resolve_folder
        from pairwright.engines.rendering import Renderer
        from pairwright.engines.requests import Generate, Sampling, turns

        row = self.row(reader)
        publish(dataset, many(1), [row], recipe)
        report = export(dataset, 1, "step_dpo", tmp_path / "out.jsonl")
        (record,) = records(report)
        renderer = Renderer.from_folder(resolve_folder("smollm2"))
        asked = Generate("policy", turns(self.PROMPT), Sampling(), prefix_ids=tuple(row["prefix_ids"]))
        assert record["prompt_ids"] == renderer.prompt_ids(asked)
        assert renderer.tokenizer.decode(record["prompt_ids"]) == record["prompt"]
        assert record["prompt"].endswith("assistant\n2 + 2 = 4.")
        ends = {renderer.tokenizer.eos_token_id, *renderer.eos_ids}
        assert not ends & {*record["chosen_ids"], *record["rejected_ids"]}
        assert not any(record[side].endswith(renderer.tokenizer.eos_token) for side in ("chosen", "rejected"))
        assert record["exact_text"] is True and report.inexact == 0
        assert renderer.tokenizer(record["prompt"] + record["chosen"]).input_ids == record["prompt_ids"] + record["chosen_ids"]

    def test_ids_no_text_would_be_tokenised_to_are_kept_and_counted(
        self, dataset: Dataset, tmp_path: Path, recipe: dict[str, Any], reader: PolicyReader
    ) -> None:
        letters = [i for letter in " Doubled, 8." for i in reader.tokenise(letter)]
        blank_line = self.row(reader, prefix="2 + 2 = 4.\n\n", chosen="So 8.\n\n", rejected="So 6.\n\n")
        publish(dataset, many(1), [self.row(reader), self.row(reader, chosen_ids=letters), blank_line], recipe)
        report = export(dataset, 1, "step_dpo", tmp_path / "out.jsonl")
        made = records(report)
        assert [record["exact_text"] for record in made] == [True, False, False] and report.inexact == 2
        assert made[1]["chosen_ids"] == letters
        assert made[2]["prompt_ids"][-1:] == blank_line["prefix_ids"][-1:], "this tokenizer cuts a blank line by what follows it"

    def test_a_step_that_ends_the_turn_is_dropped(
        self, dataset: Dataset, tmp_path: Path, recipe: dict[str, Any], reader: PolicyReader
    ) -> None:
        ended = self.row(reader, chosen_ids=reader.tokenise(" Doubled, 8.<|im_end|>"))
        spelled = self.row(reader, chosen=" Doubled, 8.<|im_end|>", chosen_ids=[1])
        moved = self.row(reader, tokenizer="another")
        publish(dataset, many(1), [self.row(reader), ended, spelled, moved], recipe)
        report = export(dataset, 1, "step_dpo", tmp_path / "out.jsonl")
        assert report.rows == 1 and report.dropped == {"special_token": 2, "other_tokenizer": 1}

    def test_turns_the_template_refuses_are_dropped_by_name(
        self, dataset: Dataset, tmp_path: Path, recipe: dict[str, Any], reader: PolicyReader
    ) -> None:
        refusing = "{{ raise_exception('no system turn') if messages[0]['role'] == 'system' else messages[0]['content'] }}"
        solver = {**recipe["models"]["solver"], "chat_template": refusing}
        system = [{"role": "system", "content": "Be brief."}, *self.PROMPT]
        publish(dataset, [], [self.row(reader), self.row(reader, messages=system)], recipe | {"models": {"solver": solver}})
        report = export(dataset, 1, "step_dpo", tmp_path / "out.jsonl")
        assert report.rows == 1 and report.dropped == {"template_refused": 1}
