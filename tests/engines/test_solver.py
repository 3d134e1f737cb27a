"""The simulated solver: what is wrong and since when is known, whatever prefix it goes on from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.engines.requests import (
    Choose,
    Chosen,
    Completion,
    Continuation,
    Failed,
    Generate,
    Generated,
    Sampling,
    Score,
    Scored,
    Turn,
    check,
    needs_of,
    turns,
)
from pairwright.engines.scripted import END, answer
from pairwright.engines.solver import DELIMITER, SolverModel, first_error, ids_of, text_of

RIGHT, ASK = r"\boxed{42}", turns("What is six times seven?")


def model(**settings: Any) -> SolverModel:
    return SolverModel(**settings)


def made(config: SolverModel, n: int = 1, prefix: tuple[int, ...] = (), seed: int = 0, **sampling: Any) -> list[Completion]:
    """Sound completions of the one question."""
    request = Generate("policy", ASK, Sampling(**sampling), n, seed, prefix)
    result = answer(config, request)
    assert check(request, result) is result and isinstance(result, Generated)
    return list(result.completions)


def steps(text: str) -> list[str]:
    return text.split(DELIMITER)[:-1]


def prefix_with_an_error(**settings: Any) -> tuple[int, ...]:
    (first,) = made(model(error=1, **settings), stop=(DELIMITER,), keep_stop=True)
    assert first.token_ids and first_error(first.text) == 0
    return first.token_ids


class TestSolution:
    def test_is_right_exactly_if_no_step_is_wrong(self) -> None:
        found = made(model(error=0.15), n=300)
        assert {first_error(c.text) is None for c in found} == {True, False}
        for c in found:
            assert (RIGHT in c.text) == (first_error(c.text) is None) and c.text.count(r"\boxed{") == 1

    def test_stays_wrong_after_its_first_error(self) -> None:
        for c in made(model(error=0.3), n=100):
            bad = ["bad:" in step for step in steps(c.text)]
            where = first_error(c.text)
            assert bad == sorted(bad) and (bad.index(True) if any(bad) else None) == where

    def test_errs_as_often_as_it_is_told(self) -> None:
        found = made(model(error=0.1, steps=(5, 5)), n=3000)
        assert sum(RIGHT in c.text for c in found) / 3000 == pytest.approx(0.9**5, abs=0.03)
        assert sum(first_error(c.text) == 2 for c in found) / 3000 == pytest.approx(0.9**2 * 0.1, abs=0.02)

    def test_has_as_many_steps_as_it_may(self) -> None:
        assert {len(steps(c.text)) for c in made(model(steps=(2, 4)), n=100)} == {2, 3, 4}
        with pytest.raises(ValueError, match="the fewest steps, at least 0, and the most"):
            model(steps=(4, 2))

    def test_has_steps_of_more_than_five_tokens_each_ending_inside_a_token(self) -> None:
        """So that no step is merged into its neighbour."""
        for c in made(model(), n=20):
            assert all(len(ids_of(step + DELIMITER)) >= 6 for step in steps(c.text))
            assert len(ids_of(c.text.split(DELIMITER)[-1])) >= 6
            assert sum(DELIMITER in text_of([i]) for i in c.token_ids or ()) == len(steps(c.text))

    def test_may_state_no_answer_nor_any_number(self) -> None:
        found = made(model(unparsed=0.4), n=1000)
        shrugs = [c.text for c in found if "boxed" not in c.text]
        assert len(shrugs) / 1000 == pytest.approx(0.4, abs=0.05)
        assert not any(char.isdigit() for text in shrugs for char in text)

    @pytest.mark.parametrize("wanted", ["42", "7", r"\frac{1}{2}", "1.0"])
    def test_never_states_the_answer_by_mistake(self, wanted: str) -> None:
        for c in made(model(answer=wanted, error=1), n=300):
            said = c.text.partition(r"\boxed{")[2].removesuffix("}")
            assert said and said != wanted and (not wanted[0].isdigit() or float(said) != float(wanted))


class TestTokens:
    @given(st.text(st.characters(exclude_categories=["Cs"])))
    def test_any_text_comes_back_from_its_ids(self, text: str) -> None:
        assert text_of((*ids_of(text), END)) == text

    def test_of_a_completion_are_those_of_its_text_and_say_where_they_end(self) -> None:
        for c in made(model(), n=20):
            assert c.token_ids == (*ids_of(c.text), END) and c.ends is not None and c.logprobs is not None
            assert c.ends == tuple(len(text_of(c.token_ids[: i + 1])) for i in range(len(c.token_ids)))
            assert len(c.logprobs) == len(c.token_ids) and max(c.logprobs) < 0

    def test_have_the_same_logprobs_when_scored(self) -> None:
        (c,) = made(model())
        scored = answer(model(), Score("policy", ASK, Continuation(c.text, c.token_ids, c.tokenizer)))
        assert isinstance(scored, Scored) and tuple(scored.logprobs.tolist()) == c.logprobs


class TestPrefix:
    @given(st.integers(0, 20), st.data())
    def test_may_end_at_any_token_and_the_whole_is_a_solution_all_the_same(self, seed: int, data: st.DataObject) -> None:
        config = model(error=0.2, recover=0.3, unparsed=0.1)
        (whole,) = made(config, seed=seed)
        ids = whole.token_ids or ()
        cut = ids[: data.draw(st.integers(0, len(ids) - 1))]
        (rest,) = made(config, prefix=cut, seed=seed + 1)
        *lines, last = (text_of(cut) + rest.text).split(DELIMITER)
        assert rest.token_ids == (*ids_of(rest.text), END)
        assert all(line.startswith(("step good: ", "step bad: ")) and len(line.split()) >= 6 for line in lines)
        assert last == "so nobody can tell us what it is" or (last.startswith(r"so the answer is \boxed{") and last[-1] == "}")
        assert last.count("{") == last.count("}") and (3 <= len(lines) <= 12)

    def test_without_an_error_is_gone_on_with_as_if_begun_anew(self) -> None:
        config = model(error=0.1, steps=(6, 6))
        (start,) = made(model(error=0, steps=(6, 6)))
        begun = ids_of(DELIMITER.join(steps(start.text)[:4]) + DELIMITER)
        found = made(config, 2000, begun)
        assert {len(steps(c.text)) for c in found} == {2}
        assert sum(RIGHT in c.text for c in found) / 2000 == pytest.approx(0.81, abs=0.03)

    def test_with_an_error_is_never_right_unless_it_recovers(self) -> None:
        begun = prefix_with_an_error()
        assert all("good" not in c.text and RIGHT not in c.text for c in made(model(error=0), 200, begun))
        found = made(model(error=0.5, recover=0.2), 2000, begun)
        assert sum(RIGHT in c.text for c in found) / 2000 == pytest.approx(0.2, abs=0.03)
        assert all(("bad" in c.text) != (RIGHT in c.text) for c in found)

    def test_that_spells_the_answer_after_an_error_does_not_become_right(self) -> None:
        begun = (*prefix_with_an_error(), *ids_of(r"so the answer is \boxed{42"))
        assert all(len(c.text) > 1 and c.text[-1] == "}" for c in made(model(), 50, begun))

    def test_that_is_whole_is_only_ended(self) -> None:
        (whole,) = made(model())
        assert {c.token_ids for c in made(model(), 5, ids_of(whole.text))} == {(END,)}


class TestSampling:
    def test_depends_on_seed_content_and_place_alone(self) -> None:
        config = model(error=0.2)
        assert made(config, 3) == made(config, 5)[:3] == made(model(error=0.2, batch=1, delay_s=0.1), 3)
        assert made(config, 3) != made(config, 3, seed=1) != made(model(error=0.2, seed=1), 3)
        assert len(set(made(config, 3, temperature=0))) == 1 and made(config, temperature=0) == made(
            config, seed=9, temperature=0
        )

    def test_keeps_the_stop_string_in_the_token_that_completes_it(self) -> None:
        free, kept, cut = (made(model(steps=(3, 9)), 5, **how) for how in (
            {}, {"stop": (DELIMITER,), "keep_stop": True}, {"stop": (DELIMITER,)}))  # fmt: skip
        for a, b in zip(kept, cut, strict=True):
            assert a.text == b.text + DELIMITER and a.finish_reason == b.finish_reason == "stop"
            assert a.token_ids == ids_of(a.text) and (b.token_ids, b.logprobs, b.ends) == (None, None, None)
        assert all(len(steps(c.text)) == 1 for c in kept) and all(len(steps(c.text)) >= 3 for c in free)

    def test_step_by_step_comes_to_an_end(self) -> None:
        config, begun = model(error=0.2, steps=(2, 5)), ()
        asked = 0
        while END not in begun:
            (c,) = made(config, 1, begun, stop=(DELIMITER,), keep_stop=True)
            begun, asked = (*begun, *(c.token_ids or ())), asked + 1
        assert 2 <= asked - 1 <= 5 and len(steps(text_of(begun))) == asked - 1

    def test_is_cut_by_max_tokens_or_as_often_as_it_is_told(self) -> None:
        (c,) = made(model(), max_tokens=7)
        assert (c.finish_reason, len(c.token_ids or ()), c.ends and c.ends[-1]) == ("length", 7, len(c.text))
        found = made(model(cut=0.3), 1000)
        assert sum(c.finish_reason == "length" for c in found) / 1000 == pytest.approx(0.3, abs=0.05)
        assert all((END in (c.token_ids or ())) == (c.finish_reason == "stop") for c in found)


class TestJudge:
    def ask(self, text: str, **settings: Any) -> tuple[float, ...]:
        result = answer(model(**settings), Choose("judge", (*ASK, Turn("assistant", text)), ("Yes", "No")))
        assert isinstance(result, Chosen)
        return result.probabilities

    def test_says_yes_to_a_text_without_an_error(self) -> None:
        assert self.ask("step good: korimu") == pytest.approx((0.9, 0.1))
        assert self.ask("step good: korimu\n\nstep bad: batego") == pytest.approx((0.1, 0.9))

    def test_is_mistaken_as_often_as_it_is_told(self) -> None:
        yes = [self.ask(f"step bad: {i}", judge_noise=0.2)[0] > 0.5 for i in range(1000)]
        assert sum(yes) / 1000 == pytest.approx(0.2, abs=0.04)


class TestEngine:
    def test_answers_what_it_provides_and_says_what_it_does_not(self) -> None:
        assert needs_of(Generate("p", ASK, Sampling(), prefix_ids=(1,))) == {"generate", "prefix_ids"} <= model().provides
        refused = answer(model(), Score("p", ASK, Continuation("x"), want=frozenset({"entropy"})))
        assert isinstance(refused, Failed) and refused.reason == "not_supported"

    def test_fails_as_often_as_it_is_told_and_notes_what_it_spends(self, tmp_path: Path) -> None:
        config = SolverModel.model_validate(
            {"faults": {"server_error": 0.3}, "spent_file": str(tmp_path / "spent"), "batch": 50, "window": 7}
        )
        engine = config.load()
        for i in range(200):
            engine.submit(str(i), Generate("p", ASK, Sampling(), seed=i))
        found = dict(pair for _ in range(4) for pair in engine.step())
        failed = [r for r in found.values() if isinstance(r, Failed)]
        assert len(found) == 200 and 30 < len(failed) < 90 and {r.reason for r in failed} == {"server_error"}
        assert sum(map(int, (tmp_path / "spent").read_text().split())) == sum(r.usage.tokens for r in found.values())
        assert engine.window == 7

    def test_has_a_fingerprint_of_what_answers_depend_on(self) -> None:
        same = [model(), model(window=2, batch=3, delay_s=1)]
        changes: list[dict[str, Any]] = [{"seed": 1}, {"answer": "7"}, {"steps": (3, 5)}, {"error": 0.5}]
        changes += [{name: 0.5} for name in ("recover", "unparsed", "cut", "judge_noise")]
        assert len({m.fingerprint() for m in same}) == 1
        assert len({model(**c).fingerprint() for c in [{}, *changes]}) == len(changes) + 1
