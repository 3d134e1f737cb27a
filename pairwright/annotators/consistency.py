"""Annotators that ask twice and say whether the answers agree: two generations of a policy (CREAM), judge and reward (SCIR)."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from itertools import combinations
from typing import Any

from pydantic import Field

from pairwright.annotators.base import Annotating, Annotation, Annotator, AnnotatorConfig, Group, Response, missing
from pairwright.annotators.comparing import Comparer, ComparerConfig, Comparing, Comparison, passing, sigmoid, verdict_of
from pairwright.annotators.members import Member, about_members, roles_of
from pairwright.engines.requests import Conversation, Request, Result, Score, Scored
from pairwright.engines.runner import gather


class CreamConfig(AnnotatorConfig):
    """Settings of `Cream`. Without a `reference` a reward is the mean token log-probability (the first round of CREAM)."""

    policy: str = "policy"
    previous: str = "previous"
    reference: str | None = "reference"
    terminator: bool = True


class Cream(Annotator[CreamConfig]):
    """CREAM (arXiv 2410.12735 and its repository): does the policy rank the responses as its previous generation does?

    r(y) = sum_t log pi(y_t | x, y_<t) - sum_t log pi_ref(y_t | x, y_<t) under the current and the previous policy, over one
    reference. The score is the current reward. tau is Kendall's, of the two orders of the group; consistency C = (tau + 1) / 2 in
    [0, 1] is every response's confidence and stands in parts. In the paper's loss 1 - C is the label smoothing of the prompt's
    pair (`pipelines.soft_labels.smoothed_loss`); its default takes the mean C of the data set for all pairs.

    Ranks are ordinal; of equal rewards the lower response id comes first (its code: the place in the list, which means nothing).
    A response that a model could not score gets its reason and does not enter the ranks; with fewer than two scored ones there is
    no tau. parts: reward, previous_reward, tokens, chars, and tau, consistency where they exist.
    """

    Config = CreamConfig

    def roles(self) -> dict[str, frozenset[str]]:
        return {role: frozenset({"score"}) for role in self._asked()}

    def _asked(self) -> list[str]:
        c = self.config
        return [c.policy, c.previous, *([] if c.reference is None else [c.reference])]

    def annotate(self, group: Group) -> Annotating:
        results = yield _scores(self._asked(), group.prompt, group.responses, self.config.terminator)
        of = {r.id: results[i :: len(group.responses)] for i, r in enumerate(group.responses)}
        found = {id: self._rewards(mine) for id, mine in of.items() if missing(id, *mine) is None}
        agreement: dict[str, float] = {}
        if len(found) > 1:
            tau = kendall_tau(*({id: rewards[name] for id, rewards in found.items()} for name in ("reward", "previous_reward")))
            agreement = {"tau": tau, "consistency": (tau + 1) / 2}
        annotations = []
        for r in group.responses:
            if failed := missing(r.id, *of[r.id]):
                annotations.append(failed)
            else:
                parts = {**found[r.id], "chars": float(len(r.text)), **agreement}
                confidence = agreement.get("consistency")
                annotations.append(Annotation(r.id, found[r.id]["reward"], parts=parts, confidence=confidence))
        return annotations

    def _rewards(self, results: Sequence[Result]) -> dict[str, float]:
        current, previous, *reference = [r for r in results if isinstance(r, Scored)]
        tokens = {"tokens": float(current.n)}
        if not reference:
            return {"reward": current.mean, "previous_reward": previous.mean, **tokens}
        base = reference[0].total
        return {"reward": current.total - base, "previous_reward": previous.total - base, **tokens}


def kendall_tau(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Kendall's tau in [-1, 1] of two orders of the same two or more ids; equal values are ordered by id, so nothing is tied."""
    first, second = ([(value, id) for id, value in sorted(values.items())] for values in (one, other))
    if len(first) < 2 or [id for _, id in first] != [id for _, id in second]:
        raise ValueError("tau is of two orders of the same ids, at least two of them")
    agree = [(first[i] < first[j]) == (second[i] < second[j]) for i, j in combinations(range(len(first)), 2)]
    return 2 * sum(agree) / len(agree) - 1


class ScirConfig(ComparerConfig):
    """Settings of `Scir`.

    judge: the member that judges; it should ask the policy itself, as in the paper, and in both orders.
    beta: of the policy's DPO training. length_alpha: nats per character taken off the log-ratio before beta (as DICE does; the
        paper's way of removing the bias was not found).
    threshold: how far from 1/2 both probabilities must be at least, if not both views are to say that neither is better.
    """

    judge: Member = Field(default_factory=lambda: Member(use="pairwise"))
    policy: str = "policy"
    reference: str = "reference"
    beta: float = Field(0.1, gt=0, allow_inf_nan=False)
    length_alpha: float = Field(0.0, ge=0, allow_inf_nan=False)
    threshold: float = Field(0.0, ge=0, lt=0.5)
    terminator: bool = True


class Scir(Comparer[ScirConfig]):
    """SCIR (arXiv 2502.08922, no code; what is compared is known from the abstract, the form given here is ours): a verdict only
    where two views inside one model agree.

    p_gen: P(a is better) as the judge says; p_imp = sigmoid(beta * ((l_a - l_b) - length_alpha * (chars_a - chars_b))), l being
    sum log pi - sum log pi_ref in nats. They agree if p_imp lies on the side of 1/2 of the judge's verdict; a judge's tie agrees
    with a p_imp that is nearer to 1/2 than `threshold` (or exactly there), and stays a tie. Then p is the mean of both. If they
    disagree, the verdict is `invalid` with the reason `inconsistent`; if they agree on a side but one is nearer to 1/2 than
    `threshold`, `unsure`. A judge's unreadable verdict stays its own. A failure that may pass, of the judge or of a request,
    leaves the comparison without a verdict. parts: the judge's own, p_gen, p_imp, agree (1 or 0).
    """

    Config = ScirConfig

    def roles(self) -> dict[str, frozenset[str]]:
        roles = roles_of([self.config.judge])
        for role in (self.config.policy, self.config.reference):
            roles[role] = roles.get(role, frozenset()) | {"score"}
        return roles

    def about(self) -> dict[str, Any]:
        return {**super().about(), **about_members([self.config.judge])}

    def compare(self, group: Group, a: Response, b: Response) -> Comparing:
        c = self.config
        judged, ratios = yield from gather(c.judge.compare(group, a, b), self._ratios(group, a, b))
        failed = missing(a.id, *ratios)
        lost = passing([judged, *([failed] if failed else [])]) or failed
        if lost:
            return Comparison(None, reason=lost.reason, raw=lost.raw)
        of_a, of_b, ref_a, ref_b = (r.total for r in ratios if isinstance(r, Scored))
        ratio = (of_a - ref_a) - (of_b - ref_b) - c.length_alpha * (len(a.text) - len(b.text))
        p_imp = sigmoid(c.beta * ratio)
        parts = {**judged.parts, "p_imp": p_imp}
        if judged.p is None:
            return Comparison(judged.verdict, reason=judged.reason, parts=parts, raw=judged.raw)
        tie = judged.verdict == "tie"
        agree = judged.verdict == verdict_of(p_imp, c.threshold if tie else 0.0)
        parts |= {"p_gen": judged.p, "agree": float(agree)}
        if not agree:
            return Comparison("invalid", reason="inconsistent", parts=parts, raw=judged.raw)
        if not tie and min(abs(judged.p - 0.5), abs(p_imp - 0.5)) < c.threshold:
            return Comparison("invalid", reason="unsure", parts=parts, raw=judged.raw)
        return Comparison(judged.verdict, (judged.p + p_imp) / 2, parts=parts, raw=judged.raw)

    def _ratios(self, group: Group, a: Response, b: Response) -> Asked:
        c = self.config
        return (yield _scores([c.policy, c.reference], group.prompt, (a, b), c.terminator))


Asked = Generator[Sequence[Request], Sequence[Result], Sequence[Result]]


def _scores(roles: Sequence[str], prompt: Conversation, responses: Sequence[Response], terminator: bool) -> list[Request]:
    return [Score(role, prompt, r.continuation, terminator=terminator) for role in roles for r in responses]
