"""Whatever the source: equal prompts have one id, every row is accounted for, and mistakes are named with their place."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from pairwright.errors import PairwrightError
from pairwright.pipelines.prompts.arithmetic import Arithmetic
from pairwright.pipelines.prompts.builtin import Builtin
from pairwright.pipelines.prompts.readers import Datasets, DuckDB, Jsonl, Parquet
from pairwright.pipelines.prompts.rows import Source
from pairwright.pipelines.prompts.sources import PromptSet, PromptSource, prompts_table, read_prompts
from pairwright.storage.schemas import PROMPTS

ROWS: list[dict[str, Any]] = [
    {"prompt": "Why is the sky blue?", "reference": "scattering", "tags": ["science"]},
    {"prompt": "What is 6 * 7?", "reference": "42", "tags": ["math", "easy"]},
    {"prompt": "Bonjour – ça va ?", "reference": None, "tags": []},
]
TALK = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}, {"role": "user", "content": "Why?"}]


def write_lines(path: Path, *lines: Any) -> Path:
    path.write_text("".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines), encoding="utf-8")
    return path


def texts(found: PromptSet) -> list[str]:
    return [prompt.messages[-1].content for prompt in found.prompts]


def complaint(sources: Source | list[Source], base: Path) -> str:
    with pytest.raises(PairwrightError) as caught:
        read_prompts(sources, base)
    text = str(caught.value)
    assert "\n" not in text and "Traceback" not in text
    return text


# ---- every kind of source gives the same prompts ----


def as_jsonl(base: Path) -> Source:
    write_lines(base / "p.jsonl", *ROWS)
    return Jsonl(path="p.jsonl")


def as_gzip(base: Path) -> Source:
    (base / "p.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, ROWS)).encode()))
    return Jsonl(path="p.jsonl.gz")


def as_parquet(base: Path) -> Source:
    pq.write_table(pa.Table.from_pylist(ROWS), base / "p.parquet")
    return Parquet(path="p.parquet")


def as_glob(base: Path) -> Source:
    (base / "parts").mkdir()
    for number, row in enumerate(ROWS):
        table = pa.Table.from_pylist([row]).cast(pa.Table.from_pylist(ROWS).schema)
        pq.write_table(table, base / "parts" / f"train-{number}.parquet")
    return Parquet(path="parts/train-*.parquet")


def as_query(base: Path) -> Source:
    as_parquet(base)
    return DuckDB(query="SELECT * FROM 'p.parquet'")


def as_database(base: Path) -> Source:
    as_parquet(base)
    with duckdb.connect(str(base / "p.duckdb")) as connection:
        connection.execute(f"CREATE TABLE asked AS SELECT * FROM '{base / 'p.parquet'}'")
    return DuckDB(query="FROM asked", database="p.duckdb")


def as_saved_dataset(base: Path) -> Source:
    import datasets

    datasets.Dataset.from_list(ROWS).save_to_disk(str(base / "saved"))
    return Datasets(name="./saved")


ALL = [as_jsonl, as_gzip, as_parquet, as_glob, as_query, as_database, as_saved_dataset]


@pytest.mark.parametrize("make", ALL)
def test_the_same_rows_give_the_same_prompts_from_every_source(make: Callable[[Path], Source], tmp_path: Path) -> None:
    expected = read_prompts(as_jsonl(tmp_path), tmp_path).prompts
    found = read_prompts(make(tmp_path), tmp_path).prompts
    assert [p.prompt_id for p in found] == [p.prompt_id for p in expected]
    assert [(p.messages, p.reference, p.tags) for p in found] == [(p.messages, p.reference, p.tags) for p in expected]
    assert [p.reference for p in found] == ["scattering", "42", None]


@pytest.mark.parametrize("make", [as_jsonl, as_parquet, as_query])
def test_a_conversation_reads_the_same_from_every_source(
    make: Callable[[Path], Source], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(f"{__name__}.ROWS", [{"prompt": TALK}, {"prompt": [{"role": "user", "content": "Why?"}]}])
    found = read_prompts(make(tmp_path), tmp_path).prompts
    assert [len(p.messages) for p in found] == [3, 1]
    assert [{"role": t.role, "content": t.content} for t in found[0].messages] == TALK


def test_an_absolute_path_is_taken_as_it_is(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "p.jsonl", *ROWS)
    assert len(read_prompts(Jsonl(path=str(path)), Path("elsewhere")).prompts) == 3


def test_a_query_reads_files_of_the_recipes_folder_and_not_of_the_working_folder(tmp_path: Path, monkeypatch: Any) -> None:
    for folder in ("recipe", "working"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "asked.csv").write_text(f"prompt\nfrom the {folder} folder\n")
    monkeypatch.chdir(tmp_path / "working")
    found = read_prompts(DuckDB(query="SELECT * FROM 'asked.csv'"), tmp_path / "recipe")
    assert texts(found) == ["from the recipe folder"]
    assert Path.cwd() == tmp_path / "working"


def test_columns_can_have_any_name(tmp_path: Path) -> None:
    write_lines(tmp_path / "p.jsonl", {"q": "Six times seven?", "a": 42, "kind": "math"})
    found = read_prompts(Jsonl(path="p.jsonl", prompt_column="q", reference_column="a", tags_column="kind"), tmp_path)
    assert [(p.reference, p.tags) for p in found.prompts] == [("42", ("math",))]


def test_sources_are_told_apart_by_their_source_field() -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(PromptSource)
    assert adapter.validate_python({"source": "jsonl", "path": "p.jsonl"}) == Jsonl(path="p.jsonl")
    assert adapter.validate_python({"source": "arithmetic", "operations": [1, 3]}) == Arithmetic(operations=(1, 3))
    for wrong in ({"source": "csv"}, {"source": "jsonl"}, {"source": "builtin", "path": "x"}, {"source": "builtin", "limit": 0}):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)


# ---- every row is accounted for ----

GOOD = st.sampled_from("abcdef").map(lambda t: {"prompt": t})
BAD = st.sampled_from(
    [
        ("not_json", "{"),
        ("not_json", "[1]"),
        ("no_text", {"prompt": " "}),
        ("no_text", {"text": "x"}),
        ("bad_messages", {"messages": TALK[:2]}),
        ("bad_reference", {"prompt": "a", "reference": []}),
    ]
)


@given(st.lists(GOOD | BAD, min_size=1, max_size=30), st.none() | st.integers(0, 5), st.none() | st.integers(1, 20))
def test_rows_in_are_rows_out_plus_rows_dropped(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], shuffle_seed: int | None, limit: int | None
) -> None:
    base = tmp_path_factory.mktemp("mix")
    write_lines(base / "p.jsonl", {"prompt": "one good row"}, *[row[1] if isinstance(row, tuple) else row for row in rows])
    source = Jsonl(path="p.jsonl", on_bad_row="drop", shuffle_seed=shuffle_seed, limit=limit)
    try:
        found = read_prompts(source, base)
    except PairwrightError as error:
        assert limit is not None and "no prompt is left" in str(error)
        return
    account = found.account
    assert account.rows_in == min(len(rows) + 1, limit or len(rows) + 1)
    assert account.rows_out == len(found.prompts) == len({p.prompt_id for p in found.prompts})
    assert account.rows_in == account.rows_out + sum(account.dropped.values())
    assert sum(account.dropped.values()) == len(found.dropped)
    assert sum(p.count for p in found.prompts) == account.rows_out + account.dropped.get("duplicate", 0)
    if limit is None:
        for reason in ("not_json", "no_text", "bad_messages", "bad_reference"):
            assert account.dropped.get(reason, 0) == sum(isinstance(row, tuple) and row[0] == reason for row in rows)


@given(st.permutations([*ROWS, {"prompt": TALK}]))
def test_ids_do_not_depend_on_the_order_of_rows(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    base = tmp_path_factory.mktemp("order")
    write_lines(base / "a.jsonl", *ROWS, {"prompt": TALK})
    write_lines(base / "b.jsonl", *rows)
    one, other = (read_prompts(Jsonl(path=name), base).prompts for name in ("a.jsonl", "b.jsonl"))
    assert {p.prompt_id for p in one} == {p.prompt_id for p in other} and len(one) == 4


def test_equal_prompts_of_two_sources_are_merged_with_their_tags_and_the_one_reference(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", {"prompt": "x", "tags": ["one"]}, {"prompt": "y"})
    write_lines(tmp_path / "b.jsonl", {"messages": [{"role": "user", "content": "x"}], "tags": ["two"], "reference": 5})
    found = read_prompts([Jsonl(path="a.jsonl"), Jsonl(path="b.jsonl")], tmp_path)
    first = found.prompts[0]
    assert (first.count, first.tags, first.reference, first.source) == (2, ("one", "two"), "5", "jsonl:a.jsonl")
    assert texts(found) == ["x", "y"]
    assert found.dropped == [(first.prompt_id, "duplicate", "b.jsonl:1 repeats a.jsonl:1")]


def test_a_repeated_prompt_with_another_reference_is_a_bad_row(tmp_path: Path) -> None:
    write_lines(tmp_path / "p.jsonl", {"prompt": "x", "reference": 1}, {"prompt": "x", "reference": 2}, {"prompt": "x"})
    assert "p.jsonl:2 repeats an earlier prompt with the reference '2' instead of '1'" in complaint(
        Jsonl(path="p.jsonl"), tmp_path
    )
    found = read_prompts(Jsonl(path="p.jsonl", on_bad_row="drop"), tmp_path)
    assert [(p.reference, p.count) for p in found.prompts] == [("1", 2)]
    assert found.account.dropped == {"conflicting_reference": 1, "duplicate": 1}


def test_a_limit_takes_the_first_rows_and_the_rest_are_not_counted(tmp_path: Path) -> None:
    write_lines(tmp_path / "p.jsonl", *ROWS, "not read, so no complaint")
    found = read_prompts(Jsonl(path="p.jsonl", limit=2), tmp_path)
    assert texts(found) == [row["prompt"] for row in ROWS[:2]] and found.account.rows_in == 2


def test_a_shuffle_depends_on_the_seed_and_not_on_the_order_of_the_file(tmp_path: Path) -> None:
    rows = [{"prompt": f"Number {i}"} for i in range(30)]
    write_lines(tmp_path / "a.jsonl", *rows)
    write_lines(tmp_path / "b.jsonl", *reversed(rows))
    a, b, other = (
        texts(read_prompts(Jsonl(path=path, shuffle_seed=seed, limit=10), tmp_path))
        for path, seed in (("a.jsonl", 1), ("b.jsonl", 1), ("a.jsonl", 2))
    )
    assert a == b != other and a != [row["prompt"] for row in rows[:10]]


def test_empty_lines_and_a_byte_order_mark_are_not_rows(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_bytes(b'\xef\xbb\xbf{"prompt": "x"}\n\n  \r\n{"prompt": "y"}')
    assert read_prompts(Jsonl(path="p.jsonl"), tmp_path).account.rows_in == 2


# ---- mistakes are named with their place and their fix ----


def test_bad_rows_are_listed_with_line_numbers_after_the_whole_file_is_read(tmp_path: Path) -> None:
    write_lines(tmp_path / "p.jsonl", {"prompt": "x"}, "{oops", *[{"promt": "y"}] * 6)
    text = complaint(Jsonl(path="p.jsonl"), tmp_path)
    assert text.startswith("7 of 8 rows of prompts cannot be used: p.jsonl:2 is not JSON (")
    assert "p.jsonl:3 (and p.jsonl:4, p.jsonl:5, p.jsonl:6) has neither" in text
    assert "p.jsonl:7" not in text and "and 2 more" in text
    assert "set `prompt_column: promt`" in text and "`on_bad_row: drop`" in text


def test_bad_rows_of_all_sources_come_in_one_error(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", "nonsense")
    write_lines(tmp_path / "b.jsonl", {"prompt": ""})
    text = complaint([Jsonl(path="a.jsonl"), Builtin(limit=3), Jsonl(path="b.jsonl")], tmp_path)
    assert "2 of 5 rows" in text and "a.jsonl:1" in text and "b.jsonl:1" in text


def test_bytes_that_are_not_utf8_are_a_bad_row_and_the_other_rows_are_read(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_bytes(b'{"prompt": "caf\xe9"}\n{"prompt": "x"}\n')
    assert "p.jsonl:1 is not UTF-8 (byte 16 of the line is 0xe9)" in complaint(Jsonl(path="p.jsonl"), tmp_path)
    found = read_prompts(Jsonl(path="p.jsonl", on_bad_row="drop"), tmp_path)
    assert texts(found) == ["x"] and found.account.dropped == {"not_json": 1}


@pytest.mark.parametrize("on_bad_row", ["stop", "drop"])
def test_an_empty_file_is_an_error_whatever_becomes_of_bad_rows(tmp_path: Path, on_bad_row: Any) -> None:
    (tmp_path / "p.jsonl").touch()
    assert "jsonl:p.jsonl holds no rows" in complaint(Jsonl(path="p.jsonl", on_bad_row=on_bad_row), tmp_path)


def test_a_file_of_bad_rows_only_leaves_no_prompt(tmp_path: Path) -> None:
    write_lines(tmp_path / "p.jsonl", "nonsense")
    assert "no prompt is left: 1 of 1 rows" in complaint(Jsonl(path="p.jsonl", on_bad_row="drop"), tmp_path)


def test_no_source_at_all_is_an_error(tmp_path: Path) -> None:
    assert "names no source" in complaint([], tmp_path)


def test_a_missing_file_suggests_the_nearest_name_beside_it(tmp_path: Path) -> None:
    write_lines(tmp_path / "prompts.jsonl", *ROWS)
    assert "is 'prompts.jsonl' meant?" in complaint(Jsonl(path="promts.jsonl"), tmp_path)
    assert "there is no folder" in complaint(Jsonl(path="data/prompts.jsonl"), tmp_path)


def test_a_folder_or_a_glob_without_a_match_is_not_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.parquet").touch()
    assert "data is a folder" in complaint(Parquet(path="data"), tmp_path)
    assert "data/*.parquet" in complaint(Parquet(path="data"), tmp_path)
    assert "no file matches data/*.jsonl" in complaint(Jsonl(path="data/*.jsonl"), tmp_path)


def test_a_broken_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "p.parquet").write_bytes(b"PAR1 not really")
    (tmp_path / "p.jsonl.gz").write_bytes(b"not packed")
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"prompt": "x"}\n' * 1000)[:40])
    assert "cannot read p.parquet" in complaint(Parquet(path="p.parquet"), tmp_path)
    assert "cannot read p.jsonl.gz" in complaint(Jsonl(path="p.jsonl.gz"), tmp_path)
    assert "cannot read cut.jsonl.gz" in complaint(Jsonl(path="cut.jsonl.gz"), tmp_path)


def test_a_table_without_a_prompt_column_is_one_mistake_and_not_many_bad_rows(tmp_path: Path) -> None:
    pq.write_table(pa.table({"question": ["a", "b"], "answer": ["c", "d"]}), tmp_path / "p.parquet")
    says = "neither 'prompt' nor 'messages'; it has 'question', 'answer'; if 'question' is meant, set `prompt_column: question`"
    assert says in complaint(Parquet(path="p.parquet", on_bad_row="drop"), tmp_path)
    assert says in complaint(DuckDB(query="FROM 'p.parquet'", on_bad_row="drop"), tmp_path)


def test_a_named_column_that_no_row_has_is_a_mistake(tmp_path: Path) -> None:
    assert "'answr', which `reference_column` names" in complaint(
        as_jsonl(tmp_path).model_copy(update={"reference_column": "answr"}), tmp_path
    )


def test_bad_rows_of_a_table_are_named_by_row_number(tmp_path: Path) -> None:
    pq.write_table(pa.table({"prompt": ["a", "", None]}), tmp_path / "p.parquet")
    text = complaint(Parquet(path="p.parquet"), tmp_path)
    assert "p.parquet:row 1 has no text" in text and "p.parquet:row 2 has nothing in 'prompt'" in text


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT promt FROM (SELECT 1 AS prompt)", 'Referenced column "promt" not found'),
        ("SELEC 1", "syntax error"),
        ("FROM nowhere", "nowhere"),
        ("CREATE TABLE t AS SELECT 1 AS prompt", "is one SELECT"),
        ("COPY (SELECT 1) TO 'out.csv'", "is one SELECT"),
        ("SELECT 1 AS prompt; SELECT 2 AS prompt", "is one SELECT"),
        ("", "is one SELECT"),
        ("SELECT 'x' AS prompt WHERE false", "holds no rows"),
    ],
)
def test_a_query_that_does_not_run_is_one_sentence(tmp_path: Path, query: str, says: str) -> None:
    assert says in complaint(DuckDB(query=query), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_missing_database_suggests_the_nearest_name(tmp_path: Path) -> None:
    as_database(tmp_path)
    assert "is 'p.duckdb' meant?" in complaint(DuckDB(query="SELECT 1 AS prompt", database="p.duckd"), tmp_path)


def test_a_dataset_that_is_not_there_or_not_reachable_is_one_sentence(tmp_path: Path, monkeypatch: Any) -> None:
    import datasets

    assert "there is no folder ./saved" in complaint(Datasets(name="./saved"), tmp_path)

    def offline(*_: Any, **__: Any) -> None:
        raise ConnectionError("Couldn't reach the Hub\n\nlong hints")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    text = complaint(Datasets(name="some/where", split="test"), tmp_path)
    assert "cannot load 'some/where'" in text and "Couldn't reach the Hub" in text and "hints" not in text


# ---- the table ----


def test_the_table_has_the_prompts_schema_and_the_prompts_in_order(tmp_path: Path) -> None:
    write_lines(tmp_path / "p.jsonl", {"prompt": TALK, "tags": ["t"]}, {"prompt": "x", "reference": 3}, {"prompt": "x"})
    found = read_prompts(Jsonl(path="p.jsonl"), tmp_path)
    table = prompts_table(found)
    assert table.schema == PROMPTS
    assert table["prompt_id"].to_pylist() == [p.prompt_id for p in found.prompts]
    assert table["messages"][0].as_py() == TALK
    assert table["reference"].to_pylist() == [None, "3"] and table["count"].to_pylist() == [1, 2]


def test_a_prompt_never_holds_its_reference(tmp_path: Path) -> None:
    found = read_prompts([as_jsonl(tmp_path), Arithmetic(count=200, digits=2)], tmp_path)
    for prompt in found.prompts:
        given = [word.strip(".,?") for turn in prompt.messages for word in turn.content.split()]
        assert prompt.reference is None or prompt.reference not in given
