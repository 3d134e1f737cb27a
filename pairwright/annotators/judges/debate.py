"""Several judges score two answers with reasons, read each other's reasons, and may change their minds.

Of the judge, jury and debate study (arXiv 2408.08688) neither code nor protocol was found; that both answers are best scored in
one prompt is from secondary notes [S]. The protocol is ours: in round 0 every agent scores on its own; then each reads what the
others said, at most `rounds` times, or until all are of one side. Round 0 is kept, so that herding can be measured.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field, model_validator

from pairwright.annotators.base import Group, Response
from pairwright.annotators.comparing import (
    Comparer,
    ComparerConfig,
    Comparing,
    Comparison,
    both_orders,
    passing,
    sigmoid,
    verdict_of,
)
from pairwright.annotators.judges.reading import Unread, commonest, read, said
from pairwright.annotators.judges.reading_json import scores_in
from pairwright.annotators.wording import asked, rendered, texts, told
from pairwright.engines.requests import Conversation, Failed, Generate, Generated, Request, Result, Sampling, Turn
from pairwright.engines.runner import gather
from pairwright.ids import seed_of

FORM = '{"A": SCORE, "B": SCORE}'


class DebateConfig(ComparerConfig):
    """Settings of `Debate`.

    agents: the role of each agent. One model may be several agents, if it samples.
    rounds: how often agents may change their scores after round 0.
    rule: p of one debate from its last scores. "majority": the share of agents who are for a, equal scores being half a vote.
        "mean": sigmoid(slope * mean over agents of score of a - score of b).
    top: scores are whole numbers from 1 to this.
    """

    agents: tuple[str, ...] = Field(("judge", "judge"), min_length=2, max_length=3)
    rounds: int = Field(2, ge=0)
    rule: Literal["majority", "mean"] = "majority"
    slope: float = Field(1.0, gt=0)
    top: int = Field(10, ge=2)
    temperature: float = Field(0.7, ge=0)
    max_tokens: int = Field(768, ge=1)

    @model_validator(mode="after")
    def _differ(self) -> DebateConfig:
        if self.temperature == 0 and len(set(self.agents)) < len(self.agents):
            raise ValueError("agents of one role say the same at temperature 0: give them other roles or a temperature above 0")
        return self


@dataclass(slots=True)
class Agent:
    """An agent in one debate. `leads[t]`: by how many points the answer shown first leads after round t. `words`: what it said in
    each round. `out`: why it has no say any more; what it said before then counts no longer."""

    role: str
    conversation: Conversation
    leads: list[float] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    out: Unread | Failed | None = None

    def hear(self, result: Result, top: int) -> None:
        """Take in the answer to what the agent was asked."""
        if not isinstance(result, Generated):
            self.out = result if isinstance(result, Failed) else Unread("wrong_answer")
            return
        reply = result.completions[0]
        scores = read(reply, lambda text: scores_in(text, ("A", "B"), 1, top))
        if isinstance(scores, Unread):
            self.out = scores
            self.words.append(reply.text)
        else:
            self.leads.append(scores[0] - scores[1])
            self.words.append(str(said(reply)))


Holding = Generator[Sequence[Request], Sequence[Result], list[Agent]]


class Debate(Comparer[DebateConfig]):
    """The debate is held twice, once with a shown first and once with b, because reasons speak of A and B: agents who see
    different orders could not read each other. In each, at least half of the agents (rounded up) must be readable to the end;
    else the comparison is invalid, with the commonest reason. A request that failed for a reason that may pass ends the debate,
    and the comparison has no verdict, for that reason. p is the mean of both debates'.

    parts: p_ab, p_ba; `r0:<i>`: side of agent i after round 0, mean of both debates (1: a, 0: b, 1/2: neither); changed: how many
    of the agents of both debates ended on another side than they began; rounds: the most revisions in one; valid: agents of both
    debates whose scores count. raw: everything said.
    """

    Config = DebateConfig
    wording = ("judges/debate",)

    def roles(self) -> dict[str, frozenset[str]]:
        return {role: frozenset({"generate"}) for role in self.config.agents}

    def compare(self, group: Group, a: Response, b: Response) -> Comparing:
        ab, ba = yield from gather(self._hold(group, a, b), self._hold(group, b, a))
        p_ab, p_ba = self._p(ab, 1), self._p(ba, -1)
        parts = both_orders(p_ab, p_ba) | _counts(ab, ba)
        raw = "\n\n".join(_transcript(r, agents) for r, agents in ((a, ab), (b, ba)))
        outs = [agent.out for agent in (*ab, *ba) if agent.out is not None]
        if waits := passing(outs):
            return Comparison(None, reason=waits.reason, parts=parts, raw=raw)
        if p_ab is None or p_ba is None:
            unread = [out for out in outs if isinstance(out, Unread)]
            reason = commonest(unread) if unread else outs[0].reason
            return Comparison("invalid" if unread else None, reason=reason, parts=parts, raw=raw)
        p = round((p_ab + p_ba) / 2, 12)
        return Comparison(verdict_of(p), p, parts=parts, raw=raw)

    def _hold(self, group: Group, first: Response, second: Response) -> Holding:
        """One debate. All agents of a round speak at the same time: each hears what the others said in the round before."""
        c, words = self.config, texts("judges/debate")
        ending = rendered(words["ending"], form=FORM)
        about = {"prompt": told(group.prompt), "a": first.text, "b": second.text}
        agents = [Agent(role, asked(rendered(words["open"], **about, top=c.top, ending=ending))) for role in c.agents]
        for turn in range(c.rounds + 1):
            speakers = [agent for agent in agents if agent.out is None]
            if turn and (len(speakers) < 2 or len({_side(agent.leads[-1]) for agent in speakers}) == 1):
                break
            if turn:
                heard = [agent.words[-1] for agent in speakers]
                for i, agent in enumerate(speakers):
                    others = rendered(words["revise"], others=heard[:i] + heard[i + 1 :], ending=ending)
                    agent.conversation += (Turn("assistant", heard[i]), *asked(others))
            results = yield [self._request(group, first, second, agent, agents.index(agent), turn) for agent in speakers]
            for agent, result in zip(speakers, results, strict=True):
                agent.hear(result, c.top)
            if passing(agent.out for agent in speakers if agent.out is not None):
                break
        return agents

    def _request(self, group: Group, first: Response, second: Response, agent: Agent, place: int, turn: int) -> Generate:
        c = self.config
        seed = seed_of("debate", group.prompt_id, first.id, second.id, place, turn) if c.temperature else 0
        return Generate(agent.role, agent.conversation, Sampling(c.temperature, max_tokens=c.max_tokens), seed=seed)

    def _p(self, agents: Sequence[Agent], sign: int) -> float | None:
        """P(a is better) of one debate in which a was shown first (sign 1) or second (-1); None with too few agents."""
        leads = [sign * agent.leads[-1] for agent in agents if agent.out is None]
        if 2 * len(leads) < len(agents):
            return None
        if self.config.rule == "majority":
            return sum(_side(lead) for lead in leads) / len(leads)
        return sigmoid(self.config.slope * sum(leads) / len(leads))


def _side(lead: float) -> float:
    return 0.5 if lead == 0 else float(lead > 0)


def _transcript(first: Response, agents: Sequence[Agent]) -> str:
    said = (f"(agent {i}, round {turn}) {text}" for i, agent in enumerate(agents) for turn, text in enumerate(agent.words))
    return "\n".join((f"[{first.id} shown first]", *said))


def _counts(ab: Sequence[Agent], ba: Sequence[Agent]) -> dict[str, float]:
    parts: dict[str, float] = {}
    for i, seats in enumerate(zip(ab, ba, strict=True)):
        began = [_side(sign * agent.leads[0]) for agent, sign in zip(seats, (1, -1), strict=True) if agent.leads]
        if began:
            parts[f"r0:{i}"] = sum(began) / len(began)
    valid = [agent for agent in (*ab, *ba) if agent.out is None]
    parts["changed"] = float(sum(_side(agent.leads[0]) != _side(agent.leads[-1]) for agent in valid))
    parts["rounds"] = float(max(len(agent.words) for agent in (*ab, *ba)) - 1) if valid else 0.0
    parts["valid"] = float(len(valid))
    return parts
