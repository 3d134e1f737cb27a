"""A look at a few prompts, built for real but not published."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pairwright.pipelines.build import Build
from pairwright.pipelines.cut import cut


def preview(build: Build, prompts: int) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The pairs of the first prompts (kept or not, with texts), and why the others have none. The work stays on the shelves."""
    few = replace(build.prompts, prompts=build.prompts.prompts[:prompts])
    build = replace(build)
    build.prompts = few
    build.check()
    with build.alone():
        build.sample()
        build.annotate()
        made = cut(build.stored(), build.recipe)
        groups = {group.prompt_id: group for group in build.groups()}
    rows = []
    for row in made.pairs.to_pylist():
        group = groups[row["prompt_id"]]
        texts = {r.id: r.text for r in group.responses}
        rows.append(
            row
            | {"prompt": [{"role": t.role, "content": t.content} for t in group.prompt]}
            | {side: [{"role": "assistant", "content": texts[row[f"{side}_id"]]}] for side in ("chosen", "rejected")}
        )
    return rows, made.dropped
