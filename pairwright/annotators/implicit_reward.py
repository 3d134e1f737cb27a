"""How much a trained policy prefers a response more than the model it started from does: its implicit reward.

r(x, y) = beta * (sum_t log pi(y_t | x, y_<t) - sum_t log pi_ref(y_t | x, y_<t)), in nats for beta = 1; larger is better. Several
methods are this one with other models or another rule for pairs; each needs a policy that was trained on preferences:

- DICE (arXiv 2406.09760): `length_alpha: auto` in the recipe's `combine`. Its code has no beta. Round 1: the policy is a DPO
  model, the reference its SFT start; round 2: the policy is round 1's, the reference the first DPO model.
- SPA, also called Selfie (arXiv 2406.04412): the reference is the initial SFT model in every round, two responses a prompt; the
  label smoothing of its loss is in `pipelines.soft_labels`.
- SeRA (arXiv 2410.09362, no code): a role for `previous`, the policy of the round before, and the filter `margin` with
  `min_quantile: 0.3`, which keeps the largest 70 %. Its smoothing constant of 0.3 and the 70 % are [M]: recalled, not confirmed
  in a source. arXiv 2508.04149 advises to keep the smallest margins instead: try both ends.
- iREPO (arXiv 2405.15230, no code): the reference is the policy of the round before; its targets are in `pipelines.soft_labels`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator

from pairwright.annotators.base import Annotating, Annotation, Annotator, AnnotatorConfig, Group, Response, missing
from pairwright.engines.requests import Result, Score, Scored


class ImplicitRewardConfig(AnnotatorConfig):
    """Settings of `ImplicitReward`.

    reduction: "mean" divides by the number of scored tokens; all of the methods above sum.
    previous, smoothing: with a previous policy the reward is (1 - smoothing) * r + smoothing * r_previous, both over the one
        reference; since it is linear, so are the margins m~ = (1 - g) m_t + g m_(t-1) of SeRA. The 0.3 is [M].
    terminator: score the end of the turn as well (it carries much of the effect of length).
    """

    policy: str = "policy"
    reference: str = "reference"
    previous: str | None = None
    beta: float = Field(1.0, gt=0, allow_inf_nan=False)
    reduction: Literal["sum", "mean"] = "sum"
    smoothing: float = Field(0.3, ge=0, le=1)
    terminator: bool = True

    @model_validator(mode="after")
    def _check_smoothing(self) -> ImplicitRewardConfig:
        if self.previous is None and self.smoothing != type(self).model_fields["smoothing"].default:
            raise ValueError("`smoothing` has no effect without the role of a `previous` policy: name it or remove `smoothing`")
        return self

    @property
    def asked(self) -> list[str]:
        """The roles that are asked: policy, reference and, where there is one, previous."""
        return [self.policy, self.reference, *([] if self.previous is None else [self.previous])]


class ImplicitReward(Annotator[ImplicitRewardConfig]):
    """The implicit reward of every response, from one forward per model.

    Models with different tokenizers can be compared by sums only: with reduction="mean" a response whose tokens differ gets the
    reason `tokenizers_differ`. parts: policy_sum, reference_sum and, with a previous policy, previous_sum (nats, without beta),
    tokens (as the policy counts them), chars.
    """

    Config = ImplicitRewardConfig

    def roles(self) -> dict[str, frozenset[str]]:
        return {role: frozenset({"score"}) for role in self.config.asked}

    def annotate(self, group: Group) -> Annotating:
        c, n = self.config, len(group.responses)
        results = yield [
            Score(role, group.prompt, r.continuation, terminator=c.terminator) for role in c.asked for r in group.responses
        ]
        return [self._annotation(r, results[i::n]) for i, r in enumerate(group.responses)]

    def _annotation(self, response: Response, results: Sequence[Result]) -> Annotation:
        """From the results of all models, in the order of `asked`."""
        if failed := missing(response.id, *results):
            return failed
        c, scored = self.config, [r for r in results if isinstance(r, Scored)]
        sums = dict(zip(("policy_sum", "reference_sum", "previous_sum"), (s.total for s in scored), strict=False))
        tokens = scored[0].n
        parts = {**sums, "tokens": float(tokens), "chars": float(len(response.text))}
        if c.reduction == "mean" and any(s.token_ids != scored[0].token_ids for s in scored):
            return Annotation(response.id, reason="tokenizers_differ", parts=parts)
        policy = sums["policy_sum"]
        if c.previous is not None:
            policy = (1 - c.smoothing) * policy + c.smoothing * sums["previous_sum"]
        per = tokens if c.reduction == "mean" else 1
        return Annotation(response.id, c.beta * (policy - sums["reference_sum"]) / per, parts=parts)
