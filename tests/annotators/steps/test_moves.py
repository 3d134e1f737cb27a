from __future__ import annotations

import pytest
from pydantic import ValidationError

from pairwright.annotators.steps.base import RolloutSampling, Stopped, guarded, together
from pairwright.annotators.steps.moves import Moves
from pairwright.annotators.steps.segment import Delimiter, Tokens
from pairwright.annotators.steps.tree import ROOT, Question
from pairwright.engines.requests import Completion, Generate, Generated, Turn, Usage, Verified, Verify, turns
from tests.annotators.steps.step_world import END, StepWorld, ids_of, question, settings, text_of, verdict

NEW = "\n\n"


def begun(**more):
    return Moves(question(), settings(**more))


def said(*texts: str) -> StepWorld:
    """A world that goes on with these texts, one a sample; from any prefix."""
    return StepWorld(lambda text, i, request: texts[i % len(texts)])


def along(*whole: str) -> StepWorld:
    """A world with these whole solutions: sample i goes on as the i-th of those that begin with the prefix."""

    def says(text, i, request):
        rest = [w[len(text) :] for w in whole if w.startswith(text)]
        return rest[i % len(rest)]

    return StepWorld(says)


class TestEstimate:
    def test_counts_verdicts_and_cuts_rollouts_into_steps_without_the_terminator(self):
        moves, world = begun(), said("a\n\nb\n\n=right", "c\n\n=wrong", "nothing")
        found = world.run(moves.estimate(ROOT, 3))
        count = moves.tree.count(ROOT, "policy")
        assert (count.n, count.correct, count.unparsed) == (3, 1, 1)
        assert [r.verdict for r in found] == ["right", "wrong", "unparsed"]
        assert [r.reason for r in found] == [None, None, "no_answer"]
        assert found[0].piece.ids == ids_of("a\n\nb\n\n=right")
        assert [found[0].piece.part(i, i + 1).text for i in range(3)] == ["a\n\n", "b\n\n", "=right"]
        assert found[0].prior == -1.0

    def test_goes_on_from_the_exact_ids_and_verifies_the_whole_text(self):
        moves, world = begun(), along("a =wrong\n\n=right")
        (node,) = world.run(moves.expand(ROOT, 1))
        world.run(moves.estimate(node, 2))
        assert world.seen[-3].prefix_ids == ids_of("a =wrong\n\n")
        assert [r.text for r in world.seen[-2:]] == ["a =wrong\n\n=right"] * 2

    def test_leaves_the_prefix_out_of_the_length_limit(self):
        moves, world = begun(max_tokens=10), along("a b c\n\nd e f\n\n=right")
        (node,) = world.run(moves.expand(ROOT, 1))
        world.run(moves.estimate(node, 1))
        assert world.of(Generate)[-1].sampling.max_tokens == 7

    def test_a_rollout_that_was_cut_is_verified_as_such(self):
        moves, world = begun(max_tokens=3), said("a b =right c d", "a boxed =right d e")
        found = world.run(moves.estimate(ROOT, 2))
        assert [(r.finish, r.verdict, r.reason) for r in found] == [("length", "unparsed", "cut"), ("length", "right", None)]
        assert [r.cut for r in world.of(Verify)] == [True, True]

    def test_where_the_length_limit_leaves_no_room_every_rollout_is_cut_and_nobody_is_asked(self):
        moves, world = begun(max_tokens=2), said("=right")
        node = moves.tree.add(ROOT, moves.piece_of(world._made("a b ", ids_of("a b "), "length")))
        found = world.run(moves.estimate(node, 3))
        count = moves.tree.count(node, "policy")
        assert [(r.verdict, r.reason) for r in found] == [("unparsed", "cut")] * 3
        assert (count.n, count.unparsed, count.low_trust, world.seen, moves.spent["rollouts"]) == (3, 3, True, [], 0)

    def test_a_failure_of_the_verifier_is_counted_apart_from_an_answer_it_cannot_read(self):
        class Crashing(StepWorld):
            def answer(self, request):
                crash = isinstance(request, Verify) and "=right" in request.text
                return Verified("unparsed", None, "time_out") if crash else super().answer(request)

        moves = begun()
        Crashing(lambda text, i, request: ["=right", "=wrong", "mumble", *["=wrong"] * 7][i]).run(moves.estimate(ROOT, 10))
        count = moves.tree.count(ROOT, "policy")
        assert (count.correct, count.unparsed, count.failed, count.low_trust) == (0, 2, 1, True)

    def test_another_role_has_counts_of_its_own(self):
        moves, world = begun(), said("=right")
        world.run(moves.estimate(ROOT, 2, "prover"))
        assert {role: c.n for role, c in moves.tree.counts[ROOT].items()} == {"prover": 2}
        assert {r.role for r in world.of(Generate)} == {"prover"}


class TestSeeds:
    def test_asking_the_same_again_draws_anew_and_a_second_run_asks_exactly_the_same(self):
        runs = []
        for _ in range(2):
            moves, world = begun(), said("=right")
            for _ in range(2):
                world.run(moves.estimate(ROOT, 2))
            runs.append(world.seen)
        assert runs[0] == runs[1]
        first, second = (r for r in runs[0] if isinstance(r, Generate))
        assert first.seed != second.seed and first.prefix_ids == second.prefix_ids

    def test_depend_on_the_question_the_role_and_the_recipe(self):
        def seed(moves, role=None):
            world = said("=right")
            world.run(moves.estimate(ROOT, 1, role))
            return world.of(Generate)[0].seed

        seeds = [seed(begun()), seed(begun(), "other"), seed(begun(seed=1)), seed(Moves(question("q"), settings()))]
        assert len(set(seeds)) == 4 and seed(begun()) == seeds[0]

    def test_what_is_greedy_is_asked_only_once(self):
        moves, world = begun(), said("a\n\n")
        assert world.run(moves.expand(ROOT, 1, temperature=0)) == world.run(moves.expand(ROOT, 1, temperature=0))
        first, second = world.of(Generate)
        assert first == second and first.sampling.temperature == 0


class TestExpand:
    def test_a_child_is_one_step_with_its_delimiter_and_equal_steps_are_one_child(self):
        moves, world = begun(), said("b\n\nc", "a\n\nd", "b\n\ne")
        children = world.run(moves.expand(ROOT, 3))
        assert [moves.tree.text(c) for c in children] == ["b\n\n", "a\n\n"]
        assert [moves.tree.piece[c].cuts for c in children] == [((1, 3),)] * 2
        assert not any(moves.tree.terminal) and not world.of(Verify)
        assert [moves.tree.prior[c] for c in children] == [-1.0, -1.0]

    def test_a_child_it_had_before_is_named_again_and_keeps_its_prior(self):
        moves = begun()
        (first,) = said("a\n\n").run(moves.expand(ROOT, 1))
        world = StepWorld(lambda text, i, request: ["b\n\n", "a\n\n"][i], lp=lambda role, token: -2.0)
        again = world.run(moves.expand(ROOT, 2))
        assert again[1] == first and len(moves.tree) == 3
        assert [moves.tree.prior[c] for c in again] == [-2.0, -1.0]

    def test_a_step_that_ends_the_solution_is_verified(self):
        moves, world = begun(), said("=right", "=wrong", "a\n\n=right")
        right, wrong, going = world.run(moves.expand(ROOT, 3))
        tree = moves.tree
        assert [(tree.terminal[c], tree.verdict[c], tree.finish[c]) for c in (right, wrong, going)] == [
            (True, "right", "stop"),
            (True, "wrong", "stop"),
            (False, None, None),
        ]
        assert tree.prefix(right) == ids_of("=right")

    @pytest.mark.parametrize("opening", ["1.\n\n", "\n\n", "- \n\n", "$$\n\nx\n\n$$ "])
    def test_what_is_not_yet_a_step_goes_on(self, opening):
        moves, world = begun(), along(f"{opening}first\n\nsecond\n\n=right")
        (child,) = world.run(moves.expand(ROOT, 1))
        assert moves.tree.text(child) == f"{opening}first\n\n"
        assert moves.tree.prefix(child) == ids_of(f"{opening}first\n\n")
        assert moves.tree.piece[child].cuts == ((len(moves.tree.prefix(child)), len(moves.tree.text(child))),)

    def test_a_short_step_goes_on(self):
        moves = begun(segment=Delimiter(min_step_tokens=3))
        (child,) = along("a\n\nb\n\nc d\n\ne").run(moves.expand(ROOT, 1))
        assert moves.tree.text(child) == "a\n\nb\n\nc d\n\n"

    def test_a_delimiter_in_what_went_before_does_not_hide_that_the_solution_ended(self):
        moves, world = begun(), along("1.\n\n=right")
        (child,) = world.run(moves.expand(ROOT, 1))
        assert (moves.tree.terminal[child], moves.tree.verdict[child]) == (True, "right")

    def test_what_goes_on_is_asked_side_by_side_with_seeds_of_its_own(self):
        moves, world = begun(), said("- \n\n", "* \n\n", "- \n\n")
        task = moves.expand(ROOT, 3)
        (first,) = next(task)
        more = task.send([world.answer(first)])
        assert [text_of(r.prefix_ids) for r in more] == ["- \n\n", "* \n\n", "- \n\n"]
        assert len({r.seed for r in more}) == 3

    def test_prior_is_the_mean_over_all_tokens_of_a_step_made_in_parts(self):
        prices = {"- \n\n": -4.0, "b ": -1.0, "c\n\n": -1.0}
        world = along("- \n\nb c\n\n=right")
        world.lp = lambda role, token: prices.get(text_of((token,)), -9.0)
        moves = begun()
        (child,) = world.run(moves.expand(ROOT, 1))
        assert moves.tree.prior[child] == pytest.approx(-2.0)

    def test_a_step_that_reaches_its_limit_is_a_step(self):
        moves, world = begun(segment=Delimiter(min_step_tokens=1, max_step_tokens=2)), along("a b c d\n\n=right")
        (child,) = world.run(moves.expand(ROOT, 1))
        assert moves.tree.text(child) == "a b " and not moves.tree.terminal[child]

    def test_what_never_becomes_a_step_is_one_at_the_limit(self):
        moves, world = begun(segment=Delimiter(min_step_tokens=1, max_step_tokens=4)), said("- \n\n")
        (child,) = world.run(moves.expand(ROOT, 1))
        assert moves.tree.text(child) == "- \n\n" * 4 and len(world.of(Generate)) == 4

    def test_what_goes_on_may_not_make_the_step_longer_than_the_limit(self):
        moves, world = begun(segment=Delimiter(min_step_tokens=1, max_step_tokens=4)), along("- \n\na b c d e\n\n=right")
        (child,) = world.run(moves.expand(ROOT, 1))
        assert moves.tree.text(child) == "- \n\na b c "

    def test_a_completion_without_a_token_is_no_child(self):
        task = begun().expand(ROOT, 1)
        next(task)
        with pytest.raises(StopIteration) as end:
            results = task.send([Generated((Completion("", "length", (), (), "words", ()),))])
            task.send([verdict(r.text) for r in results])
        assert end.value.value == []

    def test_a_solution_that_reaches_the_length_limit_is_over(self):
        moves, world = begun(max_tokens=3), along("a b\n\nc d e f")
        (child,) = world.run(moves.expand(ROOT, 1))
        (leaf,) = world.run(moves.expand(child, 1))
        tree = moves.tree
        assert (tree.text(leaf), tree.finish[leaf], tree.verdict[leaf], tree.reason[leaf]) == (
            "a b\n\nc ",
            "length",
            "unparsed",
            "no_answer",
        )

    def test_a_solution_for_which_the_model_has_no_more_room_is_over(self):
        world = along("a b\n\nc d e f")
        world.context = 4
        moves = begun()
        (child,) = world.run(moves.expand(ROOT, 1))
        (leaf,) = world.run(moves.expand(child, 1))
        assert (moves.tree.text(leaf), moves.tree.terminal[leaf], moves.tree.finish[leaf]) == ("a b\n\nc d ", True, "length")

    def test_an_end_that_says_nothing_more_is_that_of_the_step_before(self):
        moves, world = begun(), along("so =right\n\n")
        (child,) = world.run(moves.expand(ROOT, 1))
        assert not moves.tree.terminal[child]
        assert world.run(moves.expand(child, 1)) == []
        tree = moves.tree
        assert (tree.terminal[child], tree.verdict[child], tree.finish[child], tree.reason[child]) == (
            True,
            "right",
            "stop",
            None,
        )
        assert world.of(Verify)[0].text == "so =right\n\n" and len(tree) == 2

    def test_a_blank_end_is_no_step_either_and_what_else_was_sampled_is_kept(self):
        moves = begun()
        world = StepWorld(lambda text, i, request: [" \n", "or =wrong"][i] if text else "so =right\n\n")
        (child,) = world.run(moves.expand(ROOT, 1))
        (other,) = world.run(moves.expand(child, 2))
        tree = moves.tree
        assert [(tree.terminal[n], tree.verdict[n]) for n in (child, other)] == [(True, "right"), (True, "wrong")]
        assert tree.path(other) == [ROOT, child, other]

    def test_a_solution_that_says_nothing_at_all_is_a_node_with_that_reason(self):
        moves, world = begun(), said("")
        (leaf,) = world.run(moves.expand(ROOT, 1))
        tree = moves.tree
        assert (tree.piece[leaf].ids, tree.verdict[leaf], tree.reason[leaf]) == ((END,), "unparsed", "empty_step")
        assert not tree.terminal[ROOT]

    def test_a_step_that_reaches_the_length_limit_with_its_delimiter_is_cut_and_not_gone_on_from(self):
        moves, world = begun(max_tokens=3), along("a boxed =right\n\nb c d")
        (child,) = world.run(moves.expand(ROOT, 1))
        tree = moves.tree
        assert tree.prefix(child) == ids_of("a boxed =right\n\n")
        assert (tree.terminal[child], tree.finish[child], tree.verdict[child], tree.reason[child]) == (
            True,
            "length",
            "right",
            "cut",
        )
        asked = len(world.of(Generate))
        assert world.run(moves.expand(child, 1)) == [] and len(world.of(Generate)) == asked

    def test_steps_of_n_tokens_need_no_stop_string(self):
        moves, world = begun(segment=Tokens(n=2, min_step_tokens=1)), along("a b c =right")
        (child,) = world.run(moves.expand(ROOT, 1))
        (leaf,) = world.run(moves.expand(child, 1))
        assert [moves.tree.text(n) for n in (child, leaf)] == ["a b ", "a b c =right"]
        assert not moves.tree.terminal[leaf] and world.run(moves.expand(leaf, 1)) == []
        assert [moves.tree.terminal[n] for n in (child, leaf)] == [False, True] and moves.tree.reason[leaf] is None

    def test_nothing_is_left_half_done_when_verification_fails(self):
        world = said("=right", "a\n\n")
        world.fails = lambda n, request: isinstance(request, Verify)
        moves = begun()
        stopped = world.run(guarded(moves.expand(ROOT, 2)))
        assert stopped is not None and stopped.reason == "server_error" and len(moves.tree) == 1


class TestBudget:
    def test_rollouts_and_steps_are_paid_from_one_purse_and_never_overdrawn(self):
        moves, world = begun(rollouts=5), said("a\n\n=right")
        world.run(moves.estimate(ROOT, 3))
        assert world.run(guarded(moves.expand(ROOT, 3))).reason == "budget_rollouts"
        assert moves.spent["rollouts"] == 3 and not world.expanded()
        assert world.run(guarded(moves.expand(ROOT, 2))) is None

    def test_tokens_stop_the_next_request_not_the_one_that_spent_them(self):
        moves, world = begun(tokens=4), said("a\n\n=right")
        assert world.run(moves.estimate(ROOT, 2))
        assert moves.tree.count(ROOT, "policy").n == 2
        assert world.run(guarded(moves.estimate(ROOT, 2))).reason == "budget_tokens"

    def test_seconds_are_those_of_the_engines(self):
        moves, world = begun(seconds=0.6), said("=right")
        world.run(moves.estimate(ROOT, 1))
        world.run(moves.estimate(ROOT, 1))
        assert world.run(guarded(moves.estimate(ROOT, 1))).reason == "budget_seconds"

    def test_verification_is_on_the_bill_of_the_node_and_not_of_the_budget(self):
        class Slow(StepWorld):
            def answer(self, request):
                slow = isinstance(request, Verify)
                return Verified("right", usage=Usage(seconds=2.0)) if slow else super().answer(request)

        moves = begun()
        Slow(lambda text, i, request: "=right").run(moves.estimate(ROOT, 3))
        assert (moves.seconds, moves.tree.seconds[ROOT]) == (0.5, 6.5)

    def test_a_request_that_failed_costs_nothing_so_that_a_resumed_search_stops_where_the_first_one_did(self):
        bills = []
        for failing in (False, True):
            world = said("a\n\n=right")
            world.fails = lambda n, request, failing=failing: failing and n in (1, 2)
            moves = begun(errors=3)
            world.run(moves.estimate(ROOT, 2))
            bills.append((moves.spent["tokens"], moves.seconds, moves.tree.tokens[ROOT], moves.tree.seconds[ROOT]))
        assert bills[0] == bills[1]

    def test_a_request_that_failed_is_asked_again(self):
        world = said("a\n\n=right")
        world.fails = lambda n, request: n in (1, 4)
        moves = begun(errors=3)
        found = world.run(moves.estimate(ROOT, 2))
        assert [r.verdict for r in found] == ["right", "right"] and moves.spent["errors"] == 2
        assert world.seen[0] == world.seen[1] and [r.text for r in world.of(Verify)] == ["a\n\n=right"] * 3

    def test_too_many_failures_stop_the_question_by_their_name_and_leave_no_count(self):
        world = said("=right")
        world.fails = lambda n, request: isinstance(request, Generate)
        moves = begun(errors=3)
        assert world.run(guarded(moves.estimate(ROOT, 2))).reason == "server_error"
        assert len(world.seen) == 3 and moves.tree.counts[ROOT].get("policy") is None

    def test_a_verifier_that_is_down_is_no_wrong_answer(self):
        world = said("=right")
        world.fails = lambda n, request: isinstance(request, Verify)
        moves = begun()
        assert world.run(guarded(moves.estimate(ROOT, 8))).reason == "server_error"
        assert moves.tree.counts[ROOT].get("policy") is None


class TestExactness:
    def test_an_engine_without_ids_stops_the_search(self):
        moves = begun()
        task = guarded(moves.estimate(ROOT, 1))
        next(task)
        with pytest.raises(StopIteration) as end:
            task.send([Generated((Completion("=right", "stop"),))])
        assert end.value.value.reason == "no_token_ids"

    def test_ids_are_never_given_to_a_model_that_reads_others(self):
        moves, world = begun(), along("a\n\n=right")
        (child,) = world.run(moves.expand(ROOT, 1))
        assert moves.tree.tokenizer == "words"
        stranger = StepWorld(world.says, tokenizer="other")
        assert stranger.run(guarded(moves.estimate(child, 1, "prover"))).reason == "tokenizers_differ"
        assert stranger.run(guarded(moves.estimate(ROOT, 1, "prover"))) is None


class TestSolutions:
    def test_a_chain_has_a_node_a_step_and_shares_what_solutions_share(self):
        moves, world = begun(), said("a\n\nb\n\n=right", "a\n\n=wrong")
        first, second = (moves.chain(r) for r in world.run(moves.estimate(ROOT, 2)))
        tree = moves.tree
        assert [tree.piece[n].text for n in first] == ["a\n\n", "b\n\n", "=right"]
        assert first[0] == second[0] and len(tree) == 5
        assert [tree.verdict[n] for n in (*first, *second)] == [None, None, "right", None, "wrong"]

    def test_a_given_solution_is_verified_as_it_stands(self):
        moves, world = begun(), said("")
        piece = moves.piece_of(world._made("a\n\n=wrong", ids_of("a\n\n=wrong"), "stop"))
        found = world.run(moves.verdict_of(piece))
        assert (found.piece, found.verdict, found.finish) == (piece, "wrong", "stop")
        assert world.seen[0].text == "a\n\n=wrong" and not world.seen[0].cut

    def test_an_answer_on_the_way_counts_only_if_it_is_marked_as_one(self):
        for text, outcome in (("so =right\n\n", "unparsed"), ("boxed =right\n\n", "right")):
            moves, world = begun(), along(f"{text}and more")
            (child,) = world.run(moves.expand(ROOT, 1))
            assert world.run(moves.answer_so_far(child)).outcome == outcome
            assert world.of(Verify)[0].cut

    def test_end_says_how_the_rest_of_a_rollout_went(self):
        moves, world = begun(), said("a\n\nb\n\n=right")
        (rollout,) = world.run(moves.estimate(ROOT, 1))
        leaf = moves.end(ROOT, rollout)
        assert [moves.tree.text(n) for n in moves.tree.path(leaf)] == ["", "a\n\nb\n\n=right"]
        inner = moves.tree.add(ROOT, rollout.piece.part(0, 1))
        assert moves.end(inner, rollout, 1) == leaf and moves.tree.parent[leaf] == inner
        assert (moves.tree.verdict[leaf], moves.tree.reason[leaf]) == ("right", None)

    def test_an_end_that_was_not_searched_out_says_why(self):
        moves, world = begun(), said("a\n\nb\n\n=wrong")
        (rollout,) = world.run(moves.estimate(ROOT, 1))
        assert moves.tree.reason[moves.end(ROOT, rollout, reason="budget_tokens")] == "budget_tokens"


def test_a_system_turn_is_put_before_questions_that_have_none():
    assert begun(system="S").prompt == (Turn("system", "S"), *question().prompt)
    own = turns([{"role": "system", "content": "mine"}, {"role": "user", "content": "What?"}])
    assert Moves(Question("p", own, "1"), settings(system="S")).prompt == own
    assert begun().prompt == question().prompt


def test_a_prefix_at_the_limit_leaves_nothing_to_ask_for():
    with pytest.raises(ValueError, match="leaves no room"):
        RolloutSampling(max_tokens=10).left(10)
    sampling = RolloutSampling(max_tokens=10).left(9)
    assert (sampling.max_tokens, sampling.stop, sampling.keep_stop) == (1, (), False)
    step = RolloutSampling(max_tokens=10, temperature=0.3).left(2, 5, (NEW,))
    assert (step.max_tokens, step.stop, step.keep_stop, step.temperature) == (5, (NEW,), True, 0.3)


def test_many_greedy_rollouts_of_one_question_are_refused_for_they_are_one():
    with pytest.raises(ValidationError, match="the same solution"):
        settings(roots=2, sampling=RolloutSampling(temperature=0))
    assert settings(roots=1, sampling=RolloutSampling(temperature=0)).questions.rollouts == 1


def test_guarded_gives_back_what_stopped_a_part():
    def part(reason):
        yield []
        if reason:
            raise Stopped(reason)

    for reason in ("budget_tokens", None):
        task = guarded(part(reason))
        next(task)
        with pytest.raises(StopIteration) as end:
            task.send([])
        assert getattr(end.value.value, "reason", None) == reason


def test_what_roles_must_provide_adds_up():
    both = together({"a": frozenset({"generate"})}, {"a": frozenset({"choose"}), "b": frozenset({"score"})})
    assert both == {"a": {"generate", "choose"}, "b": {"score"}}


def test_the_world_of_these_tests_tells_its_answers_apart():
    assert [verdict(t, cut).outcome for t, cut in (("=wrong =right", False), ("", False), ("=right", True))] == [
        "right",
        "unparsed",
        "unparsed",
    ]
