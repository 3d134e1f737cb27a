"""With a budget for displacement a group gives the pair of the greatest margin that the budget allows, and no other."""

from __future__ import annotations

import math
import random
import tempfile
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pairwright.annotators.displacement import ches_between
from pairwright.pipelines.cut import Stored, cut
from pairwright.pipelines.pairs import Candidate, PairConfig, PairOutcome, pairs_of
from pairwright.pipelines.stored import Annotations
from tests.pipelines.made_tables import Tables, prompt_of, recipe, response, shelved, some

Values = dict[tuple[str, str], float | None]


@st.composite
def groups(draw: st.DrawFn) -> tuple[list[Candidate], Values]:
    """Candidates with few different scores and lengths, and the CHES of every ordered pair, where it is known."""
    n = draw(st.integers(2, 6))
    found = [
        Candidate(f"r{i}", f"text {draw(st.integers(0, 7))}", float(draw(st.integers(-3, 3))), None, draw(st.integers(0, 9)), 6)
        for i in range(n)
    ]
    known = st.one_of(st.none(), st.integers(-5, 5).map(float))
    return found, {(a.response_id, b.response_id): draw(known) for a, b in permutations(found, 2)}


RULES = st.builds(
    PairConfig,
    ches=st.just({"max": 0.0}),
    per_prompt=st.integers(1, 4),
    margin=st.sampled_from([0.0, 1.0, 2.0]),
    chosen_floor=st.sampled_from([None, 0.0, 2.0]),
    max_length_ratio=st.sampled_from([None, 1.0, 2.0]),
)


def paired(candidates: Sequence[Candidate], rule: PairConfig, values: Values, budget: float) -> PairOutcome:
    return pairs_of(candidates, rule, "prompt", lambda a, b: values[a, b], budget)


def allowed(candidates: Sequence[Candidate], rule: PairConfig) -> list[tuple[float, str, str]]:
    """(margin, chosen, rejected) of all pairs that the settings besides the budget admit, by brute force."""
    firsts: dict[str, Candidate] = {}
    for c in sorted(candidates, key=lambda c: (-(c.score or 0.0), c.response_id)):
        firsts.setdefault(c.text, c)  # of equal texts the one with the highest score stands for all
    found = []
    for c, r in permutations(firsts.values(), 2):
        assert c.score is not None and r.score is not None and c.tokens is not None and r.tokens is not None
        lengths = sorted((c.tokens, r.tokens))
        ratio = lengths[1] / lengths[0] if lengths[0] else math.inf
        if (
            c.score - r.score > max(rule.margin, 0)
            and (rule.chosen_floor is None or c.score >= rule.chosen_floor)
            and (rule.max_length_ratio is None or ratio <= rule.max_length_ratio)
        ):
            found.append((c.score - r.score, c.response_id, r.response_id))
    return found


@given(group=groups(), rule=RULES, budget=st.one_of(st.integers(-6, 6).map(float), st.just(math.inf)))
def test_the_pairs_are_the_best_margins_within_the_budget(
    group: tuple[list[Candidate], Values], rule: PairConfig, budget: float
) -> None:
    candidates, values = group
    outcome = paired(candidates, rule, values, budget)
    within = [(m, c, r) for m, c, r in allowed(candidates, rule) if (v := values[c, r]) is not None and v <= budget]
    expected = sorted(within, key=lambda p: (-p[0], p[1], p[2]))[: rule.per_prompt]
    assert [(p.margin, p.chosen_id, p.rejected_id) for p in outcome.pairs] == expected
    assert (outcome.dropped is None) == bool(expected)


@given(group=groups(), rule=RULES, budget=st.integers(-6, 6).map(float))
def test_a_group_without_a_pair_says_what_was_in_the_way(
    group: tuple[list[Candidate], Values], rule: PairConfig, budget: float
) -> None:
    candidates, values = group
    outcome = paired(candidates, rule, values, budget)
    left = allowed(candidates, rule)
    known = [v for _, c, r in left if (v := values[c, r]) is not None]
    if outcome.dropped == "no_displacement":
        assert left and not known
    elif outcome.dropped == "no_pair_within_ches":
        assert known and min(known) > budget
    elif outcome.dropped is not None:
        assert not left


@given(group=groups(), rule=RULES, shuffled=st.randoms(use_true_random=False), budget=st.integers(-6, 6).map(float))
def test_the_order_of_candidates_does_not_matter(
    group: tuple[list[Candidate], Values], rule: PairConfig, shuffled: random.Random, budget: float
) -> None:
    candidates, values = group
    turned = shuffled.sample(candidates, len(candidates))
    assert paired(turned, rule, values, budget) == paired(candidates, rule, values, budget)


def test_the_chosen_one_need_not_be_the_best_and_equal_margins_go_to_the_lowest_ids() -> None:
    group = [Candidate(f"r{i}", f"text {i}", score, None, 3, 6) for i, score in enumerate([4.0, 3.0, 2.0, 1.0])]
    values: Values = dict.fromkeys(permutations(["r0", "r1", "r2", "r3"], 2), 1.0)
    values |= {("r1", "r2"): -1.0, ("r2", "r3"): -1.0, ("r1", "r3"): -0.5, ("r3", "r0"): -9.0}
    rule = PairConfig(ches={"max": 0}, per_prompt=3)
    chosen = [(p.chosen_id, p.rejected_id) for p in paired(group, rule, values, 0.0).pairs]
    assert chosen == [("r1", "r3"), ("r1", "r2"), ("r2", "r3")]


def dots(*states: Sequence[float]) -> dict[str, dict[str, float]]:
    """What `displacement` stores of responses r0, r1, ... whose sums of states these are, of 2 tokens each."""
    return {f"r{i}": {"n": 2.0, **{f"dot:r{j}": float(np.dot(a, b)) for j, b in enumerate(states)}} for i, a in enumerate(states)}


def test_golden_ches_of_two_responses() -> None:
    parts = dots([2, 0], [1, 3])
    assert ches_between(parts, "r0", "r1", "raw") == 2 - 4 and ches_between(parts, "r1", "r0", "raw") == 2 - 10
    assert ches_between(parts, "r0", "r1") == (2 - 4) / 4 and ches_between(parts, "r0", "r2") is None


def all_ches(stored: Stored, rule: dict[str, Any]) -> list[float]:
    """The CHES of every pair that the settings besides the budget admit, of all groups."""
    wide = recipe(pair={**rule, "per_prompt": 100, "ches": {"max": 1e9}}, filters=[{"use": "ches", "max_quantile": 1}])
    return [v for v in cut(stored, wide).pairs["ches_score"].to_pylist() if v is not None]


@hypothesis_settings(max_examples=6)
@given(seed=st.integers(0, 10**6), quantile=st.sampled_from([0.0, 0.25, 0.5, 0.9]), margin=st.sampled_from([0.0, 0.5]))
def test_the_budget_is_a_quantile_over_all_pairs_that_could_be(seed: int, quantile: float, margin: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        stored = shelved(Path(folder), some(seed, groups=20), seed, slab_rows=7)
        budget = float(np.quantile(all_ches(stored, {"margin": margin}), quantile))
        by_quantile = cut(stored, recipe(pair={"margin": margin, "ches": {"quantile": quantile}}))
        by_value = cut(stored, recipe(pair={"margin": margin, "ches": {"max": budget}}))
        assert by_quantile.pairs.equals(by_value.pairs) and by_quantile.dropped == by_value.dropped
        said = Annotations(stored).at(stored.whole).parts("displacement")
        for row in by_quantile.pairs.to_pylist():
            value = ches_between(said, row["chosen_id"], row["rejected_id"])
            assert value is not None and value <= budget and row["margin"] > margin


def test_without_a_number_the_budget_is_the_median(tmp_path: Path) -> None:
    stored = shelved(tmp_path, some(8, groups=20))
    assert cut(stored, recipe(pair={"ches": {}})).pairs.equals(cut(stored, recipe(pair={"ches": {"quantile": 0.5}})).pairs)


@pytest.mark.parametrize("variant", ["ln", "raw"])
def test_the_filter_drops_nothing_above_the_same_budget(tmp_path: Path, variant: str) -> None:
    stored = shelved(tmp_path, some(9, groups=30), slab_rows=7)
    filters = [{"use": "ches", "max": -0.5, "variant": variant}]
    chosen = cut(stored, recipe(pair={"ches": {"max": -0.5, "variant": variant}}, filters=filters))
    assert chosen.dropped_by == {} and chosen.kept_rows == chosen.rows > 5
    unaware = cut(stored, recipe(filters=filters))
    assert unaware.dropped_by["ches"] > 0
    assert {"no_displacement", "no_pair_within_ches"} & set(chosen.dropped.values())
    assert chosen.kept_rows >= unaware.kept_rows, "what the filter keeps is a pair within the budget"


def test_reasons_of_groups_without_displacement_and_beyond_the_budget(tmp_path: Path) -> None:
    tables, squares = Tables(), {"without": None, "beyond": 1.0, "fine": 9.0}  # of the states; the two responses' product is 2
    for name in squares:
        prompt = prompt_of(name)
        tables.group(prompt, [response(prompt, k, f"Answer {k}.") for k in range(2)], random.Random(0))
    names = {prompt_of(name).prompt_id: name for name in squares}
    for row in tables.annotations["a"]:
        row |= {"score": int(row["subject_id"], 16) / 16**24, "reason": None, "valid": True}
    for row in tables.annotations["displacement"]:
        square = squares[names[row["prompt_id"]]]
        ids = [r["subject_id"] for r in tables.annotations["a"] if r["group_id"] == row["group_id"]]
        parts = {"n": 1.0} | {f"dot:{i}": square if i == row["subject_id"] else 2.0 for i in ids}
        known = square is not None
        row |= {"score": square, "valid": known, "reason": None if known else "cut_response"}
        row["parts"] = [{"name": n, "value": v} for n, v in parts.items()] if known else []
    made = cut(shelved(tmp_path, tables), recipe(pair={"ches": {"max": 0.0}}))
    assert {names[p]: why for p, why in made.dropped.items()} == {"without": "no_displacement", "beyond": "no_pair_within_ches"}
    assert made.rows == 1 and set(made.left_out.values()) == {"not_taken"}


@pytest.mark.parametrize(
    ("pair", "sentence"),
    [
        ({"ches": {"max": 1.0, "quantile": 0.2}}, "`max` and `quantile` both set the budget"),
        ({"ches": {}, "rule": "best_random"}, "rule 'best_random' has no effect"),
        ({"ches": {"quantile": 1.5}}, "less than or equal to 1"),
        ({"ches": {"max": math.nan}}, "finite number"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(pair: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        PairConfig.model_validate(pair)
