"""The prompts that come with Pairwright: varied instructions of our own, for a first run and for tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Literal

from pairwright.errors import PairwrightError
from pairwright.pipelines.prompts.rows import BadRow, Row, Source, nearest


class Builtin(Source):
    """The built-in prompts; with `tags` those that have at least one of these tags."""

    source: Literal["builtin"] = "builtin"
    tags: tuple[str, ...] | None = None

    def label(self) -> str:
        return "builtin"

    def rows(self, base: Path) -> Iterator[tuple[str, Row | BadRow]]:
        text = resources.files("pairwright.pipelines.prompts").joinpath("builtin.jsonl").read_text(encoding="utf-8")
        entries = [json.loads(line) for line in text.splitlines()]
        wanted = set(self.tags) if self.tags is not None else None
        _check_tags(wanted or set(), {tag for entry in entries for tag in entry["tags"]})
        for entry in entries:
            if wanted is None or wanted & set(entry["tags"]):
                yield f"builtin:{entry['id_hint']}", entry


def _check_tags(wanted: set[str], known: set[str]) -> None:
    for tag in sorted(wanted - known):
        meant = nearest(tag, known)
        raise PairwrightError(
            f"no built-in prompt has the tag {tag!r}{f' (is {meant!r} meant?)' if meant else ''}: "
            f"in the `builtin` source choose `tags` among {', '.join(sorted(known))}"
        )
