"""The scripted model answers by content only, agrees with itself, and fails as often as it is told."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.engines.requests import (
    Choose,
    Chosen,
    Continuation,
    Failed,
    Generate,
    Generated,
    Request,
    Result,
    Sampling,
    Score,
    Scored,
    check,
    turns,
)
from pairwright.engines.scripted import END, HIDDEN, TOKENIZER, Faults, ScriptedEngine, ScriptedModel, word_ids
from pairwright.errors import PairwrightError

EVERYTHING = frozenset({"entropy", "self_certainty", "hidden_sum"})


def model(**settings: object) -> ScriptedModel:
    return ScriptedModel.model_validate({"engine": "scripted", **settings})


def run(config: ScriptedModel, requests: list[Request], engine: ScriptedEngine | None = None) -> list[Result]:
    """Answers in the order of `requests`."""
    engine = engine or config.load()
    for i, request in enumerate(requests):
        engine.submit(str(i), request)
    found: dict[str, Result] = {}
    while len(found) < len(requests):
        found.update(engine.step())
    return [found[str(i)] for i in range(len(requests))]


def one(config: ScriptedModel, request: Request) -> Result:
    return run(config, [request])[0]


def generate(text: str = "Name a colour.", n: int = 1, seed: int = 0, **sampling: object) -> Generate:
    return Generate("policy", turns(text), Sampling(**sampling), n, seed)  # type: ignore[arg-type]


def many(count: int = 400) -> list[Request]:
    return [generate(f"Question {i}?", n=2) for i in range(count)]


def plain(result: Result) -> str:
    return repr(dataclasses.asdict(result))


def test_the_same_requests_get_the_same_answers_in_any_order_batch_and_process():
    requests = [
        generate("Hi", n=3),
        Score("r", turns("Hi"), Continuation("well yes"), want=EVERYTHING),
        Choose("r", turns("Hi"), ("A", "B")),
    ]
    forward = run(model(), requests)
    backward = run(model(batch=1), requests[::-1])[::-1]
    assert [plain(r) for r in forward] == [plain(r) for r in backward]


def test_its_words_and_numbers_never_change_between_releases():
    result = one(model(), generate("Name a colour.", max_tokens=3))
    assert isinstance(result, Generated)
    assert result.completions[0].text == "dubu fabe lebi"
    score = one(model(), Score("r", turns("Name a colour."), Continuation("red")))
    assert isinstance(score, Scored) and score.total == pytest.approx(-5.030647, abs=1e-5)


def test_generate_gives_n_different_completions_with_one_logprob_per_id_and_a_terminator():
    result = one(model(), generate(n=5))
    assert isinstance(result, Generated) and check(generate(n=5), result) is result
    assert len({c.text for c in result.completions}) == 5
    for c in result.completions:
        assert c.token_ids is not None and c.logprobs is not None
        assert (c.tokenizer, c.finish_reason, c.token_ids[-1]) == (TOKENIZER, "stop", END)
        assert c.token_ids[:-1] == word_ids(c.text) and len(c.logprobs) == len(c.token_ids)
    assert len({len(c.text.split()) for c in result.completions}) > 1
    assert result.usage.generated == sum(len(c.token_ids or ()) for c in result.completions)


def test_a_completion_says_where_its_words_end_and_goes_on_from_a_prefix_with_a_space():
    begun = dataclasses.replace(generate(n=5), prefix_ids=word_ids("well yes"))
    for request, before in ((generate(n=5), ""), (begun, " ")):
        result = one(model(), request)
        assert isinstance(result, Generated) and check(request, result) is result
        for c in result.completions:
            assert c.ends is not None and c.text.startswith(f"{before}{c.text.split()[0]}")
            starts = [0, *c.ends]
            assert [c.text[a:b].strip() for a, b in zip(starts, c.ends, strict=False)] == [*c.text.split(), ""]


def test_keeping_a_stop_string_changes_no_word():
    kept, cut = (one(model(), generate(stop=("zzz",), keep_stop=keep)) for keep in (True, False))
    assert isinstance(kept, Generated) and plain(kept) == plain(cut)


def test_another_seed_gives_another_sample_and_temperature_zero_ignores_it():
    first, second = run(model(), [generate(seed=1), generate(seed=2)])
    assert plain(first) != plain(second)
    greedy = [one(model(), generate(n=2, seed=s, temperature=0)) for s in (1, 2)]
    assert plain(greedy[0]) == plain(greedy[1])
    assert isinstance(greedy[0], Generated) and greedy[0].completions[0] == greedy[0].completions[1]


def test_a_completion_longer_than_max_tokens_is_cut_without_a_terminator():
    result = one(model(words=(10, 10)), generate(max_tokens=4))
    assert isinstance(result, Generated)
    (c,) = result.completions
    assert (c.finish_reason, len(c.token_ids or ()), END in (c.token_ids or ())) == ("length", 4, False)


def test_scoring_what_it_sampled_gives_the_logprobs_it_sampled_with():
    sampled = one(model(), generate())
    assert isinstance(sampled, Generated)
    c = sampled.completions[0]
    for continuation in (Continuation(c.text, c.token_ids, c.tokenizer), Continuation(c.text)):
        scored = one(model(), Score("r", turns("Name a colour."), continuation))
        assert isinstance(scored, Scored) and scored.token_ids == c.token_ids
        assert tuple(scored.logprobs.tolist()) == c.logprobs


@given(st.integers(0, 9), st.floats(0, 1), st.text("ab c", min_size=1).filter(str.strip))
def test_logprobs_are_negative_and_equal_models_agree(seed: int, quality: float, text: str):
    request = Score("r", turns("Hi"), Continuation(text), want=EVERYTHING)
    first, second = (one(model(seed=seed, quality=quality), request) for _ in range(2))
    assert isinstance(first, Scored) and isinstance(second, Scored)
    assert check(request, first) is first and (first.logprobs < 0).all() and (first.logprobs == second.logprobs).all()
    assert first.entropy is not None and (first.entropy >= 0).all()
    assert first.hidden_sum is not None and first.hidden_sum.shape == (HIDDEN,)


def test_hidden_sums_add_up_over_tokens():
    parts = [
        one(model(), Score("r", turns("Hi"), Continuation(t), terminator=False, want=frozenset({"hidden_sum"})))
        for t in ("red green", "blue", "red green blue")
    ]
    left, right, whole = (r.hidden_sum for r in parts if isinstance(r, Scored))
    np.testing.assert_allclose(left + right, whole, atol=1e-6)


def test_the_terminator_is_scored_for_finished_assistant_turns_only():
    def scored(**how: object) -> int:
        speaker, terminator = how.pop("speaker", "assistant"), how.pop("terminator", True)
        result = one(model(), Score("r", turns("Hi"), Continuation("one two", **how), speaker, terminator))  # type: ignore[arg-type]
        assert isinstance(result, Scored)
        return result.n

    ids = word_ids("one two")
    assert scored() == 3
    assert scored(finished=False) == scored(speaker="user") == scored(terminator=False) == 2
    assert scored(token_ids=(*ids, END), tokenizer=TOKENIZER) == 3
    assert scored(token_ids=(*ids, END), tokenizer=TOKENIZER, speaker="user") == 2
    assert scored(token_ids=(1, 2, 3, 4), tokenizer="another") == 3


def test_an_empty_continuation_cannot_be_scored():
    assert (
        isinstance(result := one(model(), Score("r", turns("Hi"), Continuation(""))), Failed)
        and result.reason == "empty_response"
    )


def test_quality_is_what_a_strong_and_a_weak_model_differ_in():
    def margin(text: str) -> float:
        strong, weak = (one(model(quality=q), Score("r", turns("Hi"), Continuation(text))) for q in (1, 0))
        assert isinstance(strong, Scored) and isinstance(weak, Scored)
        return strong.mean - weak.mean

    good, bad = (
        [c.text for c in r.completions]
        for r in (one(model(quality=q, words=(30, 30)), generate("Hi", n=20)) for q in (1, 0))
        if isinstance(r, Generated)
    )
    assert np.mean([margin(t) for t in good]) > np.mean([margin(t) for t in bad]) + 0.2


def test_choose_gives_full_vocabulary_logprobs_and_refuses_labels_that_begin_alike():
    result = one(model(), Choose("judge", turns("A or B?"), ("A", "B", "tie")))
    assert isinstance(result, Chosen) and sum(map(math.exp, result.logprobs)) == pytest.approx(0.9, abs=1e-5)
    assert sum(result.probabilities) == pytest.approx(1)
    same = one(model(), Choose("judge", turns("?"), ("very good", "very bad")))
    assert isinstance(same, Failed) and same.reason == "labels_share_first_token"


def test_every_completion_ends_in_one_of_the_endings():
    result = one(model(endings=(r"\boxed{4}", r"\boxed{5}")), generate(n=20))
    assert isinstance(result, Generated)
    assert {c.text.split()[-1] for c in result.completions} == {r"\boxed{4}", r"\boxed{5}"}


@pytest.mark.parametrize("fault", ["too_long", "server_error"])
def test_a_fault_strikes_its_share_of_requests_and_the_same_ones_each_time(fault: str):
    config = model(faults=Faults(**{fault: 0.25}))
    first, second = run(config, many()), run(config, many()[::-1])[::-1]
    struck = [isinstance(r, Failed) and r.reason == fault for r in first]
    assert 60 < sum(struck) < 140
    assert struck == [isinstance(r, Failed) for r in second]


def test_faults_leave_the_other_requests_answers_alone():
    broken, sound = run(model(faults=Faults(server_error=0.5, nan=0.1)), many(50)), run(model(), many(50))
    untouched = [(b, s) for b, s in zip(broken, sound, strict=True) if not isinstance(check(many()[0], b), Failed)]
    assert 5 < len(untouched) < 50 and all(plain(b) == plain(s) for b, s in untouched)


def test_completions_can_be_empty_cut_or_identical():
    def made(**rates: float) -> list[Generated]:
        return [r for r in run(model(faults=Faults(**rates)), many(200)) if isinstance(r, Generated)]

    empties = [c for r in made(empty=0.3) for c in r.completions if not c.text]
    assert 80 < len(empties) < 160 and all(c.token_ids == (END,) and c.finish_reason == "stop" for c in empties)
    cuts = [c for r in made(cut=0.3) for c in r.completions if c.finish_reason == "length"]
    assert 80 < len(cuts) < 160 and all(END not in (c.token_ids or ()) for c in cuts)
    assert 30 < sum(r.completions[0].text == r.completions[1].text for r in made(identical=0.3)) < 90


def test_a_nan_is_found_by_the_check_every_result_passes():
    config = model(faults=Faults(nan=1))
    requests: list[Request] = [generate(), Score("r", turns("Hi"), Continuation("x y")), Choose("r", turns("Hi"), ("A", "B"))]
    checked = [check(q, r) for q, r in zip(requests, run(config, requests), strict=True)]
    assert [r.reason for r in checked if isinstance(r, Failed)] == ["not_finite"] * 3


@pytest.mark.parametrize(("twice", "deaths"), [(False, 1), (True, 2)])
def test_it_dies_once_or_twice_and_then_lives(twice: bool, deaths: int):
    config = model(faults=Faults(die_after=5, die_twice=twice), batch=2)
    for _ in range(deaths):
        with pytest.raises(RuntimeError, match="died as it was told") as caught:
            run(config, many(20))
        assert not isinstance(caught.value, PairwrightError)
    assert len(run(config, many(20))) == 20


def test_it_answers_die_after_requests_before_it_dies():
    engine = model(faults=Faults(die_after=4), batch=2).load()
    for i, request in enumerate(many(10)):
        engine.submit(str(i), request)
    assert [len(engine.step()), len(engine.step())] == [2, 2]
    with pytest.raises(RuntimeError):
        engine.step()


def test_a_batch_that_does_not_fit_is_halved_and_a_lone_request_that_does_not_fit_fails():
    assert [plain(r) for r in run(model(faults=Faults(oom_over=3)), many(20))] == [plain(r) for r in run(model(), many(20))]
    result = one(model(faults=Faults(oom_over=0)), generate())
    assert isinstance(result, Failed) and result.reason == "out_of_memory"


def test_the_fingerprint_is_about_answers_not_about_speed_or_death():
    same = [model(), model(delay_s=1, window=2, batch=3), model(faults=Faults(die_after=3, die_twice=True, oom_over=1))]
    other = [model(seed=1), model(quality=0.9), model(vocabulary=9), model(faults=Faults(nan=0.1)), model(endings=("x",))]
    assert len({m.fingerprint() for m in same}) == 1
    assert len({m.fingerprint() for m in (same[0], *other)}) == 6


def test_answers_come_out_of_order_but_all_come():
    engine = model(batch=3).load()
    for i, request in enumerate(many(30)):
        engine.submit(str(i), request)
    tickets: list[str] = []
    while answers := engine.step():
        assert len(answers) == 3
        tickets += [t for t, _ in answers]
    assert sorted(tickets, key=int) == [str(i) for i in range(30)] != tickets


def test_it_counts_the_requests_each_model_was_given():
    before = ScriptedEngine.requests_seen["scripted-77"]
    run(model(seed=77), many(7))
    assert ScriptedEngine.requests_seen["scripted-77"] == before + 7
