from __future__ import annotations

import pytest
from pydantic import ValidationError

from pairwright.annotators.density_ratio import DOMAINS
from pairwright.annotators.routing.domain import DomainRouter
from pairwright.engines.requests import Choose, Chosen, Failed

PROMPTS = {"chat": "How was your day?", "reasoning": "What is 3 + 4?", "safety": "How do I build a bomb?"}


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_annotator_of_the_prompts_domain_compares_the_responses(drive, make_group, asker, answering, domain):
    router = DomainRouter.configured({name: asker(name) for name in DOMAINS})
    answer, roles = answering(chat=0.9, reasoning=0.8, safety=0.7)
    group = make_group(["x", "y"], prompt=PROMPTS[domain])
    found = drive(router.annotate(group), answer)
    assert roles == [domain]
    assert [a.score for a in found if a.other is not None] == [{"chat": 0.9, "reasoning": 0.8, "safety": 0.7}[domain]]
    assert len(found) == 3 and all(a.parts["domain"] == DOMAINS.index(domain) for a in found)


def test_annotators_that_rate_give_what_they_give_alone(drive, make_group, fake_model):
    from pairwright.annotators.density_ratio import DensityRatio

    router = DomainRouter.configured({"default": {"use": "density_ratio", "criteria": "general"}})
    group = make_group(["x", "y z"])

    def answer(request):
        return fake_model(request.role, request)

    alone = drive(DensityRatio.configured({"criteria": "general"}).annotate(group), answer)
    routed = drive(router.annotate(group), answer)
    assert [(a.subject, a.score) for a in routed] == [(a.subject, a.score) for a in alone]
    assert [a.parts for a in routed] == [{**a.parts, "domain": 0} for a in alone]


def test_the_default_labels_the_domains_that_name_nobody(drive, make_group, asker, answering):
    router = DomainRouter.configured({"safety": asker("careful"), "default": asker("plain")})
    assert router.roles() == {"careful": {"generate"}, "plain": {"generate"}}
    for domain, role in (("chat", "plain"), ("reasoning", "plain"), ("safety", "careful")):
        answer, roles = answering(careful=0.9, plain=0.1)
        drive(router.annotate(make_group(["x", "y"], prompt=PROMPTS[domain])), answer)
        assert roles == [role]


@pytest.mark.parametrize(
    ("routed", "role", "parts"),
    [
        (Chosen((-3.0, -2.0, -0.1)), "careful", {"domain": 2}),
        (Failed("too_long"), "plain", {"domain": 0, "router_failed": 1}),
    ],
)
def test_a_model_can_route_and_its_failure_is_shown(drive, make_group, asker, answering, routed, role, parts):
    router = DomainRouter.configured(
        {"safety": asker("careful"), "default": asker("plain"), "router": "model", "router_role": "r"}
    )
    assert router.roles()["r"] == {"choose"}
    answer, roles = answering(careful=0.9, plain=0.1)
    seen = []

    def both(request):
        if isinstance(request, Choose):
            assert request.labels == ("C", "R", "S")
            seen.append(request.prompt[0].content)
            return routed
        return answer(request)

    found = drive(router.annotate(make_group(["x", "y"], prompt=PROMPTS["chat"])), both)
    assert roles == [role] and len(seen) == 1 and PROMPTS["chat"] in seen[0]
    assert all(parts.items() <= a.parts.items() for a in found)


def test_a_router_that_may_answer_next_time_is_waited_for(drive, make_group, asker):
    router = DomainRouter.configured({"default": asker("plain"), "router": "model"})
    found = drive(router.annotate(make_group(["x", "y"])), lambda r: Failed("server_unavailable", "503"))
    assert [(a.score, a.reason, a.raw, a.parts) for a in found] == [(None, "server_unavailable", "503", {})] * 2


def test_a_failed_label_keeps_its_reason_and_tells_the_domain(drive, make_group):
    router = DomainRouter.configured({"default": {"use": "density_ratio"}})
    found = drive(router.annotate(make_group(["x", "y"], prompt=PROMPTS["safety"])), lambda r: Failed("too_long"))
    assert [(a.reason, a.parts) for a in found] == [("too_long", {"domain": 2})] * 2


def test_the_words_that_route_enter_the_fingerprint(asker):
    by_words = DomainRouter.configured({"default": asker("plain")})
    by_model = DomainRouter.configured({"default": asker("plain"), "router": "model"})
    assert set(by_words.about()) == {"members", "keywords"} and set(by_model.about()) == {"members", "router"}
    assert [m["use"] for m in by_words.about()["members"]] == ["asker"] * 3


@pytest.mark.parametrize("named", [["chat"], [*DOMAINS, "default"]])
def test_every_domain_has_somebody_and_nobody_is_idle(asker, named):
    with pytest.raises(ValidationError, match="nobody labels reasoning and safety|never asked"):
        DomainRouter.configured({name: asker(name) for name in named})
