"""Step pairs: two next steps after one prefix, one of which leads on. Plain text and ids; no terminator anywhere.

`counts`, ours, for OmegaPRM and Monte Carlo: chosen is the sibling with the highest MC, if it is good by the labels' threshold,
rejected one with MC = 0 through which no solution ended right.

`values`, our reading of SVPO (arXiv 2406.10858) and no reproduction: its method section, pair rule and margin were not found, so
every number is a setting. Chosen is the child with the highest Q of a PUCT search (AlphaMath's), rejected the lowest, if Q+ > 0
on the scale from -1 to 1 (.5 here, where Q is in [0, 1]), Q- < Q(parent), and chosen lies on a path that ended right.

A low Q often only says that later steps went wrong, so by `values` many a rejected step holds no error of its own; MC = 0
says more. So counts come first where there are any.

A step enters a pair only if it is exactly one step, says something, carries no reason, and was not rolled out from in vain. There
is no pair after a prefix that is lost by its own rollouts or goes on from one that is: both steps would be wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pairwright.pipelines.pairs import pair_id
from pairwright.pipelines.step_labels.log import Node, StepLog

GAP = {"counts": 0.5, "values": 0.25}
ROUNDING = 1e-9


class PairRule(BaseModel):
    """Which siblings become a pair."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    rule: Literal["auto", "counts", "values"] = Field(
        "auto", description="auto: counts if steps were rolled out from, else values"
    )
    min_gap: float | None = Field(None, gt=0, le=1, description="in probability; default .5 for counts, .25 for values")
    min_visits: int = Field(1, ge=1, description="values: a child visited less often does not take part")
    per_node: int = Field(1, ge=1, description="pairs after one prefix, all with the same chosen step")
    per_question: int = Field(8, ge=1, description="drawn in turn from early, middle and late steps, largest margins first")

    @model_validator(mode="after")
    def _check(self) -> PairRule:
        if self.rule == "counts" and self.min_visits != 1:
            raise ValueError("`min_visits` has no effect with `rule: counts`: remove it or use `rule: values`")
        return self


class Candidate(NamedTuple):
    """A step that may enter a pair, its score in [0, 1], and the rollouts or visits that score rests on."""

    node: Node
    score: float
    n: int


class Couple(NamedTuple):
    """A pair; `depth`: steps before it."""

    chosen: Candidate
    rejected: Candidate
    depth: int

    @property
    def margin(self) -> float:
        """Difference of the scores, in probability."""
        return self.chosen.score - self.rejected.score


def step_pairs(log: StepLog, rule: PairRule, threshold: int = 0) -> list[dict[str, Any]]:
    """The pairs of one question as rows of `step_preference`, without its `messages`, early ones first. Scores are MC or Q, and
    n_chosen and n_rejected the rollouts or visits behind them (0: a step that ends the solution, by its verdict). `threshold`: a
    prefix is good if more of its rollouts were right, as for labels."""
    by = rule.rule if rule.rule != "auto" else "counts" if any(n.n for n in log.nodes.values() if n is not log.root) else "values"
    found = [couple for node in log.nodes.values() for couple in _after(log, node, rule, by, threshold)]
    kept = sorted(_balanced(found, rule.per_question), key=lambda c: (c.depth, c.chosen.node.node_id, c.rejected.node.node_id))
    return [_row(log, couple) for couple in kept]


def smoothing(n_chosen: int, n_rejected: int) -> float:
    """epsilon in [0, .5] for a conservative loss, -(1 - e) log sigma(d) - e log sigma(-d), from visits:
    1 - 1 / (1 + N- / max(1, N+)), at most .5 (MCTS-DPO, arXiv 2405.00451, from its code)."""
    return min(1 - 1 / (1 + n_rejected / max(1, n_chosen)), 0.5)


def _after(log: StepLog, parent: Node, rule: PairRule, by: str, threshold: int) -> Iterator[Couple]:
    """The pairs after one prefix."""
    if any(node.estimate is not None and node.correct <= threshold for node in log.path(parent)):
        return
    children = [c for c in log.children[parent.node_id] if _usable(c)]
    if by == "counts":
        ranked = [Candidate(c, mc, c.n) for c in children if (mc := _mc(c)) is not None]
    else:
        ranked = [Candidate(c, c.q, c.visits) for c in children if c.q is not None and c.visits >= rule.min_visits]
    ranked.sort(key=lambda c: (-c.score, -c.n, c.node.node_id))
    chosen = next((c for c in ranked if by == "values" or not c.n or c.node.correct > threshold), None)
    if chosen is None or (by == "values" and not (chosen.score > 0.5 and chosen.node.node_id in log.right)):
        return
    depth = sum(len(node.cuts) for node in log.path(parent))
    gap = GAP[by] if rule.min_gap is None else rule.min_gap
    worst_first = sorted((c for c in ranked if c is not chosen), key=lambda c: (c.score, -c.n, c.node.node_id))
    made = [Couple(chosen, c, depth) for c in worst_first if _bad(log, c, parent, by) and _words(c.node) != _words(chosen.node)]
    yield from [couple for couple in made if couple.margin >= gap - ROUNDING][: rule.per_node]


def _usable(node: Node) -> bool:
    return len(node.cuts) == 1 and bool(node.text.strip()) and node.reason is None and not node.low_trust


def _mc(node: Node) -> float | None:
    """MC of a step: by its rollouts; by the verdict if it ended a solution and was not rolled out from."""
    return node.estimate if node.n else node.rate


def _bad(log: StepLog, candidate: Candidate, parent: Node, by: str) -> bool:
    if by == "counts":
        return candidate.score == 0 and candidate.node.node_id not in log.right
    return parent.q is not None and candidate.score < parent.q


def _words(node: Node) -> list[str]:
    return node.text.split()


def _balanced(couples: list[Couple], most: int) -> list[Couple]:
    """At most so many, in turn from each third of the depths, largest margins first."""
    depths = 1 + max((couple.depth for couple in couples), default=0)
    thirds: Mapping[int, list[Couple]] = {0: [], 1: [], 2: []}
    for couple in sorted(couples, key=lambda c: (-c.margin, c.chosen.node.node_id, c.rejected.node.node_id)):
        thirds[3 * couple.depth // depths].append(couple)
    in_turn = sorted((place, third) for third, found in thirds.items() for place in range(len(found)))
    return [thirds[third][place] for place, third in in_turn[:most]]


def _row(log: StepLog, couple: Couple) -> dict[str, Any]:
    chosen, rejected = couple.chosen.node, couple.rejected.node
    *before, _ = log.path(chosen)
    return {
        "prefix": "".join(node.text for node in before),
        "chosen": chosen.text,
        "rejected": rejected.text,
        "prefix_ids": [i for node in before for i in node.token_ids],
        "chosen_ids": list(chosen.token_ids),
        "rejected_ids": list(rejected.token_ids),
        "tokenizer": log.tokenizer,
        "score_chosen": couple.chosen.score,
        "score_rejected": couple.rejected.score,
        "margin": couple.margin,
        "n_chosen": couple.chosen.n,
        "n_rejected": couple.rejected.n,
        "depth": couple.depth,
        "prompt_id": log.prompt_id,
        "pair_id": pair_id(log.prompt_id, chosen.node_id, rejected.node_id),
        "chosen_id": chosen.node_id,
        "rejected_id": rejected.node_id,
        "model": log.model,
    }
