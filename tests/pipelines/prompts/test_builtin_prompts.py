"""The built-in prompts are many, varied, and fit to be answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from pairwright.errors import PairwrightError
from pairwright.pipelines.prompts.builtin import Builtin
from pairwright.pipelines.prompts.sources import read_prompts

HERE = Path()
KINDS = [
    *("explaining", "writing", "rewriting", "summarising", "brainstorming", "planning", "advice", "coding", "debugging", "sql"),
    *("data-analysis", "word-problem", "logic", "science", "history", "translation", "role-play", "format", "opinion"),
    *("care", "ambiguous"),
]


def test_there_are_at_least_120_and_no_two_are_equal() -> None:
    found = read_prompts(Builtin(), HERE)
    assert len(found.prompts) == found.account.rows_in >= 120
    assert found.account.dropped == {}


def test_every_one_ends_with_a_user_turn_that_says_something() -> None:
    for prompt in read_prompts(Builtin(), HERE).prompts:
        assert prompt.messages[-1].role == "user" and prompt.messages[-1].content.strip()
        assert prompt.source == "builtin" and len(prompt.tags) >= 2


def test_ten_or_more_are_conversations_in_which_speakers_take_turns() -> None:
    long = read_prompts(Builtin(tags=("multi-turn",)), HERE).prompts
    assert len(long) >= 10
    for prompt in long:
        roles = [turn.role for turn in prompt.messages]
        assert roles == [("user", "assistant")[i % 2] for i in range(len(roles))] and len(roles) >= 3


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_there_more_than_twice(kind: str) -> None:
    assert len(read_prompts(Builtin(tags=(kind,)), HERE).prompts) > 2


def test_tags_choose_prompts_that_have_any_of_them() -> None:
    found = read_prompts(Builtin(tags=("sql", "logic")), HERE).prompts
    assert found and all({"sql", "logic"} & set(p.tags) for p in found)
    assert {tag for p in found for tag in p.tags} >= {"sql", "logic"}


def test_an_unknown_tag_is_named_with_the_one_that_may_be_meant() -> None:
    with pytest.raises(PairwrightError, match=r"'maths' \(is 'math' meant\?\)"):
        read_prompts(Builtin(tags=("maths",)), HERE)
