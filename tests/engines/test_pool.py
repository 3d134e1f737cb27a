"""Which model answers for a role, which are loaded, and what happens when one dies."""

from __future__ import annotations

from typing import Any

import pytest

from pairwright.engines.pool import EnginePool
from pairwright.engines.requests import Usage
from pairwright.errors import EngineError, PairwrightError


class TestRoles:
    def test_those_with_equal_models_share_one_engine(self, stage: Any) -> None:
        pool = EnginePool({"policy": stage.model("m"), "judge": stage.model("m"), "weak": stage.model("w")})
        assert pool.model("policy") == pool.model("judge") != pool.model("weak")
        assert pool.load(pool.model("policy"), set()) is pool.load(pool.model("judge"), set())
        assert stage.noted("load") == [""]

    def test_settings_that_do_not_change_answers_do_not_make_another_model(self, stage: Any) -> None:
        pool = EnginePool({"policy": stage.model("m"), "judge": stage.model("m", device="there")})
        assert pool.model("policy") == pool.model("judge")

    def test_one_without_a_model_is_named_with_the_fix(self, stage: Any) -> None:
        with pytest.raises(PairwrightError, match=r"'judge' has no model: add `judge:` under `models`"):
            EnginePool({"policy": stage.model("m")}).model("judge")

    def test_asking_for_the_fingerprint_loads_nothing_and_is_done_once(self, stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = []
        monkeypatch.setattr(type(stage.model("m")), "fingerprint", lambda self: asked.append(self.name) or self.name)
        pool = EnginePool({"policy": stage.model("m"), "judge": stage.model("m")})
        assert [pool.model("policy"), pool.model("judge"), pool.model("policy")] == ["m"] * 3
        assert asked == ["m"] and not stage.notes

    def test_what_an_engine_cannot_do_is_refused_in_one_sentence_with_the_fix(self, stage: Any) -> None:
        pool = EnginePool({"strong": stage.model("m")})
        pool.require("strong", frozenset({"score", "generate"}), "density_ratio")
        with pytest.raises(
            PairwrightError, match=r"filter needs entropy, hidden_sum of the role 'strong'.*`models.strong`"
        ) as error:
            pool.require("strong", frozenset({"score", "hidden_sum", "entropy"}), "the ches filter")
        assert "score" not in str(error.value)

    def test_money_and_names_come_from_the_model(self, stage: Any) -> None:
        pool = EnginePool({"policy": stage.model("m")})
        model = pool.model("policy")
        assert pool.money(model, Usage(tokens=3)) == 1.5
        assert pool.label(model) == "m"


class TestLoading:
    def pool(self, stage: Any, max_resident: int) -> tuple[EnginePool, list[str]]:
        pool = EnginePool({name: stage.model(name) for name in "abc"}, max_resident)
        return pool, [pool.model(name) for name in "abc"]

    def test_a_loaded_model_is_not_loaded_again(self, stage: Any) -> None:
        pool, (a, _, _) = self.pool(stage, 1)
        assert pool.load(a, set()) is pool.load(a, set())
        assert pool.loads == {a: 1}

    def test_an_idle_model_leaves_before_the_next_is_loaded(self, stage: Any) -> None:
        pool, (a, b, _) = self.pool(stage, 1)
        pool.load(a, set())
        pool.load(b, {a})
        assert [(what, name) for what, name, _ in stage.notes] == [("load", "a"), ("close", "a"), ("load", "b")]
        assert set(pool.resident) == {b}

    def test_no_more_idle_models_leave_than_must(self, stage: Any) -> None:
        pool, (a, b, c) = self.pool(stage, 2)
        pool.load(a, set())
        assert pool.has_room()
        pool.load(b, {a})
        assert not pool.has_room()
        pool.load(c, {a, b})
        assert set(pool.resident) == {b, c}

    def test_a_busy_model_stays(self, stage: Any) -> None:
        pool, (a, b, c) = self.pool(stage, 2)
        for model in (a, b):
            pool.load(model, set())
        pool.load(c, {b})
        assert set(pool.resident) == {a, c}

    def test_closing_frees_everything(self, stage: Any) -> None:
        pool, (a, b, _) = self.pool(stage, 2)
        pool.load(a, set())
        pool.load(b, set())
        pool.close()
        assert pool.resident == {} and len(stage.noted("close")) == 2

    def test_a_model_that_cannot_be_loaded_is_one_sentence(self, stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        pool, (a, _, _) = self.pool(stage, 1)
        self.break_loading(stage, monkeypatch, ValueError("bad header"))
        with pytest.raises(EngineError, match="cannot load a: ValueError: bad header"):
            pool.load(a, set())
        assert pool.resident == {}

    def test_an_error_that_already_has_the_fix_in_it_stays_as_it_is(self, stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        pool, (a, _, _) = self.pool(stage, 1)
        self.break_loading(stage, monkeypatch, PairwrightError("install it"))
        with pytest.raises(PairwrightError, match=r"^install it$"):
            pool.load(a, set())

    def break_loading(self, stage: Any, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
        def load(_: object) -> None:
            raise error

        monkeypatch.setattr(type(stage.model("a")), "load", load)


class TestRestart:
    def test_the_first_death_is_mended(self, stage: Any) -> None:
        pool = EnginePool({"policy": stage.model("m")})
        model = pool.model("policy")
        dead = pool.load(model, set())
        fresh = pool.restart(model, RuntimeError("gone"))
        assert fresh is not dead and pool.resident == {model: fresh}
        assert pool.loads == {model: 2} and stage.noted("close") == [""]

    def test_the_second_says_what_is_kept_and_what_to_do(self, stage: Any) -> None:
        pool = EnginePool({"policy": stage.model("m")})
        model = pool.model("policy")
        pool.load(model, set())
        pool.restart(model, RuntimeError("gone"))
        with pytest.raises(EngineError, match=r"m died twice: gone\. What is finished is kept: run the same command again"):
            pool.restart(model, RuntimeError("gone"))

    def test_each_model_has_its_own_second_chance(self, stage: Any) -> None:
        pool = EnginePool({"strong": stage.model("s"), "weak": stage.model("w")}, max_resident=2)
        for role in ("strong", "weak"):
            pool.load(pool.model(role), set())
            pool.restart(pool.model(role), RuntimeError("gone"))
        assert sorted(pool.loads.values()) == [2, 2]

    def test_an_engine_that_says_itself_that_it_is_over_is_not_tried_again(self, stage: Any) -> None:
        pool = EnginePool({"policy": stage.model("m")})
        model = pool.model("policy")
        pool.load(model, set())
        with pytest.raises(EngineError, match="m died: the key was refused"):
            pool.restart(model, EngineError("the key was refused"))
        assert pool.loads == {model: 1}

    def test_a_dead_engine_that_cannot_even_be_closed_is_replaced_all_the_same(
        self, stage: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pool = EnginePool({"policy": stage.model("m")})
        model = pool.model("policy")
        dead = pool.load(model, set())
        monkeypatch.setattr(dead, "close", lambda: 1 / 0)
        assert pool.restart(model, RuntimeError("gone")) is not dead
