"""What a filter is: a number per pair and a sentence for each pair it turns down. It never deletes a pair."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from pairwright.errors import PairwrightError
from pairwright.pipelines.prompts.rows import Prompt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Parts = Mapping[str, Mapping[str, float]]  # response id -> the named numbers of its annotation
Scores = Mapping[str, float]  # response id -> its score; a response without one is absent


@dataclass(frozen=True)
class Comparisons:
    """What an annotator found of responses two by two. Whether it compares is told by group: a router may rate in another.

    verdicts: (id, id), in both orders -> 1 where the first was found better, 0 where the second, 1/2 a tie; an invalid one is
        absent. compared: the responses of all groups in which it compared any two, whatever came of it. probabilities: where
        there is a verdict P(the first is better), as stored.
    """

    verdicts: Mapping[tuple[str, str], float]
    compared: Set[str]
    probabilities: Mapping[tuple[str, str], float] = field(default_factory=dict)


def _no_prompts() -> Any:
    raise KeyError("no prompts are stored")


def _nothing_stored(annotator: str) -> Any:
    raise KeyError(f"nothing is stored of {annotator!r}")


@dataclass(frozen=True)
class Side:
    """The chosen or the rejected responses of N pairs, in the order of the pairs. Texts are loaded when first asked for.
    tokens: NaN where an engine told of none."""

    ids: Sequence[str]
    scores: Floats
    tokens: Floats
    chars: Ints
    finish_reasons: Sequence[str | None]
    load_texts: Callable[[], Sequence[str]]

    @cached_property
    def texts(self) -> Sequence[str]:
        """The N texts."""
        return self.load_texts()


@dataclass(frozen=True)
class PairColumns:
    """N pairs as columns. `load_parts(annotator)` gives what that annotator stored for each response it could label,
    `load_scores` their scores, and `load_comparisons` its verdicts on two responses."""

    pair_ids: Sequence[str]
    chosen: Side
    rejected: Side
    load_parts: Callable[[str], Parts]
    load_scores: Callable[[str], Scores] = _nothing_stored
    load_comparisons: Callable[[str], Comparisons] = _nothing_stored
    load_prompts: Callable[[], Sequence[Prompt]] = _no_prompts
    load_comparison_parts: Callable[[str], Mapping[tuple[str, str], Mapping[str, float]]] = _nothing_stored

    def __post_init__(self) -> None:
        for side in (self.chosen, self.rejected):
            sizes = {len(c) for c in (side.ids, side.scores, side.tokens, side.chars, side.finish_reasons)}
            if sizes != {len(self)}:
                raise ValueError(f"columns of {sorted(sizes)} rows for {len(self)} pairs")

    def __len__(self) -> int:
        return len(self.pair_ids)

    @cached_property
    def prompts(self) -> Sequence[Prompt]:
        """The N prompts, as the policy saw them."""
        return self.load_prompts()

    @cached_property
    def margin(self) -> Floats:
        """score of chosen - score of rejected, shape [N]."""
        return self.chosen.scores - self.rejected.scores

    @cached_property
    def counted(self) -> Bools:
        """Are the tokens of both responses known? Shape [N]."""
        return ~np.isnan(self.chosen.tokens + self.rejected.tokens)

    def lengths(self, unit: Literal["tokens", "chars"] = "tokens") -> tuple[Floats, Floats]:
        """How long the chosen and the rejected responses are; in characters also where a pair's tokens are not `counted`."""
        chosen, rejected = (
            np.where(self.counted & (unit == "tokens"), side.tokens, side.chars).astype(np.float64)
            for side in (self.chosen, self.rejected)
        )
        return chosen, rejected

    def parts(self, annotator: str) -> Parts:
        """The stored parts of `annotator` (its name in the recipe) by response id; a response without a label is absent."""
        return self.load_parts(annotator)

    def margins(self, annotator: str) -> list[float | None]:
        """For each pair the score of chosen - the score of rejected by `annotator` alone; None where it lacks one of them."""
        scores = self.load_scores(annotator)
        found = ((scores.get(c), scores.get(r)) for c, r in zip(self.chosen.ids, self.rejected.ids, strict=True))
        return [None if c is None or r is None else c - r for c, r in found]

    def votes(self, annotator: str, tie_band: float = 0.0) -> list[float | None]:
        """For each pair what `annotator` says: 1 the chosen is better, 0 the rejected, 1/2 a tie, None nothing. Where it compared
        responses of the pair's group, its vote is its stored comparison of the two; elsewhere its score difference, a tie where
        that is at most `tie_band`."""
        known = self.load_comparisons(annotator)
        by_score = [None if m is None else 0.5 if abs(m) <= tie_band else float(m > 0) for m in self.margins(annotator)]
        return [
            known.verdicts.get((c, r)) if c in known.compared else vote
            for c, r, vote in zip(self.chosen.ids, self.rejected.ids, by_score, strict=True)
        ]


@dataclass(frozen=True)
class FilterScores:
    """One float64 per pair, masked where it is missing, and then `reasons[i]` says why (None where there is a value).

    faults: for each pair why it fails even if its score is good enough, or missing; else None; empty where the score tells all.
    order: for each pair a number, such as a hash of its id, that tells equal scores apart where an exact share is kept; or empty.
    """

    values: np.ma.MaskedArray[Any, np.dtype[np.float64]]
    reasons: Sequence[str | None]
    faults: Sequence[str | None] = ()
    order: npt.NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))

    def __post_init__(self) -> None:
        missing = np.array([r is not None for r in self.reasons], dtype=bool)
        if not np.array_equal(np.ma.getmaskarray(self.values), missing):
            raise ValueError("a filter score is masked without a reason, or has a reason though it is there")
        if not np.isfinite(self.values.compressed()).all():
            raise ValueError("a filter score is not a finite number; mask it and give a reason instead")

    @classmethod
    def of(cls, values: Sequence[float | None] | Floats, reason: str = "", faults: Sequence[str | None] = ()) -> FilterScores:
        """One number per pair; None is masked, and `reason` says why."""
        missing = [v is None for v in values]
        if any(missing) and not reason:
            raise ValueError("a filter score is missing without saying why")
        filled = [0.0 if v is None else v for v in values]
        reasons = [reason if m else None for m in missing]
        return cls(np.ma.MaskedArray(np.array(filled, dtype=np.float64), mask=missing), reasons, faults)

    @classmethod
    def joined(cls, parts: Sequence[FilterScores]) -> FilterScores:
        """The scores of several lots of pairs, one lot after the other."""
        if not parts:
            return cls.of([])
        values = np.ma.concatenate([p.values for p in parts])
        faults = [x for p in parts for x in (p.faults or [None] * len(p.reasons))] if any(p.faults for p in parts) else ()
        return cls(values, [r for p in parts for r in p.reasons], faults, np.concatenate([p.order for p in parts]))

    def take(self, places: Ints) -> FilterScores:
        """The scores of the pairs at these places."""
        faults = [self.faults[i] for i in places] if self.faults else ()
        order = self.order[places] if len(self.order) else self.order
        return FilterScores(self.values[places], [self.reasons[i] for i in places], faults, order)


class Filter(BaseModel, ABC):
    """A filter and its settings in one. Subclasses fix `use`, by which the recipe tells them apart.

    `name` (default: `use`) names its score column and stands in `dropped_by`. `on_missing` decides on pairs without a score.
    Raise `version` when the same settings would give other scores or verdicts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    version: ClassVar[int] = 1
    whole: ClassVar[bool] = False
    """Does a pair's score depend on the other pairs? Then `score` gets all pairs at once, else some thousands at a time."""

    use: str
    name: str = Field(default="", pattern=re.compile(r"^[A-Za-z_][A-Za-z0-9_]*\Z"))
    on_missing: Literal["drop", "keep"] = "drop"

    @model_validator(mode="before")
    @classmethod
    def _default_name(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and data.get("name") is None:
            return {**data, "name": cls.model_fields["use"].default}
        return data

    def requires(self) -> dict[str, str]:
        """The annotations it reads: an annotator's name in the recipe -> the method that must stand behind the name."""
        return {}

    def methods(self) -> dict[str, tuple[str, ...]]:
        """The annotators whose parts it reads, and the methods that are known to store these. Another built-in method is refused;
        one of another package may store them too."""
        return {name: (method,) for name, method in self.requires().items()}

    def reads(self) -> tuple[str, ...]:
        """The annotators, of whatever method, that the recipe must have because this filter reads their labels."""
        return ()

    def compares(self) -> tuple[str, ...]:
        """The annotators among these whose comparisons of two responses it reads; one that compares nothing is refused."""
        return ()

    def check(self) -> None:
        """Raise PairwrightError if what it needs besides the pairs, such as a file, is not there; before any model is asked."""

    def about(self) -> dict[str, Any]:
        """What its verdicts depend on besides the pairs; equal filters on equal pairs need no new version."""
        return {"version": self.version, **self.model_dump(mode="json")}

    @abstractmethod
    def score(self, pairs: PairColumns) -> FilterScores:
        """One number per pair."""

    @abstractmethod
    def objections(self, values: Floats) -> list[str | None]:
        """For each of the scores that are there: a sentence why the pair fails, or None."""

    def judge(self, scores: FilterScores) -> list[str | None]:
        """For each pair: why it fails, or None (keep). Of a pair without a score its fault is said, or else, if `on_missing`
        decides so, `<name>_missing: <reason>`."""
        judged = iter(self.objections(scores.values.compressed()))
        sentences: list[str | None] = []
        for reason, fault in zip(scores.reasons, scores.faults or [None] * len(scores.reasons), strict=True):
            if reason is None:
                sentences.append(next(judged) or fault)
            else:
                sentences.append(fault or (f"{self.name}_missing: {reason}" if self.on_missing == "drop" else None))
        return sentences


LIMITS = ("min", "max", "min_quantile", "max_quantile")


class Band(Filter):
    """A filter that keeps the pairs whose score lies within limits; all limits that are given hold, and each includes its end.
    `score` does not read them.

    `max_quantile` and `min_quantile` are quantiles (0 to 1, linear interpolation) over the scores of all pairs of the
    dataset that have one, whatever other filters say of them. Equal scores stand or fall together: where many are, a quantile
    may drop another share than it says, or nothing.
    """

    default_limits: ClassVar[Mapping[str, float]] = {}
    """What holds where no limit at all is given. No recipe takes it over, so that a limit which is set later stands alone."""

    min: float | None = None
    max: float | None = None
    min_quantile: float | None = Field(default=None, ge=0, le=1)
    max_quantile: float | None = Field(default=None, ge=0, le=1)

    @property
    def limits(self) -> Mapping[str, float]:
        """The limits that hold, by name."""
        return {name: x for name in LIMITS if (x := getattr(self, name)) is not None} or self.default_limits

    def about(self) -> dict[str, Any]:
        """The limits that hold, whoever set them."""
        return {**super().about(), **self.limits}

    @model_validator(mode="after")
    def _check_limits(self) -> Band:
        if not self.limits:
            raise ValueError(f"it keeps everything: give at least one of {', '.join(f'`{name}`' for name in LIMITS)}")
        for low, high in (("min", "max"), ("min_quantile", "max_quantile")):
            least, most = getattr(self, low), getattr(self, high)
            if least is not None and most is not None and least > most:
                raise ValueError(f"it keeps nothing: `{low}` {least} is greater than `{high}` {most}")
        return self

    @property
    @abstractmethod
    def measure(self) -> str:
        """What the score is, as the subject of a sentence."""

    def objections(self, values: Floats) -> list[str | None]:
        """Why each score lies outside the limits, or None."""
        sentences: list[str | None] = [None] * len(values)
        for limit, text in self._limits(values, "max"):
            for i in np.flatnonzero(values > limit):
                sentences[i] = sentences[i] or f"{self.measure} {values[i]:.6g} is above {text}"
        for limit, text in self._limits(values, "min"):
            for i in np.flatnonzero(values < limit):
                sentences[i] = sentences[i] or f"{self.measure} {values[i]:.6g} is below {text}"
        return sentences

    def _limits(self, values: Floats, end: Literal["min", "max"]) -> list[tuple[float, str]]:
        absolute, q = self.limits.get(end), self.limits.get(f"{end}_quantile")
        limits = [] if absolute is None else [(absolute, f"{absolute:.6g}")]
        if q is not None and len(values):
            at = float(np.quantile(values, q, method="linear"))
            limits.append((at, f"{at:.6g}, the {q:g} quantile"))
        return limits


@dataclass(frozen=True)
class FilterOutcome:
    """What N pairs came to. `scores[name]`: float64 [N], masked where missing. `dropped_by[i]`: the first filter, in declared
    order, that turned pair i down, and `reason[i]` its sentence; both None where `keep[i]`."""

    scores: dict[str, np.ma.MaskedArray[Any, np.dtype[np.float64]]]
    keep: npt.NDArray[np.bool_]
    dropped_by: list[str | None]
    reason: list[str | None]


class Named(Protocol):
    """What a recipe gives a name: a filter or a relabelling."""

    @property
    def name(self) -> str: ...


def check_names(filters: Sequence[Named]) -> None:
    """Raise PairwrightError if two of them share a name."""
    names = [f.name.casefold() for f in filters]  # SQL does not tell M from m
    for f in filters:
        if names.count(f.name.casefold()) > 1:
            raise PairwrightError(f"two filters are called {f.name!r}: give each its own `name`")


def apply_filters(filters: Sequence[Filter], pairs: PairColumns) -> FilterOutcome:
    """Let every filter score and judge every pair. No pair is removed and no filter sees another's verdict."""
    return decide(filters, [f.score(pairs) for f in filters], len(pairs))


def decide(filters: Sequence[Filter], scored: Sequence[FilterScores], n: int) -> FilterOutcome:
    """What N pairs come to whose scores by each filter are known."""
    check_names(filters)
    dropped_by: list[str | None] = [None] * n
    reason: list[str | None] = [None] * n
    for f, scores in zip(filters, scored, strict=True):
        if len(scores.reasons) != n:
            raise ValueError(f"filter {f.name!r} gave {len(scores.reasons)} scores for {n} pairs")
        for i, sentence in enumerate(f.judge(scores)):
            if sentence is not None and dropped_by[i] is None:
                dropped_by[i], reason[i] = f.name, sentence
    values = {f.name: scores.values for f, scores in zip(filters, scored, strict=True)}
    return FilterOutcome(values, np.array([d is None for d in dropped_by], dtype=bool), dropped_by, reason)
