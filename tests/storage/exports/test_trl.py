"""TRL's own functions and trainers take the files as they are written: every pair keeps its sides, through to the tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from pairwright.storage.exports import FORMATS
from pairwright.storage.exports.base import Refused
from tests.storage.exports.export_rows import preferences, preferred, response

SYSTEM = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}]
ROWS = [preferred(), preferred(pair_id="pair2", prompt=SYSTEM, margin=0.25)]


@given(row=preferences())
def test_trl_finds_the_prompt_of_an_implicit_pair_where_we_do(row: dict[str, Any]) -> None:
    from trl.data_utils import extract_prompt

    format = FORMATS["trl_implicit"]()
    try:
        record = format.record(row)
    except Refused:
        return
    assert extract_prompt(record) == {name: row[name] for name in ("prompt", "chosen", "rejected")}


@pytest.mark.parametrize("name", ["trl_preference", "trl_implicit", "trl_reward", "trl_unpaired"])
def test_trl_sees_conversations(name: str) -> None:
    from trl.data_utils import is_conversational

    row = preferred() if FORMATS[name].table == "preference" else response()
    assert is_conversational(FORMATS[name]().record(row))


@pytest.mark.model
class TestTrainers:
    """A model of a few thousand weights with a real tokenizer and chat template; one step each."""

    @pytest.fixture(scope="class")
    def tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        from pairwright.engines.folders import resolve_folder

        return AutoTokenizer.from_pretrained(str(resolve_folder("smollm2")))

    def trained(self, name: str, rows: list[dict[str, Any]], tokenizer: Any, folder: Path) -> Any:
        """The prepared data of a trainer that has taken one step on the exported file."""
        import trl
        from datasets import load_dataset
        from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

        kind = {"trl_reward": "Reward", "trl_unpaired": "KTO"}.get(name, "DPO")
        path = folder / "out.jsonl"
        path.write_text("".join(json.dumps(FORMATS[name]().record(row)) + "\n" for row in rows))
        small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
        config = LlamaConfig(**small, vocab_size=len(tokenizer), num_labels=1, pad_token_id=tokenizer.pad_token_id)
        (LlamaForSequenceClassification if kind == "Reward" else LlamaForCausalLM)(config).save_pretrained(folder / "model")
        settings = {"max_steps": 1, "per_device_train_batch_size": 2, "use_cpu": True, "bf16": False, "report_to": []}
        trainer = getattr(trl, f"{kind}Trainer")(
            model=str(folder / "model"),
            args=getattr(trl, f"{kind}Config")(output_dir=str(folder), save_strategy="no", **settings),
            processing_class=tokenizer,
            train_dataset=load_dataset("json", data_files=str(path), split="train", cache_dir=str(folder / "cache")),
        )
        assert trainer.train().global_step == 1
        return trainer.train_dataset

    @pytest.mark.parametrize("name", ["trl_preference", "trl_implicit"])
    def test_dpo_trains_on_each_response_after_its_prompt(self, name: str, tokenizer: Any, tmp_path: Path) -> None:
        made = self.trained(name, ROWS, tokenizer, tmp_path)
        for row, pair in zip(made, ROWS, strict=True):
            prompt = tokenizer.apply_chat_template(pair["prompt"], tokenize=False, add_generation_prompt=True)
            assert tokenizer.decode(row["prompt_ids"]) == prompt
            for side in ("chosen", "rejected"):
                assert tokenizer.decode(row[f"{side}_ids"]).startswith(f"{pair[side][0]['content']}<|im_end|>")
            assert row["pair_id"] == pair["pair_id"]

    def test_dpo_puts_nothing_between_plain_texts(self, tokenizer: Any, tmp_path: Path) -> None:
        (row,) = self.trained("trl_preference_text", ROWS[:1], tokenizer, tmp_path)
        whole = tokenizer.decode(row["prompt_ids"] + row["chosen_ids"])
        assert whole == f"What is 2 + 2?2 + 2 = 4.\n{tokenizer.eos_token}"

    def test_a_reward_model_reads_the_margin(self, tokenizer: Any, tmp_path: Path) -> None:
        made = self.trained("trl_reward", ROWS, tokenizer, tmp_path)
        assert made["margin"][:] == [0.5, 0.25]
        assert "2 + 2 = 4." in tokenizer.decode(made[0]["chosen_ids"])

    def test_kto_reads_the_labels(self, tokenizer: Any, tmp_path: Path) -> None:
        wrong = response(completion=[{"role": "assistant", "content": "5."}], label=False, response_id="r2")
        made = self.trained("trl_unpaired", [response(), wrong], tokenizer, tmp_path)
        assert made["label"][:] == [True, False]
        assert tokenizer.decode(made[1]["completion_ids"]).startswith("5.<|im_end|>")
