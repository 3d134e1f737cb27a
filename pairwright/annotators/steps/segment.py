"""Where the steps of a solution end, found on token ids; text is a view (step labels 1.2; the rules are ours, [D] there).

A step ends where a token ends, so that whole steps are a prefix of the very ids a model produced. Who cuts how: at a delimiter
openr v2 and Qwen's PRM (Lessons), at tags MM-PRM, every n tokens MCTS-DPO (at most 128) and PRIME (1), in pieces OmegaPRM.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Mark = Annotated[str, Field(min_length=1), AfterValidator(lambda mark: mark.replace("\\n", "\n"))]
LIST_MARKER = re.compile(r"[-*+•]+|\(?(?:\d{1,3}(?:\.\d{1,3})*|[A-Za-z]|[ivxIVX]{1,6})[.):]")
FENCE = re.compile(r"\\[\\$]|```|\$\$|\\[\[\]]|\\(?:begin|end)\{[^{}\s]{1,40}\}")  # an escaped \\ or \$ opens and closes nothing
CLOSER = {"```": "```", "$$": "$$", r"\[": r"\]"}


class Cut(NamedTuple):
    """The end of a step: so many tokens, and so many characters, after the beginning."""

    token: int = 0
    char: int = 0


class Segmenter(BaseModel, ABC):
    """A way to cut solutions into steps; subclasses are told apart by `by`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    fenced: ClassVar[bool] = False

    min_step_tokens: int = Field(5, ge=1, description="a shorter step joins the next one, a last one the one before")
    max_step_tokens: int = Field(512, ge=2, description="a longer step is cut at its last newline before this, else here")

    @model_validator(mode="after")
    def _room(self) -> Segmenter:
        if self.max_step_tokens < 2 * self.min_step_tokens:
            raise ValueError("max_step_tokens must be at least twice min_step_tokens: raise it")
        return self

    def cut(self, text: str, ends: Sequence[int]) -> tuple[Cut, ...]:
        """The end of every step, counted from the beginning, in order. The last is (len(ends), len(text)); () without tokens.

        `ends[i]`: characters of `text` that the tokens up to and including i spell, terminators left out. No step is longer than
        `max_step_tokens`; only a last one is shorter than `min_step_tokens`, where it is alone or joining it would break the cap.
        """
        whole, cuts = Cut(len(ends), len(text)), [Cut()]
        for end in (*self._ends(text, ends), whole):
            while end.token - cuts[-1].token > self.max_step_tokens:
                cuts.append(self._forced(text, ends, cuts[-1]))
            if self._is_step(text, cuts[-1], end):
                cuts.append(end)
        if cuts[-1].token < whole.token:
            if len(cuts) > 1 and whole.token - cuts[-2].token <= self.max_step_tokens:
                cuts.pop()
            cuts.append(whole)
        return tuple(cuts[1:])

    def stop(self) -> tuple[str, ...]:
        """Where an engine should stop to generate one step."""
        return ()

    def step_limit(self) -> int:
        """The most tokens of one generated step."""
        return self.max_step_tokens

    def unfinished(self, text: str, tokens: int) -> bool:
        """Is what was just generated no step yet (too short, only list markers, inside an open fence), so that it must go on?"""
        open_fence = self.fenced and any(end is None for _, end in fences(text))
        return tokens < self.max_step_tokens and (open_fence or not self._is_step(text, Cut(), Cut(tokens, len(text))))

    @abstractmethod
    def _ends(self, text: str, ends: Sequence[int]) -> Iterable[Cut]:
        """Where steps could end, before the end of the text."""

    def _is_step(self, text: str, begin: Cut, end: Cut) -> bool:
        return end.token - begin.token >= self.min_step_tokens

    def _forced(self, text: str, ends: Sequence[int], begin: Cut) -> Cut:
        """Where a step that is too long is cut, inside a fence too."""
        cap = Cut(begin.token + self.max_step_tokens, ends[begin.token + self.max_step_tokens - 1])
        newline = text.rfind("\n", begin.char, cap.char)
        token = bisect_left(ends, newline + 1) + 1
        line = Cut(token, ends[token - 1])
        return line if newline >= 0 and self._is_step(text, begin, line) else cap


class Marked(Segmenter):
    """Steps that end with a mark, the text `stop` gives: the whole token that completes it belongs to the earlier step. A step
    that is only whitespace or list markers ("1.", "-", "(a)") joins its neighbour as a short one does."""

    def _ends(self, text: str, ends: Sequence[int]) -> Iterable[Cut]:
        """A mark is looked for in what follows the last such place, as an engine would."""
        closed = [(begin, end) for begin, end in fences(text) if end is not None] if self.fenced else []
        (mark,), at = self.stop(), 0
        while (found := text.find(mark, at)) >= 0:
            at = found + len(mark)
            token = bisect_left(ends, at) + 1
            if token >= len(ends):
                return
            cut = Cut(token, ends[token - 1])
            fence = bisect_right(closed, found, key=lambda span: span[1])
            if fence == len(closed) or cut.char <= closed[fence][0]:
                yield cut
                at = cut.char

    def _is_step(self, text: str, begin: Cut, end: Cut) -> bool:
        return super()._is_step(text, begin, end) and self._says(text[begin.char : end.char])

    def _says(self, text: str) -> bool:
        return not all(LIST_MARKER.fullmatch(word) for word in text.split())


class Delimiter(Marked):
    """Steps end with `delimiter`, except inside ``` fences, $$...$$, \\[...\\] and \\begin...\\end; one never closed protects
    nothing. So a solution that ends at one of its cuts outside of fences has the same cuts up to there; at a cut that the cap
    forced inside a fence it may have others."""

    fenced = True
    by: Literal["delimiter"] = "delimiter"
    delimiter: Mark = "\n\n"

    def stop(self) -> tuple[str, ...]:
        return (self.delimiter,)


class Tags(Marked):
    """Steps end with the tag `close`, inside fences too, for the author put it there; text after the last one is a step of its
    own. What stands between a close tag and the next open one belongs to the later step."""

    by: Literal["tags"] = "tags"
    open: Mark = "<step>"
    close: Mark = "</step>"

    def stop(self) -> tuple[str, ...]:
        return (self.close,)

    def _says(self, text: str) -> bool:
        return super()._says(text.replace(self.close, " ").replace(self.open, " "))


class Tokens(Segmenter):
    """Every `n` tokens, whatever they spell."""

    by: Literal["tokens"] = "tokens"
    n: int

    @model_validator(mode="after")
    def _fits(self) -> Tokens:
        if not self.min_step_tokens <= self.n <= self.max_step_tokens:
            raise ValueError(f"n: {self.n} is not between min_step_tokens and max_step_tokens: change it or them")
        return self

    def _ends(self, text: str, ends: Sequence[int]) -> Iterable[Cut]:
        return (Cut(t, ends[t - 1]) for t in range(self.n, len(ends), self.n))

    def step_limit(self) -> int:
        return self.n


class Pieces(Segmenter):
    """`m` pieces of nearly equal token counts: OmegaPRM, whose bisection is not tied to lines (arXiv 2406.06592). The paper stops
    at pieces shorter than a 16th of the mean solution; here [D] it is a 16th of this one. A short solution has fewer pieces, so
    that none is under `min_step_tokens`; a long one more, so that none is over `max_step_tokens`."""

    by: Literal["pieces"] = "pieces"
    m: int = Field(16, ge=1)

    def _ends(self, text: str, ends: Sequence[int]) -> Iterable[Cut]:
        n = len(ends)
        pieces = max(1, min(self.m, n // self.min_step_tokens), -(-n // self.max_step_tokens))
        return (Cut(t, ends[t - 1]) for t in (i * n // pieces for i in range(1, pieces)))


AnySegmenter = Annotated[Delimiter | Tags | Tokens | Pieces, Field(discriminator="by")]


def fences(text: str) -> Iterator[tuple[int, int | None]]:
    """Where code and display formulas begin and end, in characters: the outermost ones, left to right. None: never closed."""
    closed: dict[int, int | None] = {}
    waiting: defaultdict[str, list[int]] = defaultdict(list)  # closing mark -> where those to the right end, nearest last
    for mark in reversed(list(FENCE.finditer(text))):
        kind = mark.group()
        closer = CLOSER.get(kind) or kind.replace(r"\begin", r"\end")
        if kind in CLOSER or kind != closer:
            closed[mark.start()] = waiting[closer].pop() if waiting[closer] else None
        if kind == closer:
            waiting[kind].append(mark.end())
    at = 0
    for begin, end in reversed(closed.items()):
        if begin >= at:
            yield begin, end
            at = end or at
