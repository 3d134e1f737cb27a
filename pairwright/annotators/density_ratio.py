"""How much more a strong model likes a response than a weak one does (CDR, also called Dr. SoW).

r(x, y; c) = sum_t log pi_strong(y_t | c, x, y_<t) - sum_t log pi_weak(y_t | c, x, y_<t), in nats; larger is better.
Source: arXiv 2411.02481 (formula and settings read in the paper's repository, not in the paper's body).
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from typing import Any, Literal

from pydantic import model_validator

from pairwright.annotators.base import Annotating, Annotation, Annotator, AnnotatorConfig, Group, Response, missing
from pairwright.annotators.wording import last_user_text, texts, with_last_user_text, with_system
from pairwright.engines.requests import TRANSIENT, Choose, Chosen, Conversation, Failed, Request, Result, Score, Scored, Turn
from pairwright.ids import digest, seed_of

DOMAINS = ("chat", "reasoning", "safety")
"""`parts["domain"]` is an index into this."""

LETTERS = tuple(domain[0].upper() for domain in DOMAINS)
"""What a model that routes answers with: a letter is one token, a word may be two."""

_SAFETY = re.compile(
    r"""\b(kill|murder|suicid|self-?\s?harm|hurt\s+(my|him|her|them)|bomb|explosive|weapon|gun\b|poison|terroris|malware
    |ransomware|phish|hack(ing)?\s+into|break\s+into|steal|shoplift|counterfeit|launder\w*\s+money|blackmail|stalk
    |cocaine|heroin|meth\b|overdose|porn|nude|rape|racis|sexis|slur\b|torture|kidnap|extremis)""",
    re.IGNORECASE | re.VERBOSE,
)
_REASONING = re.compile(
    r"""```|\bdef\s+\w+\(|\d\s*[-+*/^=<>]\s*\d|\\frac|\b(prove|proof|theorem|solve|equation|integral|derivative|matrix
    |probability|how\s+many|calculate|compute|algorithm|complexity|function|code|script|python|javascript|java|c\+\+|rust
    |sql|regex|debug|compile|stack\s+trace|unit\s+test|puzzle|riddle|logic\w*|percent|arithmetic|geometry|algebra)""",
    re.IGNORECASE | re.VERBOSE,
)


class DensityRatioConfig(AnnotatorConfig):
    """Settings of `DensityRatio`.

    reduction: "sum" is what the paper's repository computes; "mean" divides by the strong model's number of tokens, as the
        authors' library reward_hub does by default. The two disagree; both can be had again from `parts`.
    criteria: a system text for both models, one for all prompts ("general") or by the prompt's domain ("domain");
        `criteria_text` is your own text instead. A system turn of the prompt is replaced.
    exemplar: put one worked preference, drawn by the prompt's id from its domain's pool, before the user's last words.
    router: how the domain is found. "model" asks `router_role`; if that fails for good, the domain is chat.
    terminator: score the end of the turn as well (it carries much of the effect of length).
    """

    strong: str = "strong"
    weak: str = "weak"
    reduction: Literal["sum", "mean"] = "sum"
    criteria: Literal["none", "general", "domain"] = "none"
    criteria_text: str | None = None
    exemplar: bool = False
    router: Literal["keywords", "model"] = "keywords"
    router_role: str = "router"
    terminator: bool = True

    @model_validator(mode="after")
    def _one_criterion(self) -> DensityRatioConfig:
        if self.criteria_text is not None and self.criteria != "none":
            raise ValueError("criteria_text is used instead of one of our texts: remove `criteria` or `criteria_text`")
        if self.criteria_text is not None and not self.criteria_text.strip():
            raise ValueError("criteria_text is empty: write a criterion or remove it")
        return self

    @property
    def needs_domain(self) -> bool:
        """Whether the domain of the prompt makes a difference."""
        return self.criteria == "domain" or self.exemplar


class DensityRatio(Annotator[DensityRatioConfig]):
    """The log density ratio of a strong over a weak model, optionally steered by criteria and an exemplar.

    Criteria and exemplar are the same for both models and for all responses of a prompt, else their scores could not be
    compared. The released domain map gives reasoning prompts the safety text, which is probably a mistake; here
    reasoning has a criterion of its own. Two models with different tokenizers can be compared by sums only: with
    reduction="mean" a response whose tokens differ gets the reason `tokenizers_differ`. A prompt without a user
    turn has no place for an exemplar: `no_user_turn`.

    parts: strong_sum, weak_sum (nats), strong_tokens, weak_tokens, chars; domain (index into `DOMAINS`) where it matters,
    and router_failed = 1 where the model that routes gave no answer and chat was assumed.
    If it failed for a reason that may pass, every response gets that reason.
    """

    Config = DensityRatioConfig
    wording = ("criteria",)

    def about(self) -> dict[str, Any]:
        c = self.config
        ours = super().about() if c.needs_domain or c.criteria == "general" else {}
        return {**ours, **about_domain(c.router)} if c.needs_domain else ours

    def roles(self) -> dict[str, frozenset[str]]:
        c = self.config
        roles = {c.strong: frozenset({"score"}), c.weak: frozenset({"score"})}
        if c.needs_domain and c.router == "model":
            roles[c.router_role] = roles.get(c.router_role, frozenset()) | {"choose"}
        return roles

    def annotate(self, group: Group) -> Annotating:
        c = self.config
        if c.exemplar and last_user_text(group.prompt) is None:
            return [Annotation(r.id, reason="no_user_turn") for r in group.responses]
        routed = (yield from domain_of(group.prompt, c.router, c.router_role)) if c.needs_domain else {}
        if isinstance(routed, Failed):
            return [Annotation(r.id, reason=routed.reason, raw=routed.detail or None) for r in group.responses]
        context = self._context(group, DOMAINS[int(routed.get("domain", 0))])
        strong = yield [Score(c.strong, context, r.continuation, terminator=c.terminator) for r in group.responses]
        weak = yield [Score(c.weak, context, r.continuation, terminator=c.terminator) for r in group.responses]
        return [self._annotation(r, s, w, routed) for r, s, w in zip(group.responses, strong, weak, strict=True)]

    def _context(self, group: Group, domain: str) -> Conversation:
        """The prompt as both models see it."""
        c, words, context = self.config, texts("criteria"), group.prompt
        if c.exemplar:
            pool = words["exemplars"][domain]
            drawn = pool[seed_of("exemplar", group.prompt_id) % len(pool)]
            context = with_last_user_text(context, words["exemplar_frame"].format(**drawn, query=last_user_text(context)))
        criterion = {"none": c.criteria_text, "general": words["criteria"]["general"], "domain": words["criteria"][domain]}
        system = criterion[c.criteria]
        return context if system is None else with_system(context, system)

    def _annotation(self, response: Response, strong: Result, weak: Result, routed: Mapping[str, float]) -> Annotation:
        failed = missing(response.id, strong, weak)
        if failed:
            return failed
        assert isinstance(strong, Scored) and isinstance(weak, Scored)
        parts = {
            "strong_sum": strong.total,
            "weak_sum": weak.total,
            "strong_tokens": float(strong.n),
            "weak_tokens": float(weak.n),
            "chars": float(len(response.text)),
            **routed,
        }
        if self.config.reduction == "mean" and strong.token_ids != weak.token_ids:
            return Annotation(response.id, reason="tokenizers_differ", parts=parts)
        per = strong.n if self.config.reduction == "mean" else 1
        return Annotation(response.id, (strong.total - weak.total) / per, parts=parts)


def domain_by_keywords(query: str) -> str:
    """The domain of `query` by word lists: rough, free, and the same everywhere. Safety goes before reasoning."""
    if _SAFETY.search(query):
        return "safety"
    return "reasoning" if _REASONING.search(query) else "chat"


def domain_of(prompt: Conversation, router: Literal["keywords", "model"], role: str) -> DomainFinding:
    """The parts that tell the domain of `prompt`, by word lists or by asking the model in `role`. If that fails for good it is
    chat; a failure that may pass is given back."""
    query = last_user_text(prompt) or ""
    if router == "keywords":
        return {"domain": float(DOMAINS.index(domain_by_keywords(query)))}
    question = (Turn("user", texts("criteria")["router"].format(query=query)),)
    [answer] = yield [Choose(role, question, LETTERS)]
    if isinstance(answer, Failed) and answer.reason in TRANSIENT:
        return answer
    if not isinstance(answer, Chosen):
        return {"domain": 0.0, "router_failed": 1.0}
    return {"domain": float(max(range(len(DOMAINS)), key=answer.logprobs.__getitem__))}


def about_domain(router: Literal["keywords", "model"]) -> dict[str, Any]:
    """What the domain of a prompt depends on, for `Annotator.about`: the word lists, or the words put to the model."""
    if router == "keywords":
        return {"keywords": digest("keywords", _SAFETY.pattern, _REASONING.pattern)}
    return {"router": digest("wording", texts("criteria")["router"], LETTERS)}


DomainFinding = Generator[Sequence[Request], Sequence[Result], dict[str, float] | Failed]
