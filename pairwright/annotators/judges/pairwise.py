"""A judge compares two responses, in both orders (MT-Bench, arXiv 2306.05685; its two games were read in FastChat's code).

With the probabilities of the labels: p = 1/2 [P(A | a is A) + 1 - P(A | b is A)], so that a liking for the first place cancels.
The probabilities, the tie band and votes are ours; so are the words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from pairwright.annotators.base import Group, Response
from pairwright.annotators.comparing import Comparer, ComparerConfig, Comparing, Comparison, both_orders, verdict_of
from pairwright.annotators.judges.digits import OFF_LABEL, MinMass, mass
from pairwright.annotators.judges.reading import Unread, commonest, read, together, verdict_in
from pairwright.annotators.wording import asked, check_template, rendered, texts, told
from pairwright.engines.requests import Choose, Chosen, Failed, Generate, Generated, Request, Result, Sampling
from pairwright.ids import seed_of

LABELS = ("A", "B", "C")  # C: neither is better
WORTH = {"a": 1.0, "tie": 0.5, "b": 0.0}


class PairwiseConfig(ComparerConfig):
    """Settings of `Pairwise`.

    ask: "choose" takes the probabilities of the labels as the next text, renormalised over them; "text" lets the judge reason and
        write a verdict.
    ties: offer the judge a third label for "neither is better"; half of its probability counts for each side.
    mode: "average" takes the mean of both orders' P(a is better); "agree" gives the verdict both orders agree on, else a tie with
        p = 1/2 (FastChat's rule).
    tie_band: a tie when |p - 1/2| is below this; with "agree", in either order.
    criteria: what to judge by, instead of our own general words.
    template: your own question, a jinja2 text that shows `prompt`, `a` and `b` (best as {{ a | quoted }}); how to answer is added
        to it.
    min_mass: of "choose": an order in which the labels have less of the next token's probability gives nothing: `off_label`.
    max_tokens, temperature, votes: of "text". votes: so many answers are drawn in each order and more than half of them must be
        readable; their mean counts.
    """

    role: str = "judge"
    ask: Literal["choose", "text"] = "choose"
    ties: bool = False
    mode: Literal["average", "agree"] = "average"
    tie_band: float = Field(0.0, ge=0, lt=0.5)
    criteria: str | None = Field(None, min_length=1)
    template: str | None = None
    min_mass: MinMass = 0.01
    max_tokens: int = Field(1024, ge=1)
    temperature: float = Field(0.0, ge=0)
    votes: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _sound(self) -> PairwiseConfig:
        if self.votes % 2 == 0:
            raise ValueError(f"votes: {self.votes} can end in a draw: use an odd number")
        if self.votes > 1 and (self.ask != "text" or self.temperature == 0):
            raise ValueError("more than one vote needs `ask: text` and a temperature above 0, or all of them are the same")
        if self.template is not None and self.criteria is not None:
            raise ValueError("a template of your own says what to judge by: remove `criteria` or `template`")
        if self.template is not None:
            check_template(self.template, ("prompt", "a", "b"))
        return self


class Seen(NamedTuple):
    """What was found in one order. p: P(the one shown first is better), or why there is none. parts: numbers of this order."""

    p: float | Unread
    parts: dict[str, float]
    raw: str | None = None


class Pairwise(Comparer[PairwiseConfig]):
    """A judge that is always asked in both orders. If it says nothing readable in one of them, the comparison is invalid.

    parts: p_ab, p_ba (their half difference is the judge's liking for the first place: 1/2 (p_ab - p_ba)); of "choose" mass, the
    smaller of both orders' probability that a label comes next, and p_tie, the mean P(neither), where ties are offered; of more
    than one vote unread, how many could not be read. raw: of "text", everything the judge said.
    """

    Config = PairwiseConfig
    wording = ("judges/pairwise",)

    def roles(self) -> dict[str, frozenset[str]]:
        return {self.config.role: frozenset({"choose" if self.config.ask == "choose" else "generate"})}

    def compare(self, group: Group, a: Response, b: Response) -> Comparing:
        """Compare in the order of ids, then tell it of a and b: so nothing depends on which of them is called a."""
        first, second = sorted((a, b), key=lambda r: r.id)
        results = yield [self._request(group, first, second), self._request(group, second, first)]
        found = self._found(results, first, second)
        return found if first.id == a.id else found.swapped

    def _request(self, group: Group, first: Response, second: Response) -> Request:
        c, words = self.config, texts("judges/pairwise")
        values = {"prompt": told(group.prompt), "a": first.text, "b": second.text}
        question = rendered(c.template, **values) if c.template else rendered(words["compare"], **values, criteria=c.criteria)
        prompt = asked(f"{question}\n\n{words[c.ask + ('_ties' if c.ties else '')]}")
        if c.ask == "choose":
            return Choose(c.role, prompt, LABELS if c.ties else LABELS[:2])
        seed = seed_of("pairwise", group.prompt_id, first.id, second.id) if c.temperature else 0
        return Generate(c.role, prompt, Sampling(c.temperature, max_tokens=c.max_tokens), c.votes, seed)

    def _found(self, results: Sequence[Result], first: Response, second: Response) -> Comparison:
        failed = next((r for r in results if isinstance(r, Failed)), None)
        if failed is not None:
            return Comparison(None, reason=failed.reason, raw=failed.detail or None)
        ab, ba = (_seen(result, self.config) for result in results)
        p_ab = None if isinstance(ab.p, Unread) else ab.p
        p_ba = None if isinstance(ba.p, Unread) else 1 - ba.p
        merge: Mapping[str, Callable[[Sequence[float]], float]] = {"mass": min, "p_tie": _mean, "unread": sum}
        parts = both_orders(p_ab, p_ba) | {
            name: merge[name]((ab.parts[name], ba.parts[name])) for name in ab.parts if name in ba.parts
        }
        raw = None
        if ab.raw is not None:
            raw = f"[{first.id} shown first]\n{ab.raw}\n\n[{second.id} shown first]\n{ba.raw}"
        if p_ab is None or p_ba is None:
            reason = next(seen.p.reason for seen in (ab, ba) if isinstance(seen.p, Unread))
            return Comparison("invalid", reason=reason, parts=parts, raw=raw)
        p = _mean((p_ab, p_ba))
        verdict = verdict_of(p, self.config.tie_band)
        if self.config.mode == "agree":
            orders = {verdict_of(order, self.config.tie_band) for order in (p_ab, p_ba)}
            verdict, p = (orders.pop(), p) if len(orders) == 1 else ("tie", 0.5)
        return Comparison(verdict, p, parts=parts, raw=raw)


def _seen(result: Result, config: PairwiseConfig) -> Seen:
    if isinstance(result, Chosen):
        parts = {"mass": mass(result)}
        if parts["mass"] < config.min_mass:
            return Seen(Unread(OFF_LABEL), parts)
        p = result.probabilities
        tie = p[2] if config.ties else 0.0
        return Seen(p[0] + tie / 2, parts | ({"p_tie": tie} if config.ties else {}))
    assert isinstance(result, Generated)
    votes = [read(completion, lambda text: verdict_in(text, config.ties)) for completion in result.completions]
    worth = [WORTH[vote] for vote in votes if not isinstance(vote, Unread)]
    lost = [vote for vote in votes if isinstance(vote, Unread)]
    parts = {"unread": float(len(lost))} if config.votes > 1 else {}
    p_first = _mean(worth) if 2 * len(worth) > len(votes) else Unread(commonest(lost))
    return Seen(p_first, parts, together(result))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
