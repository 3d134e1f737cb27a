"""A cut that leaves nothing says in one sentence what dropped all pairs, why, and what to do."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.annotators import registry
from pairwright.annotators.base import Annotating, Annotation, Annotator, AnnotatorConfig, Group
from pairwright.errors import PairwrightError
from pairwright.pipelines.emptied import most_frequent
from pairwright.pipelines.recut import recut


class Lengths(Annotator[AnnotatorConfig]):
    """Of another package: it labels everything, and stores none of the numbers that our filters read."""

    def roles(self) -> dict[str, frozenset[str]]:
        return {}

    def annotate(self, group: Group) -> Annotating:
        yield from ()
        return [Annotation(r.id, float(len(r.text)), parts={"chars": float(len(r.text))}) for r in group.responses]


class Mute(Lengths):
    """It never has a label."""

    def annotate(self, group: Group) -> Annotating:
        yield from ()
        return [Annotation(r.id, reason="no_idea") for r in group.responses]


@pytest.fixture(autouse=True)
def _installed(monkeypatch):
    found = [EntryPoint(n.lower(), f"{__name__}:{n}", registry.GROUP) for n in ("Lengths", "Mute")]
    monkeypatch.setattr(registry, "_installed", lambda *_: found)


def refusal(build, **changes):
    with pytest.raises(PairwrightError) as error:
        build(**changes).run()
    said = str(error.value)
    assert said.startswith("nothing is left to publish: ") and said.endswith("; no version is written, what is stored is kept")
    assert "\n" not in said
    return said


def test_the_filter_that_dropped_all_is_named_with_its_most_frequent_reason_and_its_scores(build):
    said = refusal(build, filters=[{"use": "margin", "name": "wide", "min": 1000}])
    assert "the filter 'wide' dropped 12 of 12 pairs, mostly as in 'margin" in said
    assert "is below 1000' (its scores go from 3.94004 to 19.4449): loosen it, or take it out of `filters`" in said


def test_filters_that_contradict_each_other_are_both_counted(build):
    said = refusal(build, filters=[{"use": "margin", "min": 8}, {"use": "margin", "name": "narrow", "max": 8}])
    assert "dropped 8 of 12 pairs (in all: " in said and "narrow" in said and "margin 4" in said


@pytest.mark.parametrize(
    ("pair", "advice"),
    [
        ({"chosen_floor": 1000}, "(below_floor 12): lower `pair.chosen_floor`"),
        ({"margin": 1000}, "(no_pair_above_margin 12): lower `pair.margin`"),
        ({"ches": {"max": -1e9}}, "(no_pair_within_ches 12): raise the budget of `pair.ches`"),
    ],
)
def test_a_rule_that_no_group_meets_is_named_by_its_setting(build, pair, advice):
    assert f"the stage 'pair' dropped all 12 groups {advice}" in refusal(build, pair=pair)


def test_an_annotator_of_another_package_that_lacks_what_a_filter_reads_is_named_with_the_part(build):
    annotators = ["density_ratio", {"use": "lengths", "name": "displacement"}]
    said = refusal(build, annotators=annotators, combine="density_ratio", filters=[{"use": "ches"}])
    assert "'ches' has a score for none of 12 pairs: displacement stored no n and dot:<id> of one of the two responses" in said
    assert "displacement is of method lengths: name an annotator of method displacement, or let lengths store this too" in said


@pytest.mark.parametrize(
    ("rule", "part"),
    [
        ({"use": "uncertainty", "annotators": ["lengths"]}, "lengths stored no draw:<t>"),
        ({"use": "difficulty", "annotator": "lengths", "max": 1}, "lengths stored neither reference_sum nor weak_sum"),
        ({"use": "outlier", "annotator": "lengths"}, "lengths stored no policy_sum and reference_sum"),
        ({"use": "fresh_sample", "annotator": "lengths"}, "lengths stored no own and fresh_mean"),
    ],
)
def test_so_it_is_of_every_filter_that_reads_parts(build, rule, part):
    said = refusal(build, annotators=["density_ratio", "lengths"], combine="density_ratio", filters=[rule])
    assert part in said and "name an annotator of method" in said


def test_a_new_cut_says_the_same(build):
    made = build(annotators=["density_ratio", "lengths"], combine="density_ratio")
    made.run()
    with pytest.raises(PairwrightError, match="stored no own and fresh_mean .*name an annotator of method fresh_sample"):
        recut(made.dataset, 1, ["filters=[{use: fresh_sample, annotator: lengths}]"])
    assert made.dataset.versions() == [1]


def test_an_annotator_without_any_label_is_told_from_one_that_lacks_a_part(build):
    annotators = ["density_ratio", "mute"]
    said = refusal(build, annotators=annotators, combine="density_ratio", filters=[{"use": "floor", "chosen": {"mute": 1}}])
    assert "mute labelled none of 48 responses (no_idea 48): mend that, or take the filter out" in said
    assert "(no_score 12): see why their responses have no score (mute:no_idea 45, cut 3)" in refusal(build, annotators=["mute"])


@given(st.lists(st.integers(0, 99), min_size=1), st.lists(st.integers(0, 99), min_size=1))
def test_reasons_that_differ_in_numbers_are_one(few, many):
    many = [*many, *few, 1]
    reasons = [f"margin {i}.5 is below 3e-05" for i in few] + [f"the pair {i:024x} says the opposite" for i in many]
    assert most_frequent(reasons) == f"the pair {many[0]:024x} says the opposite"
