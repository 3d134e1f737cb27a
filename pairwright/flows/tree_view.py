"""A question's search tree, drawn in a terminal: one line a node, and what nobody would read folded into a count.

Nodes that follow each other without a branch stand under each other without being indented, so that depth is paid for only where
the tree branches. When there are too many nodes, whole solutions are shown first: one whose first error was located, one that
is right, one that is wrong, and so on in turn; then what else is nearest to the question.
"""

from __future__ import annotations

import io
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Literal

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from pairwright.pipelines.step_labels.first_error import Hard
from pairwright.pipelines.step_labels.log import Node, StepLog

MAX_NODES = 60
INDENT, ROOM = 4, 40  # columns a level of branches takes, and what a line needs to be read
VERDICTS = {"right": "green", "wrong": "red", "unparsed": "magenta"}
LEGEND = {
    "c/n": "right rollouts of all from here",
    "?k": "k of them without an answer",
    "N": "visits",
    "Q": "mean backed-up value",
    "V": "value",
}
Mark = Literal["first error", "error in here", "error by here"]


@dataclass(frozen=True)
class Shown:
    """A log and which part of it is drawn."""

    log: StepLog
    nodes: frozenset[str]
    marks: dict[str, Mark]
    levels: int


def draw(log: StepLog, question: str, width: int = 80, depth: int | None = None, max_nodes: int = MAX_NODES) -> Tree:
    """The tree of one question for a terminal of `width` columns. `depth`: so many nodes below the question at most;
    `max_nodes`: so many in all."""
    marks = located(log)
    shown = Shown(log, _selected(log, marks, depth, max_nodes), marks, max(1, (width - ROOM) // INDENT))
    tree = Tree(_head(log, question), guide_style="dim")
    _grow(tree, shown, log.root, 1)
    return tree


def legend(log: StepLog) -> str:
    """What the short signs in this log's tree mean; only those that it uses."""
    nodes = log.nodes.values()
    used = {
        "c/n": any(n.n for n in nodes),
        "?k": any(n.unparsed for n in nodes),
        "N": any(n.visits for n in nodes),
        "Q": any(n.q is not None for n in nodes),
        "V": any(n.value is not None for n in nodes),
    }
    return ", ".join(f"{sign}: {meaning}" for sign, meaning in LEGEND.items() if used[sign])


def lines(log: StepLog, question: str, width: int = 80, depth: int | None = None, max_nodes: int = MAX_NODES) -> list[str]:
    """What `draw` looks like, without colours."""
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False, legacy_windows=False)
    with console.capture() as captured:
        console.print(draw(log, question, width, depth, max_nodes))
    return [line.rstrip() for line in captured.get().splitlines()]


def located(log: StepLog) -> dict[str, Mark]:
    """Where paths are lost for the first time, by the rules of hard labels (step_labels/first_error.py, threshold 0):
    `first error` if that is a single step after a good prefix, `error in here` if it may be any of several steps, `error by here`
    if nothing is known of the prefix. A solution whose first error those rules tell has it marked here."""
    good, marks = Hard(log).reached, dict[str, Mark]()
    waiting = deque((child, True) for child in log.children[log.root.node_id])
    while waiting:
        node, after_good = waiting.popleft()
        if not _lost(node):
            waiting.extend((child, node.node_id in good) for child in log.children[node.node_id])
        elif after_good:
            marks[node.node_id] = "first error" if len(node.cuts) == 1 or node.node_id in good else "error in here"
        elif not node.terminal:  # that a wrong end comes after an error goes without saying
            marks[node.node_id] = "error by here"
    return marks


def _lost(node: Node) -> bool:
    if node.terminal:
        return node.verdict == "wrong" and node.reason is None
    return node.estimate == 0 and node.reason is None


def _selected(log: StepLog, marks: dict[str, Mark], depth: int | None, max_nodes: int) -> frozenset[str]:
    """Which nodes to draw: whole paths first, the rest breadth first; a node's parent is always among them."""
    kinds: dict[str, list[Node]] = {"located": [], "right": [], "wrong": [], "unparsed": []}
    for solution in log.solutions():
        found = any(marks.get(node.node_id) == "first error" for node in solution.nodes)
        kinds["located" if found else solution.leaf.verdict or "unparsed"].append(solution.leaf)
    in_turn = (leaf for leaves in zip_longest(*kinds.values()) for leaf in leaves if leaf is not None)
    paths = (node for leaf in in_turn for node in log.path(leaf))
    chosen = dict[str, None]()
    for node, level in chain(((n, 0) for n in paths), _by_level(log)):
        if len(chosen) >= max_nodes:
            break
        if node.node_id not in chosen and (depth is None or (level or len(log.path(node))) <= depth):
            chosen[node.node_id] = None
    return frozenset(chosen)


def _by_level(log: StepLog) -> Iterator[tuple[Node, int]]:
    waiting = deque((child, 1) for child in log.children[log.root.node_id])
    while waiting:
        node, level = waiting.popleft()
        yield node, level
        waiting.extend((child, level + 1) for child in log.children[node.node_id])


def _grow(tree: Tree, shown: Shown, node: Node, level: int) -> None:
    """Add what is below `node`; `level`: how far it is indented."""
    below = shown.log.children[node.node_id]
    drawn = [child for child in below if child.node_id in shown.nodes and level <= shown.levels]
    for child in drawn:
        rows, last = [_line(child, shown)], child
        while len(after := shown.log.children[last.node_id]) == 1 and after[0].node_id in shown.nodes:
            last = after[0]
            rows.append(_line(last, shown))
        _grow(tree.add(_rows(rows)), shown, last, level + 1)
    folded = [child for child in below if child not in drawn]
    if folded:
        tree.add(_rows([_folded(shown, folded)]))


def _head(log: StepLog, question: str) -> Text:
    facts = [_counts(log.root), *_search_facts(log.root), Text(_plain(f"{log.method} {log.model}"), "dim")]
    if log.root.reason:
        facts.append(Text(f"stopped or set aside: {log.root.reason}", "magenta"))
    return _rows([Text(_plain(question), "bold"), _spaced(facts)])


def _line(node: Node, shown: Shown) -> Text:
    """Counts, what the search knows, how it ended, the first error, why it has no label; then the text of its steps."""
    facts = [_counts(node), *(Text(f"{role} {c}/{n}", "cyan") for role, (n, c, _) in node.provers.items()), *_search_facts(node)]
    if node.terminal:
        answer = f": {_plain(node.answer)[:20]}" if node.answer is not None else ""
        facts.append(Text(f"{node.verdict}{answer}", f"bold {VERDICTS.get(node.verdict or '', 'magenta')}"))
    mark = shown.marks.get(node.node_id)
    if mark is not None:
        facts.append(Text(mark, "bold reverse red" if mark == "first error" else "red"))
    facts += [Text(word, "magenta") for word in (node.low_trust and "low trust", node.reason) if word]
    return _spaced([*facts, Text(_steps(node))])


def _counts(node: Node) -> Text:
    if not node.n:
        return Text("")
    style = "red" if not node.correct else "green" if 2 * node.correct >= node.n else "yellow"
    counts = Text(f"{node.correct}/{node.n}", f"bold {style}")
    return counts.append(f" ?{node.unparsed}", "magenta") if node.unparsed else counts


def _search_facts(node: Node) -> list[Text]:
    numbers = {"N": node.visits or None, "Q": node.q, "V": node.value}
    return [
        Text(f"{sign} {value if isinstance(value, int) else f'{value:.2f}'}", "cyan")
        for sign, value in numbers.items()
        if value is not None
    ]


def _steps(node: Node) -> str:
    steps = node.step_texts()
    more = f"({len(steps)} steps) " if len(steps) > 1 else ""
    return more + _plain(node.text)


def _folded(shown: Shown, nodes: Iterable[Node]) -> Text:
    """How many nodes are not drawn, how they end, and whether an error is located among them."""
    count, ends, waiting = 0, Counter[str](), deque(nodes)
    while waiting:
        node = waiting.popleft()
        count += 1
        if node.terminal:
            ends[node.verdict or "unparsed"] += 1
        if shown.marks.get(node.node_id) == "first error":
            ends["first error"] += 1
        waiting.extend(shown.log.children[node.node_id])
    said = ", ".join(f"{ends[kind]} {kind}" for kind in (*VERDICTS, "first error") if ends[kind])
    return Text(f"... {count} more node{'s' if count > 1 else ''}{': ' if said else ''}{said}", "dim")


def _spaced(parts: Iterable[Text]) -> Text:
    return Text("  ").join(part for part in parts if part)


def _rows(rows: Iterable[Text]) -> Text:
    """Lines under each other, each cut to the terminal's width."""
    joined = Text("\n").join(rows)
    joined.no_wrap, joined.overflow = True, "ellipsis"
    return joined


def _plain(text: str) -> str:
    """One line without control characters, which could move the cursor or change the colours."""
    return "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))
