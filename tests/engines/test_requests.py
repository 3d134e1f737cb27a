"""What a request is worth: its key depends on content alone, and an answer is sound or else a failure with a reason."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from pairwright.engines.requests import (
    Choose,
    Chosen,
    Completion,
    Continuation,
    Failed,
    Generate,
    Generated,
    Request,
    Sampling,
    Score,
    Scored,
    Turn,
    Usage,
    check,
    needs_of,
    request_key,
    turns,
)

GENERATE = Generate("policy", turns("Hello"), Sampling(), n=2)
SCORE = Score("strong", turns("Hello"), Continuation("Hi there"))
RICH = dataclasses.replace(SCORE, want=frozenset({"entropy", "self_certainty", "hidden_sum"}))
CHOOSE = Choose("judge", turns("Hello"), ("A", "B"))


def scored(*logprobs: float, **more: object) -> Scored:
    return Scored(tuple(range(len(logprobs))), np.array(logprobs, np.float32), **more)  # type: ignore[arg-type]


def rich(**change: object) -> Scored:
    good = {"entropy": np.ones(2, np.float32), "self_certainty": np.ones(2, np.float32), "hidden_sum": np.ones(8, np.float32)}
    return scored(-1, -2, **(good | change))


def completion(*logprobs: float, ids: tuple[int, ...] | None = None) -> Completion:
    return Completion("text", "stop", tuple(range(len(logprobs))) if ids is None else ids, logprobs, "t")


class TestKey:
    def test_the_name_of_the_role_does_not_matter(self) -> None:
        assert request_key("m", SCORE) == request_key("m", dataclasses.replace(SCORE, role="weak"))

    @pytest.mark.parametrize("request_", [GENERATE, SCORE, CHOOSE], ids=lambda r: type(r).__name__)
    def test_the_model_matters(self, request_: Request) -> None:
        assert request_key("m", request_) != request_key("n", request_)

    @pytest.mark.parametrize(
        "change",
        [
            {"context": turns("Hello!")},
            {"context": (Turn("system", "Hello"),)},
            {"context": (Turn("user", "Hello", (1, 2), "t"),)},
            {"continuation": Continuation("Hi there", (1, 2), "t")},
            {"continuation": Continuation("Hi there", finished=False)},
            {"speaker": "user"},
            {"terminator": False},
            {"want": frozenset({"entropy"})},
        ],
        ids=str,
    )
    def test_everything_in_a_score_matters(self, change: dict[str, object]) -> None:
        assert request_key("m", SCORE) != request_key("m", dataclasses.replace(SCORE, **change))  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        "change",
        [
            {"n": 3},
            {"seed": 1},
            {"prefix_ids": (1,)},
            {"sampling": Sampling(temperature=0.5)},
            {"sampling": Sampling(top_p=0.5)},
            {"sampling": Sampling(top_k=5)},
            {"sampling": Sampling(max_tokens=5)},
            {"sampling": Sampling(stop=("x",))},
        ],
        ids=str,
    )
    def test_everything_in_a_generate_matters(self, change: dict[str, object]) -> None:
        assert request_key("m", GENERATE) != request_key("m", dataclasses.replace(GENERATE, **change))  # type: ignore[arg-type]

    def test_the_order_of_labels_matters_and_the_order_of_wants_does_not(self) -> None:
        assert request_key("m", CHOOSE) != request_key("m", dataclasses.replace(CHOOSE, labels=("B", "A")))
        one, other = (
            frozenset(["entropy", "hidden_sum", "self_certainty"]),
            frozenset(["self_certainty", "hidden_sum", "entropy"]),
        )
        assert request_key("m", dataclasses.replace(SCORE, want=one)) == request_key("m", dataclasses.replace(SCORE, want=other))

    def test_it_stays_the_same_between_releases_or_every_journal_is_paid_for_again(self) -> None:
        assert request_key("m", SCORE) == "7d888378c8f04bfaac2dcf23"
        assert request_key("m", GENERATE) == "623f3916d8ad41819190058e"
        assert request_key("m", CHOOSE) == "f486017e21ab13a29fa3fc00"


class TestNeeds:
    def test_are_the_kind_of_request_and_all_it_wants(self) -> None:
        assert needs_of(GENERATE) == {"generate"}
        assert needs_of(CHOOSE) == {"choose"}
        assert needs_of(RICH) == {"score", "entropy", "self_certainty", "hidden_sum"}


class TestTurns:
    def test_a_string_is_one_user_turn(self) -> None:
        assert turns("Hello") == (Turn("user", "Hello"),)

    def test_messages_keep_their_roles_and_order(self) -> None:
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
        assert turns(messages) == (Turn("system", "Be brief."), Turn("user", "Hello"))


class TestScored:
    def test_total_and_mean_are_in_nats(self) -> None:
        assert scored(-0.5, -1.5).total == -2.0
        assert scored(-0.5, -1.5).mean == -1.0

    def test_a_long_sum_loses_nothing_to_the_precision_of_its_tokens(self) -> None:
        many = Scored(tuple(range(2**20)), np.full(2**20, -0.1, np.float32))
        assert many.total == float(np.float32(-0.1)) * 2**20


class TestChosen:
    def test_probabilities_are_renormalised_over_the_labels(self) -> None:
        """Golden: logits 2.0 and 0.5 (methods, response annotators 11: IPO-classifier)."""
        assert Chosen((2.0 - 9, 0.5 - 9)).probabilities == pytest.approx((0.8176, 0.1824), abs=1e-4)

    def test_labels_that_are_all_improbable_still_sum_to_one(self) -> None:
        assert Chosen((-2000.0, -2000.0)).probabilities == (0.5, 0.5)


class TestCheck:
    @pytest.mark.parametrize(
        ("request_", "result"),
        [
            (GENERATE, Generated((completion(-1.0), completion(-1.0, -2.0)))),
            (GENERATE, Generated((Completion("text", "length"), Completion("", "stop", (), ())))),
            (SCORE, scored(-1.0, -0.0)),
            (RICH, rich()),
            (CHOOSE, Chosen((-1.0, -2.0))),
            (CHOOSE, Failed("too_long")),
        ],
    )
    def test_sound_answers_and_failures_pass_as_they_are(self, request_: Request, result: object) -> None:
        assert check(request_, result) is result  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("request_", "result", "reason"),
        [
            (GENERATE, Generated((completion(-1.0),)), "wrong_count"),
            (GENERATE, Generated((completion(-1.0), completion(math.nan))), "not_finite"),
            (GENERATE, Generated((completion(-1.0), completion(-1.0, ids=(1, 2)))), "wrong_count"),
            (SCORE, scored(-1.0, math.nan), "not_finite"),
            (SCORE, scored(-1.0, -math.inf), "not_finite"),
            (SCORE, Scored((1, 2, 3), np.zeros(2, np.float32)), "wrong_count"),
            (SCORE, scored(), "empty"),
            (RICH, rich(entropy=None), "not_provided"),
            (RICH, rich(hidden_sum=None), "not_provided"),
            (RICH, rich(hidden_sum=np.full(8, math.nan, np.float32)), "not_finite"),
            (RICH, rich(self_certainty=np.array([math.inf, 1], np.float32)), "not_finite"),
            (RICH, rich(entropy=np.ones(1, np.float32)), "wrong_count"),
            (RICH, rich(self_certainty=np.ones(3, np.float32)), "wrong_count"),
            (CHOOSE, Chosen((-1.0,)), "wrong_count"),
            (CHOOSE, Chosen((-1.0, math.nan)), "not_finite"),
            (CHOOSE, scored(-1.0, -2.0), "wrong_answer"),
            (SCORE, Chosen((-1.0,)), "wrong_answer"),
            (GENERATE, scored(-1.0), "wrong_answer"),
            (SCORE, None, "wrong_answer"),
            (SCORE, "a string", "wrong_answer"),
        ],
    )
    def test_anything_else_is_a_failure_with_its_reason(self, request_: Request, result: object, reason: str) -> None:
        found = check(request_, result)  # type: ignore[arg-type]
        assert isinstance(found, Failed) and found.reason == reason
        assert found.detail

    def test_what_an_unsound_answer_cost_is_still_counted(self) -> None:
        cost = Usage(tokens=12, forwarded=9.5, generated=3, seconds=0.25)
        assert check(SCORE, scored(math.nan, usage=cost)).usage == cost
