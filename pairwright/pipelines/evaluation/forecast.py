"""What an evaluation would ask, counted without a model."""

from __future__ import annotations

from typing import Any

from pairwright.engines.requests import Request, request_key
from pairwright.pipelines.estimate import Amount, Pieces, Reader, dry_run
from pairwright.pipelines.evaluation.run import Plan

TRIED = 8  # items per annotator that are tried on scripted answers


def forecast(plan: Plan) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Column names and one row per annotator and role, scaled up from a few items: requests, tokens asked (each request as if
    alone), tokens computed (what requests share counted once), tokens made at most. What two annotators ask counts with the first
    one. Nothing that the journal holds is taken off.
    """
    plan.check()
    readers: dict[str, Reader] = {}
    before: dict[str, list[Pieces]] = {}
    seen: set[str] = set()
    rows: list[tuple[Any, ...]] = []
    for name, annotator in plan.annotators.items():
        items = [item for n, item in plan.work() if n == name]
        tried = items[:TRIED]
        asked: dict[str, list[Request]] = {role: [] for role in sorted(annotator.roles())}
        for request in (request for item in tried for request in dry_run(annotator, item.group)):
            key = request_key(plan.pool.model(request.role), request)
            if key not in seen:
                seen.add(key)
                asked[request.role].append(request)
        for role, requests in asked.items():
            model = plan.pool.model(role)
            reader = readers.setdefault(model, Reader(plan.pool.config(role)))
            amount = reader.amount(requests, None, before.setdefault(model, [])) if requests else Amount()
            whole = amount.times(len(items) / max(1, len(tried)))
            row = (whole.requests, whole.asked, whole.computed, whole.generated_most)
            rows.append((name, role, plan.pool.label(model), len(items), *row, reader.how))
    return ("annotator", "role", "model", "items", "requests", "tokens", "computed", "made at most", "counted in"), rows
