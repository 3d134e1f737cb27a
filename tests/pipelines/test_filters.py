from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from pairwright.annotators.base import Group, Response
from pairwright.annotators.displacement import Displacement
from pairwright.engines.requests import Scored, turns
from pairwright.errors import PairwrightError
from pairwright.pipelines.filters import FILTERS, AnyFilter, Filter, PairColumns, Side, apply_filters
from pairwright.pipelines.filters.base import FilterScores
from pairwright.pipelines.filters.ches import Ches
from pairwright.pipelines.filters.length_ratio import LengthRatio
from pairwright.pipelines.filters.margin import Margin
from pairwright.pipelines.filters.near_identical import NearIdentical

PROMPT = np.array([[0.1, 0.2, -0.3, 0.4], [0.5, -0.1, 0.2, 0], [-0.2, 0.3, 0.1, 0.7]])
CHOSEN = np.array([[0.3, 0.1, 0, -0.2], [0.4, 0.4, -0.1, 0.2]])
REJECTED = np.array([[0.2, -0.1, 0.5, 0.3]])


def side(letter, scores, *, tokens=None, texts=None) -> Side:
    n = len(scores)

    def load_texts():
        if texts is None:
            raise AssertionError("no filter here needs the texts")
        return texts

    return Side(
        ids=[f"{letter}{i}" for i in range(n)],
        scores=np.array(scores, dtype=np.float64),
        tokens=np.array(tokens if tokens is not None else [10] * n, dtype=np.int64),
        chars=np.full(n, 40, dtype=np.int64),
        finish_reasons=["stop"] * n,
        load_texts=load_texts,
    )


def columns(margins, *, tokens=(None, None), texts=(None, None), parts=None) -> PairColumns:
    return PairColumns(
        pair_ids=[f"pair{i}" for i in range(len(margins))],
        chosen=side("c", margins, tokens=tokens[0], texts=texts[0]),
        rejected=side("r", [0.0] * len(margins), tokens=tokens[1], texts=texts[1]),
        load_parts=lambda annotator: (parts or {})[annotator],
    )


def displacement(*scores) -> dict[str, dict[str, dict[str, float]]]:
    """Stored parts for which pair i has the CHES `scores[i]` and n = 1; None: the chosen response has no annotation."""
    stored = {}
    for i, score in enumerate(scores):
        stored[f"r{i}"] = {"n": 1.0, f"dot:r{i}": 0.0}
        if score is not None:
            stored[f"c{i}"] = {"n": 1.0, f"dot:c{i}": 0.0, f"dot:r{i}": score}
    return {"displacement": stored}


def the_paper_fixture() -> dict[str, dict[str, dict[str, float]]]:
    high = np.vstack([PROMPT[-1:], CHOSEN])
    low = np.vstack([PROMPT[-1:], REJECTED])
    s, t = high.sum(axis=0), low.sum(axis=0)
    return {
        "displacement": {
            "c0": {"n": float(len(high)), "dot:c0": float(s @ s), "dot:r0": float(s @ t)},
            "r0": {"n": float(len(low)), "dot:c0": float(s @ t), "dot:r0": float(t @ t)},
        }
    }


@pytest.mark.parametrize(("variant", "expected"), [("raw", -0.52), ("ln", -0.01)])
def test_ches_of_the_golden_fixture(variant, expected):
    outcome = apply_filters([Ches(variant=variant, max=1.0)], columns([1.0], parts=the_paper_fixture()))
    assert outcome.scores["ches"].tolist() == [pytest.approx(expected, abs=1e-9)]


def test_ches_drops_the_highest():
    outcome = apply_filters([Ches(max=0.5)], columns([1.0] * 3, parts=displacement(0.1, 0.9, 0.5)))
    assert outcome.keep.tolist() == [True, False, True]
    assert outcome.dropped_by == [None, "ches", None]
    assert outcome.reason == [None, "ln-CHES 0.9 is above 0.5", None]


def test_ches_keeps_the_lower_nine_tenths_when_no_limit_is_given():
    assert (Ches().limits, Ches().max_quantile, Ches(max=0.5).limits) == ({"max_quantile": 0.9}, None, {"max": 0.5})
    assert Ches().about() == Ches(max_quantile=0.9).about()
    outcome = apply_filters([Ches()], columns([1.0] * 20, parts=displacement(*[float(i) for i in range(20)])))
    assert [i for i, keep in enumerate(outcome.keep) if not keep] == [18, 19]
    assert outcome.reason[19] == "ln-CHES 19 is above 17.1, the 0.9 quantile"


def test_ches_reads_the_annotator_it_is_told_to_read():
    assert Ches().requires() == {"displacement": "displacement"}
    other = Ches(annotator="of_the_policy", max=1.0)
    assert other.requires() == {"of_the_policy": "displacement"}
    parts = {"of_the_policy": displacement(0.3)["displacement"]}
    assert apply_filters([other], columns([1.0], parts=parts)).scores["ches"].tolist() == [0.3]


def test_a_pair_without_displacement_is_dropped_by_name_unless_told_otherwise():
    pairs = columns([1.0, 1.0], parts=displacement(0.1, None))
    outcome = apply_filters([Ches(max=1.0)], pairs)
    assert outcome.scores["ches"].tolist() == [0.1, None]
    assert outcome.keep.tolist() == [True, False]
    assert outcome.reason == [None, "ches_missing: displacement stored no n and dot:<id> of one of the two responses"]
    assert apply_filters([Ches(max=1.0, on_missing="keep")], pairs).keep.all()


@pytest.mark.parametrize("lost", ["c0", "r0"])
def test_both_responses_need_displacement(lost):
    parts = the_paper_fixture()
    del parts["displacement"][lost]
    outcome = apply_filters([Ches(max=1.0)], columns([1.0], parts=parts))
    assert outcome.scores["ches"].tolist() == [None]


def test_a_missing_score_does_not_move_a_quantile():
    values = [0.1, 0.2, 0.3, 0.4]
    with_gap = apply_filters([Ches(max_quantile=0.5)], columns([1.0] * 5, parts=displacement(*values, None)))
    without = apply_filters([Ches(max_quantile=0.5)], columns([1.0] * 4, parts=displacement(*values)))
    assert with_gap.keep[:4].tolist() == without.keep.tolist() == [True, True, False, False]


def test_ches_reads_what_the_displacement_annotator_stores():
    group = Group("p", turns("hello"), (Response("c0", "yes"), Response("r0", "no")))
    sums = [np.vstack([PROMPT[-1:], rows]) for rows in (CHOSEN, REJECTED)]
    running = Displacement.configured().annotate(group)
    next(running)
    with pytest.raises(StopIteration) as done:
        running.send([Scored((0,) * len(h), np.zeros(len(h), np.float32), hidden_sum=h.sum(axis=0)) for h in sums])
    parts = {"displacement": {a.subject: a.parts for a in done.value.value}}
    outcome = apply_filters([Ches(variant="raw", max=1.0)], columns([1.0], parts=parts))
    assert outcome.scores["ches"].tolist() == [pytest.approx(-0.52, abs=1e-9)]


def test_margin_within_a_band():
    outcome = apply_filters([Margin(min=0.5, max=2.0)], columns([0.4, 0.5, 2.0, 2.1]))
    assert outcome.keep.tolist() == [False, True, True, False]
    assert outcome.reason == ["margin 0.4 is below 0.5", None, None, "margin 2.1 is above 2"]


def test_quantiles_are_numpys_linear_ones():
    margins = [1.0, 2.0, 3.0, 4.0, 5.0]
    outcome = apply_filters([Margin(min_quantile=0.25, max_quantile=0.9)], columns(margins))
    assert outcome.keep.tolist() == [False, True, True, True, False]


def test_length_ratio_looks_both_ways():
    pairs = columns([1.0] * 4, tokens=([10, 30, 10, 0], [30, 10, 20, 5]))
    outcome = apply_filters([LengthRatio(max=2.0)], pairs)
    assert outcome.scores["length_ratio"].tolist() == [3.0, 3.0, 2.0, None]
    assert outcome.keep.tolist() == [False, False, True, False]
    assert outcome.reason[3] == "length_ratio_missing: a response is empty"


def test_length_ratio_is_one_of_characters_where_the_tokens_of_a_response_are_unknown():
    pairs = columns([1.0] * 2, tokens=([10, 10], [30, 30]))
    uncounted = replace(pairs, chosen=replace(pairs.chosen, tokens=np.array([np.nan, 10.0]), chars=np.array([160, 160])))
    assert apply_filters([LengthRatio(max=3.5)], uncounted).scores["length_ratio"].tolist() == [4.0, 3.0]


def test_a_power_and_a_digit_are_not_the_same_text():
    outcome = apply_filters([NearIdentical(threshold=1)], columns([1.0], texts=(["It is 3 m²."], ["It is 3 m2."])))
    assert outcome.keep.all()


def test_nearly_the_same_texts_are_dropped():
    chosen = ["a" * 100, "a" * 100, "Same\ntext", "", "kitten"]
    rejected = ["a" * 94 + "b" * 6, "a" * 95 + "b" * 5, "Same  text", "", "sitting"]
    outcome = apply_filters([NearIdentical()], columns([1.0] * 5, texts=(chosen, rejected)))
    assert outcome.scores["near_identical"].tolist() == pytest.approx([0.94, 0.95, 1.0, 1.0, 1 - 3 / 7])
    assert outcome.keep.tolist() == [True, False, False, False, True]
    assert outcome.reason[1] == "chosen and rejected are 0.95 alike, not under 0.95"


def test_texts_are_loaded_only_for_who_asks():
    apply_filters([Margin(min=0.0), LengthRatio(max=2.0)], columns([1.0]))
    with pytest.raises(AssertionError):
        apply_filters([NearIdentical()], columns([1.0]))


def test_every_filter_scores_every_pair_and_the_first_to_object_is_named():
    pairs = columns([0.1, 5.0, 0.1], tokens=([10, 50, 50], [10, 10, 10]))
    margin, length = Margin(min=1.0), LengthRatio(max=2.0)
    outcome = apply_filters([margin, length], pairs)
    assert outcome.dropped_by == ["margin", "length_ratio", "margin"]
    assert [len(v.compressed()) for v in outcome.scores.values()] == [3, 3]
    turned = apply_filters([length, margin], pairs)
    assert turned.dropped_by == ["margin", "length_ratio", "length_ratio"]
    assert turned.keep.tolist() == outcome.keep.tolist()


def test_no_filter_keeps_everything():
    outcome = apply_filters([], columns([1.0, 2.0]))
    assert (outcome.keep.tolist(), outcome.scores) == ([True, True], {})


@pytest.mark.parametrize("f", [Ches(), Margin(min_quantile=0.5), LengthRatio(max=2.0), NearIdentical()])
def test_no_pairs_are_no_problem(f):
    outcome = apply_filters([f], columns([], texts=([], []), parts=displacement()))
    assert (outcome.keep.tolist(), outcome.scores[f.name].tolist()) == ([], [])


def test_two_filters_of_one_name_are_refused():
    with pytest.raises(PairwrightError, match="two filters are called 'margin'"):
        apply_filters([Margin(min=1.0), Margin(max=2.0)], columns([1.0]))
    outcome = apply_filters([Margin(min=1.0), Margin(max=2.0, name="not_too_far")], columns([3.0]))
    assert outcome.dropped_by == ["not_too_far"]


def test_a_recipe_names_its_filters_by_use():
    listed = TypeAdapter(list[AnyFilter]).validate_python(
        [
            {"use": "ches", "max_quantile": 0.15},
            {"use": "margin", "name": "clear", "min": 0.5},
            {"use": "length_ratio", "max": 2},
            {"use": "near_identical", "threshold": 0.9},
            {"use": "consensus", "annotators": ["one", "other"]},
            {"use": "strength", "annotators": ["one", "other"], "min": 0},
            {"use": "verdict", "annotator": "one"},
        ]
    )
    assert [f.name for f in listed] == ["ches", "clear", "length_ratio", "near_identical", "consensus", "strength", "verdict"]
    assert [type(f) for f in listed] == [FILTERS[f.use] for f in listed]
    assert list(FILTERS) == sorted(FILTERS)


@pytest.mark.parametrize("f", [Ches(), Ches(max=0.1, name="strict"), Margin(min=0.0), LengthRatio(max=2.0), NearIdentical()])
def test_settings_survive_a_round_trip(f):
    assert TypeAdapter(AnyFilter).validate_python(f.model_dump()) == f


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"use": "margin"}, "it keeps everything"),
        ({"use": "length_ratio"}, "it keeps everything"),
        ({"use": "margin", "min": 2, "max": 1}, "it keeps nothing"),
        ({"use": "margin", "min_quantile": 0.9, "max_quantile": 0.1}, "it keeps nothing"),
        ({"use": "margin", "max_quantile": 90}, "less than or equal to 1"),
        ({"use": "margin", "min": float("nan")}, "finite"),
        ({"use": "margin", "min": 1, "name": "no way"}, "pattern"),
        ({"use": "margin", "min": 1, "name": "x\n"}, "pattern"),
        ({"use": "margin", "min": 1, "minimum": 1}, "Extra inputs"),
        ({"use": "near_identical", "threshold": 1.5}, "less than or equal to 1"),
        ({"use": "ches", "variant": "log"}, "'ln' or 'raw'"),
        ({"use": "nothing"}, "does not match any of the expected tags"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(AnyFilter).validate_python(settings)


def test_a_filter_score_is_a_finite_number_or_missing_with_a_reason():
    with pytest.raises(ValueError, match="not a finite number"):
        FilterScores.of([1.0, float("nan")])
    with pytest.raises(ValueError, match="masked without a reason"):
        FilterScores(np.ma.MaskedArray([1.0, 2.0], mask=[True, False]), [None, None])
    with pytest.raises(ValueError, match="without saying why"):
        FilterScores.of([1.0, None])


def test_a_filter_that_scores_other_pairs_than_it_was_given_is_caught():
    class Short(Margin):
        def score(self, pairs):
            return FilterScores.of([1.0])

    with pytest.raises(ValueError, match="gave 1 scores for 2 pairs"):
        apply_filters([Short(min=0.0)], columns([1.0, 2.0]))


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="for 1 pairs"):
        PairColumns(["p"], side("c", [1.0]), side("r", [1.0, 2.0]), lambda _: {})


numbers = st.floats(-1e6, 1e6)
rows = st.lists(
    st.tuples(numbers, st.none() | numbers, st.integers(0, 50), st.integers(0, 50), st.sampled_from("ab"), st.sampled_from("ab")),
    max_size=25,
)
quantiles = st.floats(0, 1)
filters = st.lists(
    st.one_of(
        st.builds(Ches, max_quantile=quantiles, on_missing=st.sampled_from(["drop", "keep"])),
        st.builds(Margin, min=st.none() | numbers, max_quantile=quantiles),
        st.builds(LengthRatio, max=st.floats(1, 5), on_missing=st.sampled_from(["drop", "keep"])),
        st.builds(NearIdentical, threshold=st.floats(0.1, 1)),
    ),
    max_size=4,
    unique_by=lambda f: f.name,
)


def columns_of(drawn) -> PairColumns:
    margins, ches, longs, shorts, chosen, rejected = [list(c) for c in zip(*drawn, strict=True)] or [[]] * 6
    return columns(margins, tokens=(longs, shorts), texts=(chosen, rejected), parts=displacement(*ches))


@given(drawn=rows, filters=filters)
def test_kept_and_dropped_are_all_there_are_and_every_drop_has_a_name(drawn, filters: list[Filter]):
    outcome = apply_filters(filters, columns_of(drawn))
    assert len(outcome.keep) == len(outcome.dropped_by) == len(outcome.reason) == len(drawn)
    assert set(outcome.scores) == {f.name for f in filters}
    assert all(len(values) == len(drawn) for values in outcome.scores.values())
    for keep, name, sentence in zip(outcome.keep, outcome.dropped_by, outcome.reason, strict=True):
        assert keep == (name is None) == (sentence is None)
        assert name is None or name in outcome.scores


@given(drawn=rows, filters=filters, random=st.randoms(use_true_random=False))
def test_which_pairs_are_kept_does_not_depend_on_the_order_of_filters(drawn, filters, random):
    pairs = columns_of(drawn)
    shuffled = random.sample(filters, len(filters))
    assert apply_filters(shuffled, pairs).keep.tolist() == apply_filters(filters, pairs).keep.tolist()


@given(drawn=rows, limits=st.tuples(quantiles, quantiles), which=st.sampled_from(["max_quantile", "min_quantile"]))
def test_a_tighter_quantile_never_keeps_more(drawn, limits, which):
    pairs = columns_of(drawn)
    loose, tight = sorted(limits, reverse=which == "max_quantile")
    for kind in (Ches, Margin, LengthRatio):
        assert not np.any(kept(kind(**{which: tight}), pairs) & ~kept(kind(**{which: loose}), pairs))


@given(drawn=rows, limits=st.tuples(numbers, numbers), which=st.sampled_from(["max", "min"]))
def test_a_tighter_limit_never_keeps_more(drawn, limits, which):
    pairs = columns_of(drawn)
    loose, tight = sorted(limits, reverse=which == "max")
    for kind in (Ches, Margin, LengthRatio):
        assert not np.any(kept(kind(**{which: tight}), pairs) & ~kept(kind(**{which: loose}), pairs))


@given(drawn=rows, limits=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)))
def test_a_lower_similarity_threshold_never_keeps_more(drawn, limits):
    pairs = columns_of(drawn)
    tight, loose = sorted(limits)
    assert not np.any(kept(NearIdentical(threshold=tight), pairs) & ~kept(NearIdentical(threshold=loose), pairs))


def kept(f: Filter, pairs: PairColumns) -> np.ndarray:
    return apply_filters([f], pairs).keep
