from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.engines.prefix_tree import build_tree
from pairwright.engines.requests import Generate, Sampling, turns
from pairwright.engines.scripted import ScriptedEngine
from pairwright.engines.transformers_engine import TransformersModel
from pairwright.engines.vllm_engine import VllmModel
from pairwright.pipelines import estimate as module
from pairwright.pipelines.estimate import GIB, Amount, Reader, count_parameters, distinct, duration, estimate

SERVER = {"engine": "openai", "model": "m", "base_url": "https://example.org/v1"}
SCRIPTED = {"strong": {"engine": "scripted", "seed": 1}, "weak": {"engine": "scripted", "seed": 2}}
PRICED = {"price_in": 2.0, "price_out": 6.0}
FLOPS = 1e9


def works(found):
    return {(w.stage.removeprefix("annotate "), w.role): w for w in found.work}


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in folder.rglob("*")}


def spent(build, stage):
    manifest = build.dataset.manifest(build.dataset.latest())
    return manifest.cost[f"this build: {stage}"]


# --- what is counted ---


def test_requests_are_counted_exactly_when_every_prompt_is_tried(build):
    made = build()
    found = works(estimate(made))
    made.run()
    assert found["sample", "policy"].left.requests == made.spent["sample"]["run"] == 12
    both = [found["density_ratio", role].left.requests for role in ("strong", "weak")]
    assert sum(both) == made.spent["annotate"]["run"] == 96


def test_prompts_are_counted_exactly_and_responses_by_half_of_what_they_may_have(build):
    made = build()
    words = sum(len(turn.content.split()) for p in made.prompts.prompts for turn in p.messages)
    found = estimate(made)
    left = works(found)["sample", "policy"].left
    assert left == Amount(12, words + 960, left.computed, generated=12 * 4 * 20, generated_most=12 * 4 * 40)
    assert found.response.startswith("20 tokens, half of `max_tokens`")


def test_what_the_scripted_models_then_spend_is_near_the_estimate(build):
    made = build()
    with made.alone():
        made.sample()
    found = estimate(made)
    made.run()
    asked = sum(w.left.asked for w in found.work if w.stage != "sample")
    assert asked == pytest.approx(made.spent["annotate"]["tokens"], rel=0.1)


def test_earlier_responses_tell_how_long_one_is_those_of_the_same_settings_first(build):
    build().run()
    same = estimate(build(prompts={"source": "builtin", "limit": 14}))
    assert same.response.endswith("the mean of 48 earlier ones")
    other = estimate(build(sample={"n": 2, "max_tokens": 10}))
    assert other.response == "10 tokens, the mean of 48 earlier ones with other settings"


def test_only_what_is_left_counts_and_the_whole_stands_beside_it(build):
    build().run()
    found = works(estimate(build(prompts={"source": "builtin", "limit": 15})))
    assert (found["sample", "policy"].left.requests, found["sample", "policy"].total.requests) == (3, 15)
    assert (found["density_ratio", "weak"].left.requests, found["density_ratio", "weak"].total.requests) == (12, 60)
    assert 0 < found["sample", "policy"].left.asked < found["sample", "policy"].total.asked


def test_when_nothing_is_left_nothing_is_taken(build):
    build().run()
    found = estimate(build())
    assert all(w.left == Amount() and w.total.requests > 0 for w in found.work)
    assert (found.seconds, found.money, found.peak, found.memory) == (0, 0, None, [])
    assert {w.note for w in found.work} == {"nothing is left"}


def test_what_two_annotators_ask_of_one_model_counts_once(build):
    twin = {"use": "density_ratio", "name": "per_token", "reduction": "mean"}
    found = works(estimate(build(annotators=["density_ratio", twin])))
    assert found["density_ratio", "strong"].left.requests == 48
    assert found["per_token", "strong"].left == Amount()
    build().run()
    later = works(estimate(build(annotators=["density_ratio", twin])))
    assert later["density_ratio", "strong"].left == Amount()
    assert later["per_token", "strong"].left.requests == 48


def test_annotators_share_prefixes_but_not_with_one_that_is_done(build):
    build().run()
    states = {"use": "displacement", "role": "strong"}
    fresh = works(estimate(build(dataset="other", annotators=["density_ratio", states])))
    later = works(estimate(build(annotators=["density_ratio", states])))
    assert fresh["displacement", "strong"].left.computed == 0
    assert later["density_ratio", "strong"].left == Amount()
    assert later["displacement", "strong"].left.computed > 0


def test_many_prompts_are_sampled_and_scaled_up(build, monkeypatch):
    prompts = {"source": "arithmetic", "count": 60}
    whole = works(estimate(build(prompts=prompts)))
    monkeypatch.setattr(module, "COUNTED", 15)
    part = works(estimate(build(prompts=prompts)))
    assert part["sample", "policy"].left.requests == whole["sample", "policy"].left.requests == 60
    assert part["sample", "policy"].left.asked != whole["sample", "policy"].left.asked
    assert part["sample", "policy"].left.asked == pytest.approx(whole["sample", "policy"].left.asked, rel=0.05)
    assert whole["density_ratio", "weak"].left.requests == 240
    assert whole["density_ratio", "weak"].note.startswith("from 16 groups")


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), min_size=1, max_size=8))
def test_distinct_counts_the_nodes_of_the_prefix_tree(sequences):
    assert distinct(sequences) == build_tree(sequences).n


def test_a_method_that_fails_in_its_dry_run_is_unknown_with_the_reason(build, monkeypatch):
    made = build()

    def annotate(group):
        raise ZeroDivisionError("no weights")
        yield

    monkeypatch.setattr(made.annotators["density_ratio"], "annotate", annotate)
    found = estimate(made)
    broken = works(found)["density_ratio", "strong"]
    assert (broken.left, broken.total, broken.seconds) == (None, None, None)
    assert broken.note == "its dry run failed (ZeroDivisionError: no weights)"
    assert found.seconds is None
    columns, rows = found.rows()
    assert all(len(row) == len(columns) for row in rows)


def test_nothing_is_loaded_asked_or_written(build, tmp_path):
    made = build()
    estimate(made)
    assert tree(tmp_path) == {}
    made.run()
    before, asked = tree(tmp_path), sum(ScriptedEngine.requests_seen.values())
    again = build(prompts={"source": "builtin", "limit": 20})
    estimate(again)
    assert tree(tmp_path) == before
    assert not again.pool.loads
    assert sum(ScriptedEngine.requests_seen.values()) == asked


# --- time and money ---


def test_the_speed_of_earlier_builds_gives_the_time(build):
    slow = {"engine": "scripted", "delay_s": 0.005}
    models = {"policy": slow, "strong": slow | {"seed": 1}, "weak": slow | {"seed": 2}}
    first = build(models=models)
    first.run()
    found = works(estimate(build(models=models, prompts={"source": "builtin", "limit": 20})))
    for stage, role in (("sample", "policy"), ("density_ratio", "weak")):
        cost, work = spent(first, "sample" if stage == "sample" else "annotate"), found[stage, role]
        assert work.seconds == pytest.approx(work.left.asked * cost["engine_seconds"] / cost["tokens"])
        assert work.note.endswith("speed measured in version 1")
    other = works(estimate(build(models=models | {"policy": slow | {"seed": 9}})))
    assert other["sample", "policy"].seconds is None
    assert other["sample", "policy"].note.endswith("time unknown until a build has measured it")


def test_where_the_engine_shared_prefixes_the_computed_tokens_give_the_time(build):
    first = build()
    first.run()
    manifest = first.dataset.path(1) / "_manifest.json"
    about = json.loads(manifest.read_text())
    about["cost"]["this build: annotate"] |= {"tokens": 1000.0, "forwarded": 100.0, "engine_seconds": 50.0}
    manifest.write_text(json.dumps(about))
    work = works(estimate(build(prompts={"source": "builtin", "limit": 20})))["density_ratio", "weak"]
    assert work.seconds == pytest.approx(work.left.computed / 2)


def test_a_server_has_prices_but_no_memory_and_no_known_speed(build):
    found = estimate(build(models=SCRIPTED | {"policy": SERVER | PRICED}))
    work = works(found)["sample", "policy"]
    given_ = work.left.asked - work.left.generated
    assert work.money == pytest.approx((2 * given_ + 6 * work.left.generated) / 1e6)
    assert found.money == pytest.approx(work.money)
    assert "characters / 4" in work.note
    assert work.seconds is None
    assert {(m.weights, m.note) for m in found.memory} == {(None, "none on this machine")}


def test_without_prices_the_cost_is_unknown_except_on_this_machine(build):
    far = estimate(build(models=SCRIPTED | {"policy": SERVER}))
    assert far.money is None
    assert works(far)["sample", "policy"].note.endswith("cost unknown: no `price_in` and `price_out`")
    assert estimate(build(models=SCRIPTED | {"policy": SERVER | {"base_url": "http://localhost:8000/v1"}})).money == 0


def test_four_characters_stand_for_a_token():
    reader = Reader(module.OpenAIModel(model="m"))
    asked = [Generate("policy", turns("abcdefgh" + end), Sampling(max_tokens=10), 2) for end in ("i", "jk")]
    assert reader.amount(asked, 3.0, []) == Amount(2, 6 + 12, 4 + 12, 12, 40)
    assert reader.amount(asked, 99.0, []).generated == 40


@pytest.mark.parametrize(("seconds", "text"), [(None, None), (0.4, "0 s"), (89, "89 s"), (90, "1.5 min"), (7560, "2.1 h")])
def test_durations_are_for_people(seconds, text):
    assert duration(seconds) == text


def test_the_table_ends_with_the_sum_of_what_is_left(build):
    found = estimate(build())
    columns, rows = found.rows()
    assert all(len(row) == len(columns) for row in rows)
    at = columns.index("tokens")
    assert rows[-1][at] == sum(row[at] for row in rows[:-1]) > 0
    assert found.lines()[0] == f"a response: taken to have {found.response}"
    assert "annotate density_ratio (strong), annotate density_ratio (weak): from 12 groups" in "\n".join(found.lines())


# --- models on this machine ---


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of three layers and a tokenizer whose tokens are words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    place = tmp_path_factory.mktemp("model")
    words = Tokenizer(models.WordLevel({"<unk>": 0, "<eos>": 1, "Assistant": 2, ":": 3}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", eos_token="<eos>").save_pretrained(place)
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        eos_token_id=1,
    )
    LlamaForCausalLM(config).save_pretrained(place)
    return place


@pytest.fixture
def local(build, folder, tmp_path, monkeypatch):
    """A build whose models are on this machine, and its policy's settings."""
    monkeypatch.setenv("PAIRWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "matmul_flops", lambda device, dtype: FLOPS)

    def made(policy=(), **changes):
        policy = {"model": str(folder), "chat_template": "plain", "device": "cpu"} | dict(policy)
        weak = {"model": str(folder), "chat_template": "plain", "device": "cpu", "layers": 1}
        return build(models={"policy": policy, "strong": "policy", "weak": weak}, **changes)

    return made


def test_parameters_are_read_from_the_headers(folder):
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", "np") as weights:
        sizes = {name: weights.get_tensor(name).size for name in weights.keys()}  # noqa: SIM118
    assert count_parameters(TransformersModel(model=str(folder))) == sum(sizes.values())
    first = sum(n for name, n in sizes.items() if ".layers." not in name or ".layers.0." in name)
    assert count_parameters(TransformersModel(model=str(folder), layers=1)) == first < sum(sizes.values())


def test_a_local_models_tokenizer_counts_the_rendered_prompts(local):
    made = local()
    found = works(estimate(made))["sample", "policy"]
    reader = Reader(made.recipe.models["policy"])
    rendered = [reader.renderer.context_ids(tuple(p.messages), "assistant") for p in made.prompts.prompts]
    assert found.left.asked == sum(map(len, rendered)) + found.left.generated
    assert found.left.computed == distinct([list(ids) for ids in rendered]) + found.left.generated
    assert "its tokens" in found.note


def test_without_a_measured_speed_a_local_models_time_is_rough(local):
    made = local()
    found = works(estimate(made))
    parameters = count_parameters(made.recipe.models["policy"])
    scored, sampled = found["density_ratio", "strong"], found["sample", "policy"]
    assert scored.seconds == pytest.approx(2 * parameters * scored.left.computed / FLOPS)
    assert sampled.seconds == pytest.approx(2 * parameters * (sampled.left.computed + 4 * sampled.left.generated) / FLOPS)
    assert sampled.note.endswith("rough time from a matrix product")


def test_memory_is_weights_and_what_is_held_at_a_time(local):
    made = local({"dtype": "bfloat16", "max_rows": 1000})
    found = estimate(made)
    policy, weak = found.memory
    assert policy.weights == 2 * count_parameters(made.recipe.models["policy"])
    longest = max(
        len(Reader(made.recipe.models["policy"]).renderer.context_ids(tuple(p.messages), "assistant"))
        for p in made.prompts.prompts
    )
    one_token = 2 * 3 * 2 * 4 * 2  # keys and values, layers, heads, width, bytes
    assert policy.cache == 1000 * (longest + 40) * one_token
    assert weak.cache == 4 * 2048 * (2 * 1 * 2 * 4 * 4)
    assert found.peak == max(m.weights + m.cache for m in found.memory)
    both = estimate(local({"dtype": "bfloat16", "max_rows": 1000}, run={"max_resident": 2}))
    assert both.peak == sum(m.weights + m.cache for m in found.memory)


def test_vllm_holds_what_it_is_told_to(folder):
    config = VllmModel(model=str(folder), chat_template="plain", kv_gib=2)
    memory = module._memory(Reader(config))
    assert (memory.weights, memory.cache) == (2 * count_parameters(config), 2 * GIB)


def test_a_device_that_is_not_there_leaves_the_time_unknown(local, monkeypatch):
    def broken(device, dtype):
        raise AssertionError("Torch not compiled with CUDA enabled")

    monkeypatch.setattr(module, "matmul_flops", broken)
    work = works(estimate(local({"device": "cuda:7"})))["sample", "policy"]
    assert work.seconds is None
    assert work.note.endswith("time unknown: cuda:7 cannot be used here")


def test_weights_that_are_no_safetensors_leave_time_and_memory_unknown(local, monkeypatch):
    monkeypatch.setattr(module, "count_parameters", lambda config: None)
    found = estimate(local())
    assert found.seconds is None
    assert found.peak is None
    assert {m.note for m in found.memory} == {"unknown: there are no safetensors to tell the size"}


def test_the_probe_of_this_machine_is_a_speed():
    assert 1e7 < module.matmul_flops.__wrapped__("cpu", "float32") < 1e15
