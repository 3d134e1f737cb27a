"""Pairs with prompts and texts."""

from __future__ import annotations

import numpy as np

from pairwright.engines.requests import Turn
from pairwright.ids import digest
from pairwright.pipelines.filters import PairColumns, Side
from pairwright.pipelines.prompts.rows import Prompt


def prompt(*turns: str, system: str = "") -> Prompt:
    """`turns`: user and assistant in turn."""
    messages = [Turn("system", system)] * bool(system)
    messages += [Turn("assistant" if i % 2 else "user", text) for i, text in enumerate(turns)]
    return Prompt(digest("prompt", [[t.role, t.content] for t in messages]), tuple(messages))


def pairs_of(rows, ids=None, margins=None) -> PairColumns:
    """Pairs p0, p1, ... of rows (prompt or its text, chosen, rejected)."""
    n = len(rows)
    margins = [1.0] * n if margins is None else margins

    def side(letter, texts, scores):
        counts = np.array([len(t.split()) for t in texts], int)
        return Side([f"{letter}{i}" for i in range(n)], np.array(scores, float), counts, counts, ["stop"] * n, lambda: texts)

    prompts = [prompt(row[0]) if isinstance(row[0], str) else row[0] for row in rows]
    chosen, rejected = side("c", [r[1] for r in rows], margins), side("r", [r[2] for r in rows], [0.0] * n)
    return PairColumns(ids or [f"p{i}" for i in range(n)], chosen, rejected, lambda _: {}, load_prompts=lambda: prompts)
