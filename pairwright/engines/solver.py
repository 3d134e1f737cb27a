"""A solver of problems whose first errors are known: it makes steps search needs, and no model.

A solution is lines that end in "\\n\\n": first steps, such as `step good: korimu batego ...`, then a line without that end which
gives the answer, `so the answer is \\boxed{42}`. Ids are a pure function of text and back, so what was said before is read off
`prefix_ids`: no state is kept, and a solution may be continued from any token. The delimiter sits inside the last word's token.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import accumulate
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from pairwright.engines.requests import (
    FRESH,
    Choose,
    Chosen,
    Completion,
    Generate,
    Generated,
    Request,
    Result,
    Sampling,
    Score,
)
from pairwright.engines.scripted import (
    END,
    PretendModel,
    Rate,
    chance_of,
    logprobs_of,
    score,
    usage_of,
)
from pairwright.ids import seed_of

DELIMITER = "\n\n"
WORDS = (4, 8)  # fewest and most words of a step: with its two tokens before them no step is too short to stand alone
SURE = 0.9  # the probability a judge gives to what it believes
_ANSWER = "so the answer is \\boxed{"
_SHRUG = "so nobody can tell us what it is"
_STEP = re.compile(r"\bstep (good|bad):")
_FILLERS = [a + b + c for a in ("ko", "ba", "lu", "ne", "fi") for b in ("ri", "te", "go", "la", "mu") for c in ("mu", "go", "si")]
_SAID = ["step", " good:", " bad:", *re.findall(r" ?[^ {]+\{?", _ANSWER), *_SHRUG.replace(" ", "| ").split("|")[1:]]
_LEXICON = [*dict.fromkeys(_SAID), *(f" {w}{end}" for w in _FILLERS for end in ("", DELIMITER))]
_IDS = {piece: i for i, piece in enumerate(_LEXICON, start=END + 1)}
_CHARACTERS = 1000  # from here on, ids stand for single characters
_PIECE = re.compile("|".join(re.escape(p) for p in sorted(_LEXICON, key=len, reverse=True)) + "|.", re.DOTALL)


def ids_of(text: str) -> tuple[int, ...]:
    """The tokens of any text: words of the lexicon, and single characters where there is none."""
    return tuple(_IDS.get(piece) or _CHARACTERS + ord(piece) for piece in _PIECE.findall(text))


def text_of(ids: Sequence[int]) -> str:
    """The text of ids; the terminator spells nothing."""
    return "".join(_spelled(i) for i in ids)


def first_error(text: str) -> int | None:
    """The 0-based index of the first wrong step in a solution's text, or None: the truth that a search has to find."""
    verdicts = _STEP.findall(text)
    return verdicts.index("bad") if "bad" in verdicts else None


class SolverModel(PretendModel):
    """A solver. Rollouts begun at a prefix without an error are right with probability (1 - error)^(steps left)."""

    engine: Literal["solver"] = "solver"
    answer: str = Field("42", description="what a right solution ends in")
    steps: tuple[int, int] = Field((3, 12), description="fewest and most steps before the line with the answer")
    error: Rate = Field(0.1, description="chance that a step is wrong when all before it are right; then all later ones are, too")
    recover: Rate = Field(0, description="chance that a rollout begun after an error goes on well and ends in the right answer")
    unparsed: Rate = Field(0, description="chance that a finished solution states no answer")
    cut: Rate = Field(0, description="chance that a completion is cut as if by the length limit")
    judge_noise: Rate = Field(0, description="chance that, of a text, it believes the opposite of the truth when asked to choose")

    provides: ClassVar[frozenset[str]] = frozenset({"generate", FRESH, "prefix_ids", "score", "choose"})
    tokenizer: ClassVar[str] = "solver"

    @field_validator("steps")
    @classmethod
    def _ordered(cls, steps: tuple[int, int]) -> tuple[int, int]:
        if not 0 <= steps[0] <= steps[1]:
            raise ValueError("`steps` is two numbers: the fewest steps, at least 0, and the most")
        return steps

    def ids(self, text: str) -> tuple[int, ...]:
        return ids_of(text)

    def respond(self, request: Request) -> Result:
        match request:
            case Generate():
                return _generate(self, request)
            case Score():
                return score(self, request)
            case Choose():
                return _choose(self, request)
        raise TypeError(f"a simulated model does not answer a {type(request).__name__}")


def _spelled(token: int) -> str:
    if token >= _CHARACTERS:
        return chr(token - _CHARACTERS)
    return _LEXICON[token - END - 1] if END < token <= len(_LEXICON) else ""


def _generate(model: SolverModel, request: Generate) -> Generated:
    greedy, base = request.sampling.temperature == 0, chance_of(model, request)
    begun = text_of(request.prefix_ids)
    made = tuple(_complete(model, request, begun, random.Random(f"{base}:{0 if greedy else i}")) for i in range(request.n))
    generated = sum(len(c.token_ids or ids_of(c.text)) for c in made)
    return Generated(made, usage_of(model, request.prompt, len(request.prefix_ids), generated))


def _complete(model: SolverModel, request: Generate, begun: str, rng: random.Random) -> Completion:
    text = "".join(_solve(model, begun, rng))
    ids = (*ids_of(text), END)
    ends = tuple(accumulate(len(_spelled(i)) for i in ids))
    limit = request.sampling.max_tokens
    if rng.random() < model.cut:
        limit = min(limit, rng.randint(1, max(1, len(ids) - 1)))
    found = _stop(text, request.sampling)
    kept = next(i for i, end in enumerate(ends, start=1) if end >= found[1]) if found else len(ids)
    finish: Literal["stop", "length"] = "stop" if kept <= limit else "length"
    if found and finish == "stop" and not request.sampling.keep_stop:
        return Completion(text[: found[0]], finish)
    ids, ends = ids[: min(kept, limit)], ends[: min(kept, limit)]
    logprobs = tuple(logprobs_of(model, request.prompt, ids).tolist())
    return Completion(text[: ends[-1]], finish, ids, logprobs, model.tokenizer, ends)


def _stop(text: str, sampling: Sampling) -> tuple[int, int] | None:
    """Where the stop string that is complete first begins and ends."""
    found = [(text.find(stop), text.find(stop) + len(stop)) for stop in sampling.stop if stop in text]
    return min(found, key=lambda span: (span[1], span[0]), default=None)


def _solve(model: SolverModel, begun: str, rng: random.Random) -> Iterator[str]:
    """What follows `begun`, in parts."""
    *lines, line = begun.split(DELIMITER)
    erred = first_error(begun) is not None
    recovered = erred and rng.random() < model.recover
    in_step = bool(line) and not _is_last(line)
    done = len(lines) + in_step
    left = 0 if line and not in_step else rng.randint(*(max(n, done) for n in model.steps)) - done
    if in_step:
        if line == "step":
            erred, verdict = _verdict(model, erred, recovered, rng)
            yield verdict
        yield _words(rng, said=len(line.split()) - 2)
        line = ""
    for _ in range(left):
        erred, verdict = _verdict(model, erred, recovered, rng)
        yield f"step{verdict}{_words(rng)}"
    yield _ending(model, line, not erred or recovered, rng)


def _is_last(line: str) -> bool:
    """Has this line begun to give the answer?"""
    return line.startswith(_ANSWER) or _ANSWER.startswith(line) or _SHRUG.startswith(line)


def _verdict(model: SolverModel, erred: bool, recovered: bool, rng: random.Random) -> tuple[bool, str]:
    """Is there an error by now, and what the next step says of itself."""
    if recovered:
        return erred, " good:"
    erred = rng.random() < model.error or erred
    return erred, " bad:" if erred else " good:"


def _words(rng: random.Random, said: int = 0) -> str:
    """The rest of a step that has so many words."""
    count = max(1, rng.randint(*WORDS) - max(0, said))
    return "".join(f" {rng.choice(_FILLERS)}" for _ in range(count)) + DELIMITER


def _ending(model: SolverModel, line: str, right: bool, rng: random.Random) -> str:
    """The rest of the last line, of which `line` is said; an answer that is begun is gone on with."""
    unparsed = rng.random() < model.unparsed
    if line.startswith(_ANSWER) and not _open(line):
        return ""
    if _SHRUG.startswith(line) and (unparsed or not _ANSWER.startswith(line)):
        return _SHRUG[len(line) :]
    said = line[len(_ANSWER) :]
    whole = f"{_ANSWER}{model.answer if right else _wrong(model.answer, said, rng)}}}"
    return whole[len(line) :] if whole.startswith(line) else "}" * _open(line)


def _open(text: str) -> int:
    """How many braces are open."""
    return text.count("{") - text.count("}")


def _wrong(answer: str, said: str, rng: random.Random) -> str:
    """A number (or whatever `said` begins) that is not the answer."""
    while True:
        found = f"{said}{rng.randint(1, 99)}" + "}" * _open(said)
        same = found == answer
        with suppress(ValueError):
            same = same or float(found) == float(answer)
        if not same:
            return found


def _choose(model: SolverModel, request: Choose) -> Result:
    """The first label says that there is no error in what was given; the others share what is left."""
    text = "\n".join(turn.content for turn in request.prompt)
    mistaken = seed_of("judge", model.seed, text) / 2**31 < model.judge_noise
    sound = (first_error(text) is None) != mistaken
    first = SURE if sound else 1 - SURE
    others = len(request.labels) - 1
    shares = [first, *[(1 - first) / others] * others] if others else [first]
    return Chosen(tuple(map(math.log, shares)), usage_of(model, request.prompt, 0, 1))
