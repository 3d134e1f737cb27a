"""A draw with dropout is a function of its request: whatever is asked beside it, however the batch is cut, it drops the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairwright.engines.dropout import Noise, dropped, use_dropout
from pairwright.engines.pool import EnginePool
from pairwright.engines.requests import DROPOUT, Continuation, Failed, Request, Score, Scored, needs_of, request_key, turns
from pairwright.engines.transformers_engine import TransformersEngine, TransformersModel
from pairwright.engines.tree_scoring import Target, TreeScorer, score_plain
from pairwright.engines.vllm_engine import VllmModel
from pairwright.errors import EngineError, PairwrightError
from pairwright.ids import digest

FRANCE = turns("What is the capital of France? Answer in one sentence.")
SEA = turns("Describe the sea.")


def score(text: str, draw: int | None = None, prompt: Any = FRANCE) -> Score:
    return Score("scorer", prompt, Continuation(text), draw=draw)


def answers(engine: TransformersEngine, requests: Sequence[Request]) -> list[Any]:
    for i, request in enumerate(requests):
        engine.submit(str(i), request)
    found: dict[str, Any] = {}
    while len(found) < len(requests):
        found.update(engine.step())
    return [found[str(i)] for i in range(len(requests))]


class TestRequests:
    def test_a_score_that_is_no_draw_has_the_key_it_always_had(self) -> None:
        old = {f.name: getattr(score("Paris."), f.name) for f in dataclasses.fields(Score) if f.name not in ("role", "draw")}
        assert request_key("m", score("Paris.")) == digest("Score", "m", old)

    def test_every_draw_is_a_request_of_its_own(self) -> None:
        assert len({request_key("m", score("Paris.", t)) for t in (None, 0, 1)}) == 3

    def test_only_a_draw_needs_dropout(self) -> None:
        assert needs_of(score("Paris.")) == {"score"} and needs_of(score("Paris.", 0)) == {"score", DROPOUT}


class TestConfig:
    def test_only_a_model_with_dropout_offers_draws(self) -> None:
        assert DROPOUT in TransformersModel(model="m", attention_dropout=0.1).provides
        assert DROPOUT not in TransformersModel(model="m").provides

    @pytest.mark.parametrize("model", [VllmModel(model="smollm2"), TransformersModel(model="smollm2")], ids=["vllm", "without"])
    def test_a_role_that_has_none_is_refused_with_the_fix(self, model: Any) -> None:
        with pytest.raises(PairwrightError, match=r"needs score_dropout of the role 'scorer'.*`attention_dropout: 0\.1`"):
            EnginePool({"scorer": model}).require("scorer", frozenset({"score", DROPOUT}), "annotator mc_dropout")


class TestMask:
    """Of 64 queries and 300 keys in 3 heads."""

    def mask(self, rate: float = 0.1, layer: int = 0, seeds: Any = None, places: Any = None) -> Any:
        import torch

        random = np.random.default_rng(0)
        seeds = random.integers(-(2**31), 2**31, (1, 64)) if seeds is None else seeds
        places = np.arange(300)[None] if places is None else places
        noise = Noise(rate, *(torch.tensor(np.array(x), dtype=torch.int32) for x in (seeds, places)))
        return dropped(noise, layer, 3).numpy()

    @pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
    def test_drops_the_asked_share(self, rate: float) -> None:
        mask = self.mask(rate)
        assert mask.shape == (1, 3, 64, 300)
        assert abs(mask.mean() - rate) <= 5 * np.sqrt(rate * (1 - rate) / mask.size)

    @pytest.mark.parametrize("axis", [1, 2, 3], ids=["heads", "queries", "keys"])
    def test_neighbours_are_independent(self, axis: int) -> None:
        mask = self.mask(0.5).astype(float)
        one, other = (np.take(mask, range(i, mask.shape[axis] - 1 + i), axis).ravel() for i in (0, 1))
        assert abs(np.corrcoef(one, other)[0, 1]) < 5 / np.sqrt(one.size)

    def test_so_are_layers_and_neighbouring_seeds(self) -> None:
        seeds = np.arange(64)[None]
        for one, other in ((self.mask(0.5), self.mask(0.5, 1)), (self.mask(0.5, 0, seeds), self.mask(0.5, 0, seeds + 1))):
            assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 5 / np.sqrt(one.size)

    def test_is_a_function_of_query_and_key_wherever_they_stand(self) -> None:
        random = np.random.default_rng(1)
        seeds, places = random.integers(-(2**31), 2**31, (2, 8)), np.tile(np.arange(20), (2, 1))
        whole = self.mask(0.5, 0, seeds, places)
        assert (self.mask(0.5, 0, seeds[::-1, 3:], places[:, ::-1]) == whole[::-1, :, 3:, ::-1]).all()


@pytest.fixture(scope="module")
def little(tiny: Callable[..., Path]) -> Any:
    """A random Llama of two layers that attends as dropout needs it."""
    import torch
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(tiny("Llama"), dtype=torch.float32).eval()
    use_dropout(model)
    return model


letters = st.lists(st.integers(5, 7), min_size=1, max_size=12)
drawn_targets = st.lists(st.builds(Target, letters, letters, draw=st.integers(0, 3)), min_size=1, max_size=8)


@pytest.mark.model
class TestTree:
    @settings(max_examples=30)
    @given(drawn_targets, st.integers(1, 40), st.integers(1, 200))
    def test_a_draw_is_the_same_alone_and_in_company_however_the_tree_is_cut(
        self, little: Any, targets: list[Target], row_limit: int, budget: int
    ) -> None:
        together = TreeScorer(little, row_limit, budget, dropout=0.3).score(targets)
        for target, found in zip(targets, together, strict=True):
            [alone] = TreeScorer(little, dropout=0.3).score([target])
            assert found.logprobs == pytest.approx(alone.logprobs, abs=1e-4)

    def test_with_nothing_to_drop_it_is_the_ordinary_score(self, little: Any) -> None:
        targets = [Target([5, 6, 7], [8, 9], draw=0), Target([5, 6, 7], [8, 10], draw=1)]
        for one, plain in zip(TreeScorer(little).score(targets), score_plain(little, targets), strict=True):
            assert one.logprobs == pytest.approx(plain.logprobs, abs=1e-4)

    def test_draws_spread_as_those_of_torch_do(self, tiny: Callable[..., Path], little: Any) -> None:
        """Its own dropout, one generator for all, in eager attention; 600 draws of each."""
        import torch
        import transformers

        about = {"attention_dropout": 0.3, "attn_implementation": "eager", "dtype": torch.float32}
        model = transformers.AutoModelForCausalLM.from_pretrained(tiny("Llama"), **about).train()
        context, ids, n = [5, 6, 7, 8], [9, 10, 11, 12], 600
        torch.manual_seed(0)
        with torch.no_grad():
            logits = model(torch.tensor([[*context, *ids]] * n)).logits[:, 3:-1].log_softmax(-1)
        theirs = logits.gather(-1, torch.tensor([ids] * n)[..., None]).sum((1, 2)).double().numpy()
        targets = [Target(context, ids, draw=t) for t in range(n)]
        ours = np.array([s.logprobs.sum() for s in TreeScorer(little, dropout=0.3).score(targets)])
        assert abs(ours.mean() - theirs.mean()) < 4 * np.hypot(ours.std(), theirs.std()) / np.sqrt(n)
        assert ours.std() == pytest.approx(theirs.std(), rel=0.15)

    def test_the_prompt_of_a_draw_is_computed_once(self, little: Any) -> None:
        scorer = TreeScorer(little, dropout=0.3)
        scorer.score([Target([*range(5, 105)], [i, i], draw=t) for t in range(3) for i in range(4)])
        assert scorer.counters.unique == 3 * (100 + 4 * 2)


@pytest.mark.model
class TestEngine:
    @pytest.fixture(scope="class")
    def engine(self, smollm2: Any) -> Iterator[TransformersEngine]:
        """The embedded small model with dropout."""
        engine = TransformersModel(model="smollm2", attention_dropout=0.1).load()
        yield engine
        engine.close()

    def test_draws_of_a_real_model_differ_and_are_the_same_alone_and_in_company(self, engine: TransformersEngine) -> None:
        wanted = [score("It is Paris.", t) for t in range(4)]
        others = [
            score("It is Lyon.", 1),
            score("It is wide and blue.", 0, SEA),
            score("It is Paris."),
            score("Rome.", None, SEA),
        ]
        alone = [answers(engine, [request])[0] for request in wanted]
        together = answers(engine, [others[0], *wanted[::-1], *others[1:]])[1:5][::-1]
        for one, other in zip(alone, together, strict=True):
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
        assert np.std([s.total for s in alone]) > 0.1 and len({round(s.total, 3) for s in alone}) == 4

    def test_without_a_draw_it_is_the_model_without_dropout(self, engine: TransformersEngine, smollm2: Any) -> None:
        requests = [score("It is Paris."), score("It is wide and blue.", None, SEA)]
        beside = answers(engine, [*requests, score("It is Paris.", 0)])
        for one, other in zip(beside, answers(smollm2, requests), strict=False):
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
        (ours, theirs) = ([r.token_ids for r in answers(e, requests)] for e in (engine, smollm2))
        assert ours == theirs

    def test_a_model_without_dropout_has_no_draws(self, smollm2: Any) -> None:
        (found,) = answers(smollm2, [score("It is Paris.", 0)])
        assert isinstance(found, Failed) and found.reason == "not_supported"

    def test_the_rate_is_another_model_and_none_the_one_it_always_was(self, tiny: Callable[..., Path]) -> None:
        model = str(tiny("Llama"))
        rates = [TransformersModel(model=model, attention_dropout=rate).fingerprint() for rate in (0, 0.1, 0.2)]
        assert len(set(rates)) == 3 and rates[0] == TransformersModel(model=model).fingerprint()


FAMILIES: dict[str, dict[str, Any]] = {
    "Mistral": {"sliding_window": 64},
    "Qwen2": {},
    "Gemma3": {"config": "Gemma3TextConfig", "sliding_window": 64, "query_pre_attn_scalar": 16},
    "GPTNeoX": {},
}


@pytest.mark.model
class TestFamilies:
    @pytest.mark.parametrize("family", FAMILIES)
    def test_others_have_draws_too_within_their_reach(self, tiny: Callable[..., Path], family: str) -> None:
        engine = TransformersModel(model=str(tiny(family, **FAMILIES[family])), attention_dropout=0.2).load()
        short, long = turns("Hi"), turns("word " * 80)
        asked = [("Well.", 0, short), ("Well.", 1, short), ("Well.", 0, long), ("Well.", None, long)]
        found = answers(engine, [score(*one) for one in asked])
        assert found[0].total != found[1].total
        if "sliding_window" in FAMILIES[family]:
            assert found[2].reason == "too_long"
        else:
            assert isinstance(found[2], Scored)
        plain = score_plain(engine.model, [Target(*engine.renderer.score_ids(score("Well.", None, long)))])
        assert found[3].logprobs == pytest.approx(plain[0].logprobs, abs=1e-4)

    def test_a_model_whose_attention_cannot_be_given_dropout_is_refused(self, tiny: Callable[..., Path]) -> None:
        sizes = {"num_hidden_layers": 2, "hidden_size": 32, "state_size": 8}
        with pytest.raises(EngineError, match=r"`attention_dropout` cannot be had of .*: remove it, or give the role"):
            TransformersModel(model=str(tiny("Mamba", **sizes)), attention_dropout=0.1).load()
