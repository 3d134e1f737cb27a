r"""What hostile answers cost the verifier: 2,000 ordinary solutions alone, then mixed with hostile ones, through the same engine.

The hostile ones: towers of powers and factorials, deep nesting, a megabyte of LaTeX, braces that are never closed. Each stands
in five solutions. `ratio` is the time the ordinary ones took to be all answered with the hostile ones among them over without.

    python benchmarks/hostile_answers.py [--ordinary 2000] [--workers 2] [--seconds 5]
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter

from pairwright.engines.requests import Verified, Verify
from pairwright.engines.verification.engine import VerificationEngine
from pairwright.engines.verification.models import MathVerifier

HOSTILE = {
    "10^(10^10)": r"\boxed{10^(10^10)}",
    "10^{10^{10}}": r"\boxed{10^{10^{10}}}",
    "10**(10**10)": "The answer is 10**(10**10)",
    "9!!!!!": r"\boxed{9!!!!!}",
    "((9!)!)!": r"\boxed{((9!)!)!}",
    "a binomial of 10^9": r"\boxed{\binom{1000000000}{500000000}}",
    "a sum of 10^9 terms": r"\boxed{\sum_{n=1}^{1000000000} n^{-3}}",
    "900 parentheses": r"\boxed{" + "(" * 900 + "5" + ")" * 900 + "}",
    "900 braces": r"\boxed{" + "{" * 900 + "5" + "}" * 900 + "}",
    "150 fractions": r"\boxed{" + r"\frac{1}{" * 150 + "5" + "}" * 150 + "}",
    "1 MB of LaTeX, boxed": r"\boxed{" + r"\frac{1}{" * 100_000 + "5" + "}" * 100_000 + "}",
    "1 MB of LaTeX, loose": "$" + r"\sqrt{x}+" * 111_000 + "1$",
    "1 MB of open braces": r"\boxed{" + "{" * 1_000_000,
    "1 MB of closed braces": "}" * 1_000_000 + r"\boxed{5}",
    "1 MB of dollars": "$ " * 500_000,
}
COPIES = 5


def ordinary(count: int) -> list[Verify]:
    """Rollouts of arithmetic questions, eight to a question: right or just beside it, mostly in the question's usual form."""
    draw = random.Random(0)
    forms = (r"so \boxed{%s}", "The answer is %s.", "#### %s", r"we get \(%s\)", "that makes %s")
    requests = []
    for i in range(count):
        if i % 8 == 0:
            a, b, usual = draw.randint(1, 9999), draw.randint(2, 99), draw.randrange(3)
        top = draw.choice((a, a, a + 1))
        written = (f"{top}/{b}", rf"\frac{{{top}}}{{{b}}}", f"{top / b:.9f}")
        answer = written[usual] if draw.random() < 0.8 else draw.choice(written)
        requests.append(Verify("verifier", f"Step {i}. " + draw.choice(forms) % answer, f"{a}/{b}"))
    return requests


def answered(engine: VerificationEngine, requests: list[Verify]) -> tuple[list[Verified], list[float], float]:
    """Verdicts, when each came, and how long the longest call of the engine kept its caller; seconds."""
    started = time.perf_counter()
    longest = 0.0
    for i, request in enumerate(requests):
        began = time.perf_counter()
        engine.submit(str(i), request)
        longest = max(longest, time.perf_counter() - began)
    found: dict[int, Verified] = {}
    when: dict[int, float] = {}
    while len(found) < len(requests):
        began = time.perf_counter()
        for ticket, verdict in engine.step():
            assert isinstance(verdict, Verified)
            found[int(ticket)], when[int(ticket)] = verdict, time.perf_counter() - started
        longest = max(longest, time.perf_counter() - began)
    order = range(len(requests))
    return [found[i] for i in order], [when[i] for i in order], longest


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ordinary", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5.0)
    args = parser.parse_args()
    model = MathVerifier(workers=args.workers, seconds=args.seconds)
    calm = ordinary(args.ordinary)

    engine = model.load()
    verdicts, when, _ = answered(engine, calm)
    figures: dict[str, object] = {
        "ordinary alone": {
            "seconds": round(max(when), 2),
            "verdicts per second": round(len(calm) / max(when)),
            "answered without a comparison": round(engine.remembered / len(calm), 3),
            "outcomes": dict(Counter(v.outcome for v in verdicts)),
        }
    }
    engine.close()

    mixed = [*calm, *(Verify("verifier", text, "5") for text in HOSTILE.values() for _ in range(COPIES))]
    places = list(range(len(mixed)))
    random.Random(1).shuffle(places)
    engine = model.load()
    shuffled, times, longest = answered(engine, [mixed[p] for p in places])
    engine.close()
    by_place = dict(zip(places, shuffled, strict=True))
    after = dict(zip(places, times, strict=True))
    assert [by_place[i].outcome for i in range(len(calm))] == [v.outcome for v in verdicts], "a hostile answer changed a verdict"
    hostile = {name: [by_place[len(calm) + COPIES * i + c] for c in range(COPIES)] for i, name in enumerate(HOSTILE)}
    time_outs = sum(v.usage.seconds > 0 for same in hostile.values() for v in same if v.reason == "time_out")
    last = max(after[i] for i in range(len(calm)))
    figures["with hostile ones"] = {
        "hostile": f"{len(HOSTILE)} answers x {COPIES} solutions",
        "time-outs paid for": time_outs,
        "most time-outs of one answer": max(sum(v.usage.seconds > 0 for v in same) for same in hostile.values()),
        "worst seconds of one": round(max(v.usage.seconds for same in hostile.values() for v in same), 2),
        "seconds until every ordinary one was answered": round(last, 2),
        "ratio": round(last / max(when), 2),
        "seconds that the time-outs explain": round(time_outs * args.seconds / args.workers, 2),
        "longest call of the engine, seconds": round(longest, 3),
    }
    figures["verdicts on hostile ones"] = {name: same[0].reason or same[0].outcome for name, same in hostile.items()}
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
