"""Taking answers in: what enough people have answered enters the journal, what too few have waits in a file beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pairwright.annotators.judges.person import MOST_PEOPLE
from pairwright.engines.journal import Journal
from pairwright.engines.requests import Failed, Opinion, Reviewed, Usage, check, request_key
from pairwright.errors import PairwrightError
from pairwright.files import exclusive, write_text
from pairwright.pipelines.build import Build
from pairwright.pipelines.review.answers import VERDICTS, Answer, Refused, read_answers, without_contradictions
from pairwright.pipelines.review.collect import Item, collect, people_of

Opinions = dict[str, list[Opinion]]  # question -> what was said


@dataclass
class Taken:
    """What came of an import. `new`: answers that count now; `again`: those that were known; `empty`: rows nobody filled in;
    `completed`: questions that are answered now; `partial`: those that some, but not enough people have answered; `waiting`: all
    questions that still lack people, among them such as follow from the new answers."""

    new: int = 0
    again: int = 0
    empty: int = 0
    completed: int = 0
    partial: int = 0
    waiting: int = 0
    refused: list[Refused] = field(default_factory=list)


def take(build: Build, paths: Sequence[Path]) -> Taken:
    """Import answers. May be repeated: what is known changes nothing. Answers for a build that is running count in the next one.

    A crash between the journal and the file of partial answers loses nothing: a question that the journal holds is answered,
    whatever else says so. Raises PairwrightError if a file cannot be read at all, or nobody is asked by this build.
    """
    people_of(build)
    read = read_answers(paths)
    taken = Taken(again=0, empty=read.empty, refused=list(read.refused))
    with exclusive(build.work / "review" / "lock", f"another import for {build.dataset.folder} is running: wait for it"):
        journal = Journal(build.work / "journal")
        try:
            _take(build, journal, read.answers, taken)
        finally:
            journal.close()
    taken.refused.sort(key=lambda r: (r.place.file, r.place.line))
    return taken


def _take(build: Build, journal: Journal, answers: Sequence[Answer], taken: Taken) -> None:
    path, waiting, sheets = build.work / "review" / "pending.json", collect(build, journal).items, set(people_of(build))
    pending = read_pending(path)
    pending = {id: _said_before(item, journal, pending) for id, item in waiting.items() if id not in pending} | pending
    sound: list[Answer] = []
    for answer in answers:
        problem = _problem(answer, waiting, journal, sheets)
        if problem is None:
            sound.append(answer)
        else:
            taken.refused.append(problem)
    kept, contradicting, taken.again = without_contradictions(sound)
    taken.refused += contradicting
    for answer in kept:
        known = _known(journal, answer.item)
        said = known if known is not None else pending.setdefault(answer.item, [])
        before = next((o for o in said if o.who.casefold() == answer.opinion.who.casefold()), None)
        if before is not None and before.choice == answer.opinion.choice:
            taken.again += 1
        elif before is not None:
            detail = f"{answer.opinion.who} answered otherwise in an earlier import, and that counts"
            taken.refused.append(Refused(answer.place, "contradiction", detail))
        elif known is not None:
            taken.refused.append(Refused(answer.place, "late", "enough people have answered this question already"))
        else:
            said.append(answer.opinion)
            taken.new += 1
    for id in waiting.keys() & pending.keys():
        taken.completed += _complete(journal, waiting[id], pending[id])
    journal.close()  # on the disk before the partial answers are forgotten
    pending = {id: sorted(said, key=_name) for id, said in pending.items() if said and id not in journal}
    write_text(path, json.dumps({id: [[o.who, o.choice, o.note, o.seconds] for o in said] for id, said in pending.items()}))
    lacking = collect(build, journal).items
    taken.waiting, taken.partial = len(lacking), len(lacking.keys() & pending.keys())


def _problem(answer: Answer, waiting: Mapping[str, Item], journal: Journal, sheets: set[str]) -> Refused | None:
    if answer.sheet is not None and answer.sheet not in sheets:
        detail = "the row is from the sheet of another recipe, of other people, or of earlier instructions"
        return Refused(answer.place, "other_sheet", detail)
    if answer.item in waiting:
        choices = [id for id, _ in waiting[answer.item].review.candidates] + list(VERDICTS)
        if answer.opinion.choice not in choices:
            detail = f"{answer.opinion.choice!r:.60} is neither a response's id nor {' nor '.join(VERDICTS)}"
            return Refused(answer.place, "unknown_choice", detail)
    elif _known(journal, answer.item) is None:
        return Refused(answer.place, "unknown_item", f"this build does not ask {answer.item!r:.60}")
    return None


def _said_before(item: Item, journal: Journal, pending: Opinions) -> list[Opinion]:
    """What was said of the same question while the recipe wanted another number of people."""
    for people in range(1, MOST_PEOPLE + 1):
        id = request_key(item.sheet, replace(item.review, people=people))
        if said := _known(journal, id) or pending.get(id):
            return list(said)
    return []


def _known(journal: Journal, id: str) -> list[Opinion] | None:
    """What the journal holds of a question."""
    found = journal.get(id)
    return list(found.opinions) if isinstance(found, Reviewed) else None


def _complete(journal: Journal, item: Item, said: Sequence[Opinion]) -> bool:
    """Write what was said to the journal if enough people have spoken."""
    if len(said) < item.review.people:
        return False
    found = check(item.review, Reviewed(tuple(sorted(said, key=_name)), Usage(seconds=sum(o.seconds for o in said))))
    if isinstance(found, Failed):
        raise ValueError(found.detail)
    journal.put(item.id, found)
    return True


def _name(opinion: Opinion) -> str:
    return opinion.who


def read_pending(path: Path) -> Opinions:
    """The answers to questions that too few people have answered."""
    try:
        return {id: [Opinion(*row) for row in said] for id, said in json.loads(path.read_text(encoding="utf-8")).items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError):
        raise PairwrightError(
            f"{path} is damaged: delete it, and import the files of all people who have answered again"
        ) from None
