"""The OpenAI engine against a small server on this machine: what it asks, what it reads, and whose fault a failure is."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

import pairwright.engines.openai_engine as module
from pairwright.engines.openai_engine import OpenAIModel
from pairwright.engines.rendering import Unscorable
from pairwright.engines.requests import (
    FRESH,
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
    Usage,
    check,
    turns,
)
from pairwright.errors import EngineError

SECRET = "a-very-secret-key"
Reply = tuple[int, dict[str, Any]] | tuple[int, dict[str, Any], dict[str, str]]
Answerer = Callable[[str, dict[str, Any]], Reply]


class Server:
    """An OpenAI-compatible server whose answers a test writes: (path, body) -> (status, json[, headers])."""

    def __init__(self, answer: Answerer) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.asked.append(body)
                outer.keys.append(self.headers["Authorization"])
                self.reply(*answer(self.path, body))

            def do_GET(self) -> None:
                self.reply(*answer(self.path, {}))

            def reply(self, status: int, content: dict[str, Any], headers: dict[str, str] | None = None) -> None:
                data = json.dumps(content).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


class FakeRenderer:
    """Each word is a token whose id is its length; the context is one token per turn."""

    tokenizer_id = "fake"

    def score_ids(self, request: Score) -> tuple[list[int], list[int]]:
        if not request.continuation.text:
            raise Unscorable("empty_response", "there is no token to score")
        return [1] * len(request.context), [len(word) for word in request.continuation.text.split()]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[Server, Any]]]:
    """Start a server with these answers and an engine that talks to it."""
    monkeypatch.setenv("TEST_KEY", SECRET)
    opened: list[Any] = []

    def start(answer: Answerer, **settings: Any) -> tuple[Server, Any]:
        server = Server(answer)
        engine = config(server.url, **settings).load()
        opened.extend([engine, server])
        return server, engine

    yield start
    for thing in opened:
        thing.http.shutdown() if isinstance(thing, Server) else thing.close()
        if isinstance(thing, Server):
            thing.http.server_close()


def config(url: str = "http://127.0.0.1:1/v1", **settings: Any) -> OpenAIModel:
    return OpenAIModel(**{"model": "m", "base_url": url, "api_key_env": "TEST_KEY", "timeout_s": 5, "retries": 1, **settings})


def answers(engine: Any, *requests: Request) -> list[Result]:
    for i, request in enumerate(requests):
        engine.submit(str(i), request)
    found: dict[str, Result] = {}
    deadline = time.monotonic() + 30
    while len(found) < len(requests) and time.monotonic() < deadline:
        found.update(engine.step())
    return [found[str(i)] for i in range(len(requests))]


def generate(text: str = "Hi", n: int = 1, **sampling: Any) -> Generate:
    return Generate("policy", turns(text), Sampling(**sampling), n, seed=7)


def choice(text: str = "hello", finish: str = "stop", logprobs: list[float] | None = None, **more: Any) -> dict[str, Any]:
    rows = None if logprobs is None else {"content": [{"token": "t", "logprob": p, "top_logprobs": []} for p in logprobs]}
    return {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish, "logprobs": rows, **more}


def chat(*choices: dict[str, Any]) -> Reply:
    usage = {"prompt_tokens": 10, "completion_tokens": 4 * len(choices), "total_tokens": 0}
    return 200, {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": choices, "usage": usage}


def top(*entries: tuple[str, float]) -> Reply:
    row = {"token": "?", "logprob": -0.1, "top_logprobs": [{"token": t, "logprob": p} for t, p in entries]}
    return chat(choice() | {"logprobs": {"content": [row]}})


def refusal(status: int, message: str, **more: Any) -> Reply:
    return status, {"error": {"message": message, **more}}


def unavailable(*_: Any) -> Reply:
    return 500, {"error": {"message": "broken"}}, {"retry-after-ms": "1"}


def test_generate_sends_the_sampling_and_reads_text_logprobs_and_usage(serve: Any) -> None:
    server, engine = serve(lambda *_: chat(choice("one", logprobs=[-0.5, -1.5]), choice("two", "length")))
    request = generate(n=2, temperature=0.7, top_p=0.9, top_k=5, max_tokens=9, stop=("X",))
    (result,) = answers(engine, request)
    assert isinstance(result, Generated) and check(request, result) is result
    first, second = result.completions
    assert (first.text, first.finish_reason, first.logprobs, first.token_ids) == ("one", "stop", (-0.5, -1.5), None)
    assert (second.text, second.finish_reason, second.logprobs) == ("two", "length", None)
    assert (result.usage.tokens, result.usage.generated) == (18, 8)
    sent = {k: server.asked[0][k] for k in ("temperature", "top_p", "top_k", "max_tokens", "stop", "n", "seed", "logprobs")}
    assert sent == {
        "temperature": 0.7, "top_p": 0.9, "top_k": 5, "max_tokens": 9, "stop": ["X"], "n": 2, "seed": 7, "logprobs": True
    }  # fmt: skip
    assert server.asked[0]["messages"] == [{"role": "user", "content": "Hi"}]
    assert server.keys == [f"Bearer {SECRET}"]


def test_a_server_that_gives_fewer_choices_is_asked_for_the_rest_with_another_seed(serve: Any) -> None:
    server, engine = serve(lambda _, body: chat(choice(f"seed {body['seed']}")))
    (result,) = answers(engine, generate(n=3))
    assert isinstance(result, Generated) and len({c.text for c in result.completions}) == 3
    assert [body["n"] for body in server.asked] == [3, 2, 1]
    assert (result.usage.tokens, result.usage.generated) == (42, 12)


def test_options_a_server_refuses_are_left_out_from_then_on(serve: Any) -> None:
    def picky(_: str, body: dict[str, Any]) -> Reply:
        if "max_tokens" in body:
            return refusal(400, "Unsupported parameter: use 'max_completion_tokens' instead")
        if "logprobs" in body:
            return refusal(403, "You are not allowed to request logprobs from this model")
        if body.get("n", 1) > 1:
            return refusal(400, "Only one completion choice is allowed")
        return chat(choice())

    server, engine = serve(picky, concurrency=1)
    results = answers(engine, generate("a", n=2, max_tokens=5), generate("b", max_tokens=5))
    assert [len(r.completions) for r in results if isinstance(r, Generated)] == [2, 1]
    assert len(server.asked) == 3 + 2 + 1
    assert server.asked[-1]["max_completion_tokens"] == 5


def test_requests_refused_for_the_same_option_at_the_same_time_all_go_on(serve: Any) -> None:
    refuse = lambda _, body: refusal(400, "logprobs are not supported") if "logprobs" in body else chat(choice())  # noqa: E731
    _, engine = serve(refuse, concurrency=8)
    assert all(isinstance(r, Generated) for r in answers(engine, *[generate(f"{i}") for i in range(16)]))


def test_a_floor_value_is_no_logprob_and_a_filtered_completion_is_a_failure(serve: Any) -> None:
    replies = {"floor": choice(logprobs=[-1.0, -9999.0]), "filtered": choice("", "content_filter")}
    _, engine = serve(lambda _, body: chat(replies[body["messages"][0]["content"]]))
    floor, filtered = answers(engine, generate("floor"), generate("filtered"))
    assert isinstance(floor, Generated) and floor.completions[0].logprobs is None
    assert isinstance(filtered, Failed) and filtered.reason == "content_filter"


def test_an_answer_already_begun_cannot_be_continued(serve: Any) -> None:
    server, engine = serve(lambda *_: chat(choice()))
    (result,) = answers(engine, Generate("policy", turns("Hi"), Sampling(), prefix_ids=(1, 2)))
    assert isinstance(result, Failed) and result.reason == "not_supported" and not server.asked


def test_a_stop_string_cannot_be_kept(serve: Any) -> None:
    server, engine = serve(lambda *_: chat(choice()))
    (result,) = answers(engine, generate(stop=("X",), keep_stop=True))
    assert isinstance(result, Failed) and result.reason == "not_supported" and not server.asked
    assert "prefix_ids" not in engine.config.provides


def test_choose_takes_the_exact_label_before_its_variants_with_spaces(serve: Any) -> None:
    _, engine = serve(lambda *_: top(("A", -1.0), (" A", -0.2), ("\nB", -2.5), (" B", -2.0), ("C", -3.0)))
    (result,) = answers(engine, Choose("judge", turns("A or B?"), ("A", "B")))
    assert isinstance(result, Chosen) and result.logprobs == (-1.0, -2.0)


def test_choose_asks_for_one_token_with_its_top_logprobs(serve: Any) -> None:
    server, engine = serve(lambda *_: top(("A", -1.0), ("B", -2.0)))
    answers(engine, Choose("judge", turns("A or B?"), ("A", "B")))
    sent = {k: server.asked[0][k] for k in ("max_tokens", "temperature", "logprobs", "top_logprobs")}
    assert sent == {"max_tokens": 1, "temperature": 0, "logprobs": True, "top_logprobs": 20}


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (top(("A", -1.0)), "label_not_in_top"),
        (top(("A", -1.0), ("B", -9999.0)), "label_not_in_top"),
        (chat(choice()), "no_logprobs"),
        (chat(choice(logprobs=[])), "no_logprobs"),
        (refusal(400, "logprobs are not supported here"), "no_logprobs"),
    ],
)
def test_a_judgement_without_both_labels_logprobs_is_a_failure_not_a_guess(serve: Any, reply: Reply, reason: str) -> None:
    _, engine = serve(lambda *_: reply)
    (result,) = answers(engine, Choose("judge", turns("A or B?"), ("A", "B")))
    assert isinstance(result, Failed) and result.reason == reason


@pytest.fixture
def scoring(serve: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Server, Any]]:
    """An engine that scores with the fake tokenizer."""
    monkeypatch.setattr(module, "resolve_folder", lambda name: name)
    monkeypatch.setattr(module.Renderer, "from_folder", lambda folder: FakeRenderer())
    return lambda answer, kind="vllm": serve(answer, scoring=kind, tokenizer="somewhere")


def completion(**more: Any) -> Reply:
    content = {"index": 0, "text": "", "finish_reason": "length", "logprobs": None, **more}
    usage = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
    return 200, {"id": "x", "object": "text_completion", "created": 0, "model": "m", "choices": [content], "usage": usage}


def prompt_rows(ids: list[int]) -> list[Any]:
    return [None, *[{str(i): {"logprob": -i / 10, "rank": 1}, "99": {"logprob": -0.1, "rank": 2}} for i in ids[1:]]]


SCORE = Score("strong", (*turns("Hi"), *turns("there")), Continuation("a bbb cc"))


def test_vllm_scoring_returns_the_rows_of_exactly_the_continuation(scoring: Any) -> None:
    server, engine = scoring(lambda _, body: completion(prompt_logprobs=prompt_rows(body["prompt"])))
    (result,) = answers(engine, SCORE)
    assert isinstance(result, Scored) and result.token_ids == (1, 3, 2)
    np.testing.assert_allclose(result.logprobs, [-0.1, -0.3, -0.2])
    assert server.asked[0]["prompt"] == [1, 1, 1, 3, 2] and server.asked[0]["prompt_logprobs"] == 0
    assert result.usage.tokens == 6


def test_echo_scoring_returns_the_rows_of_exactly_the_continuation(scoring: Any) -> None:
    def echo(_: str, body: dict[str, Any]) -> Reply:
        assert body["echo"] is True and body["max_tokens"] == 0 and body["logprobs"] == 0
        return completion(logprobs={"token_logprobs": [None, -1, -2, -3, -4], "tokens": ["a"] * 5})

    _, engine = scoring(echo, "echo")
    (result,) = answers(engine, SCORE)
    assert isinstance(result, Scored) and result.logprobs.tolist() == [-2, -3, -4]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (None, "no_logprobs"),
        ([None, None, None, None, None], "no_logprobs"),
        (prompt_rows([1, 1, 1, 3]), "no_logprobs"),
        (prompt_rows([1, 1, 1, 3, 4]), "no_logprobs"),
        ([None, *[{i: {"logprob": -9999.0}} for i in "1132"]], "not_finite"),
    ],
)
def test_rows_that_are_missing_or_of_other_tokens_are_a_failure(scoring: Any, rows: Any, reason: str) -> None:
    _, engine = scoring(lambda *_: completion(prompt_logprobs=rows))
    (result,) = answers(engine, SCORE)
    assert isinstance(result, Failed) and result.reason == reason


def test_an_unscorable_request_fails_without_a_call_and_extras_are_not_supported(scoring: Any) -> None:
    server, engine = scoring(lambda *_: completion())
    empty = Score("strong", turns("Hi"), Continuation(""))
    extra = Score("strong", turns("Hi"), Continuation("x"), want=frozenset({"entropy"}))
    assert [r.reason for r in answers(engine, empty, extra) if isinstance(r, Failed)] == ["empty_response", "not_supported"]
    assert not server.asked


def test_a_vllm_server_gives_the_ids_it_sampled(scoring: Any) -> None:
    server, engine = scoring(lambda *_: chat(choice(logprobs=[-1, -2], token_ids=[5, 2])))
    (result,) = answers(engine, generate())
    assert isinstance(result, Generated) and server.asked[0]["return_token_ids"] is True
    c = result.completions[0]
    assert (c.token_ids, c.tokenizer, c.logprobs) == ((5, 2), "fake", (-1, -2))


def test_a_429_is_waited_out_and_asked_again(serve: Any) -> None:
    def busy_once(*_: Any) -> Reply:
        return (429, {}, {"Retry-After": "0.01"}) if len(server.asked) == 1 else chat(choice())

    server, engine = serve(busy_once)
    (result,) = answers(engine, generate())
    assert isinstance(result, Generated) and len(server.asked) == 2


def test_a_refused_request_fails_alone_with_a_short_reason(serve: Any) -> None:
    def refuse(_: str, body: dict[str, Any]) -> Reply:
        text = body["messages"][0]["content"]
        if text == "bad":
            return refusal(400, f"bad value, sent with {SECRET}")
        if text == "long":
            return refusal(400, "This model's maximum context length is 10 tokens", code="context_length_exceeded")
        return chat(choice())

    _, engine = serve(refuse)
    bad, long, good = answers(engine, generate("bad"), generate("long"), generate("good"))
    assert isinstance(bad, Failed) and (bad.reason, bad.detail) == ("server_refused", "400: bad value, sent with ***")
    assert isinstance(long, Failed) and long.reason == "too_long"
    assert isinstance(good, Generated)


@pytest.mark.parametrize("status", [401, 402, 403])
def test_a_refused_key_stops_the_engine_and_names_the_variable_but_not_the_key(serve: Any, status: int) -> None:
    _, engine = serve(lambda *_: refusal(status, f"wrong key {SECRET}"))
    with pytest.raises(EngineError, match="TEST_KEY") as caught:
        answers(engine, generate())
    assert SECRET not in str(caught.value)


def test_an_unknown_model_stops_the_engine_and_names_the_model(serve: Any) -> None:
    _, engine = serve(lambda *_: refusal(404, "no such model"))
    with pytest.raises(EngineError, match="does not know the model 'm'"):
        answers(engine, generate())


def test_a_server_that_only_breaks_is_dead(serve: Any) -> None:
    server, engine = serve(unavailable)
    with pytest.raises(EngineError, match=r"127\.0\.0\.1.* does not answer .*broken"):
        answers(engine, *[generate(f"{i}") for i in range(5)])
    assert len(server.asked) > 3  # retried before


@pytest.mark.parametrize("count", [1, 5])
def test_a_server_that_is_not_there_is_dead_even_for_one_request(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setenv("TEST_KEY", SECRET)
    engine = config(retries=0).load()
    with pytest.raises(EngineError, match="check that the server runs"):
        answers(engine, *[generate(f"{i}") for i in range(count)])
    engine.close()


def test_requests_that_break_while_others_succeed_fail_alone(serve: Any) -> None:
    poisoned = lambda _, body: unavailable() if "poison" in body["messages"][0]["content"] else chat(choice())  # noqa: E731
    _, engine = serve(poisoned, concurrency=2, retries=0)
    first, second, *rest = answers(engine, generate("poison 1"), generate("poison 2"), *[generate(f"{i}") for i in range(4)])
    assert isinstance(first, Failed) and isinstance(second, Failed) and all(isinstance(r, Generated) for r in rest)
    assert first.reason == second.reason == "server_unavailable"


def test_the_last_request_fails_alone_if_the_server_still_answers_something(serve: Any) -> None:
    alive = lambda path, _: (200, {"object": "list", "data": []}) if path.endswith("/models") else unavailable()  # noqa: E731
    _, engine = serve(alive, retries=0)
    (result,) = answers(engine, generate())
    assert isinstance(result, Failed) and result.reason == "server_unavailable"


def test_results_that_came_before_the_death_are_handed_over_first(serve: Any) -> None:
    only_good = lambda _, body: chat(choice()) if body["messages"][0]["content"] == "good" else refusal(401, "no")  # noqa: E731
    _, engine = serve(only_good, concurrency=1)
    engine.submit("good", generate("good"))
    engine.submit("bad", generate("bad"))
    collected: list[str] = []
    with pytest.raises(EngineError):
        for _ in range(100):
            collected += [ticket for ticket, _ in engine.step()]
    assert collected == ["good"]
    with pytest.raises(EngineError):
        engine.step()


def test_a_missing_key_is_said_before_any_request_unless_the_server_is_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_KEY", raising=False)
    with pytest.raises(EngineError, match="set the environment variable TEST_KEY"):
        config("https://api.example.com/v1").load()
    config("http://localhost:1/v1").load().close()


def test_an_engine_without_work_returns_at_once_and_closes(serve: Any) -> None:
    _, engine = serve(lambda *_: chat(choice()))
    assert engine.step() == []
    engine.close()
    assert not engine._thread.is_alive()


def test_closing_gives_up_what_is_still_on_its_way(serve: Any) -> None:
    gate = threading.Event()
    _, engine = serve(lambda *_: (gate.wait(20), chat(choice()))[1])
    engine.submit("0", generate())
    while not engine._busy:
        time.sleep(0.01)
    engine.close()
    gate.set()
    assert not engine._thread.is_alive()


def test_neither_key_nor_price_enters_the_fingerprint_and_the_key_is_nowhere_in_the_config(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = config()
    monkeypatch.setenv("TEST_KEY", SECRET)
    same = [config(), config(price_in=3, price_out=5), config(api_key_env="OTHER"), config(concurrency=1, retries=9)]
    assert {c.fingerprint() for c in same} == {before.fingerprint()}
    other = [config(model="n"), config(revision="2"), config("http://127.0.0.1:2/v1")]
    assert len({c.fingerprint() for c in other} | {before.fingerprint()}) == 4
    assert all(SECRET not in text for text in (repr(config()), config().model_dump_json(), config().label()))


def test_prices_are_per_million_tokens() -> None:
    assert config(price_in=2, price_out=10).money(Usage(tokens=1_500_000, generated=500_000)) == pytest.approx(2 + 5)


def test_it_provides_scores_only_where_the_server_can_score() -> None:
    assert config().provides == {"generate", FRESH, "choose"}
    assert config(scoring="vllm", tokenizer="smollm2").provides == {"generate", FRESH, "choose", "score"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scoring": "vllm"}, "needs `tokenizer`"),
        ({"base_url": "https://user:hunter2@host/v1"}, "no user, password or query"),
        ({"base_url": "https://host/v1?key=hunter2"}, "no user, password or query"),
        ({"base_url": "host:8000"}, "must begin with http"),
        ({"api_key_env": "sk-hunter2"}, "the name of an environment variable"),
    ],
)
def test_settings_that_cannot_work_or_hold_a_secret_are_refused_without_repeating_them(
    settings: dict[str, str], message: str
) -> None:
    with pytest.raises(ValidationError, match=message) as caught:
        config(**settings)
    assert "hunter2" not in str(caught.value)
