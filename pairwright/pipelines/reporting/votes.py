"""What every annotator says of two responses: of the pairs, or of those that another annotator compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pairwright.pipelines.reporting.collect import Source
from pairwright.storage import sql

DUELS = 50_000  # at most about so many pairs are looked at
OF_PAIRS = "SELECT pair_id AS duel, prompt_id, chosen_id AS first_id, rejected_id AS second_id FROM pairs WHERE {some}"
OF_COMPARISONS = """
SELECT DISTINCT prompt_id || least(subject_id, other_id) || greatest(subject_id, other_id) AS duel, prompt_id,
       least(subject_id, other_id) AS first_id, greatest(subject_id, other_id) AS second_id
FROM annotations WHERE annotator = {name} AND other_id IS NOT NULL AND {some}
"""
WORTH = "CASE label WHEN 'a' THEN 1.0 WHEN 'b' THEN 0.0 WHEN 'tie' THEN 0.5 END"
VOTES = """
WITH duels AS MATERIALIZED ({duels}),
told AS (SELECT * FROM annotations WHERE annotator IN ({names})),
compared AS (
    SELECT d.duel, d.prompt_id, t.annotator, {worth} AS vote, t.score AS p
    FROM duels d JOIN told t ON t.prompt_id = d.prompt_id AND t.subject_id = d.first_id AND t.other_id = d.second_id
    UNION ALL
    SELECT d.duel, d.prompt_id, t.annotator, 1 - ({worth}), 1 - t.score
    FROM duels d JOIN told t ON t.prompt_id = d.prompt_id AND t.subject_id = d.second_id AND t.other_id = d.first_id
),
rated AS (
    SELECT d.duel, d.prompt_id, a.annotator, a.score - b.score AS margin
    FROM duels d
    JOIN told a ON a.prompt_id = d.prompt_id AND a.subject_id = d.first_id AND a.other_id IS NULL
    JOIN told b ON b.prompt_id = d.prompt_id AND b.subject_id = d.second_id AND b.other_id IS NULL AND b.annotator = a.annotator
),
comparers AS (SELECT DISTINCT annotator, prompt_id FROM told WHERE other_id IS NOT NULL),
said AS (
    SELECT duel, annotator, r.margin, c.p, CASE WHEN o.annotator IS NOT NULL THEN c.vote ELSE (sign(r.margin) + 1) / 2 END AS vote
    FROM rated r
    FULL JOIN compared c USING (duel, prompt_id, annotator)
    LEFT JOIN comparers o USING (annotator, prompt_id)
)
SELECT duel, {columns} FROM said GROUP BY duel ORDER BY duel
"""


@dataclass(frozen=True)
class Votes:
    """N duels of two responses each, and what each annotator says of them, in one order. votes: 1 the first is better, 0 the
    second, 1/2 a tie, None nothing. p: P(the first is better) where it compared. margins: score of the first less that of the
    second."""

    duels: Sequence[str]
    votes: dict[str, list[float | None]]
    p: dict[str, list[float | None]]
    margins: dict[str, list[float | None]]


def of_pairs(source: Source, names: Sequence[str], size: int = DUELS) -> Votes:
    """The votes on (a sample of) the pairs, kept or not; the first response is the chosen one."""
    return _votes(source, names, OF_PAIRS.format(some=source.some("pair_id", source.manifest.rows("pairs"), size)))


def of_comparisons(source: Source, names: Sequence[str], reference: str, size: int = DUELS) -> Votes:
    """The votes on (a sample of) what `reference` compared; the first response is the one with the lower id."""
    rows = source.row("SELECT count(*) AS n FROM annotations WHERE annotator = ? AND other_id IS NOT NULL", reference)["n"]
    some = source.some("prompt_id", rows, size)
    return _votes(source, names, OF_COMPARISONS.format(name=sql.literal(reference), some=some))


def against(source: Source, names: Sequence[str], reference: str) -> Votes:
    """The votes on what `reference` compared, or on the pairs if it scores single responses."""
    query = "SELECT count(*) AS n FROM annotations WHERE annotator = ? AND label IN ('a', 'b', 'tie')"
    compares = source.row(query, reference)["n"] > 0
    return of_comparisons(source, names, reference) if compares else of_pairs(source, names)


def _votes(source: Source, names: Sequence[str], duels: str) -> Votes:
    if not names:
        return Votes([], {}, {}, {})
    columns = [
        f"max({what}) FILTER (annotator = {sql.literal(name)}) AS {what}_{i}"
        for i, name in enumerate(names)
        for what in ("vote", "p", "margin")
    ]
    told = ", ".join(sql.literal(name) for name in names)
    query = VOTES.format(duels=duels, names=told, worth=WORTH, columns=", ".join(columns))
    found = source.columns(query)
    by = {what: {name: found[f"{what}_{i}"] for i, name in enumerate(names)} for what in ("vote", "p", "margin")}
    return Votes(found["duel"], by["vote"], by["p"], by["margin"])
