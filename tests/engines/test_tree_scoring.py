"""The tree gives the numbers that one plain forward per target gives, however it is cut; and CHES is read off it exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairwright.annotators.displacement import ches, ln_ches
from pairwright.engines.tree_scoring import Target, TargetScores, TreeScorer, score_plain

EVERYTHING = frozenset({"entropy", "self_certainty", "hidden_sum"})
pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def little(tiny: Callable[..., Path]) -> Any:
    """A random Llama of two layers."""
    import torch
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(tiny("Llama"), dtype=torch.float32).eval()


def differ(one: Sequence[TargetScores], other: Sequence[TargetScores]) -> float:
    """The largest difference of any two values, hidden sums relative to their length."""
    worst = 0.0
    for a, b in zip(one, other, strict=True):
        for name in ("logprobs", "entropy", "self_certainty"):
            x, y = getattr(a, name), getattr(b, name)
            assert (x is None) == (y is None) and (x is None or x.shape == y.shape)
            worst = max(worst, float(np.abs(x - y).max()) if x is not None else 0.0)
        if a.hidden_sum is not None:
            worst = max(worst, float(np.linalg.norm(a.hidden_sum - b.hidden_sum) / np.linalg.norm(b.hidden_sum)))
    return worst


letters = st.lists(st.integers(5, 7), min_size=1, max_size=12)


@st.composite
def targets(draw: st.DrawFn) -> list[Target]:
    """Few letters, so that much is shared; some contexts go on where another's response ended, some targets come twice."""
    found = [Target(draw(letters), draw(letters), EVERYTHING) for _ in range(draw(st.integers(1, 5)))]
    for i in draw(st.lists(st.integers(0, len(found) - 1), max_size=4)):
        found.append(Target([*found[i].context, *found[i].ids], draw(letters), EVERYTHING))
        found.append(Target(found[i].context, draw(st.just(found[i].ids) | letters), EVERYTHING))
    return draw(st.permutations(found))


class TestTree:
    @settings(max_examples=40)
    @given(targets(), st.integers(1, 40), st.integers(1, 200))
    def test_equals_plain_scoring_whatever_is_shared_and_however_it_is_cut(
        self, little: Any, given_: list[Target], row_limit: int, budget: int
    ) -> None:
        assert differ(TreeScorer(little, row_limit, budget).score(given_), score_plain(little, given_)) < 1e-4

    def test_equals_plain_scoring_with_a_real_model(self, smollm2: Any) -> None:
        random = np.random.default_rng(0)

        def ids(n: int) -> list[int]:
            return random.integers(3, 49152, n).tolist()

        prompt, other = ids(40), ids(15)
        answers = [ids(n) for n in (1, 6, 20)]
        answers.append([*answers[2][:8], *ids(5)])  # begins like another
        given_ = [Target(prompt, a, EVERYTHING) for a in answers] + [Target(other, ids(12), EVERYTHING)]
        given_ += [Target([*prompt, *answers[2], *ids(3)], ids(7), EVERYTHING) for _ in range(2)]  # a follow-up to a response
        plain = score_plain(smollm2.model, given_)
        for row_limit, budget in ((8, 64), (48, 2048), (512, 2048)):
            assert differ(TreeScorer(smollm2.model, row_limit, budget).score(given_), plain) < 1e-4

    @settings(max_examples=20)
    @given(targets())
    def test_does_not_depend_on_what_else_is_in_the_batch(self, little: Any, given_: list[Target]) -> None:
        alone = [TreeScorer(little).score([t])[0] for t in given_]
        assert differ(TreeScorer(little, row_limit=16).score(given_), alone) < 1e-4

    @settings(max_examples=20)
    @given(letters, st.lists(st.integers(5, 7), min_size=2, max_size=12), st.data())
    def test_is_additive(self, little: Any, context: list[int], ids: list[int], data: st.DataObject) -> None:
        """The log-probability of a whole is that of its beginning and, given the beginning, of its rest."""
        cut = data.draw(st.integers(1, len(ids) - 1))
        parts = [Target(context, ids), Target(context, ids[:cut]), Target([*context, *ids[:cut]], ids[cut:])]
        whole, head, tail = (s.logprobs for s in TreeScorer(little).score(parts))
        assert np.concatenate([head, tail]) == pytest.approx(whole, abs=1e-4)

    def test_gives_each_target_only_what_it_wants(self, little: Any) -> None:
        plain, rich = TreeScorer(little).score([Target([5], [6, 7]), Target([5], [6, 7], EVERYTHING)])
        assert (plain.entropy, plain.self_certainty, plain.hidden_sum) == (None, None, None)
        assert rich.entropy is not None and rich.hidden_sum is not None and rich.hidden_sum.shape == (32,)
        assert plain.logprobs.dtype == rich.entropy.dtype == rich.hidden_sum.dtype == np.float32

    def test_counts_what_it_computes_and_what_it_spares(self, little: Any) -> None:
        scorer = TreeScorer(little)
        scorer.score([Target([5, 6, 7], [8, 9]), Target([5, 6, 7], [8, 8, 8])])
        assert (scorer.counters.unique, scorer.counters.asked) == (7, 11)
        assert scorer.counters.forwarded == 7


class TestStatistics:
    @pytest.mark.parametrize(
        ("p", "certainty", "entropy"), [([0.7, 0.1, 0.1, 0.1], 0.42981, 0.94045), ([0.25] * 4, 0.0, 1.38629)]
    )
    def test_match_hand_made_distributions(self, p: list[float], certainty: float, entropy: float) -> None:
        """Golden: self-certainty of [.7, .1, .1, .1] and of the uniform (methods, response annotators 11); entropy by hand."""
        import torch

        head = torch.nn.Linear(1, 4, bias=False)
        head.weight.data = torch.tensor(p).log()[:, None] + 3  # a constant added to all logits changes nothing

        def states(input_ids: Any, **_: Any) -> Any:
            return SimpleNamespace(last_hidden_state=torch.ones(*input_ids.shape, 1))

        model = SimpleNamespace(base_model=states, get_output_embeddings=lambda: head)
        (found,) = TreeScorer(model).score([Target([0], [1, 0, 3], EVERYTHING)])
        assert found.self_certainty == pytest.approx([certainty] * 3, abs=1e-5)
        assert found.entropy == pytest.approx([entropy] * 3, abs=1e-5)
        assert found.logprobs == pytest.approx(np.log([p[1], p[0], p[3]]), abs=1e-5)

    def test_match_their_definitions_on_a_models_own_logits(self, little: Any) -> None:
        """Self-certainty is KL(uniform || p), entropy is that of p; in fp64 from the logits."""
        import torch

        context, ids = [5, 9, 30], [7, 100, 4000, 2]
        (found,) = TreeScorer(little).score([Target(context, ids, EVERYTHING)])
        with torch.no_grad():
            logits = little(torch.tensor([context + ids])).logits[0, 2:-1].double()
        p = logits.softmax(-1)
        uniform = torch.full_like(p, 1 / p.shape[1])
        assert found.self_certainty == pytest.approx((uniform * (uniform / p).log()).sum(-1).numpy(), abs=1e-4)
        assert found.entropy == pytest.approx(torch.special.entr(p).sum(-1).numpy(), abs=1e-4)
        assert found.logprobs == pytest.approx([float(row[i].log()) for row, i in zip(p, ids, strict=True)], abs=1e-4)


def ches_by_definition(model: Any, prompt: list[int], chosen: list[int], rejected: list[int]) -> tuple[float, float]:
    """CHES and ln-CHES of one pair, from the states transformers gives for a right-padded batch of both.

    arXiv 2410.08847: the states that predict the tokens of a response are those at the last prompt token through the second-last
    response token; S is their sum, M their mean; CHES = <S+, S-> - |S+|^2 and ln-CHES the same of M.
    """
    import torch

    sequences = [prompt + chosen, prompt + rejected]
    longest = max(map(len, sequences))
    ids = torch.tensor([s + [2] * (longest - len(s)) for s in sequences])
    mask = torch.tensor([[1] * len(s) + [0] * (longest - len(s)) for s in sequences])
    with torch.no_grad():
        states = model(ids, attention_mask=mask, output_hidden_states=True).hidden_states[-1].double()
    vectors = []
    for row, response in zip(states, (chosen, rejected), strict=True):
        total = torch.zeros_like(row[0])
        for k in range(len(response)):
            total += row[len(prompt) + k - 1]
        vectors.append((total, total / len(response)))
    (s, m), (s_other, m_other) = vectors
    return float(s @ s_other - s @ s), float(m @ m_other - m @ m)


class TestChes:
    def test_equals_its_definition_on_right_padded_batches_of_unequal_lengths(self, smollm2: Any) -> None:
        def ids(text: str) -> list[int]:
            return list(smollm2.renderer.tokenizer(text, add_special_tokens=False).input_ids)

        pairs = [
            (ids("Which is larger, 9.11 or 9.9?"), [*ids("9.9 is larger, since nine tenths is more."), 2], [*ids("9.11"), 2]),
            (ids("Say no."), [*ids("No"), 2], [*ids("No, and here is at some length why I would rather not"), 2]),
            (ids("Tell me a secret."), [*ids("I have none."), 2], [*ids("I have many."), 2]),
        ]
        wants = frozenset({"hidden_sum"})
        given_ = [Target(prompt, response, wants) for prompt, *both in pairs for response in both]
        sums = [s.hidden_sum.astype(np.float64) for s in TreeScorer(smollm2.model, row_limit=16).score(given_)]  # type: ignore[union-attr]
        for i, (prompt, chosen, rejected) in enumerate(pairs):
            dot, norm = float(sums[2 * i] @ sums[2 * i + 1]), float(sums[2 * i] @ sums[2 * i])
            raw, ln = ches_by_definition(smollm2.model, prompt, chosen, rejected)
            assert ches(dot, norm) == pytest.approx(raw, rel=1e-4)
            assert ln_ches(dot, norm, len(chosen), len(rejected)) == pytest.approx(ln, rel=1e-4)
