"""Formats of whole responses look as their readers were seen to want them, and refuse what those would read as something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pairwright.storage.exports import FORMATS
from pairwright.storage.exports.base import Refused
from tests.storage.exports.export_rows import preferred, response

ASKED = {"role": "user", "content": "What is 2 + 2?"}
RIGHT = {"role": "assistant", "content": "2 + 2 = 4.\n"}
WRONG = {"role": "assistant", "content": "2 + 2 = 5."}
BRIEF = {"role": "system", "content": "Be brief."}
PAIR = {"pair_id": "pair1", "prompt_id": "p1", "chosen_id": "r1", "rejected_id": "r2"}
LABELLED = {"prompt_id": "p1", "response_id": "r1"}

RECORDS: dict[str, dict[str, Any]] = {
    "trl_preference": {"prompt": [ASKED], "chosen": [RIGHT], "rejected": [WRONG]},
    "trl_preference_text": {"prompt": "What is 2 + 2?", "chosen": "2 + 2 = 4.\n", "rejected": "2 + 2 = 5."},
    "trl_implicit": {"chosen": [ASKED, RIGHT], "rejected": [ASKED, WRONG]},
    "trl_reward": {"prompt": [ASKED], "chosen": [RIGHT], "rejected": [WRONG], "margin": 0.5},
    "llama_factory": {"messages": [ASKED], "chosen": RIGHT, "rejected": WRONG},
    "axolotl": {"messages": [ASKED], "chosen": RIGHT, "rejected": WRONG},
    "openrlhf": {"prompt": [ASKED], "chosen": [RIGHT], "rejected": [WRONG], "margin": 0.5},
    "nemo_rl": {"context": [ASKED], "completions": [{"rank": 0, "completion": [RIGHT]}, {"rank": 1, "completion": [WRONG]}]},
    "ms_swift": {"messages": [ASKED, RIGHT], "rejected_response": "2 + 2 = 5."},
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_pair_looks_as_its_reader_wants_it(name: str) -> None:
    assert FORMATS[name]().record(preferred()) == {**RECORDS[name], **PAIR}


def test_a_labelled_response_looks_as_its_reader_wants_it() -> None:
    record = FORMATS["trl_unpaired"]().record(response())
    assert record == {"prompt": [ASKED], "completion": [RIGHT], "label": True, **LABELLED}
    record = FORMATS["llama_factory_kto"]().record(response(label=False))
    assert record == {"messages": [ASKED, RIGHT], "label": False, **LABELLED}


def reason(name: str, **changes: Any) -> str:
    row = preferred() if FORMATS[name].table == "preference" else response()
    with pytest.raises(Refused) as refused:
        FORMATS[name]().record(row | changes)
    return refused.value.reason


@pytest.mark.parametrize("name", RECORDS)
@pytest.mark.parametrize(
    "change, why",
    [
        ({"prompt": []}, "no_prompt"),
        ({"rejected": []}, "no_rejected"),
        ({"rejected": [RIGHT]}, "chosen_is_rejected"),
        ({"chosen": [{"role": "assistant", "content": None}]}, "no_content"),
    ],
)
def test_no_format_carries_half_a_pair_or_twice_the_same_response(name: str, change: dict[str, Any], why: str) -> None:
    assert reason(name, **change) == why


@pytest.mark.parametrize("name", ["trl_unpaired", "llama_factory_kto"])
def test_a_response_without_a_label_is_refused(name: str) -> None:
    assert reason(name, label=None) == "label_missing"


def test_plain_text_is_for_one_turn_of_the_users() -> None:
    assert reason("trl_preference_text", prompt=[BRIEF, ASKED]) == "not_single_turn"
    assert reason("trl_preference_text", prompt=[ASKED, RIGHT, ASKED]) == "not_single_turn"


@pytest.mark.parametrize("margin", [None, float("nan"), float("inf")])
def test_a_reward_model_gets_no_pair_without_a_margin(margin: float | None) -> None:
    assert reason("trl_reward", margin=margin) == "margin_missing"


def test_only_reward_formats_have_a_margin() -> None:
    assert {name for name, kind in FORMATS.items() if "margin" in kind.columns and kind.table == "preference"} == {
        *("trl_reward", "openrlhf", "jsonl")
    }


@pytest.mark.parametrize("prompt", [[ASKED, RIGHT], [ASKED, ASKED], [RIGHT, ASKED], [ASKED, BRIEF, ASKED], [BRIEF]])
@pytest.mark.parametrize("name", ["llama_factory", "llama_factory_kto"])
def test_llama_factory_gets_turns_that_alternate(name: str, prompt: list[dict[str, str]]) -> None:
    assert reason(name, prompt=prompt) == "turn_order"


def test_llama_factory_takes_a_system_turn_first_and_several_turns() -> None:
    prompt = [BRIEF, ASKED, WRONG, ASKED]
    assert FORMATS["llama_factory"]().record(preferred(prompt=prompt))["messages"] == prompt


def test_an_empty_response_would_be_a_label_to_llama_factory() -> None:
    assert reason("llama_factory_kto", completion=[{"role": "assistant", "content": ""}]) == "empty_response"


@pytest.mark.parametrize("text", ["", "a", "user", "dummy", "assistant"])
def test_axolotl_would_find_such_a_response_in_what_it_renders_before(text: str) -> None:
    assert reason("axolotl", chosen=[{"role": "assistant", "content": text}]) == "found_too_early"


def test_axolotl_knows_four_roles() -> None:
    assert reason("axolotl", prompt=[{"role": "critic", "content": "Hm."}]) == "unknown_role"


def test_axolotl_is_told_in_yaml_where_the_file_is() -> None:
    said = yaml.safe_load(FORMATS["axolotl"]().hint(Path("out/prefs.parquet")).partition("\n")[2])
    data = {"path": "out/prefs.parquet", "ds_type": "parquet", "split": "train", "type": "chat_template.default"}
    assert said == {"rl": "dpo", "datasets": [data]}


def test_ms_swift_replaces_all_after_the_users_last_turn() -> None:
    assert reason("ms_swift", prompt=[ASKED, RIGHT]) == "turn_order"


@pytest.mark.parametrize("name", ["trl_preference_text", "llama_factory", "axolotl", "ms_swift"])
@pytest.mark.parametrize("rejected", [[WRONG, WRONG], [{"role": "tool", "content": "4"}]])
def test_a_response_of_several_turns_needs_a_format_of_conversations(name: str, rejected: list[dict[str, str]]) -> None:
    assert reason(name, rejected=rejected) == "several_turns"
    for other in ("trl_preference", "openrlhf", "nemo_rl"):
        assert FORMATS[other]().read(FORMATS[other]().record(preferred(rejected=rejected)))["rejected"] == rejected


def test_a_shared_first_turn_would_be_taken_for_the_prompts() -> None:
    assert reason("trl_implicit", chosen=[RIGHT, RIGHT], rejected=[RIGHT, WRONG]) == "shared_turn"


def test_of_nemo_rls_completions_the_lower_rank_is_the_chosen_one() -> None:
    format, record = FORMATS["nemo_rl"](), FORMATS["nemo_rl"]().record(preferred())
    record["completions"] = [{"rank": 3, "completion": [RIGHT]}, {"rank": 2, "completion": [WRONG]}]
    assert format.read(record)["chosen"] == [WRONG]
    for completions in (record["completions"][:1], [record["completions"][0]] * 2):
        with pytest.raises(Refused) as refused:
            format.read({**record, "completions": completions})
        assert refused.value.reason == "not_a_pair"


def test_json_lines_hold_every_column_even_unknown_ones() -> None:
    row = preferred(p_chosen=0.75, anything=[1, 2])
    assert FORMATS["jsonl"]().record(row) == row
    assert reason("jsonl", margin=float("inf")) == "not_finite"
