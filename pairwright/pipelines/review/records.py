"""Questions to people as records: JSONL to be filled in by any tool, and the two files Argilla reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pairwright.engines.people import PeopleModel
from pairwright.ids import seed_of
from pairwright.pipelines.review.collect import Item

CHOICES = {"1": "the first is better", "2": "the second is better", "tie": "equally good", "invalid": "cannot be judged"}


def jsonl(items: Sequence[Item], people: PeopleModel) -> str:
    """One question a line. `choice` is to be "1" (`response_1` is better), "2", "tie" or "invalid", `who` a name; a second person
    answers on a copy of the line. Which response comes first is drawn per question; `ids` are theirs, in that order."""
    return "".join(json.dumps(_row(item, people), ensure_ascii=False) + "\n" for item in items)


def argilla_records(items: Sequence[Item]) -> str:
    """Records as Argilla 2 writes them (`records.to_json`) and reads them (`records.from_json`): a JSON list of id, fields,
    metadata, suggestions, responses and vectors. From the source of argilla 2's `Record.to_dict`; not tried with Argilla."""
    return json.dumps([_argilla(item) for item in items], ensure_ascii=False, indent=1) + "\n"


def argilla_settings(items: Sequence[Item], people: PeopleModel) -> str:
    """The dataset those records fit into, for `rg.Settings.from_json`: text fields, a label question `choice`, a text question
    `note`. Keys as in argilla 2's `Settings.serialize` and its REST API; not tried with Argilla."""
    text = {"type": "text", "use_markdown": False}
    labels = [{"value": value, "text": shown, "description": None} for value, shown in CHOICES.items()]
    question = items[0].review.question if items else ""
    choice = {"type": "label_selection", "options": labels, "visible_options": None}
    settings = {
        "guidelines": people.instructions or None,
        "fields": [_named(name, name != "reference", text) for name in ("prompt", "reference", "response_1", "response_2")],
        "questions": [_named("choice", True, choice) | {"title": question or "choice"}, _named("note", False, text)],
        "vectors": [],
        "metadata": [
            {"name": name, "title": name, "visible_for_annotators": False, "settings": {"type": "terms", "values": None}}
            for name in ("sheet", "id_1", "id_2", "question")
        ],
        "allow_extra_metadata": True,
        "distribution": {"strategy": "overlap", "min_submitted": max((item.review.people for item in items), default=1)},
    }
    return json.dumps(settings, ensure_ascii=False, indent=1) + "\n"


def _named(name: str, required: bool, settings: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "title": name, "required": required, "settings": settings}


def _drawn(item: Item) -> tuple[tuple[str, str], tuple[str, str]]:
    first, second = item.review.candidates
    return (second, first) if seed_of("shown first", item.id) % 2 else (first, second)


def _row(item: Item, people: PeopleModel) -> dict[str, Any]:
    (id_1, text_1), (id_2, text_2) = _drawn(item)
    review = item.review
    return {
        "item": item.id,
        "sheet": item.sheet,
        "instructions": people.instructions,
        "prompt": [{"role": turn.role, "content": turn.content} for turn in review.prompt],
        "reference": review.reference,
        "question": review.question,
        "response_1": text_1,
        "response_2": text_2,
        "ids": [id_1, id_2],
        "people": review.people,
        "who": "",
        "choice": "",
        "note": "",
    }


def _argilla(item: Item) -> dict[str, Any]:
    (id_1, text_1), (id_2, text_2) = _drawn(item)
    prompt = "\n\n".join(f"{turn.role}: {turn.content}" for turn in item.review.prompt)
    fields = {"prompt": prompt, "response_1": text_1, "response_2": text_2}
    return {
        "id": item.id,
        "fields": fields | ({"reference": item.review.reference} if item.review.reference else {}),
        "metadata": {"sheet": item.sheet, "id_1": id_1, "id_2": id_2, "question": item.review.question},
        "suggestions": {},
        "responses": {},
        "vectors": {},
    }
