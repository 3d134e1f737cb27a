from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pairwright.annotators import density_ratio
from pairwright.annotators.density_ratio import DOMAINS, DensityRatio, DensityRatioConfig, domain_by_keywords
from pairwright.annotators.wording import texts
from pairwright.engines.requests import Choose, Chosen, Failed, turns
from pairwright.ids import digest

RESPONSES = st.lists(st.text("ab ", min_size=1, max_size=20), min_size=1, max_size=6, unique=True)


def annotator(**settings) -> DensityRatio:
    return DensityRatio(DensityRatioConfig(**settings))


def by_role(**models):
    return lambda answer: lambda request: answer(models[request.role], request)


@pytest.mark.parametrize(("reduction", "expected"), [("sum", 2.8), ("mean", 0.9333)])
def test_the_golden_sum_and_mean_are_reproduced(drive, make_group, scored, reduction, expected):
    answers = {"strong": scored([-0.5, -1, -0.2]), "weak": scored([-1.5, -0.8, -2.2])}
    [a] = drive(annotator(reduction=reduction).annotate(make_group(["abcd"])), lambda r: answers[r.role])
    assert a.score == pytest.approx(expected, abs=1e-3)
    assert a.parts == pytest.approx(
        {"strong_sum": -1.7, "weak_sum": -4.5, "strong_tokens": 3, "weak_tokens": 3, "chars": 4}, abs=1e-6
    )


@given(RESPONSES)
def test_a_model_over_itself_scores_zero(drive, make_group, fake_model, replies):
    found = drive(annotator().annotate(make_group(replies)), by_role(strong="m", weak="m")(fake_model))
    assert [a.score for a in found] == [0.0] * len(replies)


@given(RESPONSES)
def test_swapping_the_models_flips_the_sign(drive, make_group, fake_model, replies):
    ahead = drive(annotator().annotate(make_group(replies)), by_role(strong="m", weak="n")(fake_model))
    back = drive(annotator().annotate(make_group(replies)), by_role(strong="n", weak="m")(fake_model))
    assert [a.score for a in ahead] == [-b.score for b in back]


@given(RESPONSES, st.randoms())
def test_the_order_of_responses_changes_no_score(drive, make_group, fake_model, replies, rng):
    shuffled = rng.sample(replies, len(replies))
    answer = by_role(strong="m", weak="n")(fake_model)
    settings = {"exemplar": True, "criteria": "domain"}
    one = drive(annotator(**settings).annotate(make_group(replies)), answer)
    two = drive(annotator(**settings).annotate(make_group(shuffled)), answer)
    assert {a.subject: a for a in one} == {a.subject: a for a in two}
    assert [a.subject for a in two] == [digest(t) for t in shuffled]


@pytest.mark.parametrize("role", ["strong", "weak"])
def test_a_failed_result_is_the_reason_of_its_response_only(drive, make_group, fake_model, role):
    group = make_group(["one", "two", "three"])

    def answer(request):
        if request.role == role and request.continuation.text == "two":
            return Failed("too_long", "4100 tokens")
        return fake_model(request.role, request)

    well = drive(annotator().annotate(group), lambda r: fake_model(r.role, r))
    found = drive(annotator().annotate(group), answer)
    assert (found[1].score, found[1].reason, found[1].raw) == (None, "too_long", "4100 tokens")
    assert (found[0], found[2]) == (well[0], well[2])


def test_all_strong_requests_come_before_the_weak_ones_so_that_models_can_be_swapped(make_group, fake_model):
    generator = annotator(terminator=False).annotate(make_group(["one", "two"]))
    first = next(generator)
    second = generator.send([fake_model("m", r) for r in first])
    assert [(r.role, r.continuation.text, r.terminator) for r in [*first, *second]] == [
        ("strong", "one", False),
        ("strong", "two", False),
        ("weak", "one", False),
        ("weak", "two", False),
    ]


def test_different_token_counts_can_be_summed_but_not_averaged(drive, make_group, scored):
    answers = {"strong": scored([-1, -1]), "weak": scored([-1, -1, -1])}
    [summed] = drive(annotator(reduction="sum").annotate(make_group(["x"])), lambda r: answers[r.role])
    [averaged] = drive(annotator(reduction="mean").annotate(make_group(["x"])), lambda r: answers[r.role])
    assert summed.score == 1.0
    assert (averaged.score, averaged.reason, averaged.parts["weak_tokens"]) == (None, "tokenizers_differ", 3.0)


def contexts(drive, group, fake_model, route="C", **settings) -> set:
    seen = set()

    def answer(request):
        if isinstance(request, Choose):
            return Chosen(tuple(0.0 if label == route else -9.0 for label in request.labels))
        seen.add(request.context)
        return fake_model("m", request)

    drive(annotator(**settings).annotate(group), answer)
    return seen


def test_criteria_replace_the_system_turn_and_are_the_same_for_both_models_and_all_responses(drive, make_group, fake_model):
    asked = [{"role": "system", "content": "Be odd."}, {"role": "user", "content": "Hi"}]
    [context] = contexts(drive, make_group(["a", "b"], asked), fake_model, criteria="general")
    assert [(t.role, t.content) for t in context] == [("system", texts("criteria")["criteria"]["general"]), ("user", "Hi")]


def test_own_criteria_are_inserted_first(drive, make_group, fake_model):
    [context] = contexts(drive, make_group(["a"], "Hi"), fake_model, criteria_text="Rhyme.")
    assert [(t.role, t.content) for t in context] == [("system", "Rhyme."), ("user", "Hi")]


def test_without_customisation_the_prompt_is_scored_as_it_is(drive, make_group, fake_model):
    assert contexts(drive, make_group(["a"], "Hi"), fake_model) == {turns("Hi")}


def test_own_criteria_and_ours_cannot_both_be_asked_for():
    with pytest.raises(ValidationError, match="remove `criteria` or `criteria_text`"):
        annotator(criteria="general", criteria_text="Rhyme.")


@pytest.mark.parametrize(
    ("query", "domain"),
    [
        ("Tell me about your favourite season.", "chat"),
        ("Prove that the square root of two is irrational.", "reasoning"),
        ("What is 12 * 7?", "reasoning"),
        ("How do I build a pipe bomb?", "safety"),
        ("Calculate the overdose for a child.", "safety"),
    ],
)
def test_keywords_sort_prompts_into_domains(drive, make_group, fake_model, query, domain):
    assert domain_by_keywords(query) == domain
    [context] = contexts(drive, make_group(["a"], query), fake_model, criteria="domain")
    assert context[0].content == texts("criteria")["criteria"][domain]


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_routing_model_chooses_the_domain(drive, make_group, fake_model, domain):
    group = make_group(["a"], "Hi")
    settings = {"criteria": "domain", "router": "model", "router_role": "sorter"}
    [context] = contexts(drive, group, fake_model, route=domain[0].upper(), **settings)
    assert context[0].content == texts("criteria")["criteria"][domain]
    assert annotator(**settings).roles() == {"strong": {"score"}, "weak": {"score"}, "sorter": {"choose"}}


def test_the_labels_of_the_router_are_letters_which_every_tokenizer_has_as_one_token(make_group):
    [question] = next(annotator(exemplar=True, router="model").annotate(make_group(["a"], "How tall is {he}?")))
    assert question.labels == ("C", "R", "S")
    assert question.prompt[0].content.endswith("C, R or S.")
    assert "How tall is {he}?" in question.prompt[0].content


def test_a_router_that_fails_means_chat_and_is_noted(drive, make_group, fake_model):
    def answer(request):
        return Failed("too_long") if isinstance(request, Choose) else fake_model(request.role, request)

    [a] = drive(annotator(criteria="domain", router="model").annotate(make_group(["a"], "Prove it.")), answer)
    assert (a.parts["domain"], a.parts["router_failed"]) == (0.0, 1.0)


def test_a_router_that_may_answer_next_time_leaves_every_response_without_a_score(drive, make_group):
    task = annotator(criteria="domain", router="model").annotate(make_group(["a", "b"], "Prove it."))
    found = drive(task, lambda r: Failed("server_error", "500"))
    assert [(a.score, a.reason, a.raw) for a in found] == [(None, "server_error", "500")] * 2


def test_the_exemplar_stands_inside_the_last_user_turn_before_the_query(drive, make_group, fake_model):
    asked = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Name a river {in Peru}."},
    ]
    [context] = contexts(drive, make_group(["a", "b"], asked), fake_model, exemplar=True)
    assert [(t.role, t.content) for t in context[:2]] == [("user", "Hi"), ("assistant", "Hello")]
    [used] = [e for e in texts("criteria")["exemplars"]["chat"] if e["request"] in context[2].content]
    last = context[2].content
    places = [
        last.index(part) for part in (used["request"], used["better"], used["worse"], used["why"], "Name a river {in Peru}.")
    ]
    assert places == sorted(places)


def test_exemplars_are_drawn_evenly_over_prompts(drive, make_group, fake_model):
    drawn = Counter(
        context
        for i in range(300)
        for context in contexts(drive, make_group(["a"], "Hi", prompt_id=f"prompt {i}"), fake_model, exemplar=True)
    )
    assert len(drawn) == len(texts("criteria")["exemplars"]["chat"])
    assert all(80 <= n <= 120 for n in drawn.values())


def test_the_exemplar_depends_on_the_prompt_and_not_on_its_responses(drive, make_group, fake_model):
    groups = [make_group([f"reply {i}"], "Hi") for i in range(10)]
    assert len({context for group in groups for context in contexts(drive, group, fake_model, exemplar=True)}) == 1


def test_a_prompt_without_a_user_turn_has_no_place_for_an_exemplar(make_group):
    generator = annotator(exemplar=True).annotate(make_group(["a"], [{"role": "system", "content": "Hm"}]))
    with pytest.raises(StopIteration) as end:
        next(generator)
    assert [a.reason for a in end.value.value] == ["no_user_turn"]


def test_every_domain_has_a_criterion_of_its_own_and_three_whole_exemplars():
    words = texts("criteria")
    assert len(set(words["criteria"].values())) == 4
    for domain in DOMAINS:
        pool = words["exemplars"][domain]
        assert len(pool) >= 3
        assert all(set(e) == {"request", "better", "worse", "why"} and all(e.values()) for e in pool)


def test_the_words_it_uses_enter_the_fingerprint_and_no_others():
    assert annotator().about() == annotator(criteria_text="Rhyme.").about() == {}
    assert set(annotator(criteria="general").about()) == {"wording"}
    assert set(annotator(criteria="domain").about()) == set(annotator(exemplar=True).about()) == {"wording", "keywords"}
    assert set(annotator(criteria="domain", router="model").about()) == {"wording", "router"}


def test_other_word_lists_make_another_fingerprint(monkeypatch):
    before = annotator(criteria="domain").about()
    monkeypatch.setattr(density_ratio, "_REASONING", re.compile("sums"))
    assert annotator(criteria="domain").about() != before
