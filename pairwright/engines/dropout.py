"""Attention dropout whose mask is a function of what it is applied to: Monte-Carlo dropout that can be batched and shared.

MC dropout (Gal and Ghahramani, arXiv 1506.02142) keeps dropout on while scoring; the spread of T such scores tells how unsure the
model is. Only attention weights are dropped: dropout on the outputs of MLPs destroys a model that was trained without it.

Here no random generator is advanced. Whether draw t drops the weight of key k for query q, in a layer and a head, is a hash of
the tokens up to q, the place of k, the layer, the head and t. So a draw of a text is the same alone and in any company and order,
and draw t of two responses drops the same weights in the prompt that they share, which is computed once. The hash is the 32-bit
mixing function "lowbias32" (C. Wellons, public domain).
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pairwright.engines.prefix_tree import Ints, PrefixTree

ATTENTION = "pairwright_dropout"  # the name under which transformers knows `attend`
DRAW = 1 << 32  # larger than any vocabulary
_GOLDEN = -1640531527  # 2**32 / golden ratio as int32: spreads small numbers
_HALF = 1 << 31


@dataclass(frozen=True, slots=True)
class Noise:
    """The dropout of one forward of B rows. rate: in [0, 1); seeds [B, Q]: int32, one a query; places [B, K]: of the keys."""

    rate: float
    seeds: Any
    places: Any


_NOISE: ContextVar[Noise | None] = ContextVar("noise", default=None)


@contextlib.contextmanager
def noisy(noise: Noise | None) -> Iterator[None]:
    """Within it `attend` drops weights by `noise`; none if that is None."""
    token = _NOISE.set(noise)
    try:
        yield
    finally:
        _NOISE.reset(token)


def marked(ids: Sequence[int], draw: int | None) -> list[int]:
    """`ids` such that those of another draw are other tokens, and share no prefix with them."""
    return list(ids) if draw is None else [i + DRAW * (draw + 1) for i in ids]


def unmarked(tree: PrefixTree) -> tuple[PrefixTree, Ints]:
    """The tree with the model's own tokens, and each node's seed: a hash of the draw and of all tokens up to the node."""
    seeds = [0] * tree.n
    for i, (token, parent) in enumerate(zip(tree.tokens.tolist(), tree.parent.tolist(), strict=True)):
        seeds[i] = zlib.crc32(token.to_bytes(8, "little"), seeds[parent] if parent >= 0 else 0)
    return replace(tree, tokens=tree.tokens % DRAW), np.array(seeds, np.uint32).astype(np.int32).astype(np.int64)


def use_dropout(model: Any) -> None:
    """Let `model` attend by `attend`, which without noise is what it did before."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    AttentionInterface.register(ATTENTION, attend)
    AttentionMaskInterface.register(ATTENTION, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
    model.set_attn_implementation(ATTENTION)


def attend(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **about: Any) -> tuple[Any, None]:
    """Scaled dot-product attention, in fp32 where weights are dropped. query [B, H, Q, D], key and value [B, G, K, D] with H a
    multiple of G, attention_mask bool [B, 1, Q, K]; gives [B, Q, H, D]."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    noise = _NOISE.get()
    if noise is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **about)
    heads = query.shape[1]
    key, value = (x.repeat_interleave(heads // x.shape[1], dim=1) for x in (key, value))
    scaling = about.get("scaling") or query.shape[-1] ** -0.5
    weights = (query.float() @ key.float().transpose(2, 3)).mul_(scaling)
    weights = weights.masked_fill_(~attention_mask, float("-inf")).softmax(-1)
    weights.masked_fill_(dropped(noise, module.layer_idx, heads), 0.0)
    out = (weights @ value.float()).div_(1 - noise.rate)
    return out.to(query.dtype).transpose(1, 2).contiguous(), None


def dropped(noise: Noise, layer: int, heads: int) -> Any:
    """bool [B, heads, Q, K]: which weights are dropped in this layer, each with probability `rate`, independently."""
    import torch

    head = torch.arange(heads, dtype=torch.int32, device=noise.seeds.device).add_(layer * heads).mul_(_GOLDEN)
    queries = _mixed(_mixed(noise.seeds.clone())[:, None] + head[None, :, None])
    at = _mixed(queries[..., None] + (noise.places * _GOLDEN)[:, None, None])
    return at.bitwise_and_(_HALF - 1) < int(noise.rate * _HALF)


def _mixed(x: Any) -> Any:
    """lowbias32 of an int32 tensor, in place. Products wrap; a shift of int32 drags the sign along, so that is masked away."""
    x ^= (x >> 16).bitwise_and_(0xFFFF)
    x *= 0x7FEB352D
    x ^= (x >> 15).bitwise_and_(0x1FFFF)
    x *= 0x846CA68B - (1 << 32)
    x ^= (x >> 16).bitwise_and_(0xFFFF)
    return x
