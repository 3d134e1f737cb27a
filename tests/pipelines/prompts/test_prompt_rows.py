"""One row gives one prompt, or says in a word and a sentence why it does not."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest

from pairwright.ids import digest
from pairwright.pipelines.prompts.rows import BadRow, Columns, nearest, read_row

USER = {"role": "user", "content": "Why?"}
ASSISTANT = {"role": "assistant", "content": "Because."}


def read(**row: Any) -> Any:
    return read_row(row, Columns(), "here")


def test_text_is_one_user_turn_and_the_id_depends_on_roles_and_contents_only() -> None:
    plain = read(prompt="Why?", reference="x", tags=["a"])
    assert plain == read(prompt="Why?", reference="x", tags="a")
    assert plain.prompt_id == read(messages=[USER]).prompt_id == read(prompt=[USER]).prompt_id
    assert plain.prompt_id == digest("prompt", [["user", "Why?"]])
    assert plain.prompt_id != read(prompt="Why? ").prompt_id


def test_a_prompt_goes_before_messages_and_messages_stand_in_for_a_null_prompt() -> None:
    assert read(prompt="First", messages=[USER]).messages[0].content == "First"
    assert read(prompt=None, messages=[USER]).messages[0].content == "Why?"


def test_a_conversation_keeps_its_turns() -> None:
    turns = read(messages=[{"role": "system", "content": ""}, USER, ASSISTANT, USER]).messages
    assert [turn.role for turn in turns] == ["system", "user", "assistant", "user"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("7/3", "7/3"),
        (7, "7"),
        (7.0, "7"),
        (7.5, "7.5"),
        (Decimal("7.50"), "7.5"),
        (Decimal("700"), "700"),
        (Decimal("12345678901234567890123456789012345.50"), "12345678901234567890123456789012345.5"),
        (2**60 + 1, str(2**60 + 1)),
        (None, None),
    ],
)
def test_a_number_becomes_the_same_reference_from_every_kind_of_file(value: Any, text: str | None) -> None:
    assert read(prompt="x", reference=value).reference == text


@pytest.mark.parametrize(
    ("row", "reason", "says"),
    [
        ({"prompt": ""}, "no_text", "no text"),
        ({"prompt": " \n\t"}, "no_text", "no text"),
        ({"prompt": None}, "no_text", "nothing in 'prompt'"),
        ({}, "no_text", "it has nothing"),
        ({"promt": "x", "id": 1}, "no_text", "it has 'promt', 'id'; if 'promt' is meant, set `prompt_column: promt`"),
        ({"question": "x", "answer": "y"}, "no_text", "set `prompt_column: question`"),
        ({"conversations": [USER]}, "no_text", "set `messages_column: conversations`"),
        ({"messages": []}, "no_text", "empty list"),
        ({"messages": [USER, {"role": "assistant", "content": " "}, USER]}, "no_text", "message 2"),
        ({"prompt": 5}, "bad_messages", "a number"),
        ({"prompt": {"role": "user"}}, "bad_messages", "an object"),
        ({"messages": ["hello"]}, "bad_messages", "message 1 that is not an object"),
        ({"messages": [{"from": "human", "value": "x"}]}, "bad_messages", "'from', 'value'"),
        ({"messages": [USER, ASSISTANT]}, "bad_messages", "ends with a turn of 'assistant'"),
        ({"messages": [{"role": "human", "content": "x"}]}, "bad_messages", "'human'; roles are system, user, assistant"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "bad_messages", "role"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}, "bad_messages", "not text but a list"),
        ({"messages": [{"role": "user", "content": None}]}, "bad_messages", "null"),
        ({"prompt": "x\ud800"}, "bad_messages", "half a character"),
        ({"prompt": "x", "reference": ["4"]}, "bad_reference", "a list"),
        ({"prompt": "x", "reference": {"a": 1}}, "bad_reference", "an object"),
        ({"prompt": "x", "reference": True}, "bad_reference", "a truth value"),
        ({"prompt": "x", "reference": float("nan")}, "bad_reference", "nan"),
        ({"prompt": "x", "reference": " "}, "bad_reference", "blank"),
        ({"prompt": "x", "reference": datetime.date(2020, 1, 1)}, "bad_reference", "a date"),
        ({"prompt": "x", "tags": [1]}, "bad_tags", "[1]"),
    ],
)
def test_a_row_without_a_usable_prompt_says_why(row: dict[str, Any], reason: str, says: str) -> None:
    with pytest.raises(BadRow) as caught:
        read(**row)
    assert caught.value.reason == reason and says in caught.value.detail


def test_the_nearest_name_ignores_case_and_gives_up_on_strangers() -> None:
    assert nearest("prompt", ["Prompts", "id"]) == "Prompts"
    assert nearest("prompt", ["xyz"]) is None
