"""Step pairs for DPO (Step-DPO, arXiv 2406.18629): one prefix, a right and a wrong next step; no EOS, no template after it.

`prompt` is plain text, as the policy's chat template renders the conversation, with the steps so far; so a trainer must neither
render it again nor end the steps. TRL 1.16's DPOTrainer does end them (it appends EOS to every plain-text chosen and rejected)
and tokenises anew, which can merge tokens across the border. So the exact ids stand beside the text, under the names its collator
takes: `prompt_ids`, `chosen_ids`, `rejected_ids`. A subclass whose `_prepare_dataset` returns the data set as it is trains on
them. There is no column `messages`: TRL would take the record for a conversation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

from pairwright.storage.exports.base import Format, Record, Refused, Row

SCORES = ("score_chosen", "score_rejected", "margin")
KEPT = (
    *("prefix", "chosen", "rejected", "prefix_ids", "chosen_ids", "rejected_ids"),
    *(*SCORES, "prompt_id", "pair_id", "chosen_id", "rejected_id"),
)


class Reader(Protocol):
    """How the policy reads: its tokenizer and chat template."""

    tokenizer: str  # the id that rows carry
    special: dict[int, str]  # tokens that a step must not hold, and how they are spelled

    def prompt(self, messages: Sequence[Any]) -> tuple[str, list[int]]:
        """The rendered conversation with its cue for an answer, as text and as ids."""

    def spell(self, ids: Sequence[int]) -> str:
        """The text of an answer's ids."""

    def tokenise(self, text: str) -> list[int]:
        """The ids a trainer makes of rendered text."""


class StepDpo(Format):
    """{prompt, chosen, rejected, prefix, *_ids, exact_text, scores, ids}. `exact_text`: the text tokenises to just these ids.

    Without a reader (an engine with no tokenizer of its own) the prompt is the turns by role, `prompt_ids` and `exact_text` null.
    """

    name = "step_dpo"
    table = "step_preference"
    unit = "pair"
    columns = ("messages", "tokenizer", *KEPT)

    def __init__(self, reader: Reader | None = None) -> None:
        self.reader = reader

    def write(self, row: Row) -> Record:
        if not row["chosen"].strip() or not row["rejected"].strip():
            raise Refused("empty_step", "a step of the pair says nothing")
        if row["chosen"].strip() == row["rejected"].strip():
            raise Refused("chosen_is_rejected", "the steps differ in whitespace at most")
        if any(row[name] is not None and not math.isfinite(row[name]) for name in SCORES):
            raise Refused("score_missing", "a score of the pair is not finite")
        text, ids, exact = self._prompt(row)
        return {"prompt": text, "prompt_ids": ids, "exact_text": exact, **{name: row[name] for name in KEPT}}

    def read(self, record: Record) -> dict[str, Any]:
        if not record["prompt"].endswith(record["prefix"]):
            raise Refused("not_nested", "the prompt does not end with the steps so far")
        return {name: record[name] for name in KEPT}

    def carried(self, row: Row) -> dict[str, Any]:
        return {name: row[name] for name in KEPT}

    def _prompt(self, row: Row) -> tuple[str, list[int] | None, bool | None]:
        if self.reader is None:
            turns = "".join(f"{m['role'].capitalize()}: {m['content']}\n\n" for m in row["messages"])
            return f"{turns}Assistant: {row['prefix']}", None, None
        reader, steps = self.reader, [(row[side], list(row[f"{side}_ids"])) for side in ("chosen", "rejected")]
        if row["tokenizer"] != reader.tokenizer:
            raise Refused("other_tokenizer", "the ids are of another tokenizer than the policy in the manifest has now")
        prefix_ids = list(row["prefix_ids"])
        said = {*prefix_ids, *steps[0][1], *steps[1][1]}
        texts = (row["prefix"], row["chosen"], row["rejected"])
        if said & reader.special.keys() or any(mark in text for mark in reader.special.values() for text in texts):
            raise Refused("special_token", "a step holds a token that ends or shapes a conversation, or its spelling")
        if any(reader.spell(prefix_ids + ids) != row["prefix"] + text for text, ids in steps):
            raise Refused("ids_disagree", "the ids do not spell the text")
        before, before_ids = reader.prompt(row["messages"])
        prompt, prompt_ids = before + row["prefix"], before_ids + prefix_ids
        exact = reader.tokenise(prompt) == prompt_ids
        exact = exact and all(reader.tokenise(prompt + text) == prompt_ids + ids for text, ids in steps)
        return prompt, prompt_ids, exact
