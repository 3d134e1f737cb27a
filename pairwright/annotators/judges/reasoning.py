"""A judge that solves a problem itself, or writes a rubric where there is nothing to solve, before it compares (RM-R1).

Source: arXiv 2505.02387; the system prompt of its code was read for its structure, the words are ours. RM-R1 asks once, greedily,
for A or B; we ask in both orders, and a judge that contradicts itself says tie. The model needs no training for this, but RM-R1's
figures are those of trained ones.
"""

from __future__ import annotations

import re

from pydantic import Field

from pairwright.annotators.base import Group, Response
from pairwright.annotators.comparing import Comparer, ComparerConfig, Comparing, Comparison, both_orders, verdict_of
from pairwright.annotators.judges.reading import Unread, read, verdict_in
from pairwright.annotators.wording import asked, rendered, texts, told
from pairwright.engines.requests import Failed, Generate, Generated, Result, Sampling
from pairwright.ids import seed_of

TYPE = re.compile(r"<\s*type\s*>[\s*_`]*(reasoning|chat)\b", re.IGNORECASE)


class ReasoningConfig(ComparerConfig):
    """Settings of `Reasoning`. RM-R1 reads up to 8192 new tokens, greedily."""

    role: str = "judge"
    temperature: float = Field(0.0, ge=0)
    max_tokens: int = Field(2048, ge=1)


class Reasoning(Comparer[ReasoningConfig]):
    """Both orders must give A or B, else the comparison is invalid. p is 1 or 0 where they agree; a tie, 1/2, where they do not.

    parts: p_ab, p_ba, reasoning (the share of the two answers that took the prompt for a matter of reasoning, where they say).
    raw: both answers, a shown first and then b.
    """

    Config = ReasoningConfig
    wording = ("judges/reasoning",)

    def roles(self) -> dict[str, frozenset[str]]:
        return {self.config.role: frozenset({"generate"})}

    def compare(self, group: Group, a: Response, b: Response) -> Comparing:
        results = yield [self._request(group, a, b), self._request(group, b, a)]
        failed = next((r for r in results if isinstance(r, Failed)), None)
        if failed is not None:
            return Comparison(None, reason=failed.reason, raw=failed.detail or None)
        raw = "\n\n".join(f"[{r.id} shown first]\n{_text(result)}" for r, result in zip((a, b), results, strict=True))
        first, second = map(_verdict, results)
        p_ab = None if isinstance(first, Unread) else float(first == "a")
        p_ba = None if isinstance(second, Unread) else float(second == "b")
        parts = both_orders(p_ab, p_ba) | _kinds(raw)
        for found in (first, second):
            if isinstance(found, Unread):
                return Comparison("invalid", reason=found.reason, parts=parts, raw=raw)
        p = (parts["p_ab"] + parts["p_ba"]) / 2
        return Comparison(verdict_of(p), p, parts=parts, raw=raw)

    def _request(self, group: Group, first: Response, second: Response) -> Generate:
        c = self.config
        text = rendered(texts("judges/reasoning")["compare"], prompt=told(group.prompt), a=first.text, b=second.text)
        seed = seed_of("reasoning", group.prompt_id, first.id, second.id) if c.temperature else 0
        return Generate(c.role, asked(text), Sampling(c.temperature, max_tokens=c.max_tokens), seed=seed)


def _verdict(result: Result) -> str | Unread:
    """ "a" (the one shown first) or "b"."""
    if not isinstance(result, Generated):
        return Unread("wrong_answer")
    return read(result.completions[0], lambda text: verdict_in(text, ties=False))


def _text(result: Result) -> str:
    return result.completions[0].text if isinstance(result, Generated) else ""


def _kinds(raw: str) -> dict[str, float]:
    kinds = [kind.lower() for kind in TYPE.findall(raw)]
    return {"reasoning": kinds.count("reasoning") / len(kinds)} if kinds else {}
