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
        ("margin", pa.float64()),  # below 0 where a rule turned the pair around
        ("relabelled_by", pa.string()),  # null, or the last rule that turned the pair around or softened its label
        ("p_chosen", pa.float64()),  # P(chosen is better) of a soft label; null: hard
        ("split", pa.string()),  # train | test
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
        ("p_chosen", pa.float64()),  # null: a hard label; else a trainer's label smoothing is 1 - p_chosen
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

CUTS = pa.list_(pa.struct([("token", pa.int32()), ("char", pa.int32())]))
ROLLOUTS = pa.list_(pa.struct([("role", pa.string()), ("n", pa.int32()), ("correct", pa.int32()), ("unparsed", pa.int32())]))

STEPS = pa.schema(  # the search log: one row a node of a question's tree, raw counts; every label is a view of them
    [
        ("prompt_id", pa.string()),
        ("question_id", pa.string()),  # depends on the prompt and its reference: verdicts are about both
        ("node_id", pa.string()),  # a prefix of a solution: the node's tokens after its parent's
        ("parent_id", pa.string()),  # null: the question itself
        ("depth", pa.int32()),
        ("start", pa.int32()),  # tokens of the solution before this node's own
        ("text", pa.string()),  # this node's own
        ("token_ids", pa.list_(pa.int32())),  # this node's own, without a terminator
        ("tokenizer", pa.string()),
        ("cuts", CUTS),  # where each step ends, in tokens and characters of this node's own; the last is its end
        ("n", pa.int32()),  # rollouts from here
        ("correct", pa.int32()),
        ("unparsed", pa.int32()),  # of n: no answer that could be compared; they are not correct
        ("provers", ROLLOUTS),  # the same for other roles
        ("visits", pa.int32()),
        ("value", pa.float64()),  # a value model's, or what the method says
        ("q", pa.float64()),  # mean of what was backed up through here
        ("prior", pa.float64()),  # mean log-probability of the proposal, nats per token
        ("terminal", pa.bool_()),
        ("finish_reason", pa.string()),  # of a terminal node: stop | length
        ("answer", pa.string()),
        ("verdict", pa.string()),  # of a terminal node: right | wrong | unparsed
        ("low_trust", pa.bool_()),  # too many rollouts unparsed, or none right and the verifier failed: never labelled
        ("reason", pa.string()),  # of the question: why it was set aside or stopped; of a terminal node: why it has no label
        ("method", pa.string()),
        ("model", pa.string()),
        ("tokens", pa.int32()),
        ("seconds", pa.float32()),
    ]
)

STEPWISE = pa.schema(  # TRL's stepwise supervision (prompt, completions, labels), and what every other format needs
    [
        ("prompt", pa.string()),
        ("completions", pa.list_(pa.string())),  # the labelled steps
        ("labels", pa.list_(pa.bool_())),  # hard: one a completion
        ("scores", pa.list_(pa.float64())),  # the view the recipe asked for (soft, value, advantage, ...); null where unknown
        ("tail", pa.list_(pa.string())),  # the steps after the first error, which carry no label
        ("first_error", pa.int32()),  # 0-based index into completions; null: none
        ("verdict", pa.string()),  # of the final answer: right | wrong
        ("answer", pa.string()),
        ("reference", pa.string()),
        ("n", pa.list_(pa.int32())),  # rollouts behind each label; 0: implied by a later step
        ("correct", pa.list_(pa.int32())),
        ("token_ids", pa.list_(pa.list_(pa.int32()))),  # of each completion
        ("tokenizer", pa.string()),
        ("messages", MESSAGES),
        ("model", pa.string()),
        ("method", pa.string()),
        ("prompt_id", pa.string()),
        ("solution_id", pa.string()),  # the node the solution ends in
    ]
)

STEP_PREFERENCE = pa.schema(  # two next steps after one prefix; plain text, no terminator anywhere
    [
        ("messages", MESSAGES),
        ("prefix", pa.string()),
        ("chosen", pa.string()),
        ("rejected", pa.string()),
        ("prefix_ids", pa.list_(pa.int32())),
        ("chosen_ids", pa.list_(pa.int32())),
        ("rejected_ids", pa.list_(pa.int32())),
        ("tokenizer", pa.string()),
        ("score_chosen", pa.float64()),
        ("score_rejected", pa.float64()),
        ("margin", pa.float64()),
        ("n_chosen", pa.int32()),
        ("n_rejected", pa.int32()),
        ("depth", pa.int32()),
        ("prompt_id", pa.string()),
        ("pair_id", pa.string()),
        ("chosen_id", pa.string()),  # nodes
        ("rejected_id", pa.string()),
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
    "stepwise": STEPWISE,
    "step_preference": STEP_PREFERENCE,
    "steps": STEPS,
}


def pairs_schema(filters: list[str]) -> pa.Schema:
    """The schema of `pairs` with one score column per filter name."""
    return pa.schema([*PAIRS, *[(f"{name}_score", pa.float64()) for name in filters]])


def cast(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """`table` with exactly the columns and types of `schema`; a column it lacks is an error, not a null."""
    return table.select(schema.names).cast(schema)
