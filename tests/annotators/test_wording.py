from __future__ import annotations

import pytest

from pairwright.annotators.wording import last_user_text, with_last_user_text, with_system
from pairwright.engines.requests import Turn, turns

TALK = turns(
    [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "A"},
        {"role": "user", "content": "two"},
    ]
)


@pytest.mark.parametrize("prompt", [TALK, TALK[1:], (TALK[0], *TALK)])
def test_there_is_exactly_one_system_turn_and_it_is_first(prompt):
    assert with_system(prompt, "new") == (Turn("system", "new"), *TALK[1:])


def test_only_the_last_user_turn_is_rewritten():
    assert last_user_text(TALK) == "two"
    assert with_last_user_text(TALK, "three") == (*TALK[:3], Turn("user", "three"))


def test_a_rewritten_turn_keeps_no_token_ids_of_its_old_text():
    prompt = (Turn("user", "one", (1, 2), "tok"),)
    assert with_last_user_text(prompt, "two")[0].token_ids is None


def test_a_prompt_without_a_user_turn_is_left_alone():
    assert last_user_text(TALK[:1]) is None
    assert with_last_user_text(TALK[:1], "x") == TALK[:1]
