from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pairwright.annotators.mc_dropout import McDropout, McDropoutConfig
from pairwright.engines.requests import DROPOUT, Failed

RESPONSES = st.lists(st.text("ab ", min_size=1, max_size=20), min_size=1, max_size=5, unique=True)


def annotator(**settings) -> McDropout:
    return McDropout(McDropoutConfig(**settings))


def noisy(fake_model):
    return lambda request: fake_model(f"network {request.draw}", request)


@pytest.mark.parametrize(("reduction", "draws"), [("sum", [-3.0, -5.0, -4.0]), ("mean", [-1.5, -2.5, -2.0])])
def test_the_score_is_the_mean_of_the_draws_which_are_kept(drive, make_group, scored, reduction, draws):
    answers = [scored([-1, -2]), scored([-2, -3]), scored([-2, -2])]
    [a] = drive(annotator(passes=3, reduction=reduction).annotate(make_group(["hi"])), lambda r: answers[r.draw])
    assert a.score == pytest.approx(np.mean(draws)) and a.confidence is None
    assert a.parts == pytest.approx({f"draw:{t}": d for t, d in enumerate(draws)} | {"sd": np.std(draws)})


@given(RESPONSES, st.integers(2, 6))
def test_every_response_is_asked_for_every_draw_once_and_gets_its_own(drive, make_group, fake_model, replies, passes):
    asked = []

    def answer(request):
        asked.append((request.continuation.text, request.draw))
        return noisy(fake_model)(request)

    found = drive(annotator(passes=passes).annotate(make_group(replies)), answer)
    assert sorted(asked) == sorted((text, t) for text in replies for t in range(passes))
    for a, text in zip(found, replies, strict=True):
        [alone] = drive(annotator(passes=passes).annotate(make_group([text])), noisy(fake_model))
        assert a == alone


def test_a_model_that_always_says_the_same_has_no_spread(drive, make_group, scored):
    [a] = drive(annotator().annotate(make_group(["hi"])), lambda r: scored([-0.1, -0.7]))
    assert (a.parts["sd"], len(a.parts)) == (0.0, 11)


def test_a_draw_that_failed_is_the_reason_of_its_response_only(drive, make_group, fake_model):
    def answer(request):
        poisoned = request.continuation.text == "two" and request.draw == 3
        return Failed("too_long", "4100 tokens") if poisoned else noisy(fake_model)(request)

    one, two = drive(annotator().annotate(make_group(["one", "two"])), answer)
    assert one.score is not None and (two.score, two.reason, two.raw) == (None, "too_long", "4100 tokens")


@pytest.mark.parametrize(("reduction", "draws"), [("sum", [-1.0, -3.0]), ("mean", [-0.5, -1.5])])
def test_a_reference_is_asked_once_and_taken_from_every_draw(drive, make_group, scored, reduction, draws):
    answers = {0: scored([-1, -2]), 1: scored([-2, -3]), None: scored([-1, -1])}
    asked = []

    def answer(request):
        asked.append((request.role, request.draw))
        return answers[request.draw]

    about = annotator(passes=2, reduction=reduction, reference="base")
    [a] = drive(about.annotate(make_group(["hi"])), answer)
    assert asked == [("scorer", 0), ("scorer", 1), ("base", None)]
    assert [a.parts["draw:0"], a.parts["draw:1"], a.score] == pytest.approx([*draws, np.mean(draws)])
    assert about.roles() == {"scorer": {"score", DROPOUT}, "base": {"score"}}


def test_a_reference_that_fails_or_counts_other_tokens_gives_the_reason(drive, make_group, scored):
    def with_base(base):
        [a] = drive(
            annotator(passes=2, reduction="mean", reference="base").annotate(make_group(["hi"])),
            lambda r: base if r.draw is None else scored([-1, -2]),
        )
        return a.score, a.reason

    assert with_base(Failed("too_long")) == (None, "too_long")
    assert with_base(scored([-1, -1, -1])) == (None, "tokenizers_differ")


def test_it_asks_one_role_for_scores_with_dropout_and_is_not_combined_unless_asked():
    assert annotator(role="reader").roles() == {"reader": {"score", DROPOUT}}
    assert not McDropout.rates


def test_one_draw_has_no_spread_and_is_refused():
    with pytest.raises(ValidationError, match="greater than or equal to 2"):
        annotator(passes=1)
