"""How unsure a model is of how likely a response is: its log-probability in T draws with dropout (Monte-Carlo dropout).

Source: Gal and Ghahramani, arXiv 1506.02142; for preference data UPO, arXiv 2409.11212, whose estimator is a classifier of pairs
that was trained with dropout. Here any causal model scores one response at a time, so that no order of two responses can leak
in, and only attention weights are dropped. What the draws say of a pair is up to the filter `uncertainty`.

A log-probability alone says how likely a response is and not how good. With a `reference` each draw is an implicit reward: of a
scorer that was trained on preferences by DPO, P(a is better) = sigmoid(beta * (draw of a - draw of b)). Drawing that with dropout
is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, pstdev
from typing import Literal

from pydantic import Field

from pairwright.annotators.base import Annotating, Annotation, Annotator, AnnotatorConfig, Group, Response, missing
from pairwright.engines.requests import DROPOUT, Result, Score, Scored

DRAW = "draw:"
"""`parts["draw:0"]` to `parts["draw:<T-1>"]` are the draws."""


class McDropoutConfig(AnnotatorConfig):
    """Settings of `McDropout`.

    role: its model needs `attention_dropout`.
    reference: a role whose log-probability, without dropout, is taken from every draw: the model that `role`'s was trained from.
    passes: T; 10 in UPO.
    reduction: "sum" of the log-probabilities of the response, in nats; "mean" divides by the number of its tokens, and with a
        reference needs one tokenizer: else the reason is `tokenizers_differ`.
    terminator: score the end of the turn as well.
    """

    role: str = "scorer"
    reference: str | None = None
    passes: int = Field(10, ge=2, le=1000)
    reduction: Literal["sum", "mean"] = "sum"
    terminator: bool = True


class McDropout(Annotator[McDropoutConfig]):
    """Score: the mean over the draws; combined only when asked for.

    parts: draw:0 to draw:<T-1> (reduced, and with a reference less its log-probability, as the score is), sd (over the draws;
    ddof 0). Draw t drops the same weights in the prompt of every response, and others in the responses.
    """

    Config = McDropoutConfig
    rates = False

    def roles(self) -> dict[str, frozenset[str]]:
        c, draws = self.config, frozenset({"score", DROPOUT})
        return {**({} if c.reference is None else {c.reference: frozenset({"score"})}), c.role: draws}

    def annotate(self, group: Group) -> Annotating:
        c = self.config
        results = yield [
            Score(c.role, group.prompt, r.continuation, terminator=c.terminator, draw=t)
            for r in group.responses
            for t in range(c.passes)
        ]
        drawn = [results[i * c.passes :][: c.passes] for i in range(len(group.responses))]
        if c.reference is not None:
            bases = yield [Score(c.reference, group.prompt, r.continuation, terminator=c.terminator) for r in group.responses]
            return [self._annotation(r, mine, base) for r, mine, base in zip(group.responses, drawn, bases, strict=True)]
        return [self._annotation(r, mine) for r, mine in zip(group.responses, drawn, strict=True)]

    def _annotation(self, response: Response, results: Sequence[Result], base: Result | None = None) -> Annotation:
        if failed := missing(response.id, *results, *([] if base is None else [base])):
            return failed
        scored = [r for r in results if isinstance(r, Scored)]
        less, mean = base.total if isinstance(base, Scored) else 0.0, self.config.reduction == "mean"
        if mean and isinstance(base, Scored) and base.token_ids != scored[0].token_ids:
            return Annotation(response.id, reason="tokenizers_differ")
        draws = [(s.total - less) / (s.n if mean else 1) for s in scored]
        parts = {f"{DRAW}{t}": value for t, value in enumerate(draws)} | {"sd": pstdev(draws)}
        return Annotation(response.id, fmean(draws), parts=parts)
