from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from pairwright.engines.requests import Turn
from pairwright.pipelines.filters.base import PairColumns, Side, apply_filters
from pairwright.pipelines.filters.pii import Pii
from pairwright.pipelines.prompts.rows import Prompt

MAIL, ADDRESS = "jane@corp.org", "8.8.8.8"


def pairs_of(*rows):
    """Rows of prompt, chosen, rejected."""

    def side(k):
        zeros = np.zeros(len(rows))
        ids = [f"{k}{i}" for i in range(len(rows))]
        return Side(ids, zeros, zeros.astype(int), zeros.astype(int), [None] * len(rows), lambda: [row[k] for row in rows])

    prompts = [Prompt(f"p{i}", (Turn("system", "be kind"), Turn("user", row[0]))) for i, row in enumerate(rows)]
    ids = [f"pair{i}" for i in range(len(rows))]
    return PairColumns(ids, side(1), side(2), lambda _: {}, load_prompts=lambda: prompts)


ROWS = [("hello", "hi", "ho"), (f"I am {MAIL}, {MAIL}", f"ask {ADDRESS}", "no"), ("who?", "me", f"{MAIL}")]


def test_by_default_pairs_are_counted_and_kept():
    outcome = apply_filters([Pii()], pairs_of(*ROWS))
    assert outcome.scores["pii"].tolist() == [0, 3, 1]
    assert outcome.keep.all()


def test_dropping_names_kinds_and_places_and_never_what_was_found():
    outcome = apply_filters([Pii(on_found="drop")], pairs_of(*ROWS))
    assert outcome.reason == [
        None,
        "holds personal data or secrets: e-mail address (2 in the prompt), IP address (1 in the chosen response)",
        "holds personal data or secrets: e-mail address (1 in the rejected response)",
    ]


def test_kinds_that_are_not_asked_for_do_not_count():
    outcome = apply_filters([Pii(on_found="drop", kinds=["ip"])], pairs_of(*ROWS))
    assert outcome.keep.tolist() == [True, False, True]


def test_regions_that_do_not_exist_are_refused():
    with pytest.raises(ValidationError, match="there is no region 'USA': write two capital letters"):
        Pii(regions=["USA"])
    assert Pii(regions=["US"]).about()["regions"] == ["US"]
