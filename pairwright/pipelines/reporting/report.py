"""The report of a version: one HTML file that tells at a glance what it holds, what fell out and why, and whom to believe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pairwright.errors import PairwrightError
from pairwright.files import write_text
from pairwright.pipelines.reporting import judging, provenance, scores, steps, texts
from pairwright.pipelines.reporting.collect import Source, opened
from pairwright.pipelines.reporting.examples import examples
from pairwright.pipelines.reporting.funnel import funnel, worst
from pairwright.pipelines.reporting.page import Number, Page, Section, render, share

if TYPE_CHECKING:
    from pairwright.storage.versions import Dataset


NO_PAIRS = Section("pairs", "Pairs of responses", "This version holds no pairs of responses.")
NO_STEPS = Section("steps", "Step labels", "This version holds no step labels: its recipe has no `steps`.")


def report(dataset: Dataset, version: int | None = None, against: str | None = None) -> Page:
    """The page about version `version` (default: the latest). `against`: the annotator that others are measured against (default:
    people, where they labelled). Raises PairwrightError if one of them is not there."""
    with opened(dataset, version) as source:
        about_steps = [s for s in (steps.labels(source), steps.pairs(source)) if s is not None] or [NO_STEPS]
        about_pairs = _about_pairs(source, against) if source.has("pairs") or against else [NO_PAIRS]
        sections = [funnel(source), *about_pairs, *about_steps, provenance.cost(source), provenance.provenance(source)]
        m = source.manifest
        subtitle = f"version {m.version}, made {m.created}, Pairwright {m.pairwright}, logical hash {m.logical_hash}"
        return Page(f"{m.dataset}: report", subtitle, _numbers(source), _remarks(source), sections)


def check_free(path: Path, force: bool) -> None:
    """Raise PairwrightError if a page must not be written to `path`; to be asked before the work is done."""
    if path.is_dir() or (path.exists() and not force):
        raise PairwrightError(f"{path} is there already: choose another name with --out, or say --force to overwrite a file")


def write(page: Page, path: Path, force: bool = False) -> None:
    """Write the page to `path`, whole or not at all."""
    check_free(path, force)
    write_text(path, render(page))


def _about_pairs(source: Source, against: str | None) -> list[Section]:
    return [
        scores.margins(source),
        scores.filters(source),
        scores.against_length(source),
        texts.bias(source),
        judging.agreement(source),
        judging.order_bias(source),
        judging.calibration(source, against),
        texts.diversity(source),
        examples(source),
    ]


def _numbers(source: Source) -> list[Number]:
    m = source.manifest
    numbers = [Number(f"{m.rows('prompts'):,}", "prompts")]
    if source.has("pairs"):
        numbers.append(Number(f"{m.rows('responses'):,}", "responses"))
        numbers.append(_kept(source))
        bias = texts.length_bias(source)
        if bias is not None and bias.more is not None:
            numbers.append(Number(f"{bias.more:.0%}", "chosen is longer", f"median {bias.median:+,.0f} tokens"))
    if source.has("stepwise"):
        f = source.row("SELECT count(*) AS n, count(first_error) AS wrong FROM stepwise")
        numbers.append(Number(f"{f['n']:,}", "labelled solutions", f"{share(f['wrong'], f['n'])} hold an error"))
        if not source.has("pairs"):
            numbers.append(Number(f"{m.rows('steps'):,}", "nodes searched"))
            numbers.append(Number(f"{m.rows('step_preference'):,}", "step pairs"))
    tokens, seconds = provenance.tokens(source)
    numbers.append(Number(_short(tokens), "tokens", f"{seconds:,.0f} s of engines" if seconds else ""))
    return [*numbers[:4], numbers[-1]]


def _kept(source: Source) -> Number:
    kept = source.row("SELECT count(*) FILTER (keep) AS n, count(DISTINCT prompt_id) FILTER (keep) AS p FROM pairs")
    made = source.manifest.rows("pairs")
    note = f"{share(kept['n'], made)} of {made:,}, from {kept['p']:,} prompts"
    if source.holds("pairs", "split"):
        test = source.row("SELECT count(*) FILTER (keep AND split = 'test') AS n FROM pairs")["n"]
        note += f"; {test:,} of them for testing" if test else ""
    return Number(f"{kept['n']:,}", "pairs kept", note)


def _remarks(source: Source) -> list[str]:
    found = [worst(source.manifest.accounting)]
    if source.has("pairs", "responses"):
        bias = texts.length_bias(source)
        found += [f"Length in tokens: {flag}." for flag in bias.flags] if bias is not None else []
    failed = {reason: n for a in source.manifest.accounting for reason, n in a.dropped.items() if a.stage.startswith("annotate")}
    if failed:
        reason = max(sorted(failed), key=lambda r: failed[r])
        found.append(f"Annotators gave no label {sum(failed.values()):,} times, most often for {reason}.")
    return [f for f in found if f]


def _short(value: float) -> str:
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if value >= size:
            return f"{value / (1e3 if letter == ' k' else size):.3g}{letter}"
    return f"{value:,.0f}"
