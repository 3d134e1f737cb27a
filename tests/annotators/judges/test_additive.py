from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from pairwright.annotators.base import Group
from pairwright.annotators.judges.additive import Additive
from pairwright.engines.requests import Chosen, Completion, Generated, Sampling


def judge(**settings) -> Additive:
    return Additive.configured(settings)


def wrote(*said: str, finish: str = "stop"):
    return lambda request: Generated(tuple(Completion(text, finish) for text in said))


def test_the_score_is_the_mean_of_the_draws(drive, make_group):
    [row] = drive(judge().annotate(make_group(["An answer."])), wrote("<score>3</score>", "Fine.\nScore: 4", "<score>5</score>"))
    assert row.score == 4
    assert row.parts == {"draws": 3, "unread": 0, "lowest": 3, "highest": 5}
    assert row.raw == "<score>3</score>\n\n---\n\nFine.\nScore: 4\n\n---\n\n<score>5</score>"


def test_a_draw_that_cannot_be_read_is_left_out_and_counted(drive, make_group):
    [row] = drive(judge().annotate(make_group(["An answer."])), wrote("<score>2</score>", "Good.", "<score>9</score>"))
    assert (row.score, row.parts["draws"], row.parts["unread"]) == (2, 1, 2)
    assert "Good." in row.raw


def test_when_no_draw_can_be_read_there_is_a_reason_and_no_number(drive, make_group):
    [row] = drive(judge().annotate(make_group(["An answer."])), wrote("<score>6</score>", "Good.", "Nice."))
    assert (row.score, row.reason, row.parts) == (None, "no_score", {"draws": 0, "unread": 3})
    assert "<score>6</score>" in row.raw
    [row] = drive(judge(draws=1).annotate(make_group(["An answer."])), wrote("<score>4", finish="length"))
    assert (row.score, row.reason) == (None, "cut")


def test_draws_are_sampled_with_seeds_of_the_ids(make_group):
    group = make_group(["An answer.", "Another."])
    one, two = next(judge().annotate(group))
    assert (one.sampling, one.n) == (Sampling(0.7, 0.9, max_tokens=512), 3)
    assert one.seed != two.seed
    assert one == next(judge().annotate(make_group(["Third.", "An answer."])))[1]
    other = Group("q", group.prompt, group.responses)
    assert next(judge().annotate(other))[0].seed != one.seed


def test_by_choice_the_score_is_the_mean_over_the_digits(drive, make_group):
    answer = Chosen(tuple(math.log(p) for p in (0.1, 0.1, 0.1, 0.1, 0.2, 0.2)))
    [request] = next(judge(ask="choose").annotate(make_group(["An answer."])))
    assert request.labels == ("0", "1", "2", "3", "4", "5")
    [row] = drive(judge(ask="choose").annotate(make_group(["An answer."])), lambda r: answer)
    assert row.score == pytest.approx((0.1 + 0.2 + 0.3 + 0.8 + 1.0) / 0.8)
    assert row.parts == pytest.approx({"expected": row.score, "mode": 4, "mass": 0.8})


def test_greedy_draws_would_all_be_the_same():
    with pytest.raises(ValidationError, match="temperature above 0"):
        judge(temperature=0)
    assert judge(temperature=0, draws=1).config.draws == 1
