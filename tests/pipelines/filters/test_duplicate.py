from __future__ import annotations

import random
from importlib.metadata import version

import pytest
from pydantic import ValidationError

from pairwright.pipelines.filters import apply_filters
from pairwright.pipelines.filters.duplicate import Duplicate
from tests.pipelines.hygiene.pairs import pairs_of, prompt


def text(seed, n=60):
    rng = random.Random(seed)
    return " ".join(f"w{rng.randrange(999)}" for _ in range(n))


def outcome(rows, ids=None, margins=None, **about):
    return apply_filters([Duplicate(**about)], pairs_of(rows, ids, margins))


def test_an_equal_pair_of_a_greater_id_goes_and_the_kept_one_is_named():
    found = outcome([("Who?", "A", "B"), ("WHO?", "A ", "B"), ("Who?", "A", "C")], ["p2", "p1", "p3"])
    assert found.keep.tolist() == [False, True, True]
    assert found.scores["duplicate"].tolist() == [1, 0, 0]
    assert found.reason[0] == "the same prompt, chosen and rejected as in the pair p1, which this filter keeps"


def test_a_near_duplicate_says_how_alike_it_is():
    found = outcome([(text(1), text(2), text(3)), (text(1), text(2) + " x", text(3))])
    assert found.keep.tolist() == [True, False]
    assert found.scores["duplicate"][1] == pytest.approx(56 / 57)
    assert (
        found.reason[1] == "nearly the same prompt, chosen and rejected as in the pair p0, which this filter keeps: 0.982 alike"
    )


def test_equal_responses_to_different_prompts_are_duplicates_only_when_asked():
    rows = [("What is the capital of France, please?", text(2, 300), text(3, 300))]
    rows += [("What is the capital of Spain, please?", *rows[0][1:])]
    assert outcome(rows).keep.all()
    assert outcome(rows, key="chosen").keep.tolist() == [True, False]
    assert outcome(rows, key="chosen").reason[1] == "the same chosen response as in the pair p0, which this filter keeps"


def test_by_prompt_the_pairs_of_the_kept_prompt_all_stay():
    a, b = prompt(text(1)), prompt(text(1) + " x")
    kept, other = sorted([a, b], key=lambda p: p.prompt_id)
    found = outcome([(other, "A", "B"), (kept, "C", "D"), (kept, "E", "F"), (prompt("Else?"), "A", "B")], key="prompt")
    assert found.keep.tolist() == [False, True, True, True]
    assert found.reason[0].startswith(f"nearly the same prompt as {kept.prompt_id}, which this filter keeps: 0.98")


def test_the_pair_with_the_greatest_margin_is_kept_so_that_a_limit_on_margins_leaves_it():
    found = outcome([("Who?", "A", "B"), ("who?", "A", "B"), ("WHO?", "A", "B")], margins=[0.1, 6.0, 6.0])
    assert found.keep.tolist() == [False, True, False]
    assert "in the pair p1, which this filter keeps" in found.reason[2]


def test_of_prompts_that_with_the_greatest_margin_of_any_pair_is_kept():
    rows = [("Who?", "A", "B"), ("who?", "A", "B"), ("who?", "C", "D")]
    assert outcome(rows, margins=[1.0, 0.5, 2.0], key="prompt").keep.tolist() == [False, True, True]
    assert outcome(rows, margins=[3.0, 0.5, 2.0], key="prompt").keep.tolist() == [True, False, False]


def test_a_power_is_no_factor_and_a_negative_number_no_positive_one():
    rows = [("What is 2²?", "4", "5"), ("What is 22?", "4", "5"), (text(1) + " 2²", "A", "B"), (text(1) + " 22", "A", "B")]
    assert outcome(rows, key="prompt", similarity=1).keep.all()
    assert not outcome(rows, key="prompt").scores["duplicate"][2:].tolist().count(1.0)
    signs = [("Solve it.", f"The solution of the equation is x = {x}", "no") for x in ("-5", "5")]
    assert outcome(signs, similarity=0.95).keep.all()


def test_one_question_under_two_system_turns_is_two_prompts():
    rows = [(prompt(text(1), system=s), "A", "B") for s in ("Be kind.", "Be a pirate.", "be KIND.")]
    assert outcome(rows).keep.tolist() == [True, True, False]


def test_similarity_1_leaves_near_duplicates_alone():
    rows = [(text(1), "A", "B"), (text(1) + " x", "A", "B")]
    assert outcome(rows).keep.tolist() == [True, False]
    assert outcome(rows, similarity=1).keep.all()


def chain():
    """Three pairs, the second alike to both others, which are less so."""
    words = [f"w{i}" for i in range(132)]
    return [(" ".join(words[14 * k : 14 * k + 104]), "A", "B") for k in range(3)]


def test_what_is_only_like_a_dropped_pair_stays_unless_chains_are_asked_for():
    assert outcome(chain()).keep.tolist() == [True, False, True]
    chained = outcome(chain(), clusters="chained")
    assert chained.keep.tolist() == [True, False, False]
    assert chained.reason[2].endswith(
        "as in the pair p0, which this filter keeps: 0.562 alike, by way of others that lie between"
    )


def test_the_reason_names_the_kept_pair_that_is_near():
    found = outcome(chain(), ids=["p2", "p3", "p1"])  # the last is kept first, and the second is like both
    assert found.keep.tolist() == [True, False, True]
    assert "in the pair p1, which this filter keeps: 0.754 alike" in found.reason[1]


def test_the_library_that_finds_candidates_enters_the_build_key_where_it_is_asked():
    about = Duplicate().about()
    assert about["library"] == f"rensa {version('rensa')}"
    assert Duplicate(similarity=1).about().keys() == about.keys() - {"library"}


def test_no_pairs_no_duplicates():
    assert outcome([]).keep.tolist() == []
    assert outcome([], key="prompt").keep.tolist() == []


def test_a_similarity_that_would_join_everything_is_refused():
    with pytest.raises(ValidationError, match="greater than or equal to 0.3"):
        Duplicate(similarity=0.1)
