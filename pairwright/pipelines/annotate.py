"""Annotating: every annotator over every group, all of them in one pass, so that each model is loaded once."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pairwright.annotators.base import Annotation, Annotator, Group, Response
from pairwright.engines.requests import Request, Result, with_system
from pairwright.pipelines.prompts.rows import Prompt
from pairwright.pipelines.recipe import AnnotatorSpec, SampleConfig
from pairwright.storage.parquet import read_table

T = TypeVar("T")
Metered = Generator[Sequence[Request], Sequence[Result], T]
COLUMNS = ["response_id", "prompt_id", "index", "text", "token_ids", "tokenizer", "finish_reason", "reason"]


def about(spec: AnnotatorSpec, annotator: Annotator[Any], models: Mapping[str, str]) -> dict[str, Any]:
    """Everything the annotations depend on: the method, its version and settings, and the models of the roles it asks."""
    return {
        "stage": "annotate",
        "method": spec.use,
        "version": annotator.version,
        "settings": json.loads(annotator.config.model_dump_json()),
        "models": {role: models[role] for role in sorted(annotator.roles())},
        **annotator.about(),
    }


def groups(files: Iterable[Path], prompts: Mapping[str, Prompt], config: SampleConfig) -> Iterator[Group]:
    """The groups of `prompts` that have at least one response, read one file at a time; a file holds whole groups."""
    for path in files:
        rows: dict[str, list[dict[str, Any]]] = {}
        for row in read_table(path, COLUMNS).to_pylist():
            if row["prompt_id"] in prompts and row["reason"] is None:
                rows.setdefault(row["prompt_id"], []).append(row)
        for prompt_id, mine in rows.items():
            yield group_of(prompts[prompt_id], sorted(mine, key=lambda r: int(r["index"])), config)


def group_of(prompt: Prompt, rows: Sequence[Mapping[str, Any]], config: SampleConfig) -> Group:
    """A group from its prompt and its `responses` rows."""
    responses = tuple(
        Response(
            r["response_id"],
            r["text"],
            tuple(r["token_ids"]) if r["token_ids"] is not None else None,
            r["tokenizer"],
            r["finish_reason"],
        )
        for r in rows
    )
    return Group(prompt.prompt_id, with_system(config.system, prompt.messages), responses, prompt.reference, prompt.tags)


def annotate_group(
    annotator: Annotator[Any], spec: AnnotatorSpec, fingerprint: str, group: Group
) -> Generator[Sequence[Request], Sequence[Result], list[dict[str, Any]]]:
    """The `annotations` rows of one group; its tokens and seconds are shared out evenly over them."""
    spent = [0.0, 0.0]
    annotations = yield from metered(annotator.annotate(group), set(annotator.roles()), spent)
    check_complete(group, annotations)
    share = [s / max(1, len(annotations)) for s in spent]
    return [_row(a, spec, fingerprint, group, share) for a in annotations]


def check_complete(group: Group, annotations: Sequence[Annotation]) -> None:
    """Raise ValueError unless every response of the group is spoken of, and nothing else is, and nothing twice."""
    ids = {r.id for r in group.responses}
    subjects = [(a.subject, a.other) for a in annotations]
    if len(set(subjects)) < len(subjects):
        raise ValueError("the annotator gave two annotations of one subject")
    named = {i for pair in subjects for i in pair if i is not None}
    if named != ids:
        raise ValueError(f"the annotator gave no annotation of {len(ids - named)} responses, and {len(named - ids)} of others")


def metered(task: Generator[Sequence[Request], Sequence[Result], T], roles: set[str], spent: list[float]) -> Metered[T]:
    """Pass requests through, adding up their cost; only declared roles may be asked, for labels depend on their models."""
    results: Sequence[Result] | None = None
    while True:
        try:
            requests = next(task) if results is None else task.send(results)
        except StopIteration as stop:
            value: T = stop.value
            return value
        if undeclared := {r.role for r in requests} - roles:
            raise ValueError(f"the annotator asks roles that `roles()` does not name: {', '.join(sorted(undeclared))}")
        results = yield requests
        for r in results:
            spent[0] += r.usage.tokens
            spent[1] += r.usage.seconds


def _row(a: Annotation, spec: AnnotatorSpec, fingerprint: str, group: Group, share: Sequence[float]) -> dict[str, Any]:
    reason = "invalid_verdict" if a.label == "invalid" and a.reason is None else a.reason
    return {
        "prompt_id": group.prompt_id,
        "group_id": group.id,
        "subject_id": a.subject,
        "other_id": a.other,
        "annotator": spec.name,
        "method": spec.use,
        "fingerprint": fingerprint,
        "score": a.score,
        "label": a.label,
        "valid": reason is None,
        "reason": reason,
        "confidence": a.confidence,
        "parts": [{"name": name, "value": float(value)} for name, value in a.parts.items()],
        "raw": None if a.raw is None else a.raw.encode("utf-8", "replace").decode(),
        "tokens": round(share[0]),
        "seconds": share[1],
    }
