"""`draw` takes each token as often as it is probable, from exactly the tokens that top_k and top_p leave."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

TOTAL = 2048  # probabilities are whole 2048ths, so every sum of them is exact in fp32


@st.composite
def weights(draw: st.DrawFn) -> list[int]:
    """Different whole numbers in any order that sum to TOTAL, with some zeros among them."""
    some = draw(st.sets(st.integers(1, 150), max_size=13))
    return draw(st.permutations([*some, TOTAL - sum(some), *[0] * draw(st.integers(0, 5))]))


def kept_naively(given_: list[int], top_p: float, top_k: int) -> dict[int, int]:
    """Weights of the tokens that may be drawn: the top_k most probable, of them the fewest whose mass reaches top_p."""
    order = sorted((i for i, w in enumerate(given_) if w), key=lambda i: -given_[i])[: top_k or None]
    whole, kept = sum(given_[i] for i in order), dict[int, int]()
    for i in order:
        if kept and sum(kept.values()) >= top_p * whole:
            break
        kept[i] = given_[i]
    return kept


def drawn_over_a_grid(given_: list[int], top_p: float, top_k: int) -> Counter[int]:
    """How often each token is drawn when u walks evenly over [0, 1), in four steps for every unit of kept weight."""
    import torch

    from pairwright.engines.sampling_loop import draw

    steps = 4 * sum(kept_naively(given_, top_p, top_k).values())
    u = (torch.arange(steps, dtype=torch.float64) + 0.5) / steps
    probs = (torch.tensor(given_) / sum(given_)).expand(steps, -1)
    return Counter(draw(probs, u.float(), top_p, top_k).tolist())


@settings(max_examples=200)
@given(weights(), st.sampled_from([i / 64 for i in range(65)]), st.just(0) | st.integers(1, 20), st.sampled_from([2, 4, 512]))
@example([256, 1024, 768], 0.5, 0, 512)  # the most probable reaches top_p exactly
@example([256, 1024, 768], 0.9, 0, 2)
def test_every_token_that_is_left_is_drawn_exactly_in_proportion(
    given_: list[int], top_p: float, top_k: int, nucleus: int
) -> None:
    """`nucleus`: also when the tokens that are tried first do not reach top_p."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pairwright.engines.sampling_loop.NUCLEUS", nucleus)
        found = drawn_over_a_grid(given_, top_p, top_k)
    assert found == {i: 4 * w for i, w in kept_naively(given_, top_p, top_k).items()}


def test_rows_of_a_batch_do_not_touch_each_other() -> None:
    import torch

    from pairwright.engines.sampling_loop import draw

    peaked, flat = [1, TOTAL - 2, 1, *[0] * 597], [*range(1, 601)]
    rows = torch.tensor([peaked, flat, peaked], dtype=torch.float32)
    rows /= rows.sum(1, keepdim=True)
    u = torch.tensor([0.5, 0.999, 0.001])
    together = draw(rows, u, 0.99, 0).tolist()
    assert together == [draw(rows[i : i + 1], u[i : i + 1], 0.99, 0).item() for i in range(3)]


def test_top_k_of_one_is_greedy_whatever_u_says() -> None:
    assert set(drawn_over_a_grid([100, 900, 24, 1024], top_p=1.0, top_k=1)) == {3}
