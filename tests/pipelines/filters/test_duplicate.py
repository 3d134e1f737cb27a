from __future__ import annotations

import random

import pytest
from pydantic import ValidationError

from pairwright.pipelines.filters import apply_filters
from pairwright.pipelines.filters.duplicate import Duplicate
from tests.pipelines.hygiene.pairs import pairs_of, prompt


def text(seed, n=60):
    rng = random.Random(seed)
    return " ".join(f"w{rng.randrange(999)}" for _ in range(n))


def outcome(rows, ids=None, **about):
    return apply_filters([Duplicate(**about)], pairs_of(rows, ids))


def test_an_equal_pair_of_a_greater_id_goes_and_the_kept_one_is_named():
    found = outcome([("Who?", "A", "B"), ("WHO?", "A ", "B"), ("Who?", "A", "C")], ["p2", "p1", "p3"])
    assert found.keep.tolist() == [False, True, True]
    assert found.scores["duplicate"].tolist() == [1, 0, 0]
    assert found.reason[0] == "the same prompt, chosen and rejected as in the pair p1, which is kept"


def test_a_near_duplicate_says_how_alike_it_is():
    found = outcome([(text(1), text(2), text(3)), (text(1), text(2) + " x", text(3))])
    assert found.keep.tolist() == [True, False]
    assert found.scores["duplicate"][1] == pytest.approx(56 / 57)
    assert found.reason[1] == "nearly the same prompt, chosen and rejected as in the pair p0, which is kept: 0.982 alike"


def test_equal_responses_to_different_prompts_are_duplicates_only_when_asked():
    rows = [("What is the capital of France, please?", text(2, 300), text(3, 300))]
    rows += [("What is the capital of Spain, please?", *rows[0][1:])]
    assert outcome(rows).keep.all()
    assert outcome(rows, key="chosen").keep.tolist() == [True, False]
    assert outcome(rows, key="chosen").reason[1] == "the same chosen response as in the pair p0, which is kept"


def test_by_prompt_the_pairs_of_the_kept_prompt_all_stay():
    a, b = prompt(text(1)), prompt(text(1) + " x")
    kept, other = sorted([a, b], key=lambda p: p.prompt_id)
    found = outcome([(other, "A", "B"), (kept, "C", "D"), (kept, "E", "F"), (prompt("Else?"), "A", "B")], key="prompt")
    assert found.keep.tolist() == [False, True, True, True]
    assert found.reason[0].startswith(f"nearly the same prompt as {kept.prompt_id}, which is kept: 0.98")


def test_one_question_under_two_system_turns_is_two_prompts():
    rows = [(prompt(text(1), system=s), "A", "B") for s in ("Be kind.", "Be a pirate.", "be KIND.")]
    assert outcome(rows).keep.tolist() == [True, True, False]


def test_similarity_1_leaves_near_duplicates_alone():
    rows = [(text(1), "A", "B"), (text(1) + " x", "A", "B")]
    assert outcome(rows).keep.tolist() == [True, False]
    assert outcome(rows, similarity=1).keep.all()


def test_no_pairs_no_duplicates():
    assert outcome([]).keep.tolist() == []
    assert outcome([], key="prompt").keep.tolist() == []


def test_a_similarity_that_would_join_everything_is_refused():
    with pytest.raises(ValidationError, match="greater than or equal to 0.3"):
        Duplicate(similarity=0.1)
