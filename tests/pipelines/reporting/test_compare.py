"""Two versions side by side: every kept pair of either has a fate and a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from pairwright.errors import PairwrightError
from pairwright.pipelines.reporting.compare import compare
from pairwright.pipelines.reporting.page import Example, render
from pairwright.storage.manifest import Manifest
from pairwright.storage.schemas import DROPPED, PROMPTS, RESPONSES
from pairwright.storage.versions import Dataset
from tests.storage.sample_tables import PAIRS, commit, pair_row, prompt_row, prompts, responses, table


def fates(one: tuple[Dataset, int | None], other: tuple[Dataset, int | None]) -> dict[tuple[str, str], int]:
    found, _ = compare(one, other)
    return {(f.fate, f.why): f.n for f in found.fates}


def write(dataset: Dataset, pairs: list[dict], prompt_count: int = 6, dropped: tuple[dict, ...] = ()) -> int:
    with dataset.stage() as staging:
        staging.write("prompts", prompts(prompt_count), PROMPTS)
        staging.write("responses", responses(prompt_count), RESPONSES)
        staging.write("pairs", table(pairs, PAIRS), PAIRS)
        staging.write("dropped", table(list(dropped), DROPPED), DROPPED)
        return staging.commit(Manifest(dataset=dataset.name, filters=["length"]))


def test_every_pair_has_its_fate_and_the_reason(tmp_path: Path) -> None:
    a, b = Dataset(tmp_path, "a"), Dataset(tmp_path, "b")
    write(a, [pair_row(i) for i in range(5)] + [pair_row(5, dropped_by="length")])
    gone = {"stage": "pair", "unit": "group", "id": prompt_row(4)["prompt_id"], "reason": "all_scores_equal"}
    later = [pair_row(0), pair_row(1, 1, 0), pair_row(2, dropped_by="length"), pair_row(3, 0, 2), pair_row(5)]
    write(b, later, dropped=(gone,))
    assert fates((a, None), (b, None)) == {
        ("kept in both", ""): 1,
        ("turned around", "in B: chosen and rejected changed places"): 1,
        ("turned around", "in A: chosen and rejected changed places"): 1,
        ("lost", "in B: dropped by length"): 1,
        ("lost", "in B: another pair of the prompt is kept"): 1,
        ("lost", "in B: the prompt gives no pair: all_scores_equal"): 1,
        ("gained", "in A: another pair of the prompt is kept"): 1,
        ("gained", "in A: dropped by length"): 1,
    }
    found, page = compare((a, None), (b, None))
    assert found.count("turned around") == 1
    shown = [block for s in page.sections for block in s.blocks if isinstance(block, Example)]
    assert len(shown) == 5
    assert [pane.title for pane in shown[0].answers] == ["A: chosen", "A: rejected", "B: chosen", "B: rejected"]


def test_a_prompt_that_only_one_has_is_the_reason(tmp_path: Path) -> None:
    a, b = Dataset(tmp_path, "a"), Dataset(tmp_path, "b")
    commit(a, n=4)
    commit(b, n=6)
    assert fates((a, 1), (b, 1)) == {("kept in both", ""): 4, ("gained", "in A: the prompt is not there"): 2}
    assert fates((b, 1), (a, 1)) == {("kept in both", ""): 4, ("lost", "in B: the prompt is not there"): 2}


def test_a_version_compared_with_itself_differs_in_nothing(pairs: Dataset) -> None:
    found, page = compare((pairs, 1), (pairs, 1))
    assert found.settings == {}
    assert [(f.fate, f.n) for f in found.fates] == [("kept in both", pairs.manifest(1).rows("preference"))]
    assert not page.remarks


def test_a_recut_names_the_settings_and_adds_up(pairs: Dataset) -> None:
    found, page = compare((pairs, 1), (pairs, 2))
    assert found.settings["pair.rule"] == ("best_worst", "best_random")
    assert found.rows["preference"] == (pairs.manifest(1).rows("preference"), pairs.manifest(2).rows("preference"))
    both, turned = found.count("kept in both"), found.count("turned around")
    assert both + turned + found.count("lost") == found.rows["preference"][0]
    assert both + turned + found.count("gained") == found.rows["preference"][1]
    html = render(page)
    assert "fake version 1" in html and "fake version 2" in html
    assert html == render(compare((pairs, 1), (pairs, 2))[1])


def test_versions_without_pairs_compare_by_their_tables(steps: Dataset, pairs: Dataset) -> None:
    found, page = compare((steps, None), (steps, None))
    assert not found.fates and page.numbers[0].label == "stepwise in B"
    assert compare((steps, None), (pairs, None))[0].count("gained") == pairs.manifest(2).rows("preference")


def test_a_version_that_is_not_there_is_one_sentence(pairs: Dataset) -> None:
    with pytest.raises(PairwrightError, match="has no version 9"):
        compare((pairs, 1), (pairs, 9))
