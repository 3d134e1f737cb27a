"""Why no pair is left to publish: one sentence that names what dropped them, its most frequent reason, and what to do."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pairwright.errors import PairwrightError
from pairwright.pipelines.filters.base import Filter
from pairwright.pipelines.publish import Part
from pairwright.pipelines.publish_pairs import PairPart
from pairwright.storage.parquet import read_table

VARIES = re.compile(
    r"\b[0-9a-f]{24}\b|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"
)  # what differs between reasons of one kind: ids and numbers
REMEDIES = {
    "below_floor": "lower `pair.chosen_floor`",
    "no_pair_above_margin": "lower `pair.margin`",
    "no_finite_margin": "see what annotator gives scores that large",
    "no_pair_within_length_ratio": "raise `pair.max_length_ratio`",
    "no_pair_within_ches": "raise the budget of `pair.ches`",
    "no_displacement": "let `pair.ches.annotator` be one of method displacement",
    "no_score": "see why their responses have no score",
    "all_scores_equal": "combine an annotator that tells them apart",
    "all_identical": "raise `sample.temperature`",
    "fewer_than_two_responses": "raise `sample.n` or `sample.max_tokens`",
}
LOOSEN = "loosen the recipe"


def check_left(parts: Sequence[Part]) -> None:
    """Raise PairwrightError if these are pairs, and none is left. Other parts without rows are `publish`'s to tell."""
    if any(part.rows() for part in parts):
        return
    for part in parts:
        if isinstance(part, PairPart) and (part.made.rows or part.made.reasons["group"]):
            why = _by_filters(part) if part.made.rows else _by_rule(part)
            raise PairwrightError(f"nothing is left to publish: {why}; no version is written, what is stored is kept")


def most_frequent(reasons: Iterable[str]) -> str:
    """The first reason of the kind that is given most often; reasons that differ in numbers and ids only are of one kind."""
    first: dict[str, str] = {}
    kinds = Counter[str]()
    for reason in reasons:
        kind = VARIES.sub("#", reason)
        kinds[kind] += 1
        first.setdefault(kind, reason)
    return first[kinds.most_common(1)[0][0]]


def _by_rule(part: PairPart) -> str:
    made = part.made
    reason = made.reasons["group"].most_common(1)[0][0]
    rows = f" ({_counted(made.reasons['response'])})" if reason == "no_score" else ""
    counts = _counted(made.reasons["group"])
    return f"the stage 'pair' dropped all {made.groups} groups ({counts}): {REMEDIES.get(reason, LOOSEN)}{rows}"


def _by_filters(part: PairPart) -> str:
    made, filters = part.made, part.recipe.filters
    scores = {f.name: f"{f.name}_score" for f in filters}
    table = read_table(made.pairs_file, ["dropped_by", "reason", *scores.values()])
    mute = [f for f in filters if f.on_missing == "drop" and table[scores[f.name]].null_count == made.rows]
    worst = mute[0] if mute else max(filters, key=lambda f: made.dropped_by.get(f.name, 0))
    said = table.filter(pc.equal(table["dropped_by"], worst.name))["reason"].to_pylist()
    of_all = f" (in all: {_counted(made.dropped_by)})" if len(made.dropped_by) > 1 else ""
    if mute:
        why = f": {said[0].partition(': ')[2]}" if said else ""
        return f"the filter {worst.name!r} has a score for none of {made.rows} pairs{of_all}{why}; {_of_mute(part, worst)}"
    reason = most_frequent(said)
    loosen = "say `on_missing: keep`" if reason.startswith(f"{worst.name}_missing: ") else "loosen it"
    return (
        f"the filter {worst.name!r} dropped {len(said)} of {made.rows} pairs{of_all}, mostly as in {reason!r}"
        f"{_range(table[scores[worst.name]])}: {loosen}, or take it out of `filters`"
    )


def _of_mute(part: PairPart, f: Filter) -> str:
    """What to do about a filter that has no score at all."""
    names = {*f.methods(), *f.reads()}
    for account in part.accounts():
        name = account.stage.removeprefix("annotate ")
        if name in names and account.rows_in and not account.rows_out:
            found = f"{name} labelled none of {account.rows_in} {account.unit}s ({_counted(account.dropped)})"
            return f"{found}: mend that, or take the filter out of `filters`"
    uses = {a.name: a.use for a in part.recipe.annotators}
    for name, methods in f.methods().items():
        if uses[name] not in methods:
            wanted = f"name an annotator of method {' or '.join(methods)}"
            return f"{name} is of method {uses[name]}: {wanted}, or let {uses[name]} store this too"
    return "name another annotator in it, or take it out of `filters`"


def _range(scores: pa.ChunkedArray) -> str:
    ends = pc.min_max(scores).as_py()
    return "" if ends["min"] is None else f" (its scores go from {ends['min']:.6g} to {ends['max']:.6g})"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda item: -item[1]))
