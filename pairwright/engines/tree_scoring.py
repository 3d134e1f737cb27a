"""The one log-probability routine of the `transformers` engine: every distinct token of a batch is computed once.

Log-probabilities are log-softmax in fp32 of the raw logits; the state that predicts token t is the state of token t-1
(methods: response annotators 0.1; hidden sums: CHES, arXiv 2410.08847, the last prompt token through the second-last one).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pairwright.engines.dropout import Noise, marked, noisy, unmarked
from pairwright.engines.prefix_tree import Ints, PrefixTree, Row, batches, build_tree, plan_rows
from pairwright.engines.requests import Floats

STATISTICS = ("entropy", "self_certainty")


@dataclass(frozen=True, slots=True)
class Target:
    """Score `ids` after `context` (both non-empty). `want`, `draw`: see `requests.Score`."""

    context: Sequence[int]
    ids: Sequence[int]
    want: frozenset[str] = frozenset()
    draw: int | None = None


@dataclass(slots=True)
class TargetScores:
    """Per scored token, fp32, shape [T]; `hidden_sum` [D]."""

    logprobs: Floats
    entropy: Floats | None = None
    self_certainty: Floats | None = None
    hidden_sum: Floats | None = None


@dataclass(slots=True)
class Counters:
    """`forwarded`: tokens computed, padding included. `unique`: the fewest possible. `asked`: one forward per request."""

    forwarded: int = 0
    unique: int = 0
    asked: int = 0


@dataclass(slots=True)
class TreeScorer:
    """Scores targets with a causal language model. `row_limit`: the widest packed row; `budget`: tokens per forward; `dropout`:
    the share of attention weights dropped in a draw, by a model that attends by `dropout.attend`."""

    model: Any
    row_limit: int = 512
    budget: int = 2048
    dropout: float = 0.0
    counters: Counters = field(default_factory=Counters)

    def score(self, targets: Sequence[Target]) -> list[TargetScores]:
        """One `TargetScores` per target, in order. Either all targets are draws or none is."""
        import torch

        drawn = targets[0].draw is not None
        tree, seeds = unmarked(build_tree([marked([*t.context, *t.ids], t.draw) for t in targets]))
        scored = [tree.paths[i][len(t.context) :] for i, t in enumerate(targets)]
        want = frozenset().union(*(t.want for t in targets))
        run = _Run(self, tree, np.unique(np.concatenate(scored)), want, seeds if drawn else None)
        with torch.inference_mode():
            for wave in plan_rows(tree, self.row_limit):
                for batch in batches(wave, self.budget):
                    run.forward(batch)
        self.counters.unique += tree.n
        self.counters.asked += sum(len(path) for path in tree.paths)
        return [run.read(nodes, t.want) for nodes, t in zip(scored, targets, strict=True)]


class _Run:
    """One tree on its way through the model. Arrays below are indexed by the rank of a node among the scored ones."""

    def __init__(self, scorer: TreeScorer, tree: PrefixTree, scored: Ints, want: frozenset[str], seeds: Ints | None) -> None:
        import torch

        self.scorer, self.tree, self.scored, self.want, self.seeds = scorer, tree, scored, want, seeds
        self.base, self.head = scorer.model.base_model, scorer.model.get_output_embeddings()
        self.device = self.head.weight.device
        self.values = {name: np.empty(len(scored), np.float32) for name in ("logprobs", *(want & set(STATISTICS)))}
        width = self.head.weight.shape[1] if "hidden_sum" in want else 0
        self.hidden = np.empty((len(scored), width), np.float32)
        self.order = np.argsort(tree.parent[scored], kind="stable")  # scored nodes by the node that predicts them
        self.predictors = tree.parent[scored][self.order]
        self.row_of, self.place = np.full(tree.n, -1), np.zeros(tree.n, np.int64)
        self.kept: list[list[tuple[Any, Any]]] = []  # per kept row: (keys, values) of each layer, [heads, Q, head_dim]
        self.torch = torch

    def forward(self, batch: list[Row]) -> None:
        """Compute the rows of `batch` and read off everything they predict."""
        torch, tree = self.torch, self.tree
        pasts = [self._path(row.past) for row in batch]
        q_max, p_max = max(len(r.nodes) for r in batch), max(len(p) for p in pasts)
        ids, positions = np.zeros((2, len(batch), q_max), np.int64)
        mask = np.zeros((len(batch), 1, q_max, p_max + q_max), bool)
        for b, (row, past) in enumerate(zip(batch, pasts, strict=True)):
            q = len(row.nodes)
            ids[b, :q], positions[b, :q] = tree.tokens[row.nodes], tree.depth[row.nodes]
            mask[b, 0, :q, : len(past)] = True
            mask[b, 0, :q, p_max : p_max + q] = tree.ancestors(row.nodes)
            mask[b, 0, range(q, q_max), range(p_max + q, p_max + q_max)] = True  # padding attends to itself: no NaN
        keep = any(row.needed for row in batch)
        cache = self._cache(pasts, p_max) if p_max or keep else None
        with noisy(None if self.seeds is None else self._noise(self.seeds, batch, positions, p_max)):
            out = self.base(
                input_ids=torch.from_numpy(ids).to(self.device),
                position_ids=torch.from_numpy(positions).to(self.device),
                attention_mask=torch.from_numpy(mask).to(self.device),
                past_key_values=cache,
                use_cache=cache is not None,
            )
        self.scorer.counters.forwarded += ids.size
        for b, row in enumerate(batch):
            if row.needed:
                self._keep(cache, b, row, p_max)
            self._read_row(out.last_hidden_state[b], row.nodes)

    def read(self, nodes: Ints, want: frozenset[str]) -> TargetScores:
        """What was computed for the scored nodes of one target."""
        at = np.searchsorted(self.scored, nodes)
        values = {name: array[at] for name, array in self.values.items() if name == "logprobs" or name in want}
        hidden = self.hidden[at].sum(0, dtype=np.float64).astype(np.float32) if "hidden_sum" in want else None
        return TargetScores(**values, hidden_sum=hidden)

    def _noise(self, seeds: Ints, batch: list[Row], positions: Ints, p_max: int) -> Noise:
        """Dropout of the rows of `batch`; the keys are those of the past, then those of the rows."""
        of_queries = np.zeros(positions.shape, np.int64)
        for b, row in enumerate(batch):
            of_queries[b, : len(row.nodes)] = seeds[row.nodes]
        places = np.concatenate([np.tile(np.arange(p_max), (len(batch), 1)), positions], axis=1)
        tensors = (self.torch.from_numpy(x.astype(np.int32)).to(self.device) for x in (of_queries, places))
        return Noise(self.scorer.dropout, *tensors)

    def _read_row(self, states: Any, nodes: Ints) -> None:
        """states [Q, D]: log-softmax once for each state that predicts something, read at every token it predicts."""
        torch = self.torch
        lo, hi = np.searchsorted(self.predictors, nodes, "left"), np.searchsorted(self.predictors, nodes, "right")
        sources = np.flatnonzero(hi > lo)
        for some in np.array_split(sources, max(1, -(-len(sources) // 1024))):
            if not len(some):
                continue
            state = states[torch.from_numpy(some).to(self.device)]
            logits = self.head(state).float()
            norm = logits.logsumexp(-1, keepdim=True)
            targets = [self.order[lo[s] : hi[s]] for s in some]
            ranks, row = np.concatenate(targets), np.repeat(np.arange(len(some)), [len(t) for t in targets])
            tokens = self.tree.tokens[self.scored[ranks]]
            index = torch.from_numpy(row).to(self.device), torch.from_numpy(tokens).to(self.device)
            self.values["logprobs"][ranks] = (logits[index] - norm[index[0], 0]).cpu().numpy()
            if "entropy" in self.want:
                entropy = norm[:, 0] - ((logits - norm).exp() * logits).sum(-1)
                self.values["entropy"][ranks] = entropy.cpu().numpy()[row]
            if "self_certainty" in self.want:
                certainty = norm[:, 0] - logits.mean(-1) - np.log(logits.shape[-1])
                self.values["self_certainty"][ranks] = certainty.cpu().numpy()[row]
            if "hidden_sum" in self.want:
                self.hidden[ranks] = state.float().cpu().numpy()[row]

    def _path(self, node: int) -> Ints:
        path = []
        while node >= 0:
            path.append(node)
            node = int(self.tree.parent[node])
        return np.asarray(path[::-1], np.int64)

    def _keep(self, cache: Any, b: int, row: Row, p_max: int) -> None:
        self.row_of[row.nodes], self.place[row.nodes] = len(self.kept), np.arange(len(row.nodes))
        end = p_max + len(row.nodes)
        self.kept.append([(x.keys[b, :, p_max:end].clone(), x.values[b, :, p_max:end].clone()) for x in cache.layers])

    def _cache(self, pasts: list[Ints], p_max: int) -> Any:
        """The keys and values of each row's past, left-aligned and padded with zeros to `p_max`."""
        from transformers import DynamicCache

        cache = DynamicCache()
        for layer in range(len(self.kept[0]) if p_max else 0):
            for_layer = [[self._past(nodes, layer, which, p_max) for nodes in pasts] for which in (0, 1)]
            cache.update(self.torch.stack(for_layer[0]), self.torch.stack(for_layer[1]), layer)
        return cache

    def _past(self, nodes: Ints, layer: int, which: int, p_max: int) -> Any:
        torch = self.torch
        cuts = np.flatnonzero(np.diff(self.row_of[nodes])) + 1
        pieces = []
        for piece in np.split(nodes, cuts) if len(nodes) else []:
            start = int(self.place[piece[0]])
            pieces.append(self.kept[self.row_of[piece[0]]][layer][which][:, start : start + len(piece)])
        like = pieces[0] if pieces else self.kept[0][layer][which]
        pad = torch.zeros((like.shape[0], p_max - len(nodes), like.shape[2]), dtype=like.dtype, device=like.device)
        return torch.cat([*pieces, pad], dim=1)


def score_plain(model: Any, targets: Sequence[Target]) -> list[TargetScores]:
    """The same numbers by one forward per target, sharing nothing: the reference the tree is checked against, and the way for
    models whose attention cannot take the tree's mask."""
    import torch

    results = []
    for t in targets:
        ids = torch.tensor([[*t.context, *t.ids]], device=model.device)
        with torch.inference_mode():
            out = model(ids, output_hidden_states="hidden_sum" in t.want)
        span = slice(len(t.context) - 1, len(t.context) + len(t.ids) - 1)
        logits = out.logits[0, span].float()
        logp = logits.log_softmax(-1)
        picked = logp[torch.arange(len(t.ids)), torch.tensor(list(t.ids), device=logp.device)]
        entropy, certainty = -(logp.exp() * logp).sum(-1), -logp.mean(-1) - np.log(logits.shape[-1])
        hidden = out.hidden_states[-1][0, span].float().sum(0) if "hidden_sum" in t.want else None
        values = [None if x is None else x.cpu().numpy() for x in (picked, entropy, certainty, hidden)]
        results.append(TargetScores(*values))  # type: ignore[arg-type]
    return results
