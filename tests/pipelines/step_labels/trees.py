"""Trees written down by hand, stored and read back as a build would. One token id a character; `|` ends a step within a piece."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from pairwright.annotators.steps.segment import Cut
from pairwright.annotators.steps.tree import ROOT, Count, Piece, Question, Tree
from pairwright.engines.requests import turns
from pairwright.pipelines.step_labels.log import Node, StepLog, read_logs
from pairwright.storage.schemas import STEPS


@dataclass
class Sketch:
    """A node to be: its text, what follows it, and what is known of it."""

    text: str
    below: tuple[Sketch, ...] = ()
    about: dict[str, Any] = field(default_factory=dict)


def s(text: str, *below: Sketch, **about: Any) -> Sketch:
    """About: mc=(correct, n), unparsed, end=right|wrong|unparsed, reason, q, visits, value, provers={role: (correct, n)}."""
    return Sketch(text, below, about)


def tree(*below: Sketch, method: str = "monte_carlo", **about: Any) -> StepLog:
    """The log of a question with these first steps; `about` the question itself."""
    made = Tree(Question("q", turns("2 + 3 * 4?"), "14"), "letters")
    _fill(made, ROOT, Sketch("", below, about))
    table = pa.Table.from_pylist(list(made.rows(method, "solver", "policy")), schema=STEPS)
    (log,) = read_logs(table.to_pylist())
    return log


def chain(*texts: str, mc: list[tuple[int, int] | None], end: str, **leaf: Any) -> Sketch:
    """A solution of one step a node; `mc` of all but the last."""
    made = s(texts[-1], end=end, **leaf)
    for text, counts in zip(texts[-2::-1], mc[::-1], strict=True):
        made = s(text, made, **({} if counts is None else {"mc": counts}))
    return made


def piece(text: str) -> Piece:
    """Steps between bars."""
    cuts, whole = list[Cut](), ""
    for part in text.split("|"):
        whole += part
        cuts.append(Cut(len(whole), len(whole)))
    return Piece(tuple(map(ord, whole)), whole, tuple(cuts))


def at(log: StepLog, text: str) -> Node:
    """The node whose prefix spells `text`."""
    return next(n for n in log.nodes.values() if "".join(x.text for x in log.path(n)) == text)


def _fill(made: Tree, node: int, sketch: Sketch) -> None:
    about = sketch.about
    if "mc" in about:
        correct, n = about["mc"]
        made.counts[node]["policy"] = Count(n, correct, about.get("unparsed", 0))
    for role, (correct, n) in about.get("provers", {}).items():
        made.counts[node][role] = Count(n, correct, about.get("unparsed", 0))
    made.visits[node] = about.get("visits", 1 if "q" in about else 0)
    made.total[node] = about["q"] * made.visits[node] if "q" in about else None
    made.value[node], made.reason[node] = about.get("value"), about.get("reason")
    if "end" in about:
        made.finish_with(node, about["end"], "14" if about["end"] == "right" else "15", "stop", about.get("reason"))
    for child in sketch.below:
        _fill(made, made.add(node, piece(child.text)), child)


LETTERS = "abcdef"


@st.composite
def sketches(draw: st.DrawFn, depth: int = 4) -> tuple[Sketch, ...]:
    """Any children a node may have, none, some or many, estimated or not, ended or not."""
    firsts = draw(st.lists(st.sampled_from(LETTERS), unique=True, max_size=4 if depth else 0))
    made = []
    for first in firsts:
        about: dict[str, Any] = {}
        n = draw(st.sampled_from([0, 0, 4, 8]))
        if n:
            about["mc"] = (correct := draw(st.sampled_from([0, 1, 2, n])), n)
            about["unparsed"] = draw(st.sampled_from([0, 0, n - correct]))
        below = draw(sketches(depth - 1)) if draw(st.booleans()) else ()
        if not below or draw(st.integers(0, 9)) == 0:
            about["end"] = draw(st.sampled_from(["right", "wrong", "wrong", "unparsed"]))
            about["reason"] = (
                "no_answer" if about["end"] == "unparsed" else draw(st.sampled_from([None, None, None, "budget_tokens"]))
            )
        if draw(st.integers(0, 4)):
            about |= {"q": draw(st.floats(0, 1)), "visits": draw(st.integers(1, 5))}
        text = first + "".join(draw(st.sampled_from(["", "", "", "", "|x", "|x|y", "|  "])))
        made.append(Sketch(text, below, about))
    return tuple(made)


logs = st.builds(
    lambda below, method: tree(*below, method=method, q=0.5, mc=(2, 8)), sketches(), st.sampled_from(["monte_carlo", "puct"])
)
