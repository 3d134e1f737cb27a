"""A question's search tree, kept as columns. A node is a prefix of a solution, as token ids; its row is what `steps` stores.

The counts (n, correct, unparsed) are raw: hard, soft and pairwise labels are views of them, made later and never stored instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pairwright.annotators.steps.segment import Cut
from pairwright.engines.requests import Conversation, Outcome
from pairwright.ids import digest

ROOT = 0
LOW_TRUST = 0.3  # a node with a larger share of unparsed rollouts is kept, but never labelled (step labels 1.4)


@dataclass(frozen=True, slots=True)
class Question:
    """What a tree is about."""

    prompt_id: str
    prompt: Conversation
    reference: str | None


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of whole steps: its token ids (never the terminator's), its text, and where in it each step ends."""

    ids: tuple[int, ...]
    text: str
    cuts: tuple[Cut, ...]

    def part(self, begin: int, end: int) -> Piece:
        """Steps `begin` to `end` (exclusive) of this piece."""
        first = self.cuts[begin - 1] if begin else Cut(0, 0)
        last = self.cuts[end - 1] if end else Cut(0, 0)
        cuts = tuple(Cut(c.token - first.token, c.char - first.char) for c in self.cuts[begin:end])
        return Piece(self.ids[first.token : last.token], self.text[first.char : last.char], cuts)


@dataclass(slots=True)
class Count:
    """Rollouts from one prefix: how many, how many right, how many without an answer that could be compared."""

    n: int = 0
    correct: int = 0
    unparsed: int = 0

    @property
    def rate(self) -> float:
        """MC(s) = c(s) / n(s). Ask only where n > 0."""
        return self.correct / self.n

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Count these rollouts; an unparsed one is no right one."""
        for outcome in outcomes:
            self.n += 1
            self.correct += outcome == "right"
            self.unparsed += outcome == "unparsed"


@dataclass(slots=True)
class Tree:
    """One question's nodes: node i is entry i of every column; node 0 is the question itself, without a step.

    `visits`, `total`, `value`, `prior` belong to the search: how often a node was selected, the sum of values backed up through
    it (None: none was), its own value, and the mean log-probability (nats per token) with which it was proposed. Values are in
    [0, 1] except where a search's docstring says otherwise. `reason` says why a node carries no label.
    """

    question: Question
    tokenizer: str | None = None
    parent: list[int] = field(default_factory=list)
    children: list[list[int]] = field(default_factory=list)
    depth: list[int] = field(default_factory=list)
    start: list[int] = field(default_factory=list)
    piece: list[Piece] = field(default_factory=list)
    node_id: list[str] = field(default_factory=list)
    counts: list[dict[str, Count]] = field(default_factory=list)  # role -> its rollouts
    visits: list[int] = field(default_factory=list)
    total: list[float | None] = field(default_factory=list)
    value: list[float | None] = field(default_factory=list)
    prior: list[float | None] = field(default_factory=list)
    terminal: list[bool] = field(default_factory=list)
    verdict: list[Outcome | None] = field(default_factory=list)
    answer: list[str | None] = field(default_factory=list)
    finish: list[str | None] = field(default_factory=list)
    reason: list[str | None] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)  # spent on this node's rollouts and expansion
    seconds: list[float] = field(default_factory=list)
    known: dict[str, int] = field(default_factory=dict)  # node_id -> node

    def __post_init__(self) -> None:
        self._append(-1, Piece((), "", ()), digest("node", self.question.prompt_id, ()))

    def __len__(self) -> int:
        return len(self.parent)

    def add(self, parent: int, piece: Piece) -> int:
        """The node of `parent`'s prefix continued by `piece`. An equal prefix is the same node, however it was reached; it hangs
        from the longest of the prefixes it was reached from, so that edges only get shorter."""
        if not piece.ids:
            raise ValueError("a node needs at least one token of its own")
        ids = (*self.prefix(parent), *piece.ids)
        node_id = digest("node", self.question.prompt_id, ids)
        known = self.known.get(node_id)
        if known is None:
            return self._append(parent, piece, node_id)
        if len(ids) - len(piece.ids) > self.start[known]:
            self._rehang(known, parent, piece)
        return known

    def _rehang(self, node: int, parent: int, piece: Piece) -> None:
        self.children[self.parent[node]].remove(node)
        self.children[parent].append(node)
        self.parent[node], self.piece[node], self.start[node] = parent, piece, len(self.prefix(parent))
        below = [node]
        for step in below:
            self.depth[step] = self.depth[self.parent[step]] + 1
            below += self.children[step]

    def _append(self, parent: int, piece: Piece, node_id: str) -> int:
        node = len(self.parent)
        self.parent.append(parent)
        self.children.append([])
        self.depth.append(self.depth[parent] + 1 if parent >= 0 else 0)
        self.start.append(self.start[parent] + len(self.piece[parent].ids) if parent >= 0 else 0)
        self.piece.append(piece)
        self.node_id.append(node_id)
        self.counts.append({})
        columns: tuple[tuple[list[Any], Any], ...] = (
            (self.visits, 0),
            (self.total, None),
            (self.value, None),
            (self.prior, None),
            (self.terminal, False),
            (self.verdict, None),
            (self.answer, None),
            (self.finish, None),
            (self.reason, None),
            (self.tokens, 0),
            (self.seconds, 0.0),
        )
        for column, empty in columns:
            column.append(empty)
        self.known[node_id] = node
        if parent >= 0:
            self.children[parent].append(node)
        return node

    def path(self, node: int) -> list[int]:
        """The nodes from the root to `node`, both included."""
        found = [node]
        while self.parent[found[-1]] >= 0:
            found.append(self.parent[found[-1]])
        return found[::-1]

    def prefix(self, node: int) -> tuple[int, ...]:
        """The token ids of the solution so far."""
        return tuple(i for step in self.path(node) for i in self.piece[step].ids)

    def text(self, node: int) -> str:
        """The text of the solution so far."""
        return "".join(self.piece[step].text for step in self.path(node))

    def count(self, node: int, role: str) -> Count:
        """The rollouts of `role` from `node`, to be added to."""
        return self.counts[node].setdefault(role, Count())

    def finish_with(self, node: int, verdict: Outcome, answer: str | None, finish: str, reason: str | None = None) -> None:
        """Say that the solution ends at `node`. An end that was found and can carry a label stays as it is."""
        if self.terminal[node] and self.reason[node] is None:
            return
        self.terminal[node], self.verdict[node], self.answer[node] = True, verdict, answer
        self.finish[node], self.reason[node] = finish, reason

    def back_up(self, node: int, value: float) -> None:
        """Add `value` to every node from `node` up to the root: visits + 1, total + value (Q = total / visits)."""
        for step in self.path(node):
            self.visits[step] += 1
            self.total[step] = (self.total[step] or 0.0) + value

    def q(self, node: int) -> float | None:
        """Q: the mean of what was backed up through `node`, if anything was."""
        total = self.total[node]
        return None if total is None else total / self.visits[node]

    def rows(self, method: str, model: str, completer: str) -> Iterator[dict[str, Any]]:
        """One row of `steps` per node; the columns n, correct and unparsed are the rollouts of the role `completer`."""
        for node in range(len(self)):
            mine, piece, parent = self.counts[node].get(completer, Count()), self.piece[node], self.parent[node]
            yield {
                "prompt_id": self.question.prompt_id,
                "node_id": self.node_id[node],
                "parent_id": self.node_id[parent] if parent >= 0 else None,
                "depth": self.depth[node],
                "start": self.start[node],
                "text": piece.text,
                "token_ids": piece.ids,
                "tokenizer": self.tokenizer,
                "cuts": [{"token": c.token, "char": c.char} for c in piece.cuts],
                "n": mine.n,
                "correct": mine.correct,
                "unparsed": mine.unparsed,
                "provers": [
                    {"role": role, "n": c.n, "correct": c.correct, "unparsed": c.unparsed}
                    for role, c in sorted(self.counts[node].items())
                    if role != completer and c.n
                ],
                "visits": self.visits[node],
                "value": self.value[node],
                "q": self.q(node),
                "prior": self.prior[node],
                "terminal": self.terminal[node],
                "finish_reason": self.finish[node],
                "answer": self.answer[node],
                "verdict": self.verdict[node],
                "low_trust": mine.n > 0 and mine.unparsed > LOW_TRUST * mine.n,
                "reason": self.reason[node],
                "method": method,
                "model": model,
                "tokens": self.tokens[node],
                "seconds": self.seconds[node],
            }


def joined(pieces: Sequence[Piece]) -> Piece:
    """Pieces that follow each other, as one."""
    ids: list[int] = []
    text, cuts = "", list[Cut]()
    for piece in pieces:
        cuts += [Cut(c.token + len(ids), c.char + len(text)) for c in piece.cuts]
        ids += piece.ids
        text += piece.text
    return Piece(tuple(ids), text, tuple(cuts))
