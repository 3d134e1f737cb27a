"""Trying many cuts of one version: pair rules, relabelling and filters over what it stored. No model is asked, nothing written.

Cuts that differ in filters only share the pairs, and filters that differ in their limits only share the scores, so that a row
mostly costs one comparison of numbers per pair.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import yaml

from pairwright.engines.runner import Stats
from pairwright.errors import PairwrightError
from pairwright.ids import digest
from pairwright.pipelines.cut import Cut, Stored, draft
from pairwright.pipelines.filters.base import LIMITS, Band, Filter, FilterScores, Floats, PairColumns, decide
from pairwright.pipelines.filters.ches import Ches
from pairwright.pipelines.filters.uncertainty import Uncertainty
from pairwright.pipelines.judged import Drafts, Labels, relabelled, scored
from pairwright.pipelines.mistakes import near
from pairwright.pipelines.progress import Progress
from pairwright.pipelines.quality.measures import wilson
from pairwright.pipelines.recipe import Recipe
from pairwright.pipelines.recut import with_changes

STAGE = "sweep"
Bools = npt.NDArray[np.bool_]
Scored = FilterScores | PairwrightError  # of all pairs, or why there are none


class Against(Filter):
    """Score: does `annotator` find the chosen response better (1), the rejected (0), or neither (1/2)? It turns nothing down."""

    use: Literal["against"] = "against"
    annotator: str

    def score(self, pairs: PairColumns) -> FilterScores:
        """Its votes, by its comparison of the two responses or else by its scores."""
        return FilterScores.of(pairs.votes(self.annotator), f"{self.annotator} says nothing of the two responses")

    def objections(self, values: Floats) -> list[str | None]:
        """None."""
        return [None] * len(values)


@dataclass(frozen=True)
class Point:
    """One cut of the grid: what was set, and the recipe that comes of it or the reason why there is none."""

    settings: Mapping[str, Any]
    recipe: Recipe | None
    refused: str | None = None


@dataclass(frozen=True)
class Row:
    """What a cut comes to. Figures are of the kept pairs; one that nothing speaks to is None.

    now: the version was cut so. share: kept of `pairs`. margin: of the combined scores, after relabelling. longer: share of the
    pairs of different length (in characters) whose chosen response is the longer. turned, soft: pairs that relabelling turned
    around, or gave another probability than 1. ches: ln-CHES, higher is worse. bald: mean, in nats. agreement: how often the
    annotator that the sweep is held against prefers the chosen response, of the `n` pairs of which it prefers one, with its 95 %
    Wilson interval. note: why the cut was refused, or who dropped all.
    """

    settings: Mapping[str, Any]
    now: bool
    pairs: int | None = None
    kept: int | None = None
    share: float | None = None
    margin_mean: float | None = None
    margin_median: float | None = None
    longer: float | None = None
    turned: int | None = None
    soft: int | None = None
    ches_mean: float | None = None
    ches_q90: float | None = None
    bald: float | None = None
    agreement: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    note: str | None = None


def grid(axes: Sequence[str]) -> list[dict[str, Any]]:
    """Every combination of axes such as `pair.margin=[0, 0.5, 1]`, the last axis changing fastest."""
    values: dict[str, list[Any]] = {}
    for axis in axes:
        key, equals, text = axis.partition("=")
        try:
            found = yaml.safe_load(text)
        except yaml.YAMLError:
            found = None
        if not equals or not key or not isinstance(found, list) or not found:
            raise PairwrightError(f"{axis!r} is no axis of a grid: write a setting and a list of values, as pair.margin=[0, 0.5]")
        if key in values:
            raise PairwrightError(f"the setting {key} is given twice: put all its values into one list")
        values[key] = found
    return [dict(zip(values, combination, strict=True)) for combination in itertools.product(*values.values())]


def points_of(recipe: Recipe, axes: Sequence[str], base: Sequence[str] = ()) -> list[Point]:
    """The points of the grid, on top of the changes `base` (overrides or recipe files). Raises PairwrightError if all are
    refused."""
    points = []
    for settings in grid(axes):
        changes = [*base, *(f"{key}={json.dumps(value)}" for key, value in settings.items())]
        try:
            points.append(Point(settings, with_changes(recipe, changes)))
        except PairwrightError as error:
            points.append(Point(settings, None, str(error)))
    if all(point.refused for point in points):
        raise PairwrightError(f"every point of the grid is refused; the first: {points[0].refused}")
    return points


def sweep(
    stored: Stored, recipe: Recipe, points: Sequence[Point], against: str | None = None, progress: Progress | None = None
) -> list[Row]:
    """One row a point, in their order; before them the cut of `recipe` as it is, if it is none of them.

    A point whose settings contradict each other, or that reads what is not stored, is a row with the reason.
    Raises PairwrightError if the version has no pairs, or `against` is none of its annotators.
    """
    progress = progress or Progress()
    if recipe.combine is None:
        raise PairwrightError(f"{recipe.dataset} holds step labels only: a sweep is about pairs")
    names = [a.name for a in recipe.annotators]
    if against is not None and against not in names:
        raise PairwrightError(f"there is no annotator {against!r}; there are {', '.join(names)}{near(against, names)}")
    now = _key(recipe)
    if not any(point.recipe and _key(point.recipe) == now for point in points):
        points = [Point({}, recipe), *points]
    probes = _probes(recipe, against)
    found: dict[int, Row] = {i: Row(p.settings, False, note=p.refused) for i, p in enumerate(points) if p.recipe is None}
    progress.begin(STAGE, len(points), "cuts")
    for lot in _lots(points):
        for i, figures in _cuts([(i, r) for i, p in enumerate(points) if (r := p.recipe) and i in lot], stored, probes):
            made = points[i].recipe
            found[i] = Row(points[i].settings, made is not None and _key(made) == now, **figures)
            progress.advance(STAGE, len(found), Stats())
    progress.end(STAGE, f"{len(points)} cuts, no request")
    return [found[i] for i in range(len(points))]


def circular(recipe: Recipe, against: str) -> list[str]:
    """What in `recipe` reads the very annotator that it is held against."""
    combined = ["combine"] if recipe.combine and against in recipe.combine.scores else []
    rules = (*recipe.relabel, *recipe.filters)
    return combined + [rule.name for rule in rules if against in (*rule.reads(), *getattr(rule, "requires", dict)())]


def _key(recipe: Recipe, *parts: str) -> str:
    """Equal for recipes with equal parts; by default for equal cuts."""
    dumped = json.loads(recipe.model_dump_json(include=set(parts or ("combine", "pair", "relabel", "filters"))))
    return digest(dumped)


def _lots(points: Sequence[Point]) -> list[set[int]]:
    """The places of the points that share their pairs."""
    lots: dict[str, set[int]] = {}
    for i, point in enumerate(points):
        if point.recipe is not None:
            lots.setdefault(_key(point.recipe, "combine", "pair"), set()).add(i)
    return list(lots.values())


def _probes(recipe: Recipe, against: str | None) -> dict[str, Filter]:
    """What is measured of every pair besides what the cut itself knows."""
    names = {a.use: a.name for a in reversed(recipe.annotators)}
    probes: dict[str, Filter] = {}
    if "displacement" in names:
        probes["ches"] = Ches(annotator=names["displacement"], max_quantile=1)
    if "mc_dropout" in names:
        probes["bald"] = Uncertainty(annotators=(names["mc_dropout"],), max_quantile=1)
    if against is not None:
        probes["against"] = Against(annotator=against)
    return probes


def _cuts(
    recipes: Sequence[tuple[int, Recipe]], stored: Stored, probes: Mapping[str, Filter]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The figures of recipes that share their pairs."""
    try:
        made, drafts = draft(stored, recipes[0][1])
    except PairwrightError as error:
        yield from ((i, {"note": str(error)}) for i, _ in recipes)
        return
    for _, same in itertools.groupby(sorted(recipes, key=_relabel_key), key=_relabel_key):
        group = list(same)
        try:
            labels = relabelled(drafts, stored, group[0][1].relabel)
        except PairwrightError as error:
            yield from ((i, {"note": str(error)}) for i, _ in group)
            continue
        rules = {_score_key(f): f for f in (*probes.values(), *(f for _, r in group for f in r.filters))}
        scores = _scores(rules, drafts, stored, labels.flip)
        pairs = _pairs(drafts, labels, {name: scores[_score_key(f)] for name, f in probes.items()})
        for i, recipe in group:
            yield i, _figures(recipe, made, pairs, [scores[_score_key(f)] for f in recipe.filters])


def _relabel_key(item: tuple[int, Recipe]) -> str:
    return _key(item[1], "relabel")


def _score_key(f: Filter) -> str:
    """Equal for filters that give pairs equal scores."""
    unread = {"name", "on_missing", *(LIMITS if isinstance(f, Band) else ())}  # the scores of a Band do not depend on them
    return digest({k: v for k, v in f.about().items() if k not in unread})


def _scores(rules: Mapping[str, Filter], drafts: Drafts, stored: Stored, flip: Bools) -> dict[str, Scored]:
    """Every rule's scores of all pairs, in one pass unless a rule cannot score."""
    named = [f.model_copy(update={"name": key}) for key, f in rules.items()]
    try:
        return dict(zip(rules, scored(named, drafts, stored, flip), strict=True))
    except PairwrightError:
        return {f.name: _alone(f, drafts, stored, flip) for f in named}


def _alone(rule: Filter, drafts: Drafts, stored: Stored, flip: Bools) -> Scored:
    try:
        return scored([rule], drafts, stored, flip)[0]
    except PairwrightError as error:
        return error


@dataclass(frozen=True)
class _Pairs:
    """What is known of N pairs whatever filters say; NaN where a probe has nothing."""

    margin: Floats
    longer: Floats  # chosen - rejected, in characters
    turned: Bools
    soft: Bools
    probes: Mapping[str, Floats]


def _pairs(drafts: Drafts, labels: Labels, probes: Mapping[str, Scored]) -> _Pairs:
    columns: dict[str, list[Floats]] = {"score": [np.empty(0)], "chars": [np.empty(0)]}
    for _, _, rows in drafts.read(labels.flip):
        for name, parts in columns.items():
            parts.append(rows[f"chosen_{name}"].to_numpy().astype(np.float64) - rows[f"rejected_{name}"].to_numpy())
    known = {name: s.values.filled(np.nan) for name, s in probes.items() if isinstance(s, FilterScores)}
    margin, longer = (np.concatenate(parts) for parts in columns.values())
    return _Pairs(margin, longer, labels.flip, ~np.isnan(labels.p_chosen), known)


def _figures(recipe: Recipe, made: Cut, pairs: _Pairs, scores: Sequence[Scored]) -> dict[str, Any]:
    """The fields of a row."""
    n, known = len(pairs.margin), [s for s in scores if isinstance(s, FilterScores)]
    if errors := [str(s) for s in scores if isinstance(s, PairwrightError)]:
        return {"note": errors[0]}
    if not n:
        return {"pairs": 0, "kept": 0, "note": f"no group gives a pair: {_counted(made.reasons['group'])}"}
    try:
        outcome = decide(recipe.filters, known, n)
    except PairwrightError as error:
        return {"pairs": n, "note": str(error)}
    keep = outcome.keep
    if not keep.any():
        dropped = Counter(outcome.dropped_by)
        first = {f.name: dropped[f.name] for f in recipe.filters if dropped[f.name]}
        return {"pairs": n, "kept": 0, "share": 0.0, "note": f"every pair is dropped, by {_counted(first)}"}
    margin, longer = pairs.margin[keep], pairs.longer[keep]
    probes = {name: column[keep & ~np.isnan(column)] for name, column in pairs.probes.items()}
    ches, bald = probes.get("ches", np.empty(0)), probes.get("bald", np.empty(0))
    return {
        "pairs": n,
        "kept": int(keep.sum()),
        "share": float(keep.mean()),
        "margin_mean": float(margin.mean()),
        "margin_median": float(np.median(margin)),
        "longer": float((longer[longer != 0] > 0).mean()) if longer.any() else None,
        "turned": int(pairs.turned[keep].sum()) if recipe.relabel else None,
        "soft": int(pairs.soft[keep].sum()) if recipe.relabel else None,
        "ches_mean": float(ches.mean()) if ches.size else None,
        "ches_q90": float(np.quantile(ches, 0.9)) if ches.size else None,
        "bald": float(bald.mean()) if bald.size else None,
        **_agreement(probes.get("against")),
    }


def _agreement(votes: Floats | None) -> dict[str, Any]:
    if votes is None:
        return {}
    decided = votes[votes != 0.5]
    if not decided.size:
        return {"n": 0}
    low, high = wilson(float(decided.sum()), decided.size)
    return {"agreement": float(decided.mean()), "low": low, "high": high, "n": int(decided.size)}


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())
