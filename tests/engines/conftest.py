"""A stage on which fake models play: they answer in a chosen order, die when told, and everything they do is noted."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pairwright.engines.base import Engine, ModelConfig
from pairwright.engines.requests import Completion, Generate, Generated, Request, Result, Sampling, Usage, turns

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is first imported

PRICE = 0.5  # of one token of any fake model


def asked_text(request: Any) -> str:
    """What the first turn of a request says."""
    return str(request.prompt[0].content)


@dataclass(eq=False)
class Stage:
    """How the fake models behave. `pick` chooses which of the waiting requests are finished in a step (default: all)."""

    window: int = 64
    pick: Callable[[list[Request]], list[Request]] = lambda waiting: waiting
    answers: dict[str, Any] = field(default_factory=dict)  # text -> result to give instead of the usual one
    refused: set[str] = field(default_factory=set)  # texts whose submission raises
    deaths: int = 0  # how many of the next steps raise
    death: Exception = field(default_factory=lambda: RuntimeError("the worker is gone"))
    notes: list[tuple[str, str, str]] = field(default_factory=list)  # (what, model, text)
    most_in_flight: int = 0

    def note(self, what: str, model: str, text: str = "") -> None:
        """Remember what happened."""
        self.notes.append((what, model, text))

    def noted(self, what: str, model: str | None = None) -> list[str]:
        """The texts of everything of this kind that happened, in order."""
        return [text for kind, name, text in self.notes if kind == what and model in (None, name)]

    def when(self, what: str, model: str, text: str) -> int:
        """The place of a happening among all of them."""
        return self.notes.index((what, model, text))

    def model(self, name: str, **about: Any) -> FakeModel:
        """A model that plays here; equal names mean equal fingerprints."""
        return FakeModel(name=name, stage=self, **about)


class FakeModel(ModelConfig):
    """A model that is a name. `device` does not enter the fingerprint."""

    provides = frozenset({"generate", "score"})

    name: str
    stage: Any
    device: str = "here"

    def fingerprint(self) -> str:
        return f"fingerprint of {self.name}"

    def load(self) -> Engine:
        self.stage.note("load", self.name)
        return FakeEngine(self.name, self.stage)

    def money(self, usage: Usage) -> float:
        return PRICE * usage.tokens

    def label(self) -> str:
        return self.name


class FakeEngine(Engine):
    """Holds what was submitted and gives back what its stage picks."""

    def __init__(self, name: str, stage: Stage) -> None:
        self.name, self.stage, self.window = name, stage, stage.window
        self.waiting: dict[str, Request] = {}

    def submit(self, ticket: str, request: Request) -> None:
        if asked_text(request) in self.stage.refused:
            raise ValueError("cannot be shown to this model")
        self.stage.note("submit", self.name, asked_text(request))
        assert ticket not in self.waiting
        self.waiting[ticket] = request
        self.stage.most_in_flight = max(self.stage.most_in_flight, len(self.waiting))

    def step(self) -> list[tuple[str, Result]]:
        if self.stage.deaths:
            self.stage.deaths -= 1
            raise self.stage.death
        tickets = {id(request): ticket for ticket, request in self.waiting.items()}
        done = [tickets[id(request)] for request in self.stage.pick(list(self.waiting.values()))]
        return [(ticket, self._answer(self.waiting.pop(ticket))) for ticket in done]

    def close(self) -> None:
        self.stage.note("close", self.name)

    def _answer(self, request: Any) -> Any:
        text = asked_text(request)
        self.stage.note("finish", self.name, text)
        if text in self.stage.answers:
            return self.stage.answers[text]
        made = tuple(Completion(f"{self.name} on {text}", "stop", (1, 2), (-0.5, -1.5), "fake") for _ in range(request.n))
        return Generated(made, Usage(tokens=10, forwarded=8.0, generated=2 * request.n, seconds=0.1))


@pytest.fixture
def stage() -> Stage:
    """A stage with the usual behaviour."""
    return Stage()


@pytest.fixture(scope="session")
def new_stage() -> type[Stage]:
    """To make a stage inside a hypothesis test."""
    return Stage


@pytest.fixture(scope="session")
def ask() -> Callable[..., Generate]:
    """`ask("a text", "a role")`: a request that is recognised by its text."""

    def make(text: str, role: str = "policy", **about: Any) -> Generate:
        return Generate(role, turns(text), Sampling(), **about)

    return make


@pytest.fixture(scope="session")
def smollm2() -> Iterator[Any]:
    """The embedded small model, loaded once for all tests that need one."""
    from pairwright.engines.folders import EMBEDDED
    from pairwright.engines.transformers_engine import TransformersModel

    if importlib.util.find_spec(EMBEDDED["smollm2"][0]) is None:
        pytest.skip("the embedded small model is not installed")
    engine = TransformersModel(model="smollm2").load()
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`tiny("Llama", num_hidden_layers=3)`: the folder of a random model of that family with the embedded model's tokenizer."""
    from pairwright.engines.folders import EMBEDDED, resolve_folder

    if importlib.util.find_spec(EMBEDDED["smollm2"][0]) is None:
        pytest.skip("the embedded small model is not installed")
    source = resolve_folder("smollm2")
    sizes = {"vocab_size": 49152, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes |= {"num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 512, "initializer_range": 0.3}
    sizes |= {"eos_token_id": 2, "pad_token_id": 2, "bos_token_id": 1}

    @functools.cache
    def make(family: str, **about: Any) -> Path:
        import torch
        import transformers

        config = getattr(transformers, about.pop("config", f"{family}Config"))(**(sizes | about))
        folder = tmp_path_factory.mktemp(family)
        torch.manual_seed(0)
        getattr(transformers, f"{family}ForCausalLM")(config).save_pretrained(folder)
        for file in source.iterdir():
            if file.name.startswith(("tokenizer", "chat_template", "special_tokens")):
                shutil.copy(file, folder)
        return folder

    return make


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("PAIRWRIGHT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
