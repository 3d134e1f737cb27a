"""Step pairs keep the policy's ids, and end in no token that ends a turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pairwright.storage.exports import StepDpo
from pairwright.storage.exports.base import Refused
from tests.storage.exports.export_rows import pair

WORDS = ["<|end|>", "User: ", "2 + 2 = 4.", "\n\n", "Doubled, ", "8.", "6.", "What is 2 + 2, doubled?", " Assistant: "]


class Words:
    """A policy that reads a few words, the longest that fits first."""

    tokenizer = "t"
    special = {0: "<|end|>"}  # noqa: RUF012

    def prompt(self, messages: Sequence[Any]) -> tuple[str, list[int]]:
        text = "".join(f"User: {m['content']}" for m in messages) + " Assistant: "
        return text, self.tokenise(text)

    def spell(self, ids: Sequence[int]) -> str:
        return "".join(WORDS[i] for i in ids)

    def tokenise(self, text: str) -> list[int]:
        found = []
        while text:
            token = next(i for i, word in enumerate(WORDS) if text.startswith(word))
            found.append(token)
            text = text[len(WORDS[token]) :]
        return found


def known(**changes: Any) -> dict[str, Any]:
    return pair(prefix_ids=[2, 3], chosen_ids=[4, 5, 3], rejected_ids=[4, 6, 3]) | changes


def reason(row: dict[str, Any]) -> str:
    with pytest.raises(Refused) as refused:
        StepDpo(Words()).record(row)
    return refused.value.reason


def test_the_prompt_is_the_rendered_conversation_with_the_steps_so_far() -> None:
    record = StepDpo(Words()).record(known())
    assert record["prompt"] == "User: What is 2 + 2, doubled? Assistant: 2 + 2 = 4.\n\n"
    assert record["prompt_ids"] == [1, 7, 8, 2, 3] and record["chosen_ids"] == [4, 5, 3]
    assert record["exact_text"] is True
    assert "messages" not in record, "TRL would take the record for a conversation"


def test_a_text_that_tokenises_otherwise_is_said_to_and_the_ids_stay_the_policys() -> None:
    class Merging(Words):
        def tokenise(self, text: str) -> list[int]:
            return super().tokenise(text)[:-1]

    record = StepDpo(Merging()).record(known())
    assert record["exact_text"] is False and record["chosen_ids"] == [4, 5, 3]


@pytest.mark.parametrize(
    "change",
    [
        {"chosen_ids": [4, 5, 3, 0]},
        {"rejected_ids": [0, 4, 6, 3]},
        {"prefix_ids": [2, 0, 3]},
        {"chosen": "Doubled, 8.<|end|>"},
    ],
)
def test_a_step_that_ends_a_turn_is_refused(change: dict[str, Any]) -> None:
    assert reason(known(**change)) == "special_token"


def test_ids_of_another_tokenizer_are_refused() -> None:
    assert reason(known(tokenizer="another")) == "other_tokenizer"


@pytest.mark.parametrize("change", [{"chosen_ids": [4, 6, 3]}, {"rejected_ids": [4]}, {"prefix_ids": [2]}])
def test_ids_that_spell_something_else_are_refused(change: dict[str, Any]) -> None:
    assert reason(known(**change)) == "ids_disagree"


@pytest.mark.parametrize(
    "change, why",
    [
        ({"chosen": "\n"}, "empty_step"),
        ({"rejected": ""}, "empty_step"),
        ({"rejected": " Doubled, 8.\n"}, "chosen_is_rejected"),
        ({"margin": float("nan")}, "score_missing"),
    ],
)
@pytest.mark.parametrize("reader", [None, Words()], ids=["plain", "rendered"])
def test_a_pair_that_teaches_nothing_is_refused(reader: Words | None, change: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused) as refused:
        StepDpo(reader).record(known(**change))
    assert refused.value.reason == why


def test_without_a_reader_the_turns_stand_by_role_and_no_prompt_ids_are_claimed() -> None:
    record = StepDpo().record(pair())
    assert record["prompt"] == "User: What is 2 + 2, doubled?\n\nAssistant: 2 + 2 = 4.\n\n"
    assert record["prompt_ids"] is None and record["exact_text"] is None
    assert record["chosen"] == "Doubled, 8.\n\n" and record["rejected"] == "Doubled, 6.\n\n"


def test_a_record_whose_prompt_does_not_end_in_its_prefix_is_refused() -> None:
    with pytest.raises(Refused):
        StepDpo().read(StepDpo().record(pair()) | {"prompt": "something else"})
