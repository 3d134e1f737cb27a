"""One annotator for each domain: chat, reasoning or safety.

The three-way split is the one of CDR (arXiv 2411.02481, settings read in the paper's repository, not in its body), which gives
each domain another criterion; here each domain gets another annotator.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from pydantic import model_validator

from pairwright.annotators.base import Annotating, Annotation, Annotator, AnnotatorConfig, Group
from pairwright.annotators.density_ratio import DOMAINS, about_domain, domain_of
from pairwright.annotators.members import Member, about_members, roles_of
from pairwright.engines.requests import Failed


class DomainRouterConfig(AnnotatorConfig):
    """Settings of `DomainRouter`.

    chat, reasoning, safety: who labels the prompts of that domain; `default` labels those of a domain that names nobody.
    router: how the domain is found. "model" asks `router_role`; if that fails for good, the domain is chat.
    """

    chat: Member | None = None
    reasoning: Member | None = None
    safety: Member | None = None
    default: Member | None = None
    router: Literal["keywords", "model"] = "keywords"
    router_role: str = "router"

    @model_validator(mode="after")
    def _somebody_for_all(self) -> DomainRouterConfig:
        missing = [domain for domain in DOMAINS if getattr(self, domain) is None]
        if missing and self.default is None:
            raise ValueError(f"nobody labels {' and '.join(missing)}: name an annotator for it, or a `default`")
        if not missing and self.default is not None:
            raise ValueError("`default` is never asked, for every domain has its annotator: remove it")
        return self

    def member(self, domain: str) -> Member:
        """Who labels prompts of `domain`."""
        found: Member | None = getattr(self, domain) or self.default
        assert found is not None
        return found


class DomainRouter(Annotator[DomainRouterConfig]):
    """Asks the annotator of the prompt's domain, whether it rates or compares, and passes its annotations on.

    Scores of two domains may come from different annotators: compare them within a prompt only.

    parts: the annotator's own, domain (index into `density_ratio.DOMAINS`), and router_failed = 1 where the model that routes
    gave no answer and chat was assumed. If it failed for a reason that may pass, every response gets that reason.
    """

    Config = DomainRouterConfig

    @property
    def members(self) -> list[Member]:
        """Everybody who may be asked, in the order of the domains."""
        return [self.config.member(domain) for domain in DOMAINS]

    def roles(self) -> dict[str, frozenset[str]]:
        roles = roles_of(self.members)
        if self.config.router == "model":
            roles[self.config.router_role] = roles.get(self.config.router_role, frozenset()) | {"choose"}
        return roles

    def about(self) -> dict[str, Any]:
        return {**super().about(), **about_members(self.members), **about_domain(self.config.router)}

    def annotate(self, group: Group) -> Annotating:
        routed = yield from domain_of(group.prompt, self.config.router, self.config.router_role)
        if isinstance(routed, Failed):
            return [Annotation(r.id, reason=routed.reason, raw=routed.detail or None) for r in group.responses]
        annotator = self.config.member(DOMAINS[int(routed["domain"])]).annotator
        annotations = yield from annotator.annotate(group)
        return [replace(found, parts={**found.parts, **routed}) for found in annotations]
