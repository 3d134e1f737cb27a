"""The review sheet: one HTML file that asks nothing of a network, hides which response is which, and gives the answers as a file.

Which response stands left is drawn per question and reviewer. What a browser keeps, and what it saves, names responses by id.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from importlib.resources import files

from pairwright.engines.people import PeopleModel
from pairwright.pipelines.review.collect import Item

POLICY = "default-src 'none'; script-src {script}; style-src {style}; base-uri 'none'; form-action 'none'"


def sheet(title: str, items: Sequence[Item], people: PeopleModel) -> str:
    """The page. Nothing in it runs but its own script, whatever the responses hold: they are data, shown as text, and the content
    policy knows the script by its hash."""
    page = (files("pairwright.pipelines.review") / "sheet.html").read_text(encoding="utf-8")
    data = {
        "title": title,
        "sheet": items[0].sheet if items else "",
        "instructions": people.instructions,
        "items": [_item(item) for item in items],
    }
    policy = POLICY.format(script=_hash(page, "<script>", "</script>"), style=_hash(page, "<style>", "</style>"))
    # every < is spelled out: nothing in the data can end the element it stands in
    return page.replace("{{policy}}", policy).replace("{{data}}", json.dumps(data).replace("<", "\\u003c"))


def _item(item: Item) -> dict[str, object]:
    review = item.review
    return {
        "id": item.id,
        "question": review.question,
        "reference": review.reference,
        "prompt": [{"role": turn.role, "content": turn.content} for turn in review.prompt],
        "candidates": [{"id": id, "text": text} for id, text in review.candidates],
    }


def _hash(page: str, begin: str, end: str) -> str:
    found = re.search(re.escape(begin) + "(.*?)" + re.escape(end), page, re.DOTALL)
    assert found is not None
    return f"'sha256-{base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()}'"
