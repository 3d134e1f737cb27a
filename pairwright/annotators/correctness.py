"""Is a response's final answer the prompt's reference? Checked by a verifier, not by a model's opinion."""

from __future__ import annotations

from pairwright.annotators.base import Annotating, Annotation, Annotator, AnnotatorConfig, Group, Response
from pairwright.annotators.steps.base import VERIFIER
from pairwright.annotators.steps.search import unusable
from pairwright.annotators.steps.tree import Question
from pairwright.engines.requests import Failed, Result, Verified, Verify


class Correctness(Annotator[AnnotatorConfig]):
    """1 for a right answer, 0 for a wrong one, as the role `verifier` finds; raw: the answer it read.

    Whatever could not be compared has a reason and no score: `no_reference`, `reference_unequal_to_itself` (nothing could equal
    it) or `reference_unparsed` of the prompt; `no_answer`, `cut` (an answer that is not marked as one counts only in a finished
    text), `time_out`, ... of the response. So a wrong 0 is never said for want of an answer; who wants that counts the reasons.

    Pairs of a right and a wrong answer to one question: Iterative RPO (arXiv 2404.19733; the number is [M]).
    """

    for_a_filter = True

    def roles(self) -> dict[str, frozenset[str]]:
        return {VERIFIER: frozenset({"verify"})}

    def annotate(self, group: Group) -> Annotating:
        reason = yield from unusable(Question(group.prompt_id, group.prompt, group.reference))
        if reason is not None:
            return [Annotation(r.id, reason=reason) for r in group.responses]
        reference = group.reference or ""
        results = yield [Verify(VERIFIER, r.text, reference, r.finish_reason == "length") for r in group.responses]
        return [_annotation(r, result) for r, result in zip(group.responses, results, strict=True)]


def _annotation(response: Response, result: Result) -> Annotation:
    if isinstance(result, Failed):
        return Annotation(response.id, reason=result.reason, raw=result.detail or None)
    assert isinstance(result, Verified)
    if result.outcome == "unparsed":
        return Annotation(response.id, reason=result.reason, raw=result.answer)
    return Annotation(response.id, float(result.outcome == "right"), raw=result.answer)
