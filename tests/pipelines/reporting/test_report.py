"""The report of a version: everything that fell out is in it, secrets are not, and it is small, whole and the same every time."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from pairwright.errors import PairwrightError
from pairwright.pipelines.reporting.page import Example, Figure, Page, Section, Table, render
from pairwright.pipelines.reporting.provenance import HIDDEN, hidden
from pairwright.pipelines.reporting.report import report, write
from pairwright.storage.manifest import MANIFEST, Manifest
from pairwright.storage.parquet import read_table, write_table
from pairwright.storage.schemas import PREFERENCE, PROMPTS, RESPONSES
from pairwright.storage.versions import Dataset
from tests.pipelines.reporting.test_page import NASTY, Read
from tests.storage.sample_tables import PAIRS, pair_row, prompt_row, response_row, table

LIMIT = 3_000_000  # bytes


def section(page: Page, id: str) -> Section:
    return next(s for s in page.sections if s.id == id)


def tables(found: Section) -> list[Table]:
    return [block for block in found.blocks if isinstance(block, Table)]


def test_every_reason_of_the_accounting_is_in_the_funnel_with_its_count(pairs: Dataset) -> None:
    rows = tables(section(report(pairs), "funnel"))[0].rows
    expected = {(n, a.stage, reason) for a in pairs.manifest(2).accounting for reason, n in a.dropped.items()}
    assert expected and {(row[0], row[2], row[3]) for row in rows} == expected


def test_a_filter_section_adds_up_to_the_pairs_it_dropped_and_shows_its_limit(pairs: Dataset) -> None:
    found = section(report(pairs), "filters")
    filtered = next(a for a in pairs.manifest(2).accounting if a.stage == "filter")
    assert {row[0]: row[2] for row in tables(found)[0].rows if row[2]} == filtered.dropped
    captions = " ".join(block.caption for block in found.blocks if isinstance(block, Figure))
    assert "the 0.9 quantile" in captions and "at most 3" in captions and "threshold 0.95" in captions


def test_every_plot_has_words_for_those_who_cannot_see_it(pairs: Dataset, steps: Dataset) -> None:
    figures = [b for page in (report(pairs), report(steps)) for s in page.sections for b in s.blocks if isinstance(b, Figure)]
    assert len(figures) > 12
    assert all(f.alt and f.caption for f in figures)


def test_a_report_is_the_same_every_time_small_and_asks_no_network(pairs: Dataset) -> None:
    once, again = render(report(pairs)), render(report(pairs))
    assert once == again
    assert len(once.encode()) < LIMIT
    read = Read(once)
    assert not {"script", "img", "link", "iframe", "object"} & set(read.tags)
    assert not re.search(r'(?:src|href)="(?!#)', once), "every link stays inside the page"
    assert "@import" not in once and not re.search(r"url\((?!#)", once)


def test_examples_are_kept_and_dropped_pairs_with_their_reasons(pairs: Dataset) -> None:
    found = [b for b in section(report(pairs), "examples").blocks if isinstance(b, Example)]
    assert found[0].title.startswith("Largest margin")
    assert any("dropped by ches: " in fact for example in found for fact in example.facts)
    for example in found:
        assert [pane.kind for pane in example.answers] == ["chosen", "rejected"]
        assert example.asked and example.answers[0].text != example.answers[1].text


def test_order_bias_and_agreement_are_told_and_calibration_says_why_it_is_not(pairs: Dataset) -> None:
    page = report(pairs)
    [order] = tables(section(page, "order"))
    assert [row[0] for row in order.rows] == ["judge"]
    agreement = tables(section(page, "agreement"))[1]
    assert {(row[0], row[1]) for row in agreement.rows} == {
        ("contrastive_prompt", "density_ratio"), ("contrastive_prompt", "judge"), ("density_ratio", "judge")
    }  # fmt: skip
    calibration = section(page, "calibration")
    assert not calibration.blocks and "no labels from people" in calibration.lead


def test_annotators_are_measured_against_the_one_that_is_named(pairs: Dataset) -> None:
    found = section(report(pairs, against="judge"), "calibration")
    rows = {row[0]: row for row in tables(found)[0].rows}
    assert rows.keys() == {"density_ratio", "contrastive_prompt"}
    assert all(0 <= row[2] <= 1 and row[1] > 20 for row in rows.values())


def test_a_name_that_is_not_there_is_one_sentence(pairs: Dataset) -> None:
    with pytest.raises(PairwrightError, match="no labels of 'juge' in fake version 2.*did you mean `judge`"):
        report(pairs, against="juge")


def test_a_version_of_step_labels_has_its_own_sections(steps: Dataset) -> None:
    page = report(steps)
    ids = [s.id for s in page.sections]
    assert ids == ["funnel", "pairs", "steps", "step-pairs", "cost", "provenance"]
    assert not section(page, "pairs").blocks
    figures = {row[0]: row[1] for row in tables(section(page, "steps"))[0].rows}
    assert figures["labelled solutions"] == steps.manifest(1).rows("stepwise")
    assert page.numbers[1].value == f"{figures['labelled solutions']:,}"


def test_a_first_error_that_is_not_there_is_not_drawn(steps: Dataset) -> None:
    found = section(report(steps), "steps")
    rows = {row[0]: row[1] for row in tables(found)[0].rows}
    first = next(b for b in found.blocks if isinstance(b, Figure) and "first error" in b.alt)
    assert f"{rows['of them without an error']:,} solutions have no error" in first.caption


def bare(root: Path, text: str = "word " * 50, count: int = 30, more: Sequence[dict] = (), **manifest) -> Dataset:
    """A version with prompts, responses and pairs, and nothing else; every text is `text` and a number. more: what stands in the
    first kept pairs besides."""
    dataset = Dataset(root, "bare")
    words = [prompt_row(i) | {"messages": [{"role": "user", "content": text}]} for i in range(count)]
    replies = [response_row(i, k) | {"text": f"{text} {i} {k}"} for i in range(count) for k in range(2)]
    with dataset.stage() as staging:
        staging.write("prompts", table(words, PROMPTS), PROMPTS)
        staging.write("responses", table(replies, RESPONSES), RESPONSES)
        rows = [pair_row(i, dropped_by="length" if i % 3 else None) for i in range(count)]
        rows = [row | (more[i // 3] if row["keep"] and i // 3 < len(more) else {}) for i, row in enumerate(rows)]
        staging.write("pairs", table(rows, PAIRS), PAIRS)
        staging.write("preference", table([], PREFERENCE), PREFERENCE)
        staging.commit(Manifest(dataset="bare", filters=["length"], **manifest))
    return dataset


def test_missing_tables_are_sections_with_a_line_of_why(tmp_path: Path) -> None:
    page = report(bare(tmp_path))
    empty = {s.id: s.lead for s in page.sections if not s.blocks}
    assert set(empty) == {"length", "agreement", "order", "calibration", "steps", "cost"}
    assert all(lead.endswith(".") for lead in empty.values())


@pytest.mark.parametrize("sign", ['"', "\U0001f600"])
def test_huge_texts_make_no_huge_page(tmp_path: Path, sign: str) -> None:
    page = render(report(bare(tmp_path, sign * 8_000, count=15)))
    assert len(page.encode()) < LIMIT


def test_a_hostile_response_stays_text(tmp_path: Path) -> None:
    read = Read(render(report(bare(tmp_path, NASTY))))
    assert not {"script", "img"} & set(read.tags)
    assert NASTY in read.text


def test_secrets_never_appear(tmp_path: Path) -> None:
    secret = "sk-live-51"
    model = {
        "api_key": secret,
        "api_key_env": "MY_KEY",
        "base_url": f"https://me:{secret}@host/v1",
        "headers": [{"Authorization": secret}],
    }
    recipe = {"models": {"judge": model}, "sample": {"max_tokens": 40}}
    page = render(report(bare(tmp_path, recipe=recipe)))
    assert secret not in page
    assert "MY_KEY" in page and "max_tokens: 40" in page and HIDDEN in page


def test_what_is_no_secret_is_left_alone() -> None:
    plain = {
        "api_key_env": "X",
        "max_tokens": 3,
        "tokenizer": "t",
        "batch_tokens": 4,
        "base_url": "http://host:8000/v1",
        "password": None,
    }
    assert hidden(plain) == plain


def test_a_version_of_an_older_pairwright_without_newer_columns_reports(tmp_path: Path) -> None:
    dataset = bare(tmp_path)
    [path] = dataset.tables(1)["pairs"]
    older = [name for name in PAIRS.names if name not in ("relabelled_by", "p_chosen", "split")]
    rows = read_table(path, older)
    write_table(path, rows, rows.schema)
    assert section(report(dataset), "margins").blocks


def test_relabelled_and_held_back_pairs_are_told(tmp_path: Path) -> None:
    turned = {"margin": -0.75, "relabelled_by": "strength"}
    soft = {"p_chosen": 0.7, "relabelled_by": "strength"}
    page = report(bare(tmp_path, more=[turned, soft, {"split": "test"}]))
    [row] = tables(section(page, "margins"))[1].rows
    assert row == ("strength", 2, 1, 1, 0.7)
    assert "1 of them for testing" in page.numbers[2].note


def test_a_file_that_is_there_is_not_overwritten_unasked(pairs: Dataset, tmp_path: Path) -> None:
    page, path = report(pairs), tmp_path / "r.html"
    path.write_text("mine")
    with pytest.raises(PairwrightError, match="--force"):
        write(page, path)
    assert path.read_text() == "mine"
    write(page, path, force=True)
    assert path.read_text().startswith("<!doctype html>")


def test_a_dataset_without_a_version_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(PairwrightError, match="no version"):
        report(Dataset(tmp_path, "none"))


def test_the_manifests_hash_and_models_are_told(pairs: Dataset) -> None:
    page = render(report(pairs, 1))
    manifest = json.loads((pairs.path(1) / MANIFEST).read_text())
    assert manifest["logical_hash"] in page and manifest["build_key"] in page
    assert all(model["fingerprint"] in page for model in manifest["models"].values())
