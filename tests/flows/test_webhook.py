"""Who asked to be told of a build's end is told once, hears no secret, and never stands in the build's way."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from pairwright.errors import PairwrightError
from pairwright.flows import webhook
from pairwright.flows.webhook import check_url, sentence_of, tell
from pairwright.pipelines.build import Build

LOG = logging.getLogger("tests")


@pytest.fixture
def post_box() -> Iterator[SimpleNamespace]:
    """A server that keeps what is posted to `url`; `answer` is the status it gives."""
    box = SimpleNamespace(heard=[], answer=200, hold=threading.Event())
    box.hold.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            box.heard.append((self.path, self.headers["Content-Type"], json.loads(body)))
            box.hold.wait()
            self.send_response(box.answer)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    box.url = f"http://127.0.0.1:{server.server_port}/services/a-secret-token"
    yield box
    box.hold.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def told(post_box: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The post box is the one of failures."""
    monkeypatch.setenv("PAIRWRIGHT_WEBHOOK", post_box.url)
    return post_box


def test_a_message_says_what_where_and_when(told: SimpleNamespace) -> None:
    tell("failed", "sums", "build-sums", "the disk is full", LOG)
    [(path, kind, said)] = told.heard
    assert (path, kind) == ("/services/a-secret-token", "application/json")
    assert said.keys() == {"event", "dataset", "run", "sentence", "time", "host", "text"}
    assert said["event"] == "failed" and said["host"] == socket.gethostname() and said["time"].endswith("+00:00")
    assert said["text"] == f"The build of sums on {socket.gethostname()} has failed: the disk is full"


def test_nobody_is_told_who_did_not_ask(told: SimpleNamespace) -> None:
    tell("succeeded", "sums", "build-sums", "version 1 is made", LOG)
    assert told.heard == []


@pytest.mark.parametrize("trouble", ["refused", "error", "slow", "nonsense"])
def test_a_message_that_cannot_be_delivered_is_a_warning_without_the_address(
    told: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, trouble: str
) -> None:
    monkeypatch.setattr(webhook, "TIMEOUT_S", 0.2)
    if trouble == "slow":
        told.hold.clear()
    if trouble == "error":
        told.answer = 500
    if trouble == "refused":
        monkeypatch.setenv("PAIRWRIGHT_WEBHOOK", "http://127.0.0.1:9/a-secret-token")
    if trouble == "nonsense":
        monkeypatch.setenv("PAIRWRIGHT_WEBHOOK", "a-secret-token")
    tell("failed", "sums", "build-sums", "the disk is full", LOG)
    assert "could not be told" in caplog.text and "secret" not in caplog.text


def test_of_an_error_that_is_not_ours_only_its_kind_is_told() -> None:
    assert sentence_of(PairwrightError("there is no file p.jsonl")) == "there is no file p.jsonl"
    assert "my diary" not in sentence_of(ValueError("cannot convert 'my diary'"))
    assert "ValueError" in sentence_of(ValueError("cannot convert 'my diary'"))


@pytest.mark.parametrize("url", ["hooks.example.com/x", "ftp://example.com", "file:///etc/passwd", "http:///nowhere"])
def test_an_address_that_cannot_be_posted_to_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(PairwrightError, match="begins with http") as caught:
        check_url(url)
    assert url not in str(caught.value)


@pytest.mark.prefect
class TestUnderPrefect:
    def test_a_users_mistake_is_told_as_its_sentence(self, flows: ModuleType, twelve: Path, told: SimpleNamespace) -> None:
        with pytest.raises(PairwrightError) as caught:
            flows.run_build(twelve, ["filters=[{use: margin, min: 1000}]"])
        [(_, _, said)] = told.heard
        assert (said["event"], said["dataset"], said["run"]) == ("failed", "Sums_1", "build-Sums_1")
        assert said["sentence"] == str(caught.value)

    def test_a_defect_is_told_by_its_kind_and_still_raised(
        self, flows: ModuleType, twelve: Path, told: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: Any) -> None:
            raise ZeroDivisionError("What is 3 + 3?")

        monkeypatch.setattr(Build, "check", broken)
        monkeypatch.setattr(flows.prepare, "retry_delay_seconds", [0])
        with pytest.raises(ZeroDivisionError):
            flows.run_build(twelve)
        [(_, _, said)] = told.heard
        assert "ZeroDivisionError" in said["sentence"] and "3 + 3" not in json.dumps(said)

    def test_a_webhook_that_fails_does_not_mask_the_builds_error(
        self, flows: ModuleType, twelve: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PAIRWRIGHT_WEBHOOK", "http://127.0.0.1:9/")
        with pytest.raises(PairwrightError, match="nothing is left to publish"):
            flows.run_build(twelve, ["filters=[{use: margin, min: 1000}]"])

    def test_success_is_told_with_the_version_where_it_was_asked_for(
        self, flows: ModuleType, twelve: Path, post_box: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PAIRWRIGHT_WEBHOOK_SUCCESS", post_box.url)
        flows.run_build(twelve)
        flows.run_build(twelve)
        assert [(s["event"], s["version"], s["new"]) for _, _, s in post_box.heard] == [
            ("succeeded", 1, True),
            ("succeeded", 1, False),
        ]

    def test_a_process_that_died_is_told_by_the_one_that_watched_it(
        self, flows: ModuleType, twelve: Path, told: SimpleNamespace
    ) -> None:
        from prefect.client.schemas.objects import FlowRun
        from prefect.states import Crashed

        [hook] = flows.build_flow.on_crashed_hooks
        parameters = {"recipe": str(twelve), "overrides": []}
        run = FlowRun(name="strict-swallow", flow_id="00000000-0000-0000-0000-000000000000", parameters=parameters)
        hook(flow=flows.build_flow, flow_run=run, state=Crashed(message="Process exited with status code: -9."))
        [(_, _, said)] = told.heard
        assert (said["dataset"], said["run"]) == ("Sums_1", "build-Sums_1") and "status code: -9" in said["sentence"]

    def test_serve_hands_the_addresses_to_its_runs_by_their_environment(
        self, flows: ModuleType, twelve: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        served: list[dict[str, Any]] = []
        serve: Callable[..., None] = lambda **about: served.append(about | {"env": os.environ.get("PAIRWRIGHT_WEBHOOK")})  # noqa: E731
        monkeypatch.setattr(flows.build_flow, "serve", serve)
        monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
        monkeypatch.setenv("PAIRWRIGHT_WEBHOOK", "")
        flows.serve(twelve, "0 2 * * *", on_failure="https://chat.example.com/a-secret-token")
        [about] = served
        assert about["env"] == "https://chat.example.com/a-secret-token"
        assert "secret" not in json.dumps(about["parameters"])
        with pytest.raises(PairwrightError, match="a webhook's address begins with"):
            flows.serve(twelve, "0 2 * * *", on_failure="chat")
