"""A judge reads the steps of a solution and names the first wrong one (The Lessons of Developing PRMs, arXiv 2501.07301, read in
full; its judge is Qwen2.5-72B-Instruct). The words are ours, and so are votes and the mode `choose`.

The judge sees steps numbered from 1; everything here and elsewhere counts them from 0, as ProcessBench does.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from pairwright.annotators.steps.base import Part
from pairwright.annotators.wording import texts
from pairwright.engines.requests import (
    Choose,
    Chosen,
    Completion,
    Conversation,
    Failed,
    Generate,
    Generated,
    Request,
    Result,
    Sampling,
    Turn,
)

VERSION = 1  # raise it when the same settings and answers would be judged otherwise; a test pins the words to it
UNPARSED, SPLIT, NO_STEPS = "judge_unparsed", "judge_split", "no_steps"
OURS = re.compile(r"<(?=\s*/?\s*(?:problem|step_[0-9]+|first_wrong)\b)", re.IGNORECASE)  # where one of our tags begins
MENTION = re.compile(r"<\s*/?\s*first_wrong", re.IGNORECASE)
VERDICT = re.compile(r"<first_wrong>\s*(none|[1-9][0-9]{0,5})\s*</first_wrong>", re.IGNORECASE)


class JudgeConfig(Part):
    """Who judges, and how."""

    role: str = "judge"
    mode: Literal["text", "choose"] = Field(
        "text",
        description="text: it reasons over all steps and writes a verdict; choose, for weak models: yes or no to every step",
    )
    temperature: float = Field(0.0, ge=0)
    max_tokens: int = Field(1024, ge=1)
    votes: int = Field(1, ge=1, description="of mode text, odd: what more than half of them say")
    threshold: float = Field(0.5, ge=0, lt=1, description="of mode choose: a step is wrong when P(no) is above this")

    @model_validator(mode="after")
    def _can_vote(self) -> JudgeConfig:
        if self.votes % 2 == 0:
            raise ValueError(f"votes: {self.votes} can end in a draw: use an odd number")
        if self.votes > 1 and (self.mode != "text" or self.temperature == 0):
            raise ValueError("more than one vote needs `mode: text` and a temperature above 0, or all of them are the same")
        return self

    def roles(self) -> dict[str, frozenset[str]]:
        """The role it asks, with what its engine must provide."""
        return {self.role: frozenset({"generate" if self.mode == "text" else "choose"})}


@dataclass(frozen=True, slots=True)
class Judgement:
    """`index`: the first wrong step, counted from 0; None without a `reason`: no step is wrong. `reason`: why nothing can be said
    (judge_unparsed, judge_split: no verdict has more than half of the votes, no_steps, or the request's failure). `raw`: the
    judge's words; of mode choose, P(no) of every step."""

    index: int | None
    reason: str | None = None
    raw: str | None = None

    def __post_init__(self) -> None:
        if self.reason is not None and self.index is not None:
            raise ValueError("a judgement that names a step has no reason for saying nothing")


Judging = Generator[Sequence[Request], Sequence[Result], Judgement]


def judge(question: Conversation, steps: Sequence[str], config: JudgeConfig, seed: int) -> Judging:
    """Judge the steps of one solution of `question`; nothing is asked about a solution without steps."""
    if not steps:
        return Judgement(None, NO_STEPS)
    return (yield from (_read if config.mode == "text" else _ask_each)(question, steps, config, seed))


def first_wrong(reply: Completion, count: int) -> int | str | None:
    """The verdict of a reply about `count` steps: an index counted from 0, None for "none", or `judge_unparsed`.

    Only a finished reply counts, without a reasoning model's thoughts. Its last line must be a verdict and nothing else (but for
    bold or code marks around it); every other verdict in it must say the same, and no tag of a verdict may be left over.
    """
    _, _, said = reply.text.rpartition("</think>")
    if reply.finish_reason != "stop" or "<think>" in said:
        return UNPARSED
    found = VERDICT.findall(said)
    last = said.rstrip("`* \t\r\n").rpartition("\n")[2].lstrip("`* \t")
    if not VERDICT.fullmatch(last) or len(MENTION.findall(said)) != 2 * len(found) or len({v.lower() for v in found}) != 1:
        return UNPARSED
    if found[0].lower() == "none":
        return None
    number = int(found[0])
    return number - 1 if number <= count else UNPARSED


def _read(question: Conversation, steps: Sequence[str], config: JudgeConfig, seed: int) -> Judging:
    sampling = Sampling(config.temperature, max_tokens=config.max_tokens)
    prompt = _turn(texts("step_judge")["text"].format(problem=_problem(question), steps=_numbered(steps)))
    (result,) = yield [Generate(config.role, prompt, sampling, config.votes, seed if config.temperature else 0)]
    if not isinstance(result, Generated):
        return _failed(result)
    votes = Counter(first_wrong(reply, len(steps)) for reply in result.completions)
    verdict, most = votes.most_common(1)[0]
    raw = "\n\n---\n\n".join(reply.text for reply in result.completions)
    if 2 * most <= config.votes:
        return Judgement(None, SPLIT, raw)
    return Judgement(None, verdict, raw) if isinstance(verdict, str) else Judgement(verdict, None, raw)


def _ask_each(question: Conversation, steps: Sequence[str], config: JudgeConfig, seed: int) -> Judging:
    """Ask about every step at once; what follows the first wrong one, failures included, does not matter."""
    words, problem = texts("step_judge"), _problem(question)
    labels = (words["labels"]["yes"], words["labels"]["no"])
    prompts = [
        words["choose"].format(problem=problem, steps=_numbered(steps[:n]), number=n, yes=labels[0], no=labels[1])
        for n in range(1, len(steps) + 1)
    ]
    results = yield [Choose(config.role, _turn(prompt), labels) for prompt in prompts]
    no = [r.probabilities[1] if isinstance(r, Chosen) else None for r in results]
    raw = "P(no): " + " ".join("failed" if p is None else f"{p:.4f}" for p in no)
    for index, (p, result) in enumerate(zip(no, results, strict=True)):
        if p is None:
            return _failed(result)
        if p > config.threshold:
            return Judgement(index, None, raw)
    return Judgement(None, None, raw)


def _failed(result: Result) -> Judgement:
    if isinstance(result, Failed):
        return Judgement(None, result.reason, result.detail or None)
    return Judgement(None, "wrong_answer", f"the engine answered a judge's request with a {type(result).__name__}")


def _turn(text: str) -> Conversation:
    return (Turn("user", text),)


def _problem(question: Conversation) -> str:
    """What was asked; of a conversation with several turns, who said what."""
    if len(question) == 1:
        return _tame(question[0].content).strip()
    return "\n\n".join(f"{turn.role}: {_tame(turn.content).strip()}" for turn in question)


def _numbered(steps: Sequence[str]) -> str:
    return "\n".join(f"<step_{n}>\n{_tame(step).strip()}\n</step_{n}>" for n, step in enumerate(steps, 1))


def _tame(text: str) -> str:
    """`text` with the beginnings of our own tags made harmless, so that it can neither end its step nor hold a verdict."""
    return OURS.sub("&lt;", text)
