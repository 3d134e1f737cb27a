"""Each format's records look as its own readers want them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from pairwright.storage.exports import MathShepherd, Openr, Prm800k, ProcessBench, QwenPrm, Rlhflow, TrlStepwise, Value
from pairwright.storage.exports.base import Format, Refused
from tests.storage.exports.export_rows import solution, solutions

IDS = {"prompt_id": "p1", "solution_id": "s1"}


def reason(format: Format, row: dict[str, Any]) -> str:
    with pytest.raises(Refused) as refused:
        format.record(row)
    return refused.value.reason


def test_trl_gets_steps_without_the_separator_it_adds_itself() -> None:
    assert TrlStepwise().record(solution()) == {
        "prompt": "What is 2 + 2, doubled?",
        "completions": ["2 + 2 = 4.", "Doubled, 6."],
        "labels": [True, False],
        **IDS,
    }


def test_leading_whitespace_is_a_steps_own() -> None:
    assert TrlStepwise().record(solution(completions=["  4.\n", "\tSo 6. "]))["completions"] == ["  4.", "\tSo 6."]


class TestMathShepherd:
    def test_two_texts_differ_only_where_the_tags_stand(self) -> None:
        record = MathShepherd().record(solution())
        assert record == {
            "input": "What is 2 + 2, doubled? Step 1: 2 + 2 = 4. ки\nStep 2: Doubled, 6. ки",
            "label": "What is 2 + 2, doubled? Step 1: 2 + 2 = 4. +\nStep 2: Doubled, 6. -",
            "task": None,
            **IDS,
        }

    @given(row=solutions())
    def test_there_is_a_tag_for_every_label(self, row: dict[str, Any]) -> None:
        try:
            record = MathShepherd().record(row)
        except Refused:
            return
        assert record["input"].count("ки") == len(row["labels"])
        assert len(record["input"]) == len(record["label"]) + len(row["labels"]), "the tag has two letters, a sign one"

    def test_a_step_that_brings_its_number_is_not_numbered_twice(self) -> None:
        record = MathShepherd().record(solution(completions=["Step 1: 4.\n", "Step 3: 6.\n"]))
        assert record["input"].endswith("Step 1: 4. ки\nStep 2: Step 3: 6. ки")
        assert MathShepherd().read(record)["completions"] == ["4.", "Step 3: 6."]

    @pytest.mark.parametrize("change", [{"prompt": "Was ist ки?"}, {"completions": ["4 ки 4", "6"]}])
    def test_a_text_that_holds_the_tag_is_refused(self, change: dict[str, Any]) -> None:
        assert reason(MathShepherd(), solution(**change)) == "tag_in_text"

    @pytest.mark.parametrize("prompt", ["Explain Step 1: addition.", "Say: Step 1:"])
    def test_a_prompt_that_holds_the_first_mark_is_refused(self, prompt: str) -> None:
        assert reason(MathShepherd(), solution(prompt=prompt)) == "mark_in_prompt"

    @pytest.mark.parametrize(
        "input, label, why",
        [
            ("q Step 1: a ки\nStep 2: b ки", "q Step 1: a +\nStep 2: b", "tag_counts"),
            ("q Step 1: a ки\nStep 2: b ки", "q Step 1: a +\nStep 2: b ?", "bad_label"),
            ("q Step 1: a ки", "q Step 1: a +\nStep 2: b -", "tag_counts"),
            ("q Step 1: a ки", "q Step 1: other +", "tag_counts"),
            ("q Step 1: a", "q Step 1: a", "no_steps"),
        ],
    )
    def test_a_foreign_record_with_unequal_tags_is_refused(self, input: str, label: str, why: str) -> None:
        with pytest.raises(Refused) as refused:
            MathShepherd().read({"input": input, "label": label})
        assert refused.value.reason == why


class TestQwen:
    def test_a_tag_closes_every_step_of_the_last_turn(self) -> None:
        record = QwenPrm().record(solution())
        assert record["messages"][:-1] == solution()["messages"]
        assert record["messages"][-1] == {"role": "assistant", "content": "2 + 2 = 4.<extra_0>Doubled, 6.<extra_0>"}
        assert record["labels"] == [1, 0]

    @pytest.mark.parametrize(
        "change", [{"completions": ["a<extra_0>b", "6"]}, {"messages": [{"role": "user", "content": "<extra_0>?"}]}]
    )
    def test_a_text_that_holds_the_tag_is_refused(self, change: dict[str, Any]) -> None:
        assert reason(QwenPrm(), solution(**change)) == "tag_in_text"

    def test_a_record_with_more_labels_than_tags_is_refused(self) -> None:
        with pytest.raises(Refused) as refused:
            QwenPrm().read({"messages": [{"role": "assistant", "content": "a<extra_0>b"}], "labels": [1, 0]})
        assert refused.value.reason == "tag_counts"


class TestPrm800k:
    def test_a_solution_ends_at_the_error_that_was_found_and_keeps_what_followed(self) -> None:
        record = Prm800k().record(solution())
        assert record["question"]["pre_generated_steps"] == ["2 + 2 = 4.", "Doubled, 6.", "The answer is 6."]
        assert [s["completions"] for s in record["label"]["steps"]] == [
            [{"text": "2 + 2 = 4.", "rating": 1, "flagged": False}],
            [{"text": "Doubled, 6.", "rating": -1, "flagged": False}],
        ]
        assert record["label"]["finish_reason"] == "found_error"
        assert record["question"]["ground_truth_answer"] == "8" and record["question"]["pre_generated_answer"] == "6"

    def test_a_solution_without_an_error_is_a_solution(self) -> None:
        assert Prm800k().record(solution(labels=[True, True]))["label"]["finish_reason"] == "solution"

    def test_an_unknown_label_is_a_null_rating(self) -> None:
        record = Prm800k().record(solution(labels=[True, None]))
        assert record["label"]["steps"][1]["completions"][0]["rating"] is None
        assert Prm800k().read(record)["labels"] == [True, None]

    def test_a_right_step_that_seldom_led_to_the_answer_is_neutral_on_request_and_a_wrong_one_stays_wrong(self) -> None:
        advantages = {"scores": [-0.5, 0.9, 0.1, -0.4]}  # of another view, which has no say here
        row = solution(completions=list("abcd"), labels=[True] * 3 + [False], n=[4, 8, 0, 8], correct=[2, 2, 0, 0], **advantages)
        steps = Prm800k(neutral_below=0.5).record(row)["label"]["steps"]
        assert [s["completions"][0]["rating"] for s in steps] == [1, 0, 1, -1]

    @pytest.mark.parametrize("neutral, label", [("good", True), ("bad", False), ("unknown", None)])
    def test_whoever_reads_a_neutral_step_says_what_it_means(self, neutral: Any, label: bool | None) -> None:
        record = Prm800k(neutral_below=1.0).record(solution())
        assert Prm800k(neutral=neutral).read(record)["labels"] == [label, False]

    def test_of_a_persons_record_the_steps_that_were_chosen_are_read(self) -> None:
        steps = [
            {
                "completions": [{"text": "bad", "rating": -1}, {"text": "good", "rating": 1}],
                "human_completion": None,
                "chosen_completion": 1,
            },
            {"completions": [], "human_completion": {"text": "by hand", "rating": 1}, "chosen_completion": None},
        ]
        question = {"problem": "q", "ground_truth_answer": "8", "pre_generated_steps": ["bad", "x"], "pre_generated_answer": "6"}
        found = Prm800k().read({"labeler": "w", "question": question, "label": {"steps": steps}})
        assert found["completions"] == ["good", "by hand"] and found["labels"] == [True, True] and found["tail"] == []

    def test_nothing_is_chosen_where_an_error_ends_the_record(self) -> None:
        def chosen(labels: list[bool | None]) -> list[int | None]:
            return [step["chosen_completion"] for step in Prm800k().record(solution(labels=labels))["label"]["steps"]]

        assert chosen([True, False]) == [0, None]
        assert chosen([False, True]) == [0, 0], "the solution went on with its error"
        assert chosen([True, True]) == chosen([True, None]) == [0, 0]

    ENDS = (  # of the last step: its completions, the solution that was rated, and what is read
        ([{"text": "b", "rating": -1}], ["a", "x"], "b"),
        ([{"text": "b", "rating": -1}, {"text": "c", "rating": 0}], ["a", "b"], "b"),
        ([{"text": "c", "rating": -1}, {"text": "b", "rating": -1}], ["a", "b", "d"], "b"),
        ([{"text": "c", "rating": -1}, {"text": "d", "rating": -1}], ["a", "b"], None),
        ([], ["a", "b"], None),
    )

    @pytest.mark.parametrize("completions, given, read", ENDS)
    @pytest.mark.parametrize("finish", ["found_error", "give_up"])
    def test_of_a_persons_record_that_ends_in_an_error_the_error_is_read(
        self, completions: list[Any], given: list[str], read: str | None, finish: str
    ) -> None:
        first = {"completions": [{"text": "a", "rating": 1}], "human_completion": None, "chosen_completion": 0}
        last = {"completions": completions, "human_completion": None, "chosen_completion": None}
        question = {"problem": "q", "ground_truth_answer": "8", "pre_generated_steps": given, "pre_generated_answer": "6"}
        record = {"labeler": "w", "question": question, "label": {"steps": [first, last], "finish_reason": finish}}
        if read is None or finish == "give_up":
            with pytest.raises(Refused, match="step 2"):
                Prm800k().read(record)
        else:
            found = Prm800k().read(record)
            assert (found["completions"], found["labels"]) == (["a", read], [True, False])

    def test_a_step_nobody_chose_is_refused(self) -> None:
        step = {"completions": [{"text": "a", "rating": None}], "human_completion": None, "chosen_completion": None}
        with pytest.raises(Refused) as refused:
            Prm800k().read({"question": {}, "label": {"steps": [step]}})
        assert refused.value.reason == "no_choice"


class TestProcessBench:
    def test_all_steps_are_given_and_the_first_error_counts_from_zero(self) -> None:
        assert ProcessBench().record(solution()) == {
            "id": "s1-3",
            "generator": "small",
            "problem": "What is 2 + 2, doubled?",
            "steps": ["2 + 2 = 4.", "Doubled, 6.", "The answer is 6."],
            "final_answer_correct": False,
            "label": 1,
            **IDS,
        }

    def test_two_views_of_one_solution_have_ids_of_their_own(self) -> None:
        coarse = solution(completions=["2 + 2 = 4.\n\nDoubled, 6.\n\n"], labels=[False], first_error=0, method="omega_prm+hnc")
        fine, merged = (ProcessBench().record(row) for row in (solution(), coarse))
        assert fine["id"] != merged["id"]
        assert ProcessBench().read(fine)["solution_id"] == ProcessBench().read(merged)["solution_id"] == "s1"

    def test_a_foreign_record_has_only_its_own_id(self) -> None:
        record = {"id": "gsm8k-0", "generator": "g", "problem": "q", "steps": ["a"], "final_answer_correct": True, "label": -1}
        assert ProcessBench().read(record)["solution_id"] == "gsm8k-0"

    def test_without_an_error_the_label_is_minus_one(self) -> None:
        record = ProcessBench().record(solution(labels=[True, True], first_error=None, verdict="right", tail=[]))
        assert record["label"] == -1 and record["final_answer_correct"] is True

    def test_a_right_answer_may_hold_a_wrong_step(self) -> None:
        record = ProcessBench().record(solution(verdict="right"))
        assert record["label"] == 1 and record["final_answer_correct"] is True

    def test_labels_past_the_first_error_are_read_as_its_tail(self) -> None:
        row = solution(completions=["a", "b", "c"], labels=[True, False, True], tail=[])
        found = ProcessBench().read(ProcessBench().record(row))
        assert (found["completions"], found["tail"]) == (["a", "b"], ["c"])

    @pytest.mark.parametrize("verdict", [None, "unparsed"])
    def test_an_answer_that_was_not_compared_is_refused(self, verdict: str | None) -> None:
        assert reason(ProcessBench(), solution(verdict=verdict)) == "no_verdict"

    @pytest.mark.parametrize("first_error", [2, -1])
    def test_a_first_error_outside_of_the_labelled_steps_is_refused(self, first_error: int) -> None:
        assert reason(ProcessBench(), solution(first_error=first_error)) == "wrong_count"


class TestRlhflow:
    def test_every_step_is_a_turn_and_its_label_the_answer(self) -> None:
        assert Rlhflow().record(solution())["conversations"] == [
            {"role": "user", "content": "What is 2 + 2, doubled? 2 + 2 = 4."},
            {"role": "assistant", "content": "+"},
            {"role": "user", "content": "Doubled, 6."},
            {"role": "assistant", "content": "-"},
        ]

    def test_of_a_foreign_record_question_and_first_step_are_not_told_apart(self) -> None:
        turns = [{"role": "user", "content": "What? 4."}, {"role": "assistant", "content": "+"}]
        found = Rlhflow().read({"conversations": turns})
        assert (found["prompt"], found["completions"], found["labels"]) == ("", ["What? 4."], [True])

    def test_another_answer_than_a_sign_is_refused(self) -> None:
        with pytest.raises(Refused) as refused:
            Rlhflow().read({"conversations": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "yes"}]})
        assert refused.value.reason == "bad_label"


class TestOpenr:
    def test_prefixes_grow_and_keep_their_whitespace(self) -> None:
        record = Openr().record(solution())
        assert record["reasoning_steps"] == [
            {"solution_prefix": "2 + 2 = 4.\n\n", "mc_value": 0.75},
            {"solution_prefix": "2 + 2 = 4.\n\nDoubled, 6.\n\n", "mc_value": 0.0},
        ]
        assert record["question_id"] == "p1" and record["final_answer"] == "8"

    def test_a_prefix_without_rollouts_is_not_listed_so_its_steps_are_one(self) -> None:
        row = solution(completions=["a\n", "b\n", "c"], labels=[True] * 3, n=[0, 8, 0], correct=[0, 4, 0])
        found = Openr().read(Openr().record(row))
        assert found["completions"] == ["a\nb\n"] and found["scores"] == [0.5]

    @pytest.mark.parametrize("scores", [[1.0, 0.0], [0.0, -0.75], [None, None], [float("nan"), 7.0]])
    def test_the_share_is_that_of_the_counts_whatever_the_scores_are(self, scores: list[float | None]) -> None:
        assert [step["mc_value"] for step in Openr().record(solution(scores=scores))["reasoning_steps"]] == [0.75, 0.0]

    @pytest.mark.parametrize(
        "counts, why",
        [({"n": [0, 0], "correct": [0, 0]}, "no_counts"), ({"n": [8]}, "wrong_count"), ({"correct": [1, 2, 3]}, "wrong_count")],
    )
    def test_a_solution_without_rollouts_is_refused(self, counts: dict[str, list[int]], why: str) -> None:
        assert reason(Openr(), solution(**counts)) == why

    def test_prefixes_that_do_not_nest_are_refused(self) -> None:
        steps = [{"solution_prefix": "ab", "mc_value": 1.0}, {"solution_prefix": "b", "mc_value": 1.0}]
        with pytest.raises(Refused) as refused:
            Openr().read({"question_id": "p", "question": "q", "final_answer": "8", "reasoning_steps": steps})
        assert refused.value.reason == "not_nested"


class TestValue:
    def test_every_step_makes_a_record_of_all_so_far(self) -> None:
        first, second = (Value().record(unit) for unit in Value().units(solution()))
        assert first["prompt_answer"] == "Problem: What is 2 + 2, doubled?\nSolution:\n2 + 2 = 4." and first["label"] == 0.75
        assert second["prompt_answer"].endswith("\nSolution:\n2 + 2 = 4.\n\nDoubled, 6.") and second["label"] == 0.0

    def test_a_step_without_a_score_is_refused_alone(self) -> None:
        first, second = Value().units(solution(scores=[None, 0.5]))
        assert reason(Value(), dict(first)) == "score_missing"
        assert Value().record(second)["label"] == 0.5

    def test_a_prompt_that_holds_the_break_is_refused(self) -> None:
        assert reason(Value(), solution(prompt="a\nSolution:\nb")) == "mark_in_prompt"
