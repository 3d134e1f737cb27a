"""The engine's numbers are the model's own, whatever else it is asked at the same time and whatever goes wrong beside."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pairwright.engines.models import model_config
from pairwright.engines.pool import EnginePool
from pairwright.engines.requests import (
    Choose,
    Chosen,
    Completion,
    Continuation,
    Failed,
    Generate,
    Generated,
    Request,
    Result,
    Sampling,
    Score,
    Scored,
    Turn,
    check,
    turns,
)
from pairwright.engines.runner import Runner
from pairwright.engines.transformers_engine import TransformersEngine, TransformersModel
from pairwright.engines.tree_scoring import Target, TreeScorer, score_plain
from pairwright.errors import EngineError, PairwrightError

pytestmark = pytest.mark.model

END = 2  # <|im_end|>
EVERYTHING = frozenset({"entropy", "self_certainty", "hidden_sum"})
FRANCE = turns("What is the capital of France? Answer in one sentence.")
RHYME = (Turn("system", "Write in rhyme."), Turn("user", "Describe the sea."))


def answers(engine: TransformersEngine, requests: Sequence[Request]) -> list[Any]:
    """Results in the order of the requests; each must be sound."""
    for i, request in enumerate(requests):
        engine.submit(str(i), request)
    found: dict[str, Result] = {}
    for _ in range(5000):
        found.update(engine.step())
        if len(found) == len(requests):
            break
    results = [found[str(i)] for i in range(len(requests))]
    assert all(check(request, result) is result for request, result in zip(requests, results, strict=True))
    return results


def generate(prompt: Any = FRANCE, n: int = 1, seed: int = 0, prefix: tuple[int, ...] = (), **sampling: Any) -> Generate:
    """Among few tokens unless told otherwise: a random model finds all 49,152 so nearly alike that rounding decides."""
    return Generate("policy", prompt, Sampling(**({"max_tokens": 16, "top_k": 20} | sampling)), n, seed, prefix)


def score(text: str, prompt: Any = FRANCE, **about: Any) -> Score:
    return Score("strong", prompt, Continuation(text), **about)


def sampled(engine: TransformersEngine, *requests: Generate) -> list[list[tuple[int, ...]]]:
    return [[c.token_ids for c in result.completions] for result in answers(engine, requests)]


def greedy_by_transformers(model: Any, ids: list[int], count: int) -> list[int]:
    import torch

    given = torch.tensor([ids])
    out = model.generate(given, attention_mask=torch.ones_like(given), do_sample=False, max_new_tokens=count)
    return out[0, len(ids) :].tolist()


@pytest.fixture(scope="module")
def little(tiny: Callable[..., Path]) -> TransformersEngine:
    """A random Llama: quick, and never sure of itself."""
    return TransformersModel(model=str(tiny("Llama")), max_rows=4).load()


class TestScoring:
    def test_is_log_softmax_of_the_raw_logits_at_the_tokens_of_the_response(self, smollm2: Any) -> None:
        """By hand: the template's text, the response's own tokens, one end of turn; nothing of the engine but its weights."""
        import torch

        tokenizer = smollm2.renderer.tokenizer
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": FRANCE[0].content}], tokenize=False, add_generation_prompt=True
        )
        prompt, response = (tokenizer(t, add_special_tokens=False).input_ids for t in (text, "It is Paris."))
        with torch.no_grad():
            logits = smollm2.model(torch.tensor([[*prompt, *response, END]])).logits[0].double()
        expected = [logits[len(prompt) + k - 1].log_softmax(-1)[i] for k, i in enumerate([*response, END])]
        (found,) = answers(smollm2, [score("It is Paris.")])
        assert found.token_ids == (*response, END)
        assert found.logprobs == pytest.approx(np.array(expected), abs=1e-4)

    def test_does_not_depend_on_what_else_is_asked(self, smollm2: Any) -> None:
        said = (*FRANCE, Turn("assistant", "It is Paris."))
        requests = [
            score("It is Paris.", want=EVERYTHING),
            score("Lyon.", want=frozenset({"entropy"})),
            score("It is Paris.", RHYME),
            score("Thank you!", said, speaker="user"),
            score("That is wrong.", said, speaker="user"),
        ]
        alone = [answers(smollm2, [request])[0] for request in requests]
        for one, other in zip(alone, answers(smollm2, requests), strict=True):
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
        assert alone[0].hidden_sum.shape == (576,)

    def test_of_labels_is_their_first_tokens_probability(self, smollm2: Any) -> None:
        request = Choose("judge", FRANCE, ("Paris", "The", "Rome"))
        (found,) = answers(smollm2, [request])
        firsts = answers(smollm2, [score(label) for label in request.labels])
        assert isinstance(found, Chosen)
        assert found.logprobs == pytest.approx([s.logprobs[0] for s in firsts], abs=1e-4)

    def test_of_equal_models_differs_by_nothing(self, tiny: Callable[..., Path]) -> None:
        """The density ratio of a model over itself is 0, and the model is loaded and asked once."""
        config = TransformersModel(model=str(tiny("Llama")))
        runner = Runner(EnginePool({"strong": config, "weak": config}))

        def ratio() -> Any:
            results = yield [Score(role, FRANCE, Continuation("It is Paris.")) for role in ("strong", "weak")]
            return results[0].total - results[1].total

        assert dict(runner.run([("r", ratio())])) == {"r": 0.0}
        assert sum(runner.pool.loads.values()) == 1 and runner.stats.run == 1

    def test_of_two_loads_of_one_model_differs_by_nothing(self, tiny: Callable[..., Path], little: TransformersEngine) -> None:
        again = TransformersModel(model=str(tiny("Llama"))).load()
        one, other = (answers(engine, [score("It is Paris.")])[0] for engine in (little, again))
        assert one.logprobs.tolist() == other.logprobs.tolist()

    def test_counts_less_when_much_is_shared(self, little: TransformersEngine) -> None:
        found = answers(little, [score(text) for text in ("It is Paris.", "It is Lyon.", "It is Nice.")])
        assert sum(s.usage.forwarded for s in found) < 0.6 * sum(s.usage.tokens for s in found)


class TestSampling:
    def test_reports_the_log_probabilities_that_scoring_gives(self, smollm2: Any) -> None:
        requests = [generate(FRANCE, n=2, temperature=0.8, top_k=0), generate(RHYME, seed=5, top_p=0.9, top_k=0)]
        results = answers(smollm2, requests)
        pairs = [(r.prompt, c) for r, result in zip(requests, results, strict=True) for c in result.completions]
        scores = answers(
            smollm2,
            [Score("policy", p, Continuation(c.text, c.token_ids, c.tokenizer, c.finish_reason == "stop")) for p, c in pairs],
        )
        for (_, completion), scored in zip(pairs, scores, strict=True):
            assert scored.token_ids == completion.token_ids
            assert completion.logprobs == pytest.approx(scored.logprobs, abs=1e-3)

    def test_at_temperature_zero_is_what_transformers_calls_greedy(self, smollm2: Any) -> None:
        requests = [generate(FRANCE, temperature=0), generate(RHYME, temperature=0)]
        expected = [greedy_by_transformers(smollm2.model, smollm2.renderer.prompt_ids(r), 16) for r in requests]
        assert sampled(smollm2, *requests) == [[tuple(ids)] for ids in expected]

    def test_of_one_request_is_the_same_alone_and_among_others(self, smollm2: Any) -> None:
        wanted = generate(FRANCE, n=2, seed=3, top_k=0)
        others = [generate(RHYME, n=2, seed=4, top_k=20), generate(turns("Hi"), seed=5, temperature=0.5)]
        (alone,) = sampled(smollm2, wanted)
        assert sampled(smollm2, others[0], wanted, others[1])[1] == alone

    def test_so_it_is_when_rows_join_and_leave(self, little: TransformersEngine) -> None:
        """More samples than rows, of unlike lengths, so that the running batch is refilled again and again."""
        requests = [
            generate(turns("word " * (1 + 7 * i % 11)), n=1 + i % 3, seed=i, max_tokens=3 + 5 * i % 17, top_p=0.9 + i / 100)
            for i in range(9)
        ]
        alone = [sampled(little, request)[0] for request in requests]
        together = answers(little, requests)
        assert [[c.token_ids for c in result.completions] for result in together] == alone
        assert len({len(ids) for samples in alone for ids in samples}) > 3
        for request, result in zip(requests, together, strict=True):
            prompt = little.renderer.prompt_ids(request)
            plain = score_plain(little.model, [Target(prompt, c.token_ids) for c in result.completions])
            for completion, own in zip(result.completions, plain, strict=True):
                assert completion.logprobs == pytest.approx(own.logprobs, abs=1e-3)

    def test_depends_on_the_seed_and_the_index(self, little: TransformersEngine) -> None:
        one, other = sampled(little, generate(n=3, seed=1), generate(n=3, seed=2))
        assert len({*one, *other}) == 6

    def test_gives_n_samples_of_which_the_first_do_not_depend_on_n(self, little: TransformersEngine) -> None:
        two, five = sampled(little, generate(n=2), generate(n=5))
        assert len(five) == 5 and five[:2] == two

    def test_with_top_k_of_one_is_greedy(self, little: TransformersEngine) -> None:
        first, second = sampled(little, generate(top_k=1, temperature=2.0, seed=9), generate(temperature=0))
        assert first == second

    def test_ends_with_the_terminator_and_shows_it_in_the_ids_alone(self, smollm2: Any) -> None:
        (found,) = answers(smollm2, [generate(turns("Say only: yes"), temperature=0, max_tokens=40)])
        (made,) = found.completions
        assert made.finish_reason == "stop" and made.token_ids[-1] == END and END not in made.token_ids[:-1]
        assert len(made.logprobs) == len(made.token_ids) and "<|" not in made.text
        assert made.tokenizer == smollm2.renderer.tokenizer_id

    def test_cut_by_max_tokens_has_no_terminator(self, smollm2: Any) -> None:
        (found,) = answers(smollm2, [generate(RHYME, temperature=0, max_tokens=5)])
        (made,) = found.completions
        assert made.finish_reason == "length" and len(made.token_ids) == 5 and END not in made.token_ids
        assert found.usage.generated == 5

    def test_stops_before_a_stop_string(self, smollm2: Any) -> None:
        (whole,) = answers(smollm2, [generate(FRANCE, temperature=0)])
        (found,) = answers(smollm2, [generate(FRANCE, temperature=0, stop=("nowhere", "France"))])
        (made,), (all_,) = found.completions, whole.completions
        assert "France" in all_.text
        assert made.text == all_.text[: all_.text.index("France")] and made.finish_reason == "stop"
        assert (made.token_ids, made.logprobs, made.tokenizer) == (None, None, None)  # the ids would say more than the text
        assert 0 < found.usage.generated < whole.usage.generated

    def test_goes_on_from_an_answer_that_has_begun(self, little: TransformersEngine) -> None:
        ((whole,),) = sampled(little, generate(temperature=0))
        ((rest,),) = sampled(little, generate(temperature=0, prefix=whole[:6], max_tokens=10))
        assert rest == whole[6:]

    @pytest.mark.parametrize("cut", [1, 4, 9, 15, 22])
    def test_goes_on_from_any_token_as_if_it_had_never_stopped(self, smollm2: Any, cut: int) -> None:
        ((whole,),) = sampled(smollm2, generate(RHYME, temperature=0, top_k=0, max_tokens=24))
        ((rest,),) = sampled(smollm2, generate(RHYME, prefix=whole[:cut], temperature=0, top_k=0, max_tokens=24 - cut))
        assert (*whole[:cut], *rest) == whole

    def test_says_where_in_the_text_each_token_ends(self, smollm2: Any, little: TransformersEngine) -> None:
        """The random model writes bytes that make no character, too."""
        requests = generate(RHYME, n=3, max_tokens=30), generate(n=4, max_tokens=30, top_k=0, temperature=2.0)
        for engine, request in zip((smollm2, little), requests, strict=True):
            for made in answers(engine, [request])[0].completions:
                assert made.ends == engine.renderer.ends(made.token_ids, made.text) and made.ends[-1] == len(made.text)

    def test_ends_with_the_token_that_completes_a_stop_string_that_is_kept(self, smollm2: Any) -> None:
        (whole,) = answers(smollm2, [generate(FRANCE, temperature=0)])
        (all_,) = whole.completions
        text, ends = all_.text, all_.ends
        assert len(text) > 20
        spanning = text[ends[1] - 1 : ends[3] + 1]  # from inside the second token to inside the fifth
        inside = text[ends[4] : ends[5] - 1]  # ends before its token does
        assert text.index(spanning) == ends[1] - 1 and text.index(inside) == ends[4]
        for stop, last in ((spanning, 4), (inside, 5)):
            (made,) = answers(smollm2, [generate(FRANCE, temperature=0, stop=("nowhere", stop), keep_stop=True)])[0].completions
            assert (made.finish_reason, made.token_ids) == ("stop", all_.token_ids[: last + 1])
            assert made.text == smollm2.renderer.text(made.token_ids) == text[: ends[last]] and made.ends == ends[: last + 1]
            assert made.logprobs == pytest.approx(all_.logprobs[: last + 1], abs=1e-4)

    def test_looks_for_a_stop_string_in_what_is_new(self, smollm2: Any) -> None:
        """Not in the prefix, nor where the prefix meets it."""
        (all_,) = answers(smollm2, [generate(FRANCE, temperature=0)])[0].completions
        stops = (all_.text[: all_.ends[2]], all_.text[all_.ends[1] : all_.ends[3]])
        begun = generate(FRANCE, prefix=all_.token_ids[:3], temperature=0, stop=stops, keep_stop=True)
        (made,) = answers(smollm2, [begun])[0].completions
        assert made.text == all_.text[all_.ends[2] :][: len(made.text)] and len(made.token_ids) > 3

    @pytest.mark.parametrize("keep", [True, False], ids=["kept", "cut"])
    def test_finds_a_stop_string_wherever_whole_texts_do(self, little: TransformersEngine, keep: bool) -> None:
        """Only the last tokens are looked at; a random model's tokens are whole words, single bytes and special ones."""
        about: dict[str, Any] = {"n": 2, "max_tokens": 30, "top_k": 0, "temperature": 1.5}
        for i, all_ in enumerate(answers(little, [generate(**about)])[0].completions):
            texts = [little.renderer.text(all_.token_ids[: k + 1]) for k in range(30)]
            stops = [all_.text[begin : begin + 12] for begin in range(0, len(all_.text) - 12, 35)]
            requests = [generate(**about, stop=(stop,), keep_stop=keep) for stop in stops]
            for stop, found in zip(stops, answers(little, requests), strict=True):
                made, first = found.completions[i], next(t for t in texts if stop in t)
                assert made.finish_reason == "stop" and made.text == (first if keep else first[: first.index(stop)])


class TestFailures:
    def test_a_prompt_that_is_too_long_fails_alone(self, tiny: Callable[..., Path]) -> None:
        engine = TransformersModel(model=str(tiny("Llama")), max_length=64).load()
        long = turns("word " * 80)
        found = answers(engine, [generate(long), score("Hi", long), Choose("judge", long, ("A", "B")), score("Hi"), generate()])
        assert [f.reason for f in found[:3]] == ["too_long"] * 3
        assert "64" in found[0].detail
        assert isinstance(found[3], Scored) and isinstance(found[4], Generated)

    def test_an_answer_ends_where_the_model_does(self, tiny: Callable[..., Path]) -> None:
        engine = TransformersModel(model=str(tiny("Llama")), max_length=64).load()
        request = generate(max_tokens=500)
        room = 64 - len(engine.renderer.prompt_ids(request))
        (found,) = answers(engine, [request])
        assert found.completions[0].finish_reason == "length" and len(found.completions[0].token_ids) == room

    def test_what_cannot_be_asked_fails_alone(self, little: TransformersEngine) -> None:
        found = answers(little, [score(""), Choose("judge", FRANCE, ("A", "A")), score("Hi")])
        assert [f.reason for f in found[:2]] == ["empty_response", "labels_share_first_token"]
        assert isinstance(found[2], Scored)

    def test_a_poisonous_score_fails_alone(self, little: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> None:
        (poison,) = little.renderer.tokenizer(" venom", add_special_tokens=False).input_ids
        requests = [score(f"Answer {i}" + " venom" * (i == 5)) for i in range(12)]
        well = answers(little, requests)
        real = TreeScorer.score

        def picky(self: TreeScorer, targets: Sequence[Target]) -> Any:
            if any(poison in t.ids for t in targets):
                raise RuntimeError("cannot swallow that")
            return real(self, targets)

        monkeypatch.setattr(TreeScorer, "score", picky)
        found = answers(little, requests)
        assert found[5] == Failed("engine_error", "cannot swallow that")
        for i in {*range(12)} - {5}:
            assert found[i].logprobs == pytest.approx(well[i].logprobs, abs=1e-4)

    def test_a_poisonous_prompt_fails_alone_and_slows_nobody_after(
        self, little: TransformersEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        requests = [generate(turns(f"Tell me of number {i}"), seed=i, n=2) for i in range(7)]
        well = sampled(little, *requests)
        (poison,) = little.renderer.tokenizer("3", add_special_tokens=False).input_ids
        self.refuse(little.model, monkeypatch, lambda ids: poison in ids, RuntimeError("cannot swallow that"))
        found = answers(little, requests)
        assert found[3] == Failed("engine_error", "cannot swallow that")
        assert [[c.token_ids for c in found[i].completions] for i in range(7) if i != 3] == well[:3] + well[4:]
        assert little.sampler.max_rows == 4

    def test_a_model_that_answers_nothing_any_more_is_dead(
        self, little: TransformersEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.refuse(little.model, monkeypatch, lambda ids: True, RuntimeError("the device is lost"))
        self.refuse(little.model.base_model, monkeypatch, lambda ids: True, RuntimeError("the device is lost"))
        for request in (score("Hi"), generate()):
            little.submit("0", request)
            with pytest.raises(RuntimeError, match="the device is lost"):
                for _ in range(10):
                    little.step()
            little.scoring.clear()

    @staticmethod
    def refuse(model: Any, monkeypatch: pytest.MonkeyPatch, when: Callable[[Any], bool], error: Exception) -> None:
        """Let the model raise when `when` says so of its input ids."""
        real = model.forward

        def forward(input_ids: Any = None, **more: Any) -> Any:
            if when(input_ids):
                raise error
            return real(input_ids=input_ids, **more)

        monkeypatch.setattr(model, "forward", forward)


class Bulk:
    """Stands for the memory of a failed batch."""


class TestMemory:
    """A model that runs out of memory above some number of tokens; what it needed must be free before it is tried again."""

    def limit(self, model: Any, monkeypatch: pytest.MonkeyPatch, fits: Callable[[Any], bool]) -> list[Any]:
        import torch

        real, failed = model.forward, []

        def forward(input_ids: Any = None, **more: Any) -> Any:
            assert [ref() for ref in failed] == [None] * len(failed), "a failed batch still holds its memory"
            bulk = Bulk()
            if not fits(input_ids):
                failed.append(weakref.ref(bulk))
                raise torch.OutOfMemoryError("CUDA out of memory")
            return real(input_ids=input_ids, **more)

        monkeypatch.setattr(model, "forward", forward)
        return failed

    def test_too_little_for_scoring_halves_the_batch_and_loses_nothing(
        self, tiny: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine = TransformersModel(model=str(tiny("Llama")), batch_tokens=1024).load()
        requests = [score(f"Answer {i}" + " more" * i, turns(f"Question {i}")) for i in range(24)]
        well = answers(engine, requests)
        engine.scorer.row_limit = 64
        failed = self.limit(engine.model.base_model, monkeypatch, lambda ids: ids.numel() <= 150)
        found = answers(engine, requests)
        assert failed and 64 <= engine.scorer.budget <= 150
        for one, other in zip(found, well, strict=True):
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)

    def test_one_that_does_not_fit_even_alone_fails_alone(
        self, tiny: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine = TransformersModel(model=str(tiny("Llama"))).load()
        answers(engine, [score("Hi")])
        self.limit(engine.model.base_model, monkeypatch, lambda ids: ids.numel() <= 100)
        found = answers(engine, [score("Hi"), score("word " * 200), score("Bye")])
        assert found[1].reason == "out_of_memory"
        assert isinstance(found[0], Scored) and isinstance(found[2], Scored)

    def test_too_little_for_sampling_halves_the_rows_and_changes_no_sample(
        self, tiny: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine = TransformersModel(model=str(tiny("Llama")), max_rows=16).load()
        requests = [generate(turns(f"Number {i}"), seed=i, n=2, max_tokens=4 + 3 * i) for i in range(6)]
        well = sampled(engine, *requests)
        failed = self.limit(engine.model, monkeypatch, lambda ids: ids.shape[0] <= 5)
        assert sampled(engine, *requests) == well
        assert failed and engine.sampler.max_rows == 4

    def test_running_out_while_some_samples_of_a_request_are_done_changes_none(
        self, tiny: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Samples of one request end at different times; all are made again."""
        engine = TransformersModel(model=str(tiny("Llama")), max_rows=8).load()
        engine.renderer.eos_ids = frozenset(range(0, 49152, 20))
        requests = [generate(turns(f"Number {i}"), seed=i, n=4, max_tokens=40) for i in range(2)]
        well = sampled(engine, *requests)
        lengths = [len(ids) for samples in well for ids in samples]
        assert min(lengths) < 20 < max(lengths)
        steps = iter(range(1000))
        failed = self.limit(engine.model, monkeypatch, lambda ids: next(steps) != 20)
        found = answers(engine, requests)
        assert [[c.token_ids for c in result.completions] for result in found] == well
        assert sum(result.usage.generated for result in found) == sum(lengths)
        assert len(failed) == 1 and engine.sampler.max_rows == 4  # halved once: nothing else went wrong


class TestConfig:
    def test_fewer_layers_are_another_model_with_other_scores(self, smollm2: Any) -> None:
        whole, twin = TransformersModel(model="smollm2"), TransformersModel(model="smollm2", layers=2)
        assert whole.fingerprint() != twin.fingerprint()
        assert twin.label() == "smollm2[:2]"
        engine = twin.load()
        assert len(engine.model.base_model.layers) == 2
        one, other = (answers(e, [score("It is Paris.")])[0] for e in (smollm2, engine))
        assert one.token_ids == other.token_ids and one.total > other.total
        assert one.logprobs != pytest.approx(other.logprobs, abs=0.1)

    @pytest.mark.parametrize(
        "change", [{"dtype": "bfloat16"}, {"max_length": 64}, {"chat_template": "plain"}, {"layers": 1}], ids=str
    )
    def test_what_answers_depend_on_is_in_the_fingerprint(self, tiny: Callable[..., Path], change: dict[str, Any]) -> None:
        model = str(tiny("Llama"))
        assert TransformersModel(model=model).fingerprint() != TransformersModel(model=model, **change).fingerprint()

    @pytest.mark.parametrize("change", [{"device": "cpu"}, {"max_rows": 3}, {"batch_tokens": 100}], ids=str)
    def test_what_only_makes_it_faster_is_not(self, tiny: Callable[..., Path], change: dict[str, Any]) -> None:
        model = str(tiny("Llama"))
        assert TransformersModel(model=model).fingerprint() == TransformersModel(model=model, **change).fingerprint()

    @pytest.mark.parametrize("family", ["Llama", "Qwen2"])
    def test_more_layers_than_there_are_is_a_sentence_and_never_random_weights(
        self, tiny: Callable[..., Path], family: str
    ) -> None:
        with pytest.raises(PairwrightError, match=r"`layers: 5`, but .* has 2 layers: give a smaller number"):
            TransformersModel(model=str(tiny(family)), layers=5).load()

    def test_weights_that_are_missing_are_a_sentence_and_never_random(self, tiny: Callable[..., Path], tmp_path: Path) -> None:
        from safetensors.torch import load_file, save_file

        folder = shutil.copytree(tiny("Llama"), tmp_path / "torn")
        weights = load_file(folder / "model.safetensors")
        del weights["model.layers.1.mlp.up_proj.weight"]
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        with pytest.raises(EngineError, match=r"torn lack model\.layers\.1\.mlp\.up_proj\.weight: give the folder of a whole"):
            TransformersModel(model=str(folder)).load()

    def test_half_precision_is_near(self, tiny: Callable[..., Path], little: TransformersEngine) -> None:
        half = TransformersModel(model=str(tiny("Llama")), dtype="bfloat16").load()
        one, other = (answers(engine, [score("It is Paris.", want=EVERYTHING)])[0] for engine in (little, half))
        assert other.logprobs.dtype == np.float32
        assert other.logprobs == pytest.approx(one.logprobs, abs=0.5)

    def test_is_what_a_mere_name_in_a_recipe_means(self) -> None:
        assert model_config("smollm2") == model_config({"model": "smollm2"}) == TransformersModel(model="smollm2")


FAMILIES = {  # what each does that a packed tree or a naive sampling loop gets wrong
    "Mistral": {"sliding_window": 32},
    "Gemma2": {"sliding_window": 32, "query_pre_attn_scalar": 16, "final_logit_softcapping": 5.0},
    "Gemma3": {"config": "Gemma3TextConfig", "sliding_window": 32, "query_pre_attn_scalar": 16},
    "GPTNeoX": {},
}


class TestFamilies:
    """Sliding windows, capped logits, another lay-out: scores and samples are those of the model itself."""

    @pytest.mark.parametrize("family", FAMILIES)
    def test_scores_are_the_models_own(self, tiny: Callable[..., Path], family: str) -> None:
        engine = TransformersModel(model=str(tiny(family, **FAMILIES[family]))).load()
        requests = [score("An answer." * (1 + 9 * i), turns("word " * (1 + 20 * i))) for i in range(3)] + [score("An answer.")]
        plain = score_plain(engine.model, [Target(*engine.renderer.score_ids(request)) for request in requests])
        for one, other in zip(answers(engine, requests), plain, strict=True):
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)

    @pytest.mark.parametrize("family", FAMILIES)
    def test_samples_are_the_models_own(self, tiny: Callable[..., Path], family: str) -> None:
        engine = TransformersModel(model=str(tiny(family, **FAMILIES[family]))).load()
        requests = [generate(turns("word " * n), temperature=0, max_tokens=40) for n in (1, 30)]
        for request, result in zip(requests, answers(engine, requests), strict=True):
            ids = engine.renderer.prompt_ids(request)
            made: Completion = result.completions[0]
            assert list(made.token_ids or ()) == greedy_by_transformers(engine.model, ids, 40)
            (plain,) = score_plain(engine.model, [Target(ids, made.token_ids or ())])
            assert made.logprobs == pytest.approx(plain.logprobs, abs=1e-3)

    def test_a_recurrent_model_is_scored_plainly_and_refuses_to_sample(self, tiny: Callable[..., Path]) -> None:
        engine = TransformersModel(model=str(tiny("Mamba", state_size=8))).load()
        requests = [score("An answer."), score("Another one.")]
        plain = score_plain(engine.model, [Target(*engine.renderer.score_ids(request)) for request in requests])
        for one, other in zip(answers(engine, requests), plain, strict=True):
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
        engine.submit("0", generate())
        with pytest.raises(EngineError, match="MambaForCausalLM keeps no keys and values: give this role `engine: vllm`"):
            engine.step()
