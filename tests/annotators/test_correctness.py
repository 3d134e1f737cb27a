from __future__ import annotations

from dataclasses import replace

import pytest

from pairwright.annotators.correctness import Correctness
from pairwright.engines.requests import Failed, Verified, Verify
from pairwright.engines.verification.models import ExactVerifier
from pairwright.pipelines.preflight import trial_requests


def verifier(request: Verify):
    return ExactVerifier().read(request)


def said(drive, make_group, texts, reference="4", answer=verifier, **about):
    group = replace(make_group(texts, **about), reference=reference)
    found = {a.subject: a for a in drive(Correctness.configured().annotate(group), answer)}
    return [(found[r.id].score, found[r.id].reason, found[r.id].raw) for r in group.responses]


def test_right_is_one_wrong_is_zero_and_no_answer_is_neither(drive, make_group):
    found = said(drive, make_group, ["it is \\boxed{4}", "it is \\boxed{5}", "who knows"])
    assert found == [(1.0, None, "4"), (0.0, None, "5"), (None, "no_answer", None)]


def test_a_cut_response_is_said_to_be_cut(drive, make_group):
    assert said(drive, make_group, ["it is", "so \\boxed{4}"], finish_reason="length") == [(None, "cut", None), (1.0, None, "4")]


@pytest.mark.parametrize("reference", [None, " "])
def test_without_a_reference_nothing_is_asked(drive, make_group, reference):
    def never(request):
        raise AssertionError(request)

    assert said(drive, make_group, ["\\boxed{4}"], reference, never) == [(None, "no_reference", None)]


def test_a_reference_that_nothing_could_equal_labels_nothing_wrong(drive, make_group):
    def hopeless(request):
        return Verified("wrong", "4")

    assert said(drive, make_group, ["\\boxed{4}"], "{1, 2", hopeless) == [(None, "reference_unequal_to_itself", None)]


def test_a_verifier_that_fails_gives_its_reason(drive, make_group):
    def broken(request):
        return verifier(request) if request.text == "\\boxed{4}" else Failed("engine_error", "it died")

    assert said(drive, make_group, ["so \\boxed{4}"], answer=broken) == [(None, "engine_error", "it died")]
    assert said(drive, make_group, ["\\boxed{4}"], answer=lambda _: Failed("engine_error")) == [(None, "engine_error", None)]


def test_the_trial_before_a_build_can_ask_it():
    assert [type(r) for r in trial_requests("correctness", Correctness.configured())] == [Verify]
