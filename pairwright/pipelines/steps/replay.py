"""Replaying searches: the same trees again from the journal alone, as proof of where every stored count comes from."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pairwright.annotators.steps.search import SET_ASIDE, STOPPED
from pairwright.engines.base import Engine
from pairwright.engines.journal import Journal
from pairwright.engines.pool import EnginePool
from pairwright.engines.runner import Broken, Runner, Task
from pairwright.errors import PairwrightError
from pairwright.pipelines.build import Build
from pairwright.pipelines.steps.search import question, search_question
from pairwright.pipelines.store import differences
from pairwright.storage.hashing import DECISIONS
from pairwright.storage.parquet import read_table

Row = Mapping[str, Any]


@dataclass
class Replay:
    """What came of it. `skipped`: trees that stopped at a request which failed, for the journal keeps no failures; they are not
    among `trees`. `differences`: one sentence per tree that came out otherwise."""

    trees: int = 0
    equal: int = 0
    skipped: int = 0
    answers: int = 0
    differences: list[str] = field(default_factory=list)


class SealedPool(EnginePool):
    """Loads nothing: whatever the journal does not hold is an error."""

    def load(self, model: str, idle: set[str]) -> Engine:
        """Refuses."""
        raise PairwrightError(
            f"a search asks {self.label(model)} something the journal does not hold: a part of it was deleted, or Pairwright now "
            "searches otherwise; build to search anew"
        )


def replay(build: Build) -> Replay:
    """Grow every stored tree again without a model, but those that a failed request stopped. Raises PairwrightError when nothing
    was searched with these settings, saying which setting changed, or when the journal lacks an answer."""
    stored = _stored(build)
    if not stored:
        raise PairwrightError(_refusal(build))
    journal = Journal(build.work / "journal")
    runner = Runner(SealedPool(build.recipe.models), journal)
    whole = {prompt_id: rows for prompt_id, rows in stored.items() if not _failed(rows)}
    label = build.recipe.models[build.steps.completer].label()
    found = Replay(trees=len(whole), skipped=len(stored) - len(whole))

    def tasks() -> Iterator[tuple[Hashable, Task]]:
        for prompt_id in whole:
            yield prompt_id, search_question(build.by_id[prompt_id], build.steps, label)

    build.progress.begin("replay", len(whole), "trees")
    for prompt_id, rows in runner.run(tasks()):
        if isinstance(rows, Broken):
            raise rows.error
        same = _decisions(rows) == _decisions(whole[str(prompt_id)])
        found.equal += same
        if not same:
            found.differences.append(f"the tree of prompt {prompt_id} came out otherwise")
    found.answers = runner.stats.from_journal
    build.progress.end("replay", f"{found.equal} of {found.trees} equal")
    journal.close()
    return found


def _stored(build: Build) -> dict[str, list[Row]]:
    """prompt -> its tree's identities and decisions, for the questions of this recipe."""
    trees: dict[str, list[Row]] = {}
    wanted = {question(prompt).id for prompt in build.by_id.values()}
    for path in build.searches.files():
        for row in read_table(path, ["prompt_id", "question_id", *DECISIONS["steps"]]).to_pylist():
            if row["question_id"] in wanted:
                trees.setdefault(row["prompt_id"], []).append(row)
    return trees


def _failed(rows: Iterable[Row]) -> bool:
    """Did a request fail for good while this tree was grown?"""
    reasons = {row["reason"] for row in rows if row["parent_id"] is None}
    return not reasons <= {None} | SET_ASIDE | STOPPED


def _decisions(rows: Iterable[Row]) -> set[tuple[Any, ...]]:
    return {tuple(row[name] for name in DECISIONS["steps"]) for row in rows}


def _refusal(build: Build) -> str:
    others = build.searches.others()
    changes = min((list(differences(about, build.searches.about)) for about in others), key=len, default=[])
    if not changes:
        return f"there is nothing to replay: nothing was searched for {build.recipe.dataset} yet; build it first"
    return (
        f"this replay is refused: the stored searches of {build.recipe.dataset} were made with other settings "
        f"({'; '.join(changes[:3])}); give the settings they were made with, or build to search anew"
    )
