"""What is cheap to know of a comparison before a dearer judge is asked."""

from __future__ import annotations

import math

from pairwright.annotators.base import Group, Response
from pairwright.annotators.comparing import Comparison
from pairwright.annotators.density_ratio import domain_by_keywords
from pairwright.annotators.wording import last_user_text, told

FEATURES = (
    "log_prompt",
    "log_shorter",
    "log_longer",
    "log_length_gap",
    "domain_reasoning",
    "domain_safety",
    "swap_gap",
    "confidence",
    "margin",
    "picks_longer",
)
SURE = 1e-6  # a probability nearer to 0 or 1 is taken for this, so that its logit is finite


def features(group: Group, a: Response, b: Response, comparison: Comparison) -> dict[str, float]:
    """Numbers from which to guess whether `comparison`, a cheap judge's word on a and b, is right; the same for b and a.

    log_prompt, log_shorter, log_longer, log_length_gap: ln(1 + characters) of the prompt, the shorter response, the longer one,
        and their difference;
    domain_reasoning, domain_safety: 1 if the prompt is of that domain by word lists, else 0;
    confidence: max(p, 1 - p);
    margin: the difference of the scores, in the judge's units, or |logit p|, in nats, of a judge that only compares;
    picks_longer: 1 if the response it prefers is the longer one, else 0;
    swap_gap: |p_ab - p_ba|, how far the two orders are apart.

    What the comparison does not tell is absent. Lengths and domain are after HyPER's features (arXiv 2410.19133); the others are
    the judge's own signals.
    """
    shorter, longer = sorted(len(r.text) for r in (a, b))
    domain = domain_by_keywords(last_user_text(group.prompt) or "")
    found = {
        "log_prompt": math.log1p(len(told(group.prompt))),
        "log_shorter": math.log1p(shorter),
        "log_longer": math.log1p(longer),
        "log_length_gap": math.log1p(longer - shorter),
        "domain_reasoning": float(domain == "reasoning"),
        "domain_safety": float(domain == "safety"),
    }
    parts = comparison.parts
    if "p_ab" in parts and "p_ba" in parts:
        found["swap_gap"] = abs(parts["p_ab"] - parts["p_ba"])
    if comparison.p is None:
        return found
    ahead = len(a.text) - len(b.text) if comparison.p > 0.5 else len(b.text) - len(a.text)
    found["confidence"] = max(comparison.p, 1 - comparison.p)
    found["margin"] = _margin(comparison)
    found["picks_longer"] = float(ahead > 0 and comparison.p != 0.5)
    return found


def _margin(comparison: Comparison) -> float:
    parts = comparison.parts
    if "score_a" in parts and "score_b" in parts:
        return abs(parts["score_a"] - parts["score_b"])
    p = min(max(comparison.p or 0.0, SURE), 1 - SURE)
    return abs(math.log(p / (1 - p)))
