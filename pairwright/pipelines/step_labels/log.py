"""One question's part of the search log, read back: nodes, paths, and the solutions that can be labelled."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class Node:
    """A row of `steps`, without its cost."""

    node_id: str
    parent_id: str | None
    text: str
    token_ids: tuple[int, ...]
    cuts: tuple[tuple[int, int], ...]  # (token, char) at which each of its steps ends
    n: int
    correct: int
    unparsed: int
    provers: Mapping[str, tuple[int, int, int]]  # role -> n, correct, unparsed
    visits: int
    value: float | None
    q: float | None
    prior: float | None
    terminal: bool
    answer: str | None
    verdict: str | None
    low_trust: bool
    reason: str | None

    @property
    def rate(self) -> float | None:
        """MC: the share of right rollouts; of a terminal node, what it came to. None: never rolled out from."""
        if self.terminal:
            return None if self.verdict == "unparsed" else float(self.verdict == "right")
        return self.correct / self.n if self.n else None

    @property
    def estimate(self) -> float | None:
        """MC by rollouts alone, in [0, 1]. None: never rolled out from, or too many of them could not be compared."""
        return self.correct / self.n if self.n and not self.low_trust else None

    def step_texts(self) -> list[str]:
        """The text of each of its steps."""
        begins = [0, *(char for _, char in self.cuts)]
        return [self.text[a:b] for a, b in itertools.pairwise(begins)]

    def step_ids(self) -> list[tuple[int, ...]]:
        """The token ids of each of its steps."""
        begins = [0, *(token for token, _ in self.cuts)]
        return [self.token_ids[a:b] for a, b in itertools.pairwise(begins)]


class Place(NamedTuple):
    """A step of a solution: one of those of `node`. `last`: the node's prefix ends with it."""

    node: Node
    last: bool


@dataclass(frozen=True, slots=True)
class Solution:
    """A path from the question to a terminal node: `nodes` without the root, in order."""

    nodes: tuple[Node, ...]

    @property
    def leaf(self) -> Node:
        """Where it ends."""
        return self.nodes[-1]

    def step_texts(self) -> list[str]:
        """The text of every step."""
        return [text for node in self.nodes for text in node.step_texts()]

    def step_ids(self) -> list[tuple[int, ...]]:
        """The token ids of every step."""
        return [ids for node in self.nodes for ids in node.step_ids()]

    def places(self) -> list[Place]:
        """Where in the tree every step is."""
        return [Place(node, i == len(node.cuts) - 1) for node in self.nodes for i in range(len(node.cuts))]

    def at_steps(self, inner: Callable[[Node], float | None]) -> list[float | None]:
        """A number for every step: that of the prefix which ends with it, so None within a piece of several steps. The solution's
        end has its verdict, 1 or 0."""
        *steps, _ = [inner(place.node) if place.last else None for place in self.places()]
        return [*steps, None if self.leaf.verdict == "unparsed" else float(self.leaf.verdict == "right")]


@dataclass(frozen=True)
class StepLog:
    """One question's tree."""

    prompt_id: str
    nodes: Mapping[str, Node]
    root: Node
    tokenizer: str | None = None
    model: str = ""
    method: str = ""

    @cached_property
    def children(self) -> Mapping[str, list[Node]]:
        """node_id -> its children, in the order they were made."""
        found: dict[str, list[Node]] = {node_id: [] for node_id in self.nodes}
        for node in self.nodes.values():
            if node.parent_id is not None:
                found[node.parent_id].append(node)
        return found

    @cached_property
    def right(self) -> set[str]:
        """The ids of all nodes on a path that ended right."""
        return self.with_ancestors(node for node in self.nodes.values() if node.verdict == "right")

    def path(self, node: Node) -> tuple[Node, ...]:
        """The nodes from below the root to `node`."""
        found = []
        while node.parent_id is not None:
            found.append(node)
            node = self.nodes[node.parent_id]
        return tuple(reversed(found))

    def with_ancestors(self, nodes: Iterable[Node]) -> set[str]:
        """The ids of `nodes` and of everything above them."""
        found = set[str]()
        for node in nodes:
            while node.node_id not in found:
                found.add(node.node_id)
                node = node if node.parent_id is None else self.nodes[node.parent_id]
        return found

    def solutions(self) -> Iterator[Solution]:
        """Every path to a terminal node, in the order the ends were made."""
        for node in self.nodes.values():
            if node.terminal and node.parent_id is not None:
                yield Solution(self.path(node))


def read_logs(rows: Iterable[Mapping[str, Any]]) -> Iterator[StepLog]:
    """The trees in `rows` of `steps`; the rows of a question follow each other, its root first."""
    question: list[Mapping[str, Any]] = []
    for row in rows:
        if question and row["prompt_id"] != question[0]["prompt_id"]:
            yield _log(question)
            question = []
        question.append(row)
    if question:
        yield _log(question)


def _log(rows: list[Mapping[str, Any]]) -> StepLog:
    nodes = {row["node_id"]: _node(row) for row in rows}
    root = next(node for node in nodes.values() if node.parent_id is None)
    tokenizer = next((row["tokenizer"] for row in rows if row["tokenizer"] is not None), None)
    return StepLog(rows[0]["prompt_id"], nodes, root, tokenizer, rows[0]["model"], rows[0]["method"])


def _node(row: Mapping[str, Any]) -> Node:
    return Node(
        row["node_id"],
        row["parent_id"],
        row["text"],
        tuple(row["token_ids"]),
        tuple((cut["token"], cut["char"]) for cut in row["cuts"]),
        row["n"],
        row["correct"],
        row["unparsed"],
        {p["role"]: (p["n"], p["correct"], p["unparsed"]) for p in row["provers"] or ()},
        row["visits"],
        row["value"],
        row["q"],
        row["prior"],
        row["terminal"],
        row["answer"],
        row["verdict"],
        row["low_trust"],
        row["reason"],
    )
