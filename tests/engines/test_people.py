"""People answer on a sheet: the engine has nothing to say, and the journal says it instead."""

from __future__ import annotations

import pytest

from pairwright.engines.journal import Journal
from pairwright.engines.models import model_config
from pairwright.engines.people import PeopleModel
from pairwright.engines.pool import EnginePool
from pairwright.engines.requests import AWAITING, Failed, Opinion, Review, Reviewed, Usage, request_key, turns
from pairwright.engines.runner import Runner
from pairwright.errors import PairwrightError

REVIEW = Review("human", turns("Why?"), (("i", "one"), ("j", "two")), "Which is better?")


def asking(*requests):
    results = yield list(requests)
    return results


def test_whatever_nobody_has_answered_fails_at_once_as_awaiting_a_person():
    pool = EnginePool({"human": PeopleModel()})
    [(_, results)] = Runner(pool).run([("t", asking(REVIEW, REVIEW))])
    assert [r.reason for r in results] == [AWAITING, AWAITING]


def test_an_answer_in_the_journal_is_used_and_people_are_not_loaded(tmp_path):
    pool, journal = EnginePool({"human": PeopleModel()}), Journal(tmp_path)
    said = Reviewed((Opinion("Ann", "i", "clearer", 3.5), Opinion("Bob", "tie")), Usage(seconds=3.5))
    journal.put(request_key(pool.model("human"), REVIEW), said)
    journal.close()
    runner = Runner(pool, Journal(tmp_path))
    [(_, results)] = runner.run([("t", asking(REVIEW))])
    assert results == [said] and runner.stats.from_journal == 1 and not pool.loads


def test_people_do_not_answer_what_models_are_for(ask):
    pool = EnginePool({"policy": PeopleModel()})
    [(_, [result])] = Runner(pool).run([("t", asking(ask("Hello")))])
    assert isinstance(result, Failed) and result.reason == "not_supported"


def test_other_people_or_other_instructions_are_another_model():
    people = [PeopleModel(), PeopleModel(name="experts"), PeopleModel(instructions="Judge the facts only.")]
    assert len({p.fingerprint() for p in people}) == 3
    assert PeopleModel().fingerprint() == PeopleModel(name="reviewers").fingerprint()


def test_a_recipe_names_them_by_their_engine():
    config = model_config({"engine": "people", "name": "experts"})
    assert isinstance(config, PeopleModel) and config.light and config.label() == "experts"


def test_a_role_that_must_review_is_told_to_take_people(stage):
    with pytest.raises(PairwrightError, match="'human'.*set `engine: people` for `models.human`"):
        EnginePool({"human": stage.model("m")}).require("human", frozenset({"review"}), "annotator person")
