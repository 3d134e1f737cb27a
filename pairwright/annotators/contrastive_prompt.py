"""One model, told once to answer well and once to answer badly: which telling explains the response (T-REG's idea)?

Token reward: sigmoid(log p+_t - log p-_t) - 1/2 = p+_t / (p+_t + p-_t) - 1/2, in (-1/2, 1/2), where p+ and p- are the model's
probabilities of token t under the better and the worse instruction.
Source: arXiv 2412.02685; the formula is from secondary notes, the repository could not be read. T-REG uses the
token rewards inside training; their mean as the score of a response is ours (a sum would grow with length).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pairwright.annotators.base import Annotating, Annotation, Annotator, AnnotatorConfig, Group, Response, missing
from pairwright.annotators.wording import texts, with_system
from pairwright.engines.requests import Conversation, Floats, Result, Score, Scored


class ContrastivePromptConfig(AnnotatorConfig):
    """Settings of `ContrastivePrompt`.

    reduction: over token rewards; "mean" does not depend on length, "sum" does.
    better, worse: your own instructions instead of ours, which ask for an answer that is helpful, correct, coherent and
        concise, or the opposite of each.
    terminator: reward the end of the turn as well.
    """

    role: str = "policy"
    reduction: Literal["mean", "sum"] = "mean"
    better: str | None = None
    worse: str | None = None
    terminator: bool = True


class ContrastivePrompt(Annotator[ContrastivePromptConfig]):
    """A density ratio whose strong and weak model are one model under two system texts.

    A system turn of the prompt stays and comes first. Both sides must have scored the same token ids, else the response gets
    `token_mismatch`. parts: better_sum, worse_sum (nats), tokens.
    """

    Config = ContrastivePromptConfig
    wording = ("contrast",)

    def about(self) -> dict[str, Any]:
        return super().about() if self.config.better is None or self.config.worse is None else {}

    def roles(self) -> dict[str, frozenset[str]]:
        return {self.config.role: frozenset({"score"})}

    def annotate(self, group: Group) -> Annotating:
        c, words = self.config, texts("contrast")
        better = _instructed(group.prompt, words["better"] if c.better is None else c.better)
        worse = _instructed(group.prompt, words["worse"] if c.worse is None else c.worse)
        results = yield [
            Score(c.role, context, r.continuation, terminator=c.terminator)
            for context in (better, worse)
            for r in group.responses
        ]
        k = len(group.responses)
        return [self._annotation(r, p, m) for r, p, m in zip(group.responses, results[:k], results[k:], strict=True)]

    def _annotation(self, response: Response, better: Result, worse: Result) -> Annotation:
        failed = missing(response.id, better, worse)
        if failed:
            return failed
        assert isinstance(better, Scored) and isinstance(worse, Scored)
        if better.token_ids != worse.token_ids:
            return Annotation(response.id, reason="token_mismatch")
        rewards_T = token_rewards(better.logprobs, worse.logprobs)
        score = rewards_T.mean() if self.config.reduction == "mean" else rewards_T.sum()
        parts = {"better_sum": better.total, "worse_sum": worse.total, "tokens": float(better.n)}
        return Annotation(response.id, float(score), parts=parts)


def token_rewards(better_T: Floats, worse_T: Floats) -> npt.NDArray[np.float64]:
    """sigmoid(better - worse) - 1/2 of two arrays of token log-probabilities, [T] each."""
    return 0.5 * np.tanh(0.5 * (np.asarray(better_T, np.float64) - np.asarray(worse_T, np.float64)))


def _instructed(prompt: Conversation, instruction: str) -> Conversation:
    own = [t.content for t in prompt if t.role == "system"]
    return with_system(prompt, "\n\n".join([*own, instruction]))
