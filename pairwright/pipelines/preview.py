"""A look at a few prompts, built for real but not published."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pairwright.pipelines.build import Build
from pairwright.pipelines.cut import cut
from pairwright.pipelines.step_labels.log import StepLog
from pairwright.pipelines.steps.cut import StepCut, cut_steps
from pairwright.pipelines.steps.search import logs


def few(build: Build, prompts: int) -> Build:
    """The same build with the first prompts only; what it makes stays on the shelves."""
    small = replace(build)
    small.prompts = replace(build.prompts, prompts=build.prompts.prompts[:prompts])
    small.check()
    return small


def preview_steps(build: Build, prompts: int) -> tuple[list[StepLog], StepCut]:
    """The search trees of the first questions, and what is cut from them."""
    build = few(build, prompts)
    with build.alone():
        for stage in build.stages():
            getattr(build, stage)()
        stored = build.stored_steps()
        return list(logs(stored.searches, stored.prompts)), cut_steps(stored, build.steps)


def preview(build: Build, prompts: int) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The pairs of the first prompts (kept or not, with texts), and why the others have none. The work stays on the shelves."""
    build = few(build, prompts)
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
