from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.annotators.judges.reading import Unread
from pairwright.annotators.judges.reading_checklist import LEAST, MOST, distinct, items_in, yes_in

RED, BLUE = "Does the poem mention the colour red?", "Is the poem at most 8 lines long?"


@pytest.mark.parametrize(
    "text",
    [
        f"It asks for a poem.\n<checklist>\n{RED}\n{BLUE}\n</checklist>",
        f"<checklist>\n1. {RED}\n2) {BLUE}\n</checklist>",
        f"<checklist>\n- **{RED}**\n- {BLUE}\n</checklist>",
        f'<checklist>["{RED}", "{BLUE}"]</checklist>',
        f'```json\n[\n  "{RED}",\n  "{BLUE}"\n]\n```',
        f"Questions:\n\n1. {RED}\n2. {BLUE}",
        f"<checklist>\nIs this a draft?\nOr not?\n</checklist>\nBetter:\n<checklist>\n{RED}\n{BLUE}\n</checklist>",
        f"<checklist>\nHere they are:\n{RED}\nWhat is the colour?\n{BLUE}\nThat is all.\n</checklist>",
    ],
)
def test_questions_are_read_from_lines_and_from_json(text):
    assert items_in(text) == (RED, BLUE)


@pytest.mark.parametrize(
    "text", ["", "A poem about red.", f"<checklist>\n{RED}\n</checklist>", f"<checklist>\n{RED}\n{RED}\n</checklist>", "[1, 2"]
)
def test_fewer_than_two_different_questions_are_no_checklist(text):
    assert items_in(text) == Unread("no_checklist" if text else "empty_answer")


def test_a_long_checklist_is_cut_to_its_first_questions():
    questions = [f"Is condition {n} of the task met?" for n in range(20)]
    assert items_in("\n".join(questions)) == tuple(questions[:MOST])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Does the response name three colours?", "Does the answer name three colours?", True),
        ("Is the answer written in a formal tone?", "Is a formal tone written in the answer?", True),
        ("Does it mention apples?", "Does it mention pears?", False),
        ("Does it have at least 5 sentences?", "Does it have at least 6 sentences?", False),
        ("Does the poem have three lines?", "Does the poem have four lines?", False),
        ("Does the summary of the story name the hero?", "Does the summary of the story not name the hero?", False),
    ],
)
def test_only_questions_that_ask_the_same_are_merged(one, other, same):
    assert distinct([one, other]) == ((one,) if same else (one, other))


@given(st.lists(st.sampled_from([RED, BLUE, "Is it in French?", RED.upper(), "Is the tone warm?"]), max_size=9))
def test_merging_twice_merges_no_more(items):
    assert distinct(distinct(items)) == distinct(items)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It names red.\n<answer>Yes</answer>", True),
        ("<answer> **no**. </answer>", False),
        ("Yes.", True),
        ("Yes, it does name red.", Unread("no_verdict")),
        ("<answer>yes</answer> or rather <answer>no</answer>", Unread("two_verdicts")),
        ("<answer>Yes or no</answer>", Unread("no_verdict")),
        ("<answer>", Unread("no_verdict")),
        ("I cannot help with that.", Unread("refused")),
    ],
)
def test_a_reply_is_yes_or_no_or_has_a_reason(text, found):
    assert yes_in(text) == found


@given(st.text("<>/answercheklist? \n[]\"'.YesNo1-"))
def test_no_text_is_an_exception(text):
    items = items_in(text)
    assert isinstance(items, Unread) or LEAST <= len(items) <= MOST
    assert yes_in(text) in (True, False) or isinstance(yes_in(text), Unread)
