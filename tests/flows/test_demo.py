"""The main job on the real small model, and one real training step on what it publishes."""

from __future__ import annotations

from pathlib import Path

import pytest

from pairwright.pipelines.build import Build
from pairwright.pipelines.recipe import load_recipe
from pairwright.storage.catalog import connect
from pairwright.storage.versions import Dataset

pytestmark = pytest.mark.model
RECIPE = Path(__file__).parents[2] / "configs" / "demo.yaml"
SMALL = [
    "prompts.0.limit=6",
    "sample.n=3",
    "sample.max_tokens=48",
    "pair.margin=0",
    "filters.ches.on_missing=keep",
    "pair.drop_cut=false",
]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Build]:
    """The demo's recipe over a few prompts, built once."""
    build = Build(load_recipe(RECIPE, [*SMALL, f"root={tmp_path_factory.mktemp('demo')}"]), RECIPE.parent)
    build.run()
    return build.dataset, build


def test_the_demo_publishes_pairs_judged_by_all_three_annotators_and_ches(demo: tuple[Dataset, Build]) -> None:
    dataset, build = demo
    with connect(dataset) as con:
        judged = con.execute("select distinct annotator from annotations where valid order by 1").fetchall()
        rows = con.execute("select count(*), count(ches_score) from pairs").fetchone()
    assert [name for (name,) in judged] == ["contrastive_prompt", "density_ratio", "displacement", "follow_up"]
    assert rows is not None and rows[0] >= 4 and rows[1] >= 1
    assert set(build.pool.loads.values()) == {1} and len(build.pool.loads) == 2


def test_sampled_and_scored_probabilities_agree_so_the_policy_is_scored_on_its_own_tokens(demo: tuple[Dataset, Build]) -> None:
    dataset, _ = demo
    with connect(dataset) as con:
        rows = con.execute(
            "select list_sum(token_logprobs), list_filter(parts, lambda x: x.name = 'strong_sum')[1].value "
            "from responses join annotations on subject_id = response_id where annotator = 'density_ratio'"
        ).fetchall()
    assert len(rows) == 18
    assert all(abs(sampled - scored) < 1e-2 for sampled, scored in rows)


def test_trl_takes_a_real_dpo_step_on_the_preference_view_unchanged(demo: tuple[Dataset, Build], tmp_path: Path) -> None:
    from datasets import load_dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    from pairwright.engines.folders import resolve_folder

    dataset, _ = demo
    rows = load_dataset(str(dataset.path(1)), "preference", split="train")
    folder = str(resolve_folder("smollm2"))
    model = AutoModelForCausalLM.from_pretrained(folder)
    trainer = DPOTrainer(
        model=model,
        args=DPOConfig(
            output_dir=str(tmp_path),
            max_steps=1,
            per_device_train_batch_size=2,
            learning_rate=1e-3,
            lr_scheduler_type="constant",
            use_cpu=True,
            bf16=False,
            report_to=[],
            save_strategy="no",
            logging_steps=1,
            gradient_checkpointing=False,
        ),
        processing_class=AutoTokenizer.from_pretrained(folder),
        train_dataset=rows,
        peft_config=LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"),
    )
    done = trainer.train()
    assert done.global_step == 1 and 0 < done.training_loss < 2
    lora = [p for name, p in trainer.model.named_parameters() if "lora_B" in name]
    assert any(p.abs().sum() > 0 for p in lora), "the step changed the adapter"
