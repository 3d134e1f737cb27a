"""Finding the first wrong step on a simulated solver whose errors are known: is it right, and what does it cost?

A. Accuracy. Without luck, every length and every place of the error. With luck, wrong solutions of a solver whose steps are right
   with a known chance and whose rollouts recover from an error with chance e: how often bisection is exact, early or late, beside
   what follows from `(1-p)^k` (a good prefix looks bad) and `1-(1-e)^k` (a bad one looks good).
B. Cost. Rollouts per labelled first error, OmegaPRM against Monte Carlo, over the length of solutions: same questions, same
   solver, same k, the root's rollouts included, nothing but wrong solutions labelled.

    python benchmarks/first_error.py [--solutions 150] [--questions 8] [--seed 0]
"""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, count, islice
from typing import Any

from pairwright.annotators.steps.base import Asking, Budget, QuestionFilter, Rollout, RolloutSampling, SearchSettings
from pairwright.annotators.steps.monte_carlo import MonteCarlo, MonteCarloConfig, grow_given
from pairwright.annotators.steps.moves import Moves
from pairwright.annotators.steps.omega_prm import OmegaConfig, OmegaPRM
from pairwright.annotators.steps.search import Search, Searching, grow
from pairwright.annotators.steps.segment import Delimiter
from pairwright.annotators.steps.tree import ROOT, Piece, Question, Tree
from pairwright.engines.pool import EnginePool
from pairwright.engines.requests import Generate, Generated, Sampling, turns
from pairwright.engines.runner import Runner
from pairwright.engines.solver import SolverModel, first_error, ids_of, text_of
from pairwright.engines.verification.models import ExactVerifier
from pairwright.ids import seed_of

SETTINGS = SearchSettings(
    segment=Delimiter(),
    sampling=RolloutSampling(max_tokens=4096),
    questions=QuestionFilter(rollouts=8),
    budget=Budget(rollouts=10**6),
)
LENGTHS = (4, 8, 16, 32, 64)
KINDS = ("exact", "early", "late")
STEPS, SUCCESS = 12, 0.95  # of the solutions in A with luck


def solver(steps: int, error: float, recover: float = 0.0, seed: int = 0) -> SolverModel:
    """Solutions of exactly so many steps and a line with the answer."""
    return SolverModel(steps=(steps, steps), error=error, recover=recover, seed=seed, window=2048, batch=2048)


def question(name: str) -> Question:
    """A question the solver knows the answer of."""
    return Question(name, turns(f"Question {name}"), "42")


def grown(policy: SolverModel, tasks: Iterable[Searching]) -> tuple[list[Tree], int]:
    """The trees in order, and the tokens that were generated for them."""
    runner = Runner(EnginePool({"policy": policy, "verifier": ExactVerifier()}))
    found = dict(runner.run(enumerate(tasks)))
    return [found[i] for i in range(len(found))], runner.stats.generated


def said(policy: SolverModel, name: str, seed: int, begun: str = "") -> str:
    """One solution that begins as `begun`."""
    made = policy.respond(Generate("policy", question(name).prompt, Sampling(max_tokens=4096), 1, seed, ids_of(begun)))
    assert isinstance(made, Generated)
    return begun + made.completions[0].text


def piece(text: str) -> Piece:
    """A solution cut into steps."""
    ids = ids_of(text)
    return Piece(ids, text, tuple(SETTINGS.segment.cut(text, [*accumulate(len(text_of([i])) for i in ids)])))


def located(tree: Tree, leaf: int) -> int:
    """The 0-based step at which the path to the end of a wrong solution is first found to be lost."""
    steps = 0
    for node in tree.path(leaf)[1:]:
        rolled = tree.count(node, SETTINGS.completer)
        if (rolled.n and not rolled.correct) or node == leaf:
            assert len(tree.piece[node].cuts) == 1
            return steps
        steps += len(tree.piece[node].cuts)
    raise AssertionError


def errors(tree: Tree) -> Iterator[tuple[int, int]]:
    """(where the search puts the first error, where it is) for every wrong solution that got a label."""
    for leaf in range(1, len(tree)):
        if tree.terminal[leaf] and tree.verdict[leaf] == "wrong" and tree.reason[leaf] is None:
            truth = first_error(tree.text(leaf))
            assert truth is not None
            yield located(tree, leaf), truth


def how(found: int, truth: int) -> str:
    """Exact, early or late."""
    return "exact" if found == truth else "early" if found < truth else "late"


def bisected(name: str, search: OmegaPRM, wrong: Piece, right: Piece) -> Searching:
    """OmegaPRM's tree of one wrong and one right solution that are given, as if they were the root's rollouts."""
    moves = Moves(question(name), SETTINGS)

    def task() -> Asking:
        roots: list[Rollout] = []
        for given in (wrong, right):
            roots.append((yield from moves.verdict_of(given)))
        moves.tree.count(ROOT, SETTINGS.completer).add(r.verdict for r in roots)
        yield from search.run(moves, roots)

    yield from task()
    return moves.tree


def without_luck(seed: int) -> None:
    """Table A1."""
    print("### A1. Without luck: every place of the error in solutions of 1 to 64 steps and a line with the answer\n")
    print("| method | solutions | exact | rollouts each (k = 1) | most |\n|---|---|---|---|---|")
    given: list[tuple[Piece, Piece]] = []
    for steps in range(1, 65):
        right = said(solver(steps, 0.0, seed=seed), "q", seed)
        cuts = (0, *(cut.char for cut in piece(right).cuts))
        wrong = solver(steps, 1.0, seed=seed)
        given += [(piece(said(wrong, "q", seed, right[: cuts[place]])), piece(right)) for place in range(steps)]
    omega = OmegaPRM(OmegaConfig(k=1, searches=1, siblings=0, right_solutions=0))
    policy = solver(1, 0.0, seed=seed)
    methods: dict[str, list[Searching]] = {"OmegaPRM": [bisected(f"{i}", omega, w, r) for i, (w, r) in enumerate(given)]}
    search = MonteCarlo(MonteCarloConfig(k=1, schedule="bisect"))
    methods["Monte Carlo, bisect"] = [grow_given(question(f"{i}"), SETTINGS, search, wrong) for i, (wrong, _) in enumerate(given)]
    for name, tasks in methods.items():
        trees, _ = grown(policy, tasks)
        found = Counter(how(*pair) for tree in trees for pair in errors(tree))
        spent = [rollouts(tree, roots=False) for tree in trees]
        assert found.total() == len(given)
        print(f"| {name} | {found.total()} | {share(found['exact'], found.total())} | {mean(spent):.1f} | {max(spent)} |")


def with_luck(solutions: int, seed: int) -> None:
    """Table A2."""
    print(f"\n### A2. With luck: bisection of {solutions} wrong solutions of {STEPS} steps, each step right with {SUCCESS}\n")
    print("Each cell: measured (predicted). p of a prefix is the chance that all steps left are right.\n")
    print("| k | e | good prefix looks bad, `(1-p)^k` | bad prefix looks good, `1-(1-e)^k` | exact | early | late |")
    print("|---|---|---|---|---|---|---|")
    source = solver(STEPS, 1 - SUCCESS, seed=seed)
    sampled = (said(source, "q", seed_of(seed, i)) for i in count())
    wrong = list(islice((text for text in sampled if first_error(text) is not None), solutions))
    gaps = []
    for k in (4, 8, 16):
        for e in (0.0, 0.01, 0.05, 0.1):
            search = MonteCarlo(MonteCarloConfig(k=k, schedule="bisect"))
            policy = solver(STEPS, 1 - SUCCESS, e, seed)
            trees, _ = grown(policy, [grow_given(question(f"{i}"), SETTINGS, search, piece(t)) for i, t in enumerate(wrong)])
            good, bad, found = Tally(), Tally(), {kind: Tally() for kind in KINDS}
            for tree, text in zip(trees, wrong, strict=True):
                truth = first_error(text)
                assert truth is not None
                looks = [looks_good(done, truth, k, e) for done in range(STEPS + 1)]
                for node in range(1, len(tree)):
                    rolled, done = tree.count(node, SETTINGS.completer), tree.depth[node]
                    if rolled.n and done <= truth:
                        good.add(rolled.correct == 0, 1 - looks[done])
                    elif rolled.n:
                        bad.add(rolled.correct > 0, looks[done])
                (pair,) = errors(tree)
                expected = outcomes(0, STEPS + 1, truth, looks)
                for kind, tally in found.items():
                    tally.add(how(*pair) == kind, expected[kind])
            print(f"| {k} | {e} | {good} | {bad} | {' | '.join(map(str, found.values()))} |")
            gaps += [tally.gap for tally in (good, bad, *found.values())]
    print(f"\nLargest of {len(gaps)} gaps between measured and predicted: {max(gaps):.1f} standard errors.")


def looks_good(done: int, truth: int, k: int, e: float) -> float:
    """The chance that k rollouts after so many steps hold a right one."""
    p = SUCCESS ** (STEPS - done) if done <= truth else e
    return 1 - (1 - p) ** k


def outcomes(low: int, high: int, truth: int, looks: Sequence[float]) -> dict[str, float]:
    """The chance that bisection between two numbers of steps ends exact, early or late."""
    found = dict.fromkeys(KINDS, 0.0)
    if high - low == 1:
        return found | {how(low, truth): 1.0}
    middle = (low + high) // 2
    for chance, begin, end in ((looks[middle], middle, high), (1 - looks[middle], low, middle)):
        for kind, rest in outcomes(begin, end, truth, looks).items():
            found[kind] += chance * rest
    return found


@dataclass
class Tally:
    """How often something happened, and how often it should have."""

    n: int = 0
    happened: int = 0
    expected: float = 0.0
    variance: float = 0.0

    def add(self, happened: bool, chance: float) -> None:
        """One trial."""
        self.n += 1
        self.happened += happened
        self.expected += chance
        self.variance += chance * (1 - chance)

    @property
    def gap(self) -> float:
        """|measured - expected|, in standard errors; where nothing is left to chance, any gap is infinite."""
        off = abs(self.happened - self.expected)
        return off / math.sqrt(self.variance) if self.variance > 1e-9 else (0.0 if off < 1e-6 else math.inf)

    def __str__(self) -> str:
        return f"{self.happened / self.n:.3f} ({self.expected / self.n:.3f})" if self.n else "-"


class WrongOnes(MonteCarlo):
    """Monte Carlo on wrong root rollouts only: no rollout is spent on a solution that has no first error."""

    def run(self, moves: Moves, roots: Sequence[Rollout]) -> Asking:
        yield from super().run(moves, [r for r in roots if r.verdict == "wrong"])


def cost(questions: int, seed: int) -> None:
    """Table B."""
    print(f"\n### B. Rollouts per labelled first error: {questions} questions a row, half of all solutions right, k = 8, e = 0\n")
    print("In brackets: exact labels of all labels. Every rollout counts: the root's 8, and those of questions without a label.")
    print(
        "Monte Carlo labels up to 4 wrong root rollouts, OmegaPRM what its pool offers: with `4 searches` up to 4 as well, with"
    )
    print("`32 searches` as it is meant to be used, most of them beginning deeper than the root.\n")
    arms: dict[str, Search[Any]] = {
        f"Monte Carlo, {s}": WrongOnes(MonteCarloConfig.model_validate({"k": 8, "schedule": s, "solutions": 4}))
        for s in ("all", "until_first_error", "bisect")
    }
    arms |= {f"OmegaPRM, {n} searches": OmegaPRM(OmegaConfig(k=8, searches=n, siblings=0, right_solutions=0)) for n in (4, 32)}
    rows: dict[int, dict[str, Paid]] = {}
    for steps in LENGTHS:
        policy = solver(steps, 1 - 0.5 ** (1 / steps), seed=seed)
        names = [question(f"{steps}-{i}") for i in range(questions)]
        rows[steps] = {}
        for name, search in arms.items():
            trees, tokens = grown(policy, [grow(q, SETTINGS, search) for q in names])
            pairs = [pair for tree in trees for pair in errors(tree)]
            exact = sum(how(*pair) == "exact" for pair in pairs)
            rows[steps][name] = Paid(sum(rollouts(tree) for tree in trees), tokens, len(pairs), exact)
    print(f"| steps | {' | '.join(arms)} |\n|---{'|---' * len(arms)}|")
    for steps, paid in rows.items():
        print(f"| {steps} | {' | '.join(f'{p.each:.1f} ({share(p.exact, p.errors)} of {p.errors})' for p in paid.values())} |")
    print("\nTimes fewer rollouts (in brackets: generated tokens) per labelled first error than Monte Carlo on every step:\n")
    _, *others = arms
    print(f"| steps | {' | '.join(others)} |\n|---{'|---' * len(others)}|")
    for steps, paid in rows.items():
        base, *rest = paid.values()
        factors = [f"{base.each / p.each:.1f} ({base.tokens_each / p.tokens_each:.1f})" for p in rest]
        print(f"| {steps} | {' | '.join(factors)} |")


@dataclass(frozen=True)
class Paid:
    """What labels cost."""

    rollouts: int
    tokens: int
    errors: int
    exact: int

    @property
    def each(self) -> float:
        """Rollouts per labelled first error."""
        return self.rollouts / self.errors

    @property
    def tokens_each(self) -> float:
        """Generated tokens per labelled first error."""
        return self.tokens / self.errors


def rollouts(tree: Tree, roots: bool = True) -> int:
    """All rollouts of a tree, with or without those of its root."""
    return sum(rolled.n for counts in tree.counts[0 if roots else 1 :] for rolled in counts.values())


def share(part: int, whole: int) -> str:
    """A percentage that is 100 % only if it is all of them."""
    return "100 %" if part == whole else f"{min(99.9, 100 * part / whole):.1f} %"


def mean(numbers: Sequence[int]) -> float:
    """The mean."""
    return sum(numbers) / len(numbers)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--solutions", type=int, default=150, help="wrong solutions in each row of A2")
    parser.add_argument("--questions", type=int, default=8, help="questions in each row of B")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    started = time.monotonic()
    without_luck(args.seed)
    with_luck(args.solutions, args.seed)
    cost(args.questions, args.seed)
    print(f"\n{time.monotonic() - started:.0f} s.")


if __name__ == "__main__":
    main()
