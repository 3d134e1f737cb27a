"""Every row of a sweep is what a cut with those settings would come to, and costs no request."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from pairwright.engines.scripted import ScriptedEngine
from pairwright.errors import PairwrightError
from pairwright.pipelines.build import Build
from pairwright.pipelines.cut import Stored, cut
from pairwright.pipelines.filters.base import FilterScores
from pairwright.pipelines.filters.margin import Margin
from pairwright.pipelines.quality.measures import wilson
from pairwright.pipelines.recipe import Recipe, parse_recipe
from pairwright.pipelines.recut import stored_of, with_changes
from pairwright.pipelines.sweep import Row, circular, grid, points_of, sweep
from tests.recipes import settings

Stock = tuple[Recipe, Stored]


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Stock:
    """A version with three annotators and a filter that keeps everything."""
    folder = tmp_path_factory.mktemp("stock")
    recipe = settings(
        folder,
        prompts={"source": "arithmetic", "count": 40, "operations": [3, 5]},
        annotators=["density_ratio", "displacement", "contrastive_prompt"],
        combine="density_ratio",
        filters=[{"use": "margin", "min_quantile": 0}],
    )
    made = Build(parse_recipe(recipe, "the test's recipe"), folder)
    return stored_of(made.dataset, made.run().version)


def rows_of(stock: Stock, *axes: str, against: str | None = None) -> list[Row]:
    recipe, stored = stock
    return sweep(stored, recipe, points_of(recipe, axes), against)


def test_a_row_is_what_the_cut_of_its_recipe_comes_to(stock: Stock) -> None:
    recipe, stored = stock
    axes = ("pair.rule=[best_worst, best_random]", "filters.margin.min_quantile=[0, 0.3, 0.6]", "pair.margin=[0, 8]")
    rows = rows_of(stock, *axes)
    assert [dict(row.settings) for row in rows] == grid(axes)
    for row in rows:
        made = cut(stored, with_changes(recipe, [f"{key}={value}" for key, value in row.settings.items()]))
        margins = made.kept["margin"].to_numpy()
        assert (row.pairs, row.kept, row.share) == (made.rows, made.kept_rows, made.kept_rows / made.rows)
        assert row.margin_mean == pytest.approx(margins.mean()) and row.margin_median == pytest.approx(np.median(margins))
    assert len({row.kept for row in rows}) > 3 and not ScriptedEngine.requests_seen


def test_relabelled_pairs_are_measured_as_they_are_afterwards(stock: Stock) -> None:
    recipe, stored = stock
    rule = "{use: strength, annotators: [contrastive_prompt, density_ratio], flip_quantile: 0.25, soften_quantile: 0.5}"
    rows = rows_of(stock, f"relabel=[[], [{rule}]]", against="contrastive_prompt")
    made = cut(stored, with_changes(recipe, [f"relabel=[{rule}]"]))
    flipped = int((made.pairs["margin"].to_numpy() < 0).sum())
    assert flipped > 0 and rows[1].turned == flipped and rows[0].turned is None
    assert rows[1].soft == made.pairs["p_chosen"].drop_null().length()
    assert rows[1].margin_mean == pytest.approx(made.kept["margin"].to_numpy().mean())
    assert rows[1].agreement is not None and rows[0].agreement is not None and rows[1].agreement > rows[0].agreement


def test_agreement_is_the_share_of_chosen_responses_that_the_other_annotator_prefers(stock: Stock) -> None:
    recipe, stored = stock
    [row] = rows_of(stock, "filters.margin.min_quantile=[0]", against="contrastive_prompt")
    table = cut(stored, with_changes(recipe, ["combine=contrastive_prompt", "pair.per_prompt=3"])).pairs
    better = set(zip(table["chosen_id"].to_pylist(), table["rejected_id"].to_pylist(), strict=True))
    scores = dict(zip(table["rejected_id"].to_pylist(), table["score_rejected"].to_pylist(), strict=True))
    pairs = cut(stored, recipe).kept
    met = list(zip(pairs["chosen_id"].to_pylist(), pairs["rejected_id"].to_pylist(), strict=True))
    best = {c for c, _ in better}
    right = sum(c in best or (r not in best and scores[c] > scores[r]) for c, r in met)
    assert (row.n, row.agreement) == (len(met), pytest.approx(right / len(met)))
    assert (row.low, row.high) == pytest.approx(wilson(right, len(met)))


def test_length_and_displacement_are_told_of_kept_pairs(stock: Stock) -> None:
    recipe, stored = stock
    rows = rows_of(stock, "filters=[[{use: ches, max_quantile: 1}], [{use: ches, max_quantile: 0.5}]]")[1:]
    scores = cut(stored, with_changes(recipe, ["filters=[{use: ches, max_quantile: 1}]"])).pairs["ches_score"].to_numpy()
    for row, kept in zip(rows, (scores, scores[scores <= np.quantile(scores, 0.5)]), strict=True):
        assert row.ches_mean == pytest.approx(kept.mean()) and row.ches_q90 == pytest.approx(np.quantile(kept, 0.9))
        assert row.longer is not None and 0 <= row.longer <= 1
        assert row.bald is None and row.agreement is None


def test_the_cut_that_the_version_has_is_marked_and_added_where_the_grid_lacks_it(stock: Stock) -> None:
    assert [row.now for row in rows_of(stock, "pair.margin=[5, 0]")] == [False, True]
    rows = rows_of(stock, "pair.margin=[5, 6]")
    assert [(row.now, dict(row.settings)) for row in rows] == [
        (True, {}),
        (False, {"pair.margin": 5}),
        (False, {"pair.margin": 6}),
    ]


def test_a_refused_point_is_a_row_with_the_reason(stock: Stock) -> None:
    rows = rows_of(stock, "pair.percentile=[null, 50]")
    assert rows[0].note is None and rows[0].kept == 40
    assert (
        rows[1].kept is None and rows[1].note is not None and "`percentile` has no effect with rule 'best_worst'" in rows[1].note
    )


def test_where_nothing_is_left_the_filter_or_the_pair_rule_is_named(stock: Stock) -> None:
    rows = rows_of(stock, "filters=[[{use: ches}, {use: margin, min: 1000}]]", "pair.margin=[0, 1000]")[1:]
    assert (rows[0].kept, rows[0].note) == (0, "every pair is dropped, by ches 4, margin 36")
    assert (rows[1].kept, rows[1].note) == (0, "no group gives a pair: no_pair_above_margin 40")


def test_a_point_whose_filter_cannot_be_scored_does_not_stop_the_others(stock: Stock, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Margin, pairs: Any) -> FilterScores:
        raise PairwrightError("the annotator stored no such column: build it again")

    monkeypatch.setattr(Margin, "score", refuse)
    rows = rows_of(stock, "filters=[[{use: margin, min: 1}], [{use: length_ratio, max: 100}]]")[1:]
    assert (rows[0].kept, rows[0].note) == (None, "the annotator stored no such column: build it again")
    assert rows[1].kept == 40


def test_a_point_whose_filter_cannot_judge_does_not_stop_the_others(stock: Stock, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Margin, values: Any) -> list[str | None]:
        raise PairwrightError("half of all margins are equal: use `centre: mean`")

    monkeypatch.setattr(Margin, "objections", refuse)
    rows = rows_of(stock, "filters=[[{use: margin, min: 1}], [{use: length_ratio, max: 100}]]")[1:]
    assert (rows[0].pairs, rows[0].kept, rows[0].note) == (40, None, "half of all margins are equal: use `centre: mean`")
    assert rows[1].kept == 40


def test_filters_that_differ_in_limits_are_scored_once(stock: Stock, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, score = Counter[str](), Margin.score

    def counted(self: Margin, pairs: Any) -> FilterScores:
        calls[self.use] += 1
        return score(self, pairs)

    monkeypatch.setattr(Margin, "score", counted)
    rows_of(stock, "filters.margin.min_quantile=[0, 0.1, 0.2, 0.3]", "filters.margin.max=[null, 20]")
    assert calls["margin"] == 1


@pytest.mark.parametrize(
    ("axes", "sentence"),
    [
        (["pair.margin"], "'pair.margin' is no axis of a grid: write a setting and a list of values"),
        (["pair.margin=0.5"], "'pair.margin=0.5' is no axis"),
        (["pair.margin=[]"], "no axis"),
        (["pair.margin=[0"], "no axis"),
        (["pair.margin=[0]", "pair.margin=[1]"], "the setting pair.margin is given twice"),
    ],
)
def test_an_axis_that_is_none_is_named(axes: list[str], sentence: str) -> None:
    with pytest.raises(PairwrightError, match=sentence.replace("[", r"\[")):
        grid(axes)


def test_a_grid_of_which_nothing_can_be_cut_is_refused_at_once(stock: Stock) -> None:
    with pytest.raises(PairwrightError, match="every point of the grid is refused; the first: .*sample"):
        points_of(stock[0], ["sample.n=[2, 8]"])


def test_an_annotator_that_is_not_there_is_named(stock: Stock) -> None:
    with pytest.raises(PairwrightError, match="there is no annotator 'contrastive'; there are density_ratio, displacement"):
        rows_of(stock, "pair.margin=[0]", against="contrastive")


def test_what_reads_the_annotator_it_is_held_against_is_named(stock: Stock) -> None:
    recipe = with_changes(stock[0], ["filters=[{use: strength, annotators: [density_ratio, contrastive_prompt], min: 0}]"])
    assert circular(recipe, "density_ratio") == ["combine", "strength"] and circular(recipe, "contrastive_prompt") == ["strength"]
    assert circular(recipe, "displacement") == []
