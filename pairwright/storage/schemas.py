"""The tables, each with one Arrow schema, written here and cast on write. Ids are content hashes; joins are by id only."""

from __future__ import annotations

import pyarrow as pa

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
PARTS = pa.list_(pa.struct([("name", pa.string()), ("value", pa.float64())]))  # no map<>: `datasets` refuses it

PROMPTS = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("messages", MESSAGES),
        ("reference", pa.string()),
        ("tags", pa.list_(pa.string())),
        ("source", pa.string()),
        ("count", pa.int32()),  # how many equal prompts were merged into this one
    ]
)

RESPONSES = pa.schema(
    [
        ("response_id", pa.string()),
        ("prompt_id", pa.string()),
        ("index", pa.int32()),
        ("text", pa.string()),
        ("token_ids", pa.list_(pa.int32())),
        ("token_logprobs", pa.list_(pa.float32())),
        ("tokenizer", pa.string()),
        ("finish_reason", pa.string()),  # stop | length
        ("model", pa.string()),
        ("sampling", pa.string()),  # JSON
        ("seed", pa.int64()),
        ("reason", pa.string()),  # null, or why there is no response: then text is null
        ("tokens", pa.int32()),
        ("seconds", pa.float32()),
    ]
)

ANNOTATIONS = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("group_id", pa.string()),
        ("subject_id", pa.string()),  # a response
        ("other_id", pa.string()),  # the second response where two are compared
        ("annotator", pa.string()),  # its name in the recipe
        ("method", pa.string()),
        ("fingerprint", pa.string()),
        ("score", pa.float64()),
        ("label", pa.string()),  # a | b | tie | invalid where two are compared
        ("valid", pa.bool_()),
        ("reason", pa.string()),  # null, or why score and label are missing
        ("confidence", pa.float64()),
        ("parts", PARTS),
        ("raw", pa.string()),
        ("tokens", pa.int32()),
        ("seconds", pa.float32()),
    ]
)

PAIRS = pa.schema(
    [
        ("pair_id", pa.string()),
        ("prompt_id", pa.string()),
        ("chosen_id", pa.string()),
        ("rejected_id", pa.string()),
        ("score_chosen", pa.float64()),
        ("score_rejected", pa.float64()),
        ("margin", pa.float64()),
        ("keep", pa.bool_()),
        ("dropped_by", pa.string()),  # null, or the name of the first filter that said no
        ("reason", pa.string()),  # null, or that filter's sentence
        # one float64 column `<filter>_score` per filter follows
    ]
)

DROPPED = pa.schema(
    [
        ("stage", pa.string()),
        ("unit", pa.string()),
        ("id", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
    ]
)

PREFERENCE = pa.schema(
    [
        ("prompt", MESSAGES),
        ("chosen", MESSAGES),
        ("rejected", MESSAGES),
        ("score_chosen", pa.float64()),
        ("score_rejected", pa.float64()),
        ("margin", pa.float64()),
        ("prompt_id", pa.string()),
        ("pair_id", pa.string()),
        ("chosen_id", pa.string()),
        ("rejected_id", pa.string()),
        ("chosen_model", pa.string()),
        ("rejected_model", pa.string()),
    ]
)

UNPAIRED = pa.schema(
    [
        ("prompt", MESSAGES),
        ("completion", MESSAGES),
        ("label", pa.bool_()),
        ("score", pa.float64()),
        ("prompt_id", pa.string()),
        ("response_id", pa.string()),
        ("model", pa.string()),
    ]
)

TABLES: dict[str, pa.Schema] = {
    "preference": PREFERENCE,
    "unpaired": UNPAIRED,
    "prompts": PROMPTS,
    "responses": RESPONSES,
    "annotations": ANNOTATIONS,
    "pairs": PAIRS,
    "dropped": DROPPED,
}


def pairs_schema(filters: list[str]) -> pa.Schema:
    """The schema of `pairs` with one score column per filter name."""
    return pa.schema([*PAIRS, *[(f"{name}_score", pa.float64()) for name in filters]])


def cast(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """`table` with exactly the columns and types of `schema`; a column it lacks is an error, not a null."""
    return table.select(schema.names).cast(schema)
