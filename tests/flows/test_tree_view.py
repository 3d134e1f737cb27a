from __future__ import annotations

import io
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from pairwright.annotators.steps.segment import Cut
from pairwright.annotators.steps.tree import ROOT, Count, Piece, Question, Tree
from pairwright.engines.requests import turns
from pairwright.flows.tree_view import draw, legend, lines, located
from pairwright.pipelines.step_labels.first_error import Hard
from pairwright.pipelines.step_labels.log import StepLog, read_logs

QUESTION = "How many pencils are left?"


class Growing:
    """A tree whose tokens are invented; every step is a text."""

    def __init__(self, root: Count | None = None) -> None:
        self.tree, self.ids = Tree(Question("p", turns(QUESTION), "20")), itertools.count()
        if root is not None:
            self.tree.counts[ROOT]["policy"] = root

    def add(self, parent: int, *steps: str, count: Count | None = None, end: str | None = None, answer: str | None = None) -> int:
        ends = list(itertools.accumulate(len(step) for step in steps))
        cuts = tuple(Cut(i, char) for i, char in enumerate(ends, 1))
        node = self.tree.add(parent, Piece(tuple(next(self.ids) for _ in steps), "".join(steps), cuts))
        if count is not None:
            self.tree.counts[node]["policy"] = count
        if end is not None:
            self.tree.finish_with(node, end, answer, "stop")
        return node

    def log(self) -> StepLog:
        (log,) = read_logs(self.tree.rows("omega_prm", "tiny", "policy"))
        return log


@pytest.fixture
def pencils() -> Growing:
    """Two good steps; then one side goes wrong and the other one ends rightly."""
    g = Growing(Count(8, 5))
    boxes = g.add(ROOT, "Three boxes hold 36.\n\n", count=Count(8, 6))
    all_ = g.add(boxes, "With the loose ones\nthat is 40.\n\n", count=Count(8, 2, 1))
    wrong = g.add(all_, "Half of 40 is 25.\n\n", count=Count(8, 0))
    g.add(wrong, "So 25 go.\n\n", "The answer is 25.", end="wrong", answer="25")
    right = g.add(all_, "Half of 40 is 20.\n\n", count=Count(8, 7))
    g.add(right, "The answer is 20.", end="right", answer="20")
    return g


def test_a_tree_reads_like_this(pencils):
    assert lines(pencils.log(), QUESTION) == [
        "How many pencils are left?",
        "5/8  omega_prm tiny",
        "└── 6/8  Three boxes hold 36.",
        "    2/8 ?1  With the loose ones that is 40.",
        "    ├── 0/8  first error  Half of 40 is 25.",
        "    │   wrong: 25  (2 steps) So 25 go. The answer is 25.",
        "    └── 7/8  Half of 40 is 20.",
        "        right: 20  The answer is 20.",
    ]


def test_signs_are_explained_only_where_they_are_used(pencils):
    assert legend(pencils.log()) == "c/n: right rollouts of all from here, ?k: k of them without an answer"
    pencils.tree.back_up(3, 0.5)
    pencils.tree.value[3] = 0.25
    assert "  N 1  Q 0.50  V 0.25  first error" in "\n".join(lines(pencils.log(), QUESTION))
    assert legend(pencils.log()).endswith("N: visits, Q: mean backed-up value, V: value")


def test_reasons_and_other_provers_are_shown(pencils):
    pencils.tree.reason[ROOT] = "budget_rollouts"
    pencils.tree.counts[1]["weak"] = Count(4, 1)
    pencils.tree.finish_with(pencils.add(ROOT, "Well, let me"), "unparsed", None, "length", "cut")
    shown = "\n".join(lines(pencils.log(), QUESTION))
    assert "stopped or set aside: budget_rollouts" in shown
    assert "6/8  weak 1/4  Three boxes" in shown
    assert "unparsed  cut  Well, let me" in shown


def test_counts_have_the_colour_of_what_they_say(pencils):
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system="standard", legacy_windows=False)
    console.print(draw(pencils.log(), QUESTION))
    shown = console.file.getvalue()
    green, yellow, red = "\x1b[1;32m", "\x1b[1;33m", "\x1b[1;31m"
    assert all(part in shown for part in (f"{green}6/8", f"{yellow}2/8", f"{red}0/8", f"{green}right: 20", f"{red}wrong: 25"))


def test_an_error_is_located_where_a_single_step_loses_a_good_prefix():
    g = Growing(Count(8, 4))
    good = g.add(ROOT, "good", count=Count(8, 4))
    single = g.add(good, "bad", count=Count(8, 0))
    after = g.add(single, "worse", count=Count(8, 0))
    several = g.add(good, "fine", "bad", count=Count(8, 0))
    silent = g.add(good, "unknown")
    late = g.add(silent, "bad by now", count=Count(8, 0))
    at_once = g.add(ROOT, "bad from the start", count=Count(8, 0))
    last = g.add(good, "the end", end="wrong", answer="1")
    g.add(silent, "some end", end="wrong", answer="1")
    names = {g.tree.node_id[node]: node for node in range(len(g.tree))}
    assert after not in {names[i] for i in located(g.log())}
    assert {names[i]: mark for i, mark in located(g.log()).items()} == {
        single: "first error",
        several: "error in here",
        late: "error by here",
        at_once: "first error",
        last: "first error",
    }


def test_what_cannot_be_trusted_locates_nothing():
    g = Growing(Count(8, 4))
    g.add(ROOT, "hardly any answer", count=Count(8, 0, 5))
    ended = g.add(ROOT, "stopped", end="wrong", answer="1")
    g.tree.reason[ended] = "budget_tokens"
    assert located(g.log()) == {}
    assert "low trust" in "\n".join(lines(g.log(), QUESTION))


@pytest.mark.parametrize("said", ["[red]loud[/red]", "[/]", "[link=http://x]y[/link]", ":smile: 3 [1]"])
def test_markup_in_texts_is_text(said):
    g = Growing()
    g.add(ROOT, said, end="right", answer=said)
    head, *_, line = lines(g.log(), said)
    assert head == said
    assert line == f"└── right: {said[:20]}  {said}"


def test_no_text_can_move_the_cursor_or_change_the_colours():
    g = Growing()
    g.add(ROOT, "a\x1b[2Jb\x07c\u202ed\r\n\te", end="wrong", answer="\x1b[31m")
    assert lines(g.log(), "q\x1b[0m")[0] == "q\ufffd[0m"
    assert lines(g.log(), "q")[-1] == "└── wrong: \ufffd[31m  first error  a\ufffd[2Jb\ufffdc\ufffdd e"


def bushy(depth: int) -> Growing:
    """A path of `depth` nodes with a dead sibling beside each: every level branches."""
    g, node = Growing(Count(8, 4)), ROOT
    for level in range(depth):
        g.add(node, f"dead end {level}", count=Count(8, 0))
        node = g.add(node, f"level {level} " * 9, count=Count(8, 4))
    g.add(node, "The answer is 20.", end="right", answer="20")
    return g


def test_a_long_chain_is_not_indented():
    g, node = Growing(), ROOT
    for i in range(30):
        node = g.add(node, f"step {i}")
    shown = lines(g.log(), QUESTION)
    assert shown[-1] == "    step 29" and len(shown) == 2 + 30


@pytest.mark.parametrize("width", [60, 80, 120])
def test_lines_fit_and_keep_room_to_be_read(width):
    shown = lines(bushy(40).log(), "a very long question " * 20, width, max_nodes=1000)
    assert max(cell_len(line) for line in shown) == width
    assert max(len(line) - len(line.lstrip("│├└─ ")) for line in shown) <= width - 40 + 4
    levels = (width - 40) // 4
    assert f"... {81 - 2 * levels} more nodes: 1 right" in next(line for line in shown if "..." in line)


def test_what_is_too_deep_is_folded_into_a_count_that_says_how_it_ends(pencils):
    assert lines(pencils.log(), QUESTION, depth=2)[2:] == [
        "└── 6/8  Three boxes hold 36.",
        "    2/8 ?1  With the loose ones that is 40.",
        "    └── ... 4 more nodes: 1 right, 1 wrong, 1 first error",
    ]


def test_of_many_nodes_whole_solutions_come_first_the_located_one_before_all(pencils):
    for i in range(50):
        pencils.add(ROOT, f"guess {i}", count=Count(8, 3))
    shown = lines(pencils.log(), QUESTION, max_nodes=5)
    assert shown[2:] == [
        "├── 6/8  Three boxes hold 36.",
        "│   2/8 ?1  With the loose ones that is 40.",
        "│   ├── 0/8  first error  Half of 40 is 25.",
        "│   │   wrong: 25  (2 steps) So 25 go. The answer is 25.",
        "│   └── 7/8  Half of 40 is 20.",
        "│       └── ... 1 more node: 1 right",
        "└── ... 50 more nodes",
    ]


def test_a_question_that_was_set_aside_is_one_root():
    g = Growing(Count(8, 8))
    g.tree.reason[ROOT] = "all_right"
    assert lines(g.log(), QUESTION) == [QUESTION, "8/8  omega_prm tiny  stopped or set aside: all_right"]


@st.composite
def grown(draw_):
    g = Growing(Count(4, 2))
    for parent in draw_(st.lists(st.integers(0, 100), max_size=30)):
        parents = [i for i in range(len(g.tree)) if not g.tree.terminal[i]]
        n, correct, unparsed = draw_(st.tuples(st.sampled_from([0, 4]), st.sampled_from([0, 0, 2]), st.integers(0, 2)))
        end = draw_(st.sampled_from([None, None, None, "right", "wrong", "unparsed"]))
        count = None if end or not n else Count(n, correct, unparsed)
        steps = ["x" * draw_(st.integers(1, 90)) for _ in range(draw_(st.integers(1, 2)))]
        g.add(parents[parent % len(parents)], *steps, count=count, end=end)
    return g


@given(grown())
def test_the_first_error_of_a_solution_is_marked_where_the_labels_say_it_is(g):
    log = g.log()
    marks, hard = located(log), Hard(log)
    for solution in log.solutions():
        found = hard.first_error(solution)
        marked = [node for node in solution.nodes if marks.get(node.node_id) == "first error"]
        if found.index is not None:
            assert marked == [solution.places()[found.index].node]
        elif found.reason is None or found.reason == "not_located":
            assert not marked


@given(grown(), st.integers(40, 100), st.none() | st.integers(1, 6), st.integers(0, 40))
def test_every_node_is_drawn_or_counted(g, width, depth, max_nodes):
    shown = lines(g.log(), "q", width, depth, max_nodes)[2:]
    counts = [line for line in shown if "... " in line]
    assert all(cell_len(line) <= width for line in shown)
    assert len(shown) - len(counts) <= max_nodes
    told = sum(int(line.partition("... ")[2].split()[0]) for line in counts)
    assert told + len(shown) - len(counts) == len(g.tree) - 1
