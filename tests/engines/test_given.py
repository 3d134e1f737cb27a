from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pairwright.engines.given import GivenModel, read_responses
from pairwright.engines.models import model_config
from pairwright.engines.requests import (
    TRANSIENT,
    Continuation,
    Failed,
    Generate,
    Generated,
    Request,
    Result,
    Sampling,
    Score,
    check,
    turns,
)
from pairwright.errors import PairwrightError
from pairwright.pipelines.build import Build
from pairwright.pipelines.recipe import parse_recipe
from pairwright.storage.parquet import read_table
from tests.recipes import settings

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello?"}]
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write rows (or lines as they are) to a JSONL file."""

    def make(*rows: Any, name: str = "given.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
        return path

    return make


def ask(path: Path, prompt: Any = "Two?", n: int = 2, **about: Any) -> Result:
    """What the engine answers to one request, checked as the runner does."""
    return asked(path, Generate("policy", turns(prompt), Sampling(), n, **about))


def asked(path: Path, request: Request) -> Result:
    engine = GivenModel(path=str(path)).load()
    engine.submit("t", request)
    [(ticket, result)] = engine.step()
    assert ticket == "t" and engine.step() == []
    return check(request, result)


def texts(result: Result) -> list[str]:
    assert isinstance(result, Generated)
    return [c.text for c in result.completions]


def test_a_prompt_gets_its_responses_in_file_order_whatever_the_sampling(write: Write) -> None:
    path = write({"prompt": "Two?", "responses": ["b", "a", "c"]}, {"prompt": "One?", "responses": ["x"]})
    assert texts(ask(path)) == ["b", "a"]
    assert texts(ask(path, n=3, seed=7)) == ["b", "a", "c"]
    assert texts(ask(path, "One?", n=1)) == ["x"]


def test_one_response_a_row_adds_up_over_rows(write: Write) -> None:
    rows = [{"prompt": "Two?", "response": t} for t in ("b", "a")]
    path = write(rows[0], {"prompt": "One?", "response": "x"}, rows[1], {"prompt": "Two?", "responses": ["c"]})
    assert texts(ask(path, n=3)) == ["b", "a", "c"]


def test_conversations_are_matched_by_roles_and_contents(write: Write) -> None:
    path = write({"messages": MESSAGES, "responses": ["hi", "ho"]}, {"prompt": "Two?", "responses": ["2", "two"]})
    assert texts(ask(path, MESSAGES)) == ["hi", "ho"]
    assert isinstance(ask(path, "Hello?"), Failed)


def test_only_the_system_turn_of_the_recipe_may_be_missing_in_the_file(write: Write, tmp_path: Path) -> None:
    path = write({"prompt": "Two?", "responses": ["2", "two"]})
    made = settings(tmp_path, sample={"n": 2, "system": "Count."})
    made["models"]["policy"] = {"engine": "given", "path": str(path)}
    model = parse_recipe(made, "the test's recipe").models["policy"]
    assert model.fingerprint() != GivenModel(path=str(path)).fingerprint()
    engine = model.load()
    for system in ("Count.", "Speak French."):
        prompt = turns([{"role": "system", "content": system}, {"role": "user", "content": "Two?"}])
        engine.submit(system, Generate("policy", prompt, Sampling(), 2))
    answers = dict(engine.step())
    french = answers["Speak French."]
    assert texts(answers["Count."]) == ["2", "two"] and isinstance(french, Failed) and french.reason == "not_given"


def test_fresh_samples_are_not_taken_from_a_file(write: Write, tmp_path: Path) -> None:
    path = write({"prompt": "Two?", "responses": ["2", "two"]})
    fresh = {"use": "fresh_sample", "rater": {"use": "density_ratio"}}
    made = settings(tmp_path, annotators=["density_ratio", fresh], combine="density_ratio")
    made["models"]["fresh"] = {"engine": "given", "path": str(path)}
    with pytest.raises(
        PairwrightError, match="fresh_sample needs fresh_draws of the role 'fresh', which the engine 'given' does"
    ):
        Build(parse_recipe(made, "the test's recipe"), tmp_path).check()


def test_a_prompt_without_enough_responses_fails_for_good_with_a_reason(write: Write) -> None:
    path = write({"prompt": "Two?", "responses": ["b", "a"]})
    missing, few = ask(path, "Three?"), ask(path, n=3)
    assert isinstance(missing, Failed) and isinstance(few, Failed)
    assert (missing.reason, few.reason) == ("not_given", "too_few_given") and not {missing.reason, few.reason} & TRANSIENT
    assert few.detail == "given.jsonl has 2 responses to this prompt, and 3 are asked for"


def test_what_a_file_cannot_know_is_not_made_up(write: Write) -> None:
    path = write({"prompt": "Two?", "responses": ["b", "a"]})
    found = ask(path)
    assert isinstance(found, Generated) and found.usage.tokens == 0
    assert {(c.finish_reason, c.token_ids, c.logprobs, c.tokenizer) for c in found.completions} == {("stop", None, None, None)}
    score = asked(path, Score("policy", turns("Two?"), Continuation("b")))
    begun = ask(path, prefix_ids=(1, 2))
    assert isinstance(score, Failed) and isinstance(begun, Failed) and score.reason == begun.reason == "not_supported"


def test_the_model_is_the_content_of_the_file(write: Write) -> None:
    row = {"prompt": "Two?", "responses": ["b", "a"]}
    first, same, other = (
        GivenModel(path=str(write(r, name=name)))
        for name, r in (("a.jsonl", row), ("b.jsonl", row), ("c.jsonl", row | {"responses": ["b", "c"]}))
    )
    assert first.fingerprint() == same.fingerprint() != other.fingerprint()
    assert (first.label(), first.light) == ("a.jsonl", True)
    assert model_config({"engine": "given", "path": "a.jsonl"}) == GivenModel(path="a.jsonl")
    with pytest.raises(ValidationError, match="at least 1 character"):
        GivenModel(path="")


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (["{broken"], r"given.jsonl:1 is not a JSON object: each row needs 'prompt' or 'messages'"),
        ([{"prompt": "p", "response": "r"}, [1]], r"given.jsonl:2 is not a JSON object"),
        ([{"question": "p", "answer": "r"}], r"given.jsonl:1 has no conversation \(it has 'question', 'answer'\)"),
        ([{"messages": [{"role": "user"}], "response": "r"}], r"given.jsonl:1 has no conversation"),
        ([{"prompt": "p", "chosen": "r"}], r"given.jsonl:1 has no responses that are text \(it has 'prompt', 'chosen'\)"),
        ([{"prompt": "p", "responses": ["r", None]}], r"given.jsonl:1 has no responses that are text"),
        ([{"prompt": "p", "responses": []}], r"given.jsonl:1 has no responses that are text"),
        ([""], r"given.jsonl holds no responses"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(write: Write, rows: list[Any], sentence: str) -> None:
    with pytest.raises(PairwrightError, match=sentence):
        read_responses(write(*rows))


def test_a_file_that_is_not_there_or_of_another_kind_is_named(write: Write, tmp_path: Path) -> None:
    with pytest.raises(PairwrightError, match=r"there is no file of responses at .*nowhere.jsonl: correct `path`"):
        GivenModel(path=str(tmp_path / "nowhere.jsonl")).fingerprint()
    with pytest.raises(PairwrightError, match=r"neither .jsonl nor .parquet"):
        GivenModel(path=str(write("prompt,response", name="given.csv"))).load()
    with pytest.raises(PairwrightError, match=r"cannot read .*broken.parquet"):
        GivenModel(path=str(write("PAR1", name="broken.parquet"))).load()
    pq.write_table(pa.table({"question": ["p"], "answer": ["r"]}), tmp_path / "other.parquet")
    with pytest.raises(PairwrightError, match=r"other.parquet has the columns question, answer: each row needs"):
        GivenModel(path=str(tmp_path / "other.parquet")).load()


@given(st.lists(st.tuples(st.sampled_from("pqr"), st.text(st.characters(exclude_categories=["Cs"]))), min_size=1, max_size=12))
def test_both_formats_hold_the_same_responses(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]) -> None:
    folder = tmp_path_factory.mktemp("formats")
    made = [{"prompt": prompt, "response": text} for prompt, text in rows]
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
    pq.write_table(pa.Table.from_pylist(made), folder / "a.parquet")
    assert read_responses(folder / "a.jsonl") == read_responses(folder / "a.parquet")


def test_pairs_that_people_made_are_annotated_and_cut_like_any_others(tmp_path: Path) -> None:
    rows = [{"prompt": f"Question {i}?", "responses": [f"long answer {i}", f"answer {i}"]} for i in range(6)]
    (tmp_path / "rows.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in [*rows, {"prompt": "Other?", "response": "x"}])
    )
    models = settings(tmp_path)["models"] | {"policy": {"engine": "given", "path": str(tmp_path / "rows.jsonl")}}
    recipe = settings(
        tmp_path,
        models=models,
        prompts={"source": "jsonl", "path": str(tmp_path / "rows.jsonl")},
        sample={"n": 2, "system": "Be brief."},
    )
    build = Build(parse_recipe(recipe, "the test's recipe"), tmp_path)
    n = build.run().version
    preferred = [row for path in build.dataset.tables(n)["preference"] for row in read_table(path).to_pylist()]
    made = [sorted(row[side][-1]["content"] for side in ("chosen", "rejected")) for row in preferred]
    assert sorted(made) == sorted(sorted(row["responses"]) for row in rows)
    assert {row["chosen_model"] for row in preferred} == {"rows.jsonl"}
    [sample] = [a for a in build.dataset.manifest(n).accounting if a.stage == "sample"]
    assert sample.dropped == {"too_few_given": 2}
