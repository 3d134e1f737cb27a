"""From stored comparisons and scores of several annotators to pairs: a build with annotators that compare."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pairwright.annotators import registry
from pairwright.engines.scripted import ScriptedEngine
from pairwright.errors import PairwrightError
from pairwright.pipelines.build import Build
from pairwright.pipelines.cut import cut, read_groups
from pairwright.pipelines.stored import Annotations
from pairwright.storage.catalog import connect

Make = Callable[..., Build]
LONGER, SHORTER = ({"use": "voter", "name": name, "likes": name} for name in ("longer", "shorter"))
NEITHER, NOTHING = ({"use": "voter", "name": name, "likes": name} for name in ("neither", "nothing"))


@pytest.fixture(autouse=True)
def _voter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.BUILT_IN, "voter", "tests.voters:Voter")


def pairs(made: Build, columns: str) -> list[tuple[Any, ...]]:
    with connect(made.dataset, made.run().version) as con:
        return con.execute(
            f"select {columns} from pairs p join responses c on c.response_id = p.chosen_id "
            "join responses r on r.response_id = p.rejected_id order by p.pair_id"
        ).fetchall()


def test_votes_on_stored_comparisons_make_the_score(build: Make) -> None:
    made = build(annotators=[LONGER], combine={"scores": "longer", "rule": "votes"})
    rows = pairs(made, "length(c.text), length(r.text)")
    assert rows and all(chosen > rejected for chosen, rejected in rows)


def test_the_majority_of_annotators_that_compare_and_that_rate_wins(build: Make) -> None:
    annotators = [SHORTER, {**SHORTER, "name": "shorter_too"}, LONGER, "density_ratio"]
    names = ["shorter", "shorter_too", "longer", "density_ratio"]
    made = build(annotators=annotators, combine={"scores": {n: {} for n in names}, "rule": "votes"})
    rows = pairs(made, "length(c.text), length(r.text)")
    assert rows and all(chosen <= rejected for chosen, rejected in rows)


def test_votes_that_cannot_be_read_are_no_votes(build: Make) -> None:
    made = build(annotators=[NOTHING, LONGER], combine={"scores": {"nothing": {}, "longer": {}}, "rule": "votes"})
    rows = pairs(made, "length(c.text), length(r.text)")
    assert rows and all(chosen > rejected for chosen, rejected in rows)
    with pytest.raises(PairwrightError, match="no_comparison 45, cut 3"):
        build(annotators=[NOTHING], combine={"scores": "nothing", "rule": "votes"}).run()


def test_a_consensus_filter_reads_comparisons_and_scores_and_asks_no_model(build: Make) -> None:
    annotators = [LONGER, NEITHER, "density_ratio"]
    combine = {"scores": "longer"}
    build(annotators=annotators, combine=combine).run()
    ScriptedEngine.requests_seen.clear()
    filters = [{"use": "consensus", "annotators": ["longer", "neither", "density_ratio"]}]
    rows = pairs(build(annotators=annotators, combine=combine, filters=filters), "p.consensus_score, p.keep, p.reason")
    assert sum(ScriptedEngine.requests_seen.values()) == 0
    assert {round(score, 6) for score, _, _ in rows} == {round(2.5 / 3, 6), 0.5}
    assert all(keep == (score > 0.5) == (reason is None) for score, keep, reason in rows)


def test_a_contradicted_pair_is_dropped_by_name(build: Make) -> None:
    annotators = [LONGER, SHORTER, {**SHORTER, "name": "too"}]
    filters = [{"use": "consensus", "annotators": ["longer", "shorter", "too"]}]
    with pytest.raises(PairwrightError, match="the filter 'consensus' dropped 12 of 12 pairs, mostly as in 'contradicted"):
        build(annotators=annotators, combine="longer", filters=filters).run()


def test_strength_reads_the_scores_of_both_kinds_of_annotators(build: Make) -> None:
    filters = [{"use": "strength", "annotators": ["longer", "density_ratio"], "min_quantile": 0.25}]
    made = build(annotators=[LONGER, "density_ratio"], combine="density_ratio", filters=filters)
    rows = pairs(made, "p.strength_score, p.keep")
    assert sum(keep for _, keep in rows) == 9
    assert min(s for s, keep in rows if keep) > max(s for s, keep in rows if not keep)


def test_heron_and_ensembles_run_over_stored_scores(build: Make) -> None:
    scores = {"density_ratio": {"margin": 0.5}, "longer": {}}
    annotators = ["density_ratio", LONGER]
    build(annotators=annotators).run()
    ScriptedEngine.requests_seen.clear()
    heron = build(annotators=annotators, combine={"scores": scores, "rule": "heron", "order": ["density_ratio", "longer"]})
    assert all(margin == int(margin) for (margin,) in pairs(heron, "p.margin"))
    for rule in ("lower", "par"):
        assert pairs(
            build(annotators=annotators, combine={"scores": {"density_ratio": {}, "longer": {}}, "rule": rule}), "p.margin"
        )
    assert sum(ScriptedEngine.requests_seen.values()) == 0


def test_combine_names_an_annotator_that_is_not_there_in_one_sentence(build: Make) -> None:
    with pytest.raises(PairwrightError, match=r"`combine` uses 'longr', but the recipe's annotators are longer; did you mean"):
        build(annotators=[LONGER], combine={"scores": {"longr": {}}, "rule": "votes"})


def test_a_router_over_one_that_rates_and_one_that_compares_votes_in_every_group(build: Make) -> None:
    voter = {"use": "voter", "likes": "longer"}
    router = {"use": "domain_router", "name": "router", "chat": {"use": "density_ratio"}, "default": voter}
    combine = {"scores": "router", "rule": "votes"}
    made = build(annotators=[router, "density_ratio"], combine=combine)
    made.run()
    found = cut(made.stored(), made.recipe)
    assert "router:no_score" not in found.left_out.values() and "no_score" not in found.dropped.values()
    stored = made.stored()
    said = Annotations(stored).at(stored.whole)
    scores, compared = said.scores("density_ratio"), said.comparisons("router").compared
    texts = {r["response_id"]: r["text"] for _, rows in read_groups(stored, stored.whole) for r in rows}
    by = {True: 0, False: 0}
    for pair in found.pairs.to_pylist():
        chosen, rejected = pair["chosen_id"], pair["rejected_id"]
        by[chosen in compared] += 1
        if chosen in compared:
            assert len(texts[chosen]) > len(texts[rejected])
        else:
            assert scores[chosen] > scores[rejected]
    assert by[True] and by[False]
