"""Does markdown go with being chosen? Headers, list items, bold and code of the two responses, counted and compared."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from pairwright.pipelines.quality.bias import Bias, Numbers, bias_of

LISTED = re.compile(r"^[ \t]{0,9}(?:[-*+]|\d{1,3}[.)])[ \t]+\S", re.MULTILINE)
HEADER = re.compile(r"^ {0,3}#{1,6}[ \t]+\S", re.MULTILINE)
BOLD = re.compile(r"\*\*(?=\S)[^*\n]{1,200}\*\*|__(?=\S)[^_\n]{1,200}__")
FENCE = re.compile(r"^ {0,3}(?P<mark>```|~~~)[^\n]*\n.*?(?:^ {0,3}(?P=mark)|\Z)", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`[^`\n]+`")
PROSE: dict[str, re.Pattern[str]] = {"headers": HEADER, "lists": LISTED, "bold": BOLD}
KINDS = ("headers", "lists", "bold", "code")


def formats_in(text: str) -> dict[str, int]:
    """How many of each of `KINDS` a markdown text holds: headers, list items, bold spans, and pieces of code (blocks and inline
    spans). What stands inside code is only code."""
    prose, blocks = FENCE.subn("\n", text) if "```" in text or "~~~" in text else (text, 0)
    prose, spans = INLINE.subn(" ", prose) if "`" in prose else (prose, 0)
    return {**{kind: len(pattern.findall(prose)) for kind, pattern in PROSE.items()}, "code": blocks + spans}


def format_bias_of(
    chosen: Sequence[str],
    rejected: Sequence[str],
    margins: Numbers | None = None,
    count: Callable[[str], dict[str, int]] = formats_in,
) -> dict[str, Bias]:
    """kind -> its bias over N pairs, from their texts and, for `rho`, their margins, [N] each.

    Reads every text, at some ten thousand a second: of a large data set give a `sampling.sample`.
    """
    first, second = [count(text) for text in chosen], [count(text) for text in rejected]
    return {kind: bias_of([c[kind] for c in first], [c[kind] for c in second], margins) for kind in KINDS}
