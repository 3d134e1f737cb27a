"""What is written in any format is read back as it was, or refused by a name."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.storage.exports import FORMATS, Prm800k
from pairwright.storage.exports.base import Format, Refused
from pairwright.storage.schemas import TABLES
from tests.storage.exports.export_rows import DRAWN, IDENTITY, PLAIN, solution

MADE: list[Format] = [kind() for kind in FORMATS.values()]
MADE += [Prm800k(neutral_below=0.5, neutral=meaning) for meaning in ("good", "bad", "unknown")]
every_format = pytest.mark.parametrize("format", MADE, ids=lambda f: f.name)


def plain(format: Format) -> dict[str, Any]:
    return PLAIN[format.table]()


@every_format
@given(data=st.data())
def test_a_record_is_read_back_as_its_row_or_refused_by_a_name(format: Format, data: st.DataObject) -> None:
    row = data.draw(DRAWN[format.table]())
    for unit in format.units(row):
        try:
            line = json.dumps(format.record(unit), allow_nan=False)
        except Refused as refused:
            assert re.fullmatch("[a-z_]+", refused.reason) and refused.detail
            assert refused.reason != "not_reversible", "every cause has a name of its own"
        else:
            assert format.read(json.loads(line)) == format.carried(unit)


@every_format
def test_a_plain_row_is_carried_with_its_ids(format: Format) -> None:
    row = plain(format)
    for unit in format.units(row):
        found = format.read(format.record(unit))
        key = IDENTITY[format.table]
        assert found["prompt_id"] == "p1" and found[key] == row[key]


@every_format
def test_what_is_read_back_is_what_was_published(format: Format) -> None:
    """By hand, apart from `carried`: every column read back equals the row's, but for the whitespace that ends a step."""
    row, units = plain(format), list(format.units(plain(format)))
    found = format.read(format.record(units[-1]))
    steps = [step.rstrip() for step in row.get("completions", [])]
    expected = {**row, "completions": steps} if format.table == "stepwise" else row
    if format.name == "openr":
        expected["completions"] = row["completions"]
    if format.name == "value":
        expected |= {"completions": ["2 + 2 = 4.\n\nDoubled, 6."], "scores": [0.0]}
    assert found == {name: expected[name] for name in found}


@every_format
def test_only_the_columns_it_names_are_needed(format: Format) -> None:
    assert set(format.columns) <= set(TABLES[format.table].names)
    row = {name: plain(format)[name] for name in format.columns}
    assert [format.record(unit) for unit in format.units(row)] == [format.record(u) for u in format.units(plain(format))]


@pytest.mark.parametrize("name", sorted(name for name, kind in FORMATS.items() if kind.table == "stepwise"))
@pytest.mark.parametrize("completions, reason", [([], "no_steps"), (["4.", " \n"], "empty_step")])
def test_a_solution_without_steps_or_with_an_empty_one_is_refused(name: str, completions: list[str], reason: str) -> None:
    format, blank = FORMATS[name](), [None] * 3
    row = solution(completions=completions, tail=[], first_error=None, labels=[True] * len(completions), scores=blank)
    row["scores"], row["n"], row["correct"] = ([value] * len(completions) for value in (0.5, 8, 4))
    reasons = []
    for unit in format.units(row):
        try:
            format.record(unit)
        except Refused as refused:
            reasons.append(refused.reason)
    assert reasons == ([] if name == "value" and not completions else [reason])


@pytest.mark.parametrize("name", ["trl_stepwise", "math_shepherd", "qwen_prm", "rlhflow"])
@pytest.mark.parametrize("labels, reason", [([True, None], "label_missing"), ([True], "wrong_count")])
def test_a_step_without_a_label_is_refused_where_every_step_needs_one(name: str, labels: list[Any], reason: str) -> None:
    with pytest.raises(Refused) as refused:
        FORMATS[name]().record(solution(labels=labels))
    assert refused.value.reason == reason


def test_a_format_that_gives_something_else_back_is_caught() -> None:
    class Forgetful(FORMATS["trl_stepwise"]):  # type: ignore[misc]
        def read(self, record: dict[str, Any]) -> dict[str, Any]:
            return {**super().read(record), "labels": []}

    with pytest.raises(Refused) as refused:
        Forgetful().record(solution())
    assert refused.value.reason == "not_reversible"
