"""What CHES needs: how alike the hidden states of a prompt's responses are, hence how far DPO would displace likelihood.

S_i = sum over the scored tokens of response i (terminator included) of the last-layer state that predicts the token, after the
final norm, shape [D]. For a pair (c, r): CHES = <S_c, S_r> - |S_c|^2; with M = S / n, ln-CHES = <M_c, M_r> - |M_c|^2.
A larger value means that training on the pair is expected to lower the likelihood of the chosen one: drop the largest.
Use ln-CHES to filter (raw CHES goes with length). Ask the policy that is about to be trained, with its template.
Source: arXiv 2410.08847 and its repository; as a filter tested by the authors on refusal data only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from pairwright.annotators.base import Annotating, Annotation, Annotator, AnnotatorConfig, Group, missing
from pairwright.engines.requests import Score, Scored

Variant = Literal["ln", "raw"]
DOT = "dot:"
"""`parts["dot:<id>"]` of a response is <S, S of the response with that id>."""


class DisplacementConfig(AnnotatorConfig):
    """Settings of `Displacement`: the role whose hidden states are asked for."""

    role: str = "policy"


class Displacement(Annotator[DisplacementConfig]):
    """The dot products from which `ches` and `ln_ches` of every pair of a group follow, with one forward per response.

    parts: n (scored tokens) and dot:<id> for every usable response of the group, itself included; float64, from
    fp32 sums. The score is |S/n|^2, the norm term of ln-CHES: a by-product that says nothing of quality.
    A cut response gets `cut_response`, an empty one `empty_response`; like those that failed they have no dot products.
    """

    Config = DisplacementConfig
    rates = False

    def roles(self) -> dict[str, frozenset[str]]:
        return {self.config.role: frozenset({"score", "hidden_sum"})}

    def annotate(self, group: Group) -> Annotating:
        annotations = {}
        for r in group.responses:
            if not r.text.strip():
                annotations[r.id] = Annotation(r.id, reason="empty_response")
            elif r.finish_reason == "length":
                annotations[r.id] = Annotation(r.id, reason="cut_response")
        asked = [r for r in group.responses if r.id not in annotations]
        if not asked:
            return [annotations[r.id] for r in group.responses]

        want = frozenset({"hidden_sum"})
        results = yield [Score(self.config.role, group.prompt, r.continuation, want=want) for r in asked]
        tokens, sums = {}, []
        for r, result in zip(asked, results, strict=True):
            failed = missing(r.id, result)
            if failed:
                annotations[r.id] = failed
                continue
            assert isinstance(result, Scored) and result.hidden_sum is not None
            tokens[r.id] = result.n
            sums.append(result.hidden_sum)
        if sums:
            sums_KD = np.stack(sums).astype(np.float64)
            dots_KK = sums_KD @ sums_KD.T
            for i, (id_, n) in enumerate(tokens.items()):
                dots = {f"{DOT}{other}": float(dot) for other, dot in zip(tokens, dots_KK[i], strict=True)}
                annotations[id_] = Annotation(id_, float(dots_KK[i, i]) / n**2, parts={"n": float(n), **dots})
        return [annotations[r.id] for r in group.responses]


def ches(dot_cr: float, dot_cc: float) -> float:
    """<S_c, S_r> - |S_c|^2 from the two dot products."""
    return dot_cr - dot_cc


def ches_between(parts: Mapping[str, Mapping[str, float]], chosen: str, rejected: str, variant: Variant = "ln") -> float | None:
    """CHES of a pair from the stored parts of its two responses; None where they are not there."""
    of_chosen, of_rejected = parts.get(chosen, {}), parts.get(rejected, {})
    dot, norm = of_chosen.get(DOT + rejected), of_chosen.get(DOT + chosen)
    if dot is None or norm is None:
        return None
    if variant == "raw":
        return ches(dot, norm)
    n_c, n_r = of_chosen.get("n"), of_rejected.get("n")
    return ln_ches(dot, norm, n_c, n_r) if n_c and n_r else None


def ln_ches(dot_cr: float, dot_cc: float, n_c: float, n_r: float) -> float:
    """<S_c, S_r> / (n_c n_r) - |S_c|^2 / n_c^2 from the two dot products and the numbers of scored tokens."""
    return dot_cr / (n_c * n_r) - dot_cc / n_c**2
