"""What is exported can be trained on: by TRL's rules for process reward models, and by its DPO on the policy's own ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pairwright.engines.folders import resolve_folder
from pairwright.storage.exports import StepDpo, TrlStepwise
from pairwright.storage.manifest import Manifest
from pairwright.storage.schemas import STEP_PREFERENCE, STEPWISE
from pairwright.storage.versions import Dataset
from tests.storage.exports.export_rows import pair, solution


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version's folder with step labels, in the tables' own schemas."""
    dataset = Dataset(tmp_path_factory.mktemp("root"), "sums")
    right = solution(labels=[True, True], first_error=None, verdict="right", tail=[], solution_id="s2")
    with dataset.stage() as staging:
        staging.write("stepwise", pa.Table.from_pylist([solution(), right], schema=STEPWISE), STEPWISE)
        staging.write("step_preference", pa.Table.from_pylist([pair()], schema=STEP_PREFERENCE), STEP_PREFERENCE)
        return dataset.path(staging.commit(Manifest(dataset="sums")))


def load(folder: Path, table: str) -> Any:
    from datasets import load_dataset

    return load_dataset("parquet", data_files=str(folder / table / "*.parquet"), split="train")


def test_datasets_reads_the_published_tables_as_they_are(published: Path) -> None:
    stepwise, pairs = load(published, "stepwise"), load(published, "step_preference")
    assert stepwise.column_names == STEPWISE.names and pairs.column_names == STEP_PREFERENCE.names
    assert stepwise[0] == solution() and pairs[0] == pair()


@pytest.fixture(scope="module")
def folder() -> str:
    return str(resolve_folder("smollm2"))


def as_trl_tokenises(row: dict[str, Any], tokenizer: Any, separator: str = "\n") -> dict[str, list[int]]:
    """The rule of TRL's PRM trainer (1.13, the last to have one): prompt and steps are tokenised apart, a separator follows each
    step, its last token bears int(label) and all else -100; BOS comes first where the tokenizer has one."""
    begin = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    ids = begin + tokenizer(row["prompt"], add_special_tokens=False).input_ids
    labels = [-100] * len(ids)
    for step, label in zip(row["completions"], row["labels"], strict=True):
        piece = tokenizer(step, add_special_tokens=False).input_ids + tokenizer.encode(separator, add_special_tokens=False)
        ids += piece
        labels += [-100] * (len(piece) - 1) + [int(label)]
    return {"input_ids": ids, "labels": labels}


@pytest.mark.model
class TestProcessRewards:
    def test_labels_after_tokenising_are_ignored_bad_or_good_and_stand_where_steps_end(
        self, published: Path, folder: str
    ) -> None:
        from datasets import Dataset as Rows
        from datasets import features
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder)
        integers = features.Features({k: features.List(features.Value("int64")) for k in ("labels", "input_ids")})
        exported = Rows.from_list([TrlStepwise().record(row) for row in load(published, "stepwise")])
        for rows in (exported, load(published, "stepwise")):  # with the columns of ours that TRL does not know
            made = rows.map(
                as_trl_tokenises, fn_kwargs={"tokenizer": tokenizer}, remove_columns=rows.column_names, features=integers
            )
            assert {label for row in made for label in row["labels"]} == {-100, 0, 1}
            assert [[x for x in row["labels"] if x != -100] for row in made] == [[1, 0], [1, 1]]
            assert all(row["labels"][-1] != -100 for row in made)
        ends = [i for i, label in enumerate(made[0]["labels"]) if label != -100]
        assert [tokenizer.decode(made[0]["input_ids"][i]) for i in ends] == ["\n", "\n"]

    def test_a_token_classifier_takes_a_step_on_them(self, published: Path, folder: str) -> None:
        import torch
        from transformers import AutoModelForTokenClassification, AutoTokenizer, DataCollatorForTokenClassification

        tokenizer = AutoTokenizer.from_pretrained(folder)
        torch.manual_seed(0)
        model = AutoModelForTokenClassification.from_pretrained(folder, num_labels=2, num_hidden_layers=2)
        rows = [as_trl_tokenises(TrlStepwise().record(row), tokenizer) for row in load(published, "stepwise")]
        batch = DataCollatorForTokenClassification(tokenizer)(rows)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        losses = []
        for _ in range(3):
            loss = model(**batch).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(float(loss.detach()))
        assert losses[-1] < losses[0]


@pytest.mark.model
def test_trl_takes_a_dpo_step_on_the_policys_ids_and_no_step_is_ended(folder: str, tmp_path: Path) -> None:
    from datasets import Dataset as Rows
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM
    from trl import DPOConfig, DPOTrainer

    from pairwright.engines.rendering import Renderer
    from pairwright.pipelines.policy_reader import PolicyReader

    reader = PolicyReader(Renderer.from_folder(Path(folder)))
    texts = {name: pair()[name] for name in ("prefix", "chosen", "rejected")}
    ids = {f"{name}_ids": reader.tokenise(text) for name, text in texts.items()}
    record = StepDpo(reader).record(pair(tokenizer=reader.tokenizer, **ids))

    class OnIds(DPOTrainer):
        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            return dataset

    seen = []

    class Watched(OnIds):
        def compute_loss(self, model: Any, inputs: Any, *rest: Any, **more: Any) -> Any:
            seen.append(inputs)
            return super().compute_loss(model, inputs, *rest, **more)

    trainer = Watched(
        model=AutoModelForCausalLM.from_pretrained(folder, num_hidden_layers=2),
        args=DPOConfig(
            output_dir=str(tmp_path),
            max_steps=1,
            per_device_train_batch_size=1,
            use_cpu=True,
            bf16=False,
            report_to=[],
            save_strategy="no",
            gradient_checkpointing=False,
        ),
        processing_class=reader._renderer.tokenizer,
        train_dataset=Rows.from_list([record]),
        peft_config=LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"),
    )
    assert trainer.train().global_step == 1
    (batch,) = seen
    said = [row[mask.bool()].tolist() for row, mask in zip(batch["input_ids"], batch["completion_mask"], strict=True)]
    assert said == [record["chosen_ids"], record["rejected_ids"]], "nothing but the steps, and no end of turn after them"
    whole = batch["input_ids"][0][batch["attention_mask"][0].bool()].tolist()
    assert whole == record["prompt_ids"] + record["chosen_ids"]
