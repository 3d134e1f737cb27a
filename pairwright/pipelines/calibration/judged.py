"""Items with a gold label that an annotator has judged: what `pairwright evaluate` writes, one JSON object a line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pairwright.errors import PairwrightError
from pairwright.ids import digest
from pairwright.pipelines.evaluation.rows import BASELINE

SAID = ("a", "b", "tie")


@dataclass(frozen=True, slots=True)
class Judged:
    """One annotator's answer to one labelled item.

    p: P(a is better), None where the answer could not be read or there is none (it counts as abstaining). Of an annotator that
        rates it is sigmoid(difference), the difference being the score of a minus that of b.
    gold: what people said. correct: does the verdict agree with it? None where either is missing.
    cost_tokens, cost_seconds, cost_money: what the answer cost (tokens, seconds, the currency of the prices).
    use, settings: the annotator's method and its own settings; use is None in files of older versions, which do not say.
    """

    id: str
    p: float | None
    correct: bool | None
    cost_tokens: float = 0.0
    cost_seconds: float = 0.0
    features: Mapping[str, float] = field(default_factory=dict)
    cost_money: float = 0.0
    difference: float | None = None
    gold: str | None = None
    use: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def labelled(self) -> bool:
        """Is it known to be right or wrong, or at least that it could have been?"""
        return self.correct is not None or (self.p is None and self.gold is not None)

    @property
    def confidence(self) -> float | None:
        """max(p, 1 - p)."""
        return None if self.p is None else max(self.p, 1 - self.p)


@dataclass(frozen=True, slots=True)
class Judges:
    """Answers of several annotators to the same items, each in the order of hashes of the ids.

    answers[j][i]: what annotator `names[j]` said of item i. unmatched: items left out because not every annotator has judged
    them; unlabelled: because they have no gold label.
    """

    names: tuple[str, ...]
    answers: tuple[tuple[Judged, ...], ...]
    unmatched: int = 0
    unlabelled: int = 0

    @property
    def n(self) -> int:
        """Number of items."""
        return len(self.answers[0])

    @property
    def members(self) -> list[dict[str, Any]]:
        """Each annotator as a recipe writes it inside another: its method and settings, or only its name (`described`)."""
        first = [answers[0] for answers in self.answers]
        return [{"use": x.use or name, **x.settings} for name, x in zip(self.names, first, strict=True)]

    @property
    def described(self) -> bool:
        """Do the files say the method and the settings of every annotator?"""
        return all(answers[0].use is not None for answers in self.answers)


def joined(answers: Mapping[str, Iterable[Judged]]) -> Judges:
    """Join annotators' answers by item id. An item stays if every annotator has judged it and every answer is `labelled`. Raises
    PairwrightError if an annotator judged an item twice, if its settings or an item's gold labels differ, or if none stays."""
    by_id: list[dict[str, Judged]] = []
    golds: dict[str, tuple[str | None, str]] = {}
    for name, rows in answers.items():
        by_id.append({})
        written: Judged | None = None
        for row in rows:
            written = written or row
            if (row.use, row.settings) != (written.use, written.settings):
                raise PairwrightError(
                    f"the annotator {name!r} judged {written.id!r} and {row.id!r} with different settings: evaluate it again, or "
                    "give the two different names"
                )
            if by_id[-1].setdefault(row.id, row) is not row:
                raise PairwrightError(f"the annotator {name!r} has judged the item {row.id!r} twice: remove one of the lines")
            gold, other = golds.setdefault(row.id, (row.gold, name))
            if gold != row.gold:
                raise PairwrightError(
                    f"the item {row.id!r} has the gold label {gold or 'none'} where {other!r} judged it and {row.gold or 'none'} "
                    f"where {name!r} did: evaluate them on the same labelled data"
                )
    everywhere = set.intersection(*(set(rows) for rows in by_id))
    labelled = {i for i in everywhere if all(rows[i].labelled for rows in by_id)}
    if not labelled:
        raise PairwrightError(
            f"no item with a gold label was judged by all of {', '.join(answers)}: evaluate them on the same labelled data"
        )
    order = sorted(labelled, key=lambda i: digest("calibration", i))
    matched = tuple(tuple(rows[i] for i in order) for rows in by_id)
    unmatched = len(set.union(*(set(rows) for rows in by_id))) - len(everywhere)
    return Judges(tuple(answers), matched, unmatched, len(everywhere) - len(labelled))


def read_judged(files: Sequence[Path]) -> dict[str, list[Judged]]:
    """annotator -> its answers, annotators in the order in which they first appear; the baseline of `evaluate` is none. Raises
    PairwrightError with file:line."""
    found: dict[str, list[Judged]] = {}
    for path in files:
        if not path.is_file():
            raise PairwrightError(f"there is no file {path}: give the per-item files that `pairwright evaluate` writes")
        for number, line in enumerate(path.read_text("utf-8", errors="replace").split("\n"), 1):
            if line.strip():
                try:
                    row = json.loads(line)
                    if row["annotator"] != BASELINE:
                        found.setdefault(str(row["annotator"]), []).append(judged(row))
                except (ValueError, KeyError, TypeError) as error:
                    fault = f"has no {error}" if isinstance(error, KeyError) else f"cannot be read ({error})"
                    raise PairwrightError(
                        f"{path}:{number} {fault}: give the per-item files that `pairwright evaluate` writes"
                    ) from None
    if not found:
        raise PairwrightError("the files hold no judged item: give the per-item files that `pairwright evaluate` writes")
    return found


def judged(row: Mapping[str, Any]) -> Judged:
    """An answer from its row. A verdict of "tie" is right if the gold label is a tie, and wrong if it is not."""
    p, verdict, gold, correct = row["p"], row["verdict"], row["gold"], row["correct"]
    difference = None if p is not None else _difference(row.get("scores") or ())
    p = p if difference is None else sigmoid(difference)
    if p is not None and not 0 <= p <= 1:
        raise ValueError(f"p = {p} is not a probability")
    if p is not None and verdict not in SAID:
        raise ValueError(f"the verdict {verdict!r} has p = {p}")
    if correct not in (None, True, False):
        raise ValueError(f"correct = {correct} is not true, false or null")
    if gold is None:
        correct = None
    elif correct is None and verdict in SAID and gold in SAID:
        correct = verdict == gold
    features = {str(name): float(value) for name, value in (row.get("features") or {}).items()}
    costs = [float(row.get(name) or 0.0) for name in ("tokens", "seconds", "money")]
    return Judged(
        str(row["id"]),
        None if p is None else float(p),
        None if correct is None else bool(correct),
        costs[0],
        costs[1],
        features,
        costs[2],
        difference,
        None if gold is None else str(gold),
        None if row.get("use") is None else str(row["use"]),
        dict(row.get("settings") or {}),
    )


def rescaled(rows: Sequence[Judged]) -> tuple[list[Judged], float | None]:
    """Answers whose p is sigmoid(slope * difference), and the slope: 1 over the root mean square of the differences, so that
    large scores do not all end at p = 1, where no threshold tells them apart. Annotators that compare: unchanged, and None."""
    differences = [r.difference for r in rows if r.difference is not None]
    if not differences:
        return list(rows), None
    scale = math.sqrt(sum(d * d for d in differences) / len(differences))
    slope = float(f"{1 / scale:.3g}") if scale else 1.0
    return [r if r.difference is None else replace(r, p=sigmoid(slope * r.difference)) for r in rows], slope


def sigmoid(z: float) -> float:
    """1 / (1 + e^-z), as `annotators.members` computes it."""
    return 0.5 * (1 + math.tanh(0.5 * z))


def _difference(scores: Sequence[float | None]) -> float | None:
    if len(scores) > 2:
        raise ValueError(f"it is about {len(scores)} responses, but routers are calibrated on pairs")
    a, b = scores if len(scores) == 2 else (None, None)
    return None if a is None or b is None else float(a) - float(b)
