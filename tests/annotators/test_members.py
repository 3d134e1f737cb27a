from __future__ import annotations

import pytest
from pydantic import ValidationError

from pairwright.annotators.judges.jury import Jury
from pairwright.annotators.members import Member
from pairwright.annotators.routing.cascade import Cascade


def said(annotator, **settings):
    """What is said of each mistake."""
    with pytest.raises(ValidationError) as refused:
        annotator.configured(settings)
    return [e["msg"].removeprefix("Value error, ") for e in refused.value.errors()]


def test_a_misspelt_setting_of_a_member_gets_the_nearest_right_name_and_no_second_complaint():
    members = [{"use": "pairwise", "tieband": 0.1}, {"use": "graded"}]
    assert said(Jury, members=members) == ["unknown setting 'tieband' of pairwise: did you mean tie_band?"]


def test_what_a_stage_adds_to_its_annotator_is_proposed_too():
    assert said(Cascade, stages=[{"use": "person", "thresold": 0.4}]) == [
        "unknown setting 'thresold' of person: did you mean threshold?"
    ]


def test_a_setting_like_no_other_is_to_be_removed():
    assert said(Cascade, stages=[{"use": "person", "xyzzy": 1}]) == ["unknown setting 'xyzzy' of person: remove it"]


@pytest.mark.parametrize(
    ("inner", "says"),
    [
        ({}, "jury: members is missing: add it"),
        ({"members": []}, "jury: a jury needs at least two members"),
        (
            {"members": [{"use": "graded", "rolle": "x"}, {"use": "graded"}]},
            "jury: members.0: unknown setting 'rolle' of graded: did you mean role?",
        ),
    ],
)
def test_a_jury_inside_a_cascade_says_what_a_jury_says(inner, says):
    assert said(Cascade, stages=[{"use": "jury", "threshold": 0.9, **inner}]) == [says]


def test_a_slope_that_is_a_setting_of_the_members_own_reaches_it():
    assert Member(use="debate", slope=3.0).annotator.config.slope == 3.0
    assert Member(use="debate").annotator.config.slope == 1.0
    assert Member(use="graded", slope=3.0).slope == 3.0
