from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pairwright.ids import digest
from pairwright.pipelines.hygiene.split import SplitConfig, split_of


def numbered(n):
    return [(digest(i), f"question number {i} of many that differ, {digest('text', i)}") for i in range(n)]


def cousins(i):
    """Two prompts that are nearly the same."""
    text = " ".join(digest(i, k)[:6] for k in range(30))
    return [(digest("a", i), text), (digest("b", i), text + " please")]


def test_near_duplicates_are_never_parted():
    prompts = [p for i in range(200) for p in cousins(i)]
    split = split_of(prompts, 0.3)
    assert all(split[digest("a", i)] == split[digest("b", i)] for i in range(200))
    by_prompt = split_of(prompts, 0.3, by="prompt")
    assert any(by_prompt[digest("a", i)] != by_prompt[digest("b", i)] for i in range(200))


def test_about_the_share_is_held_out():
    held = [list(split_of(numbered(2000), share, by="prompt").values()).count("test") / 2000 for share in (0.05, 0.5)]
    assert held == pytest.approx([0.05, 0.5], abs=0.035)


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(0, 60), st.randoms(use_true_random=False), st.integers(0, 5))
def test_prompts_that_come_move_no_other_and_order_does_not_matter(n, more, rng, seed):
    few, many = numbered(n), numbered(n + more)
    rng.shuffle(many)
    before, after = split_of(few, 0.3, seed=seed), split_of(many, 0.3, seed=seed)
    if list(before.values()).count("train") > 1:  # a single one may be what was left to train
        assert before == {i: after[i] for i in before}
    assert set(after) == {i for i, _ in many}


@given(st.integers(1, 6), st.integers(0, 50))
def test_something_is_always_left_to_train(n, seed):
    assert "train" in split_of(numbered(n), 0.95, by="prompt", seed=seed).values()


def test_another_seed_makes_another_split_and_nothing_none():
    assert split_of(numbered(200), 0.5, seed=1) != split_of(numbered(200), 0.5, seed=2)
    assert split_of([], 0.5) == {}


def test_the_library_that_finds_near_duplicates_is_part_of_what_a_split_depends_on():
    assert SplitConfig(test=0.1).about()["library"].startswith("rensa ")
    assert "library" not in SplitConfig(test=0.1, by="prompt").about()


@pytest.mark.parametrize("about", [{"test": 0}, {"test": 1}, {"test": 0.1, "by": "row"}, {}])
def test_a_split_that_leaves_one_side_empty_is_refused(about):
    with pytest.raises(ValidationError):
        SplitConfig.model_validate(about)
    assert SplitConfig(test=0.1).by == "cluster"
