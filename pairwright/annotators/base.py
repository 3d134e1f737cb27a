"""What an annotator is: a config, the roles it asks, and one generator that labels one group without touching a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from pairwright.engines.requests import Continuation, Conversation, Failed, Request, Result, Turn
from pairwright.ids import digest

VERDICTS = ("a", "b", "tie", "invalid")
FINISHED = ("stop", None)  # finish reasons of a response that ends where its author meant it to


@dataclass(frozen=True, slots=True)
class Response:
    """One candidate answer. `finish_reason` is "stop", "length" (cut) or None (unknown, e.g. text from elsewhere)."""

    id: str
    text: str
    token_ids: tuple[int, ...] | None = None
    tokenizer: str | None = None
    finish_reason: str | None = None

    @property
    def continuation(self) -> Continuation:
        """The response as something to be scored; a cut response gets no terminator."""
        return Continuation(self.text, self.token_ids, self.tokenizer, self.finish_reason in FINISHED)

    @property
    def turn(self) -> Turn:
        """The response as a finished assistant turn of a conversation."""
        return Turn("assistant", self.text, self.token_ids, self.tokenizer)


@dataclass(frozen=True, slots=True)
class Group:
    """A prompt with its responses: what an annotator labels at once."""

    prompt_id: str
    prompt: Conversation
    responses: tuple[Response, ...]
    reference: str | None = None
    tags: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Depends on everything an annotator sees, not on the order of responses."""
        return group_id(self.prompt_id, (r.id for r in self.responses), self.reference, self.tags)


def group_id(prompt_id: str, response_ids: Iterable[str], reference: str | None, tags: Sequence[str]) -> str:
    """The id of the group of these responses."""
    return digest("group", prompt_id, sorted(response_ids), reference, list(tags))


@dataclass(frozen=True, slots=True)
class Annotation:
    """What an annotator says of one subject: a number, or *missing with a reason*. Never a sentinel.

    `subject` is a response id; for a judgement of two responses `other` is the second one and `label` the verdict ("a", "b",
    "tie" or "invalid", of which `reason` may say how it is invalid). `parts` holds the raw numbers the score was made of, `raw`
    a judge's text.
    """

    subject: str
    score: float | None = None
    reason: str | None = None
    other: str | None = None
    label: str | None = None
    confidence: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    raw: str | None = None

    def __post_init__(self) -> None:
        if self.label == "invalid":
            if self.score is not None:
                raise ValueError("an invalid verdict has no score")
        elif (self.score is None and self.label is None) == (self.reason is None):
            raise ValueError("an annotation has a score or label, or else a reason why it has none")
        if self.other is not None and (self.other == self.subject or self.label not in (*VERDICTS, None)):
            raise ValueError(f"a verdict on two different responses is one of {', '.join(VERDICTS)}, not {self.label!r}")
        if self.score is not None and not abs(self.score) < float("inf"):
            raise ValueError(f"score {self.score} is not a finite number; give a reason instead")


Annotating = Generator[Sequence[Request], Sequence[Result], list[Annotation]]
"""An annotator's generator: yields a list of requests, is sent their results in the same order, returns annotations."""


class AnnotatorConfig(BaseModel):
    """Settings of one annotator. Everything here enters its fingerprint."""

    model_config = ConfigDict(extra="forbid", frozen=True)


C = TypeVar("C", bound=AnnotatorConfig)


class Annotator(ABC, Generic[C]):
    """A method. Raise `version` when the same settings would give other labels; then old annotations are made anew."""

    Config: ClassVar[type[AnnotatorConfig]] = AnnotatorConfig
    version: ClassVar[int] = 1
    wording: ClassVar[tuple[str, ...]] = ()
    """The files of `texts/` whose words it puts to a model; their content enters the fingerprint."""

    rates: ClassVar[bool] = True
    """Does the score say which response is better? If not, it is combined into the pairing score only when asked for."""

    for_a_filter: ClassVar[bool] = False
    """Is it mostly there for a filter to read? Then, if others rate, it is combined only when asked for, too."""

    def __init__(self, config: C) -> None:
        self.config = config

    @abstractmethod
    def roles(self) -> dict[str, frozenset[str]]:
        """The roles this annotator asks, each with what its engine must provide, e.g. {"strong": {"score"}}."""

    @abstractmethod
    def annotate(self, group: Group) -> Annotating:
        """Label every response of `group`: exactly one annotation per response (or per judged pair)."""

    def about(self) -> dict[str, Any]:
        """What the labels depend on besides the settings, the version and the models: words, and annotators asked in turn."""
        from pairwright.annotators.wording import hash_of

        words = (*self.wording, *(["guard"] if getattr(self.config, "guard", False) else []))
        return {"wording": {name: hash_of(name) for name in words}} if words else {}

    @classmethod
    def configured(cls, settings: Mapping[str, Any] | None = None) -> Annotator[Any]:
        """Make the annotator from plain settings."""
        return cls(cls.Config.model_validate(dict(settings or {})))  # type: ignore[arg-type]


def missing(subject: str, *results: Result) -> Annotation | None:
    """The annotation to give when one of `results` failed: no score, and the first failure's reason. None if all are well."""
    failed = next((r for r in results if isinstance(r, Failed)), None)
    return None if failed is None else Annotation(subject, reason=failed.reason, raw=failed.detail or None)
