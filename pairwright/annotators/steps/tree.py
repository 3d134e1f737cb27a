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
MIDDLE = 0.5  # what counts for a value that is not known: 0 on the scale from -1 to 1


@dataclass(frozen=True, slots=True)
class Question:
    """What a tree is about."""

    prompt_id: str
    prompt: Conversation
    reference: str | None

    @property
    def id(self) -> str:
        """Depends on everything verdicts do: another reference makes another question, whose tree is another."""
        return digest("question", self.prompt_id, self.reference)


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

    def begins(self, other: Piece) -> bool:
        """Are its ids the first of the other's, which has more?"""
        return len(self.ids) < len(other.ids) and other.ids[: len(self.ids)] == self.ids

    def after(self, first: Piece) -> Piece:
        """What follows `first`, with which it begins. Where that ends within a step, the rest is a step of its own, unless it is
        blank: then it joins the next one."""
        token, char = len(first.ids), next((c.char for c in self.cuts if c.token == len(first.ids)), len(first.text))
        cuts = [Cut(c.token - token, c.char - char) for c in self.cuts if c.token > token]
        text = self.text[char:]
        if len(cuts) > 1 and not text[: cuts[0].char].strip():
            del cuts[0]
        return Piece(self.ids[token:], text, tuple(cuts))


@dataclass(slots=True)
class Count:
    """Rollouts from one prefix: how many, how many right, how many without an answer that could be compared, and how many of
    those because the verifier failed."""

    n: int = 0
    correct: int = 0
    unparsed: int = 0
    failed: int = 0

    @property
    def rate(self) -> float:
        """MC(s) = c(s) / n(s). Ask only where n > 0."""
        return self.correct / self.n

    @property
    def low_trust(self) -> bool:
        """Too much could not be compared: more than a small share, or what may have been the only right one."""
        return self.unparsed > LOW_TRUST * self.n or (self.failed > 0 and self.correct == 0)

    def add(self, outcomes: Iterable[Outcome], failed: int = 0) -> None:
        """Count these rollouts; an unparsed one is no right one. `failed`: at how many of them the verifier failed."""
        self.failed += failed
        for outcome in outcomes:
            self.n += 1
            self.correct += outcome == "right"
            self.unparsed += outcome == "unparsed"


@dataclass(slots=True)
class Tree:
    """One question's nodes: node i is entry i of every column; node 0 is the question itself, without a step.

    A prefix that was gone on from is one node, above everything that begins with its ids. A node that is only the end of a
    solution is above nothing: where it is the beginning of something, it did not end.

    `visits`, `total`, `value`, `prior` belong to the search: how often a node was selected, the sum of values backed up through
    it (None: none that tells anything was), its own value, and the mean log-probability (nats per token) with which it was
    proposed. Values are in [0, 1] except where a search's docstring says otherwise. `reason` says why a node carries no label.
    """

    question: Question
    tokenizer: str | None = None
    parent: list[int] = field(default_factory=list)
    children: list[list[int]] = field(default_factory=list)
    depth: list[int] = field(default_factory=list)
    start: list[int] = field(default_factory=list)
    piece: list[Piece] = field(default_factory=list)
    node_id: list[str] = field(default_factory=list)
    inner: list[bool] = field(default_factory=list)  # was it gone on from?
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
        self.inner[self._append(-1, Piece((), "", ()), digest("node", self.question.id, ()))] = True

    def __len__(self) -> int:
        return len(self.parent)

    def add(self, parent: int, piece: Piece, end: bool = False) -> int:
        """The node of `parent`'s prefix continued by `piece`. An equal prefix is the same node, however it was reached. It hangs
        from the longest prefix that was gone on from; `piece` is shortened to that, and so is what begins with the new node.
        `end`: it is not gone on from, a solution ends here."""
        if not piece.ids:
            raise ValueError("a node needs at least one token of its own")
        self._go_on_from(parent)
        while nearer := [c for c in self.children[parent] if self.inner[c] and self.piece[c].begins(piece)]:
            parent, piece = nearer[0], piece.after(self.piece[nearer[0]])
        node_id = digest("node", self.question.id, (*self.prefix(parent), *piece.ids))
        node = self.known.get(node_id)
        if node is None:
            node = self._append(parent, piece, node_id)
        if not end:
            self._go_on_from(node)
        return node

    def _go_on_from(self, node: int) -> None:
        """From now on `node` is above everything that begins with it."""
        if not self.inner[node]:
            self.inner[node] = True
            for other in [c for c in self.children[self.parent[node]] if self.piece[node].begins(self.piece[c])]:
                self._hang(other, node)

    def _hang(self, node: int, parent: int) -> None:
        """Put `node` below `parent`, which is now the nearest prefix."""
        self.children[self.parent[node]].remove(node)
        self.children[parent].append(node)
        self.parent[node], self.piece[node] = parent, self.piece[node].after(self.piece[parent])
        self.start[node] = self.start[parent] + len(self.piece[parent].ids)
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
            (self.inner, False),
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
        """Say that the solution ends at `node`. One that was cut by the length limit (finish "length") always has a reason. An
        end that was found and can carry a label stays as it is."""
        if self.terminal[node] and self.reason[node] is None:
            return
        self.terminal[node], self.verdict[node], self.answer[node] = True, verdict, answer
        self.finish[node], self.reason[node] = finish, reason or ("cut" if finish == "length" else None)

    def end_value(self, node: int) -> float | None:
        """What a solution that ends with `node` is worth: 1 if right, 0 if wrong; None if that cannot be said, or none does."""
        return float(self.verdict[node] == "right") if self.terminal[node] and self.reason[node] is None else None

    def back_up(self, node: int, value: float | None) -> None:
        """Add `value` to every node from `node` up to the root: visits + 1, total + value (Q = total / visits). None, a value
        that is not known, counts as `MIDDLE` where others are; alone it tells nothing."""
        for step in self.path(node):
            if value is not None and self.total[step] is None:
                self.total[step] = MIDDLE * self.visits[step]
            self.visits[step] += 1
            if (total := self.total[step]) is not None:
                self.total[step] = total + (MIDDLE if value is None else value)

    def q(self, node: int) -> float | None:
        """Q: the mean of what was backed up through `node`, if anything that was known was."""
        total = self.total[node]
        return None if total is None else total / self.visits[node]

    def disputed(self, role: str) -> list[int]:
        """Ends that were gone on from too, with another outcome: wrong, though something right was reached from there; or right,
        though none of the rollouts of `role` from there was. No label of such a prefix agrees with all solutions through it."""
        counts = {n: c for n in range(len(self)) if (c := self.counts[n].get(role)) and c.n and not c.low_trust}
        good = {n for n, c in counts.items() if c.correct}
        right = good | {n for n in range(len(self)) if self.verdict[n] == "right"}
        reached = good | {above for n in right for above in self.path(n)[:-1]}
        contrary = {"wrong": reached, "right": counts.keys() - good}
        ends = [n for n in range(len(self)) if self.terminal[n] and self.reason[n] is None and self.children[n]]
        return [n for n in ends if n in contrary[str(self.verdict[n])]]

    def rows(self, method: str, model: str, completer: str) -> Iterator[dict[str, Any]]:
        """One row of `steps` per node; the columns n, correct and unparsed are the rollouts of the role `completer`."""
        for node in range(len(self)):
            mine, piece, parent = self.counts[node].get(completer, Count()), self.piece[node], self.parent[node]
            yield {
                "prompt_id": self.question.prompt_id,
                "question_id": self.question.id,
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
                "low_trust": mine.low_trust,
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
