"""One label from several annotators' votes on which of two responses is better, with what speaks for it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from pairwright.pipelines.consensus.dawid_skene import dawid_skene, identifiable

Rule = Literal["unanimous", "majority", "weighted", "dawid_skene", "one_coin"]
Ties = Literal["half", "label"]
ESTIMATED = ("dawid_skene", "one_coin")  # the rules that look at all pairs at once
LABELS = ("a", "b", "tie")
Floats = npt.NDArray[np.float64]
Vote = float | None
"""1: the first response is better, 0: the second, 1/2: a tie, None: no vote."""


@dataclass(frozen=True, slots=True)
class Agreed:
    """What annotators say together of one pair.

    label: "a", "b" or "tie"; None where they do not come to one: nobody voted, the best two labels are level, or (rule
        "unanimous") somebody disagrees.
    posterior: P(label), over a, b and, where ties are a label, tie; even where nobody voted.
    votes: how many voted, a family as one. disagreement: 1 - the largest label's share of votes, before any weighing; lead: the
        share of a less that of b, likewise.
    """

    label: str | None
    posterior: Mapping[str, float]
    votes: int
    disagreement: float
    lead: float

    @property
    def p(self) -> float:
        """P(a is better), a tie being half of that, in [0, 1]."""
        return self.posterior["a"] + self.posterior.get("tie", 0.0) / 2

    @property
    def entropy(self) -> float:
        """Of the posterior, in nats."""
        return -math.fsum(p * math.log(p) for p in self.posterior.values() if p > 0)


def agree(
    votes: Mapping[str, Sequence[Vote]],
    rule: Rule = "majority",
    families: Mapping[str, Sequence[str]] | None = None,
    accuracies: Mapping[str, float] | None = None,
    ties: Ties = "half",
) -> list[Agreed]:
    """One verdict per pair from `votes[annotator]`, a vote per pair, all in one order of pairs.

    - "unanimous" and "majority": the posterior is the share of votes.
    - "weighted": annotators err independently and evenly over the other labels, all labels being equally likely beforehand: each
      vote counts w = log(acc (L - 1) / (1 - acc)), acc being its annotator's accuracy on held-out labels (`accuracies`, in (0,
      1), for every annotator) and L the number of labels. Worse than chance counts against what it says.
    - "dawid_skene", "one_coin": accuracies, and how many pairs are ties, are estimated from the votes on all pairs. Each pair
      is told both ways, so that a and b are equally likely beforehand: which is a may be no chance (a filter's chosen response),
      and were it mostly right, its being a would outweigh votes against it.

    `families` maps a name to annotators that are likely to err together, such as models of one maker: those of them that vote on
    a pair have one vote between them, shared evenly (with "weighted" the mean of their weighted votes). `ties`: a tied vote is
    "half" a vote for each side, or a "label" of its own; never drawn at random. Raises ValueError for annotators that are not
    there and for votes that cannot be read; where Dawid-Skene cannot tell annotators apart (`can_estimate`), also ValueError.
    """
    names = list(votes)
    if odd := sorted(set(accuracies or {}) - set(names)):
        raise ValueError(f"accuracies are given of {odd[0]!r}, which has no votes")
    masses = np.stack([_masses(votes[name], ties) for name in names]) if names else np.zeros((0, 0, _labels(ties)))
    of = _families(names, families or {})
    shares = _joined(masses, masses, of)
    cast = shares.sum(axis=2) > 0
    share = _normalised(shares.sum(axis=0))
    if rule == "weighted":
        posterior = _softmax(_joined(_weights(names, accuracies or {}, masses.shape[2]) * masses, masses, of).sum(axis=0))
    elif rule in ESTIMATED:
        posterior = dawid_skene(_both_ways(shares), one_coin=rule == "one_coin").posterior[: shares.shape[1]]
    else:
        posterior = share
    count, most = cast.sum(axis=0), share.max(axis=1)
    return [
        Agreed(
            _label(posterior[t], rule) if count[t] else None,
            dict(zip(LABELS, map(float, posterior[t]), strict=False)),
            int(count[t]),
            float(1 - most[t]) if count[t] else 0.0,
            float(share[t, 0] - share[t, 1]),
        )
        for t in range(masses.shape[1])
    ]


def can_estimate(votes: Mapping[str, Sequence[Vote]], families: Mapping[str, Sequence[str]] | None = None) -> bool:
    """Do three annotators, a family as one, vote on some pair? Without that Dawid-Skene cannot tell them apart."""
    masses = np.stack([_masses(v, "half") for v in votes.values()]) if votes else np.zeros((0, 0, 2))
    return identifiable(_joined(masses, masses, _families(list(votes), families or {})))


def _both_ways(shares_WTL: Floats) -> Floats:
    """[W, 2T, L]: all pairs, and all again with a and b exchanged."""
    turned = shares_WTL[:, :, [1, 0, 2][: shares_WTL.shape[2]]]
    return np.concatenate([shares_WTL, turned], axis=1)


def _labels(ties: Ties) -> int:
    return 3 if ties == "label" else 2


def _masses(votes: Sequence[Vote], ties: Ties) -> Floats:
    """[T, L]: a vote's mass over the labels; zeros where there is none."""
    table: dict[Vote, list[float]] = {1.0: [1, 0, 0], 0.0: [0, 1, 0], 0.5: [0.5, 0.5, 0], None: [0, 0, 0]}
    if ties == "label":
        table[0.5] = [0, 0, 1]
    if odd := [v for v in votes if v not in table]:
        raise ValueError(f"a vote is 1, 0, 1/2 or None, not {odd[0]}")
    return np.array([table[v] for v in votes], np.float64).reshape(len(votes), 3)[:, : _labels(ties)]


def _families(names: Sequence[str], families: Mapping[str, Sequence[str]]) -> list[list[int]]:
    """The places of the members of each family; an annotator of none is its own."""
    placed = [member for members in families.values() for member in members]
    for member in placed:
        if member not in names or placed.count(member) > 1:
            raise ValueError(f"{member!r} must be one of {', '.join(names)} and in one family only")
    alone = [[name] for name in names if name not in placed]
    return [[names.index(m) for m in members] for members in [*families.values(), *alone] if members]


def _joined(values_ATL: Floats, masses_ATL: Floats, families: Sequence[Sequence[int]]) -> Floats:
    """[W, T, L]: the mean of the values of those members of a family that voted."""
    joined = np.zeros((len(families), *values_ATL.shape[1:]))
    for w, members in enumerate(families):
        voters = (masses_ATL[members].sum(axis=2) > 0).sum(axis=0)
        joined[w] = values_ATL[members].sum(axis=0) / np.maximum(voters, 1)[:, None]
    return joined


def _weights(names: Sequence[str], accuracies: Mapping[str, float], labels: int) -> Floats:
    for name in names:
        if not 0 < accuracies.get(name, 0.0) < 1:
            raise ValueError(f"the accuracy of {name!r} must be given and lie between 0 and 1")
    accuracy = np.array([accuracies[name] for name in names])
    return np.asarray(np.log(accuracy * (labels - 1) / (1 - accuracy)))[:, None, None]


def _normalised(masses: Floats) -> Floats:
    total = masses.sum(axis=1, keepdims=True)
    return np.where(total > 0, masses / np.where(total > 0, total, 1), 1 / masses.shape[1])


def _softmax(logits: Floats) -> Floats:
    z = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(z / z.sum(axis=1, keepdims=True))


def _label(posterior: Floats, rule: Rule) -> str | None:
    best = float(posterior.max())
    level = np.flatnonzero(posterior > best - 1e-12)
    if len(level) > 1 or (rule == "unanimous" and best < 1 - 1e-12):
        return None
    return LABELS[int(level[0])]
