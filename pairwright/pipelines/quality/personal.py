"""Finding personal data and secrets in a text, offline: by shape and by check digits. What is found is counted, never kept.

A baseline: names, postal addresses and whatever has no shape of its own are not found.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, get_args

Kind = Literal["secret", "email", "iban", "card", "ip", "phone"]
KINDS: tuple[Kind, ...] = get_args(Kind)  # in this order, and what one has found no later one sees
NAMES: dict[Kind, str] = {
    "secret": "secret",
    "email": "e-mail address",
    "iban": "IBAN",
    "card": "card number",
    "ip": "IP address",
    "phone": "phone number",
}
Span = tuple[int, int]

# Most texts hold nothing, and `re` passes over them several times faster if a pattern begins with a plain set of characters: so
# what may not stand before a finding is asked after its first character.
EMAIL = re.compile(r"(?<![\w.%+-])[\w%+-][\w.%+-]{0,63}@((?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24})\b")
EXAMPLE_DOMAIN = re.compile(r"(?:.*\.)?(?:example\.(?:com|net|org)|example|test|invalid|localhost)", re.IGNORECASE)  # RFC 2606
IBAN = re.compile(r"[A-Z](?<!\w[A-Z])[A-Z]\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
CARD = re.compile(r"\d(?<![\w.-]\d)(?:\d{12,18}|\d{3}([ -])\d{4}\1\d{4}\1\d{1,7}|\d{3}([ -])\d{6}\2\d{4,5})(?![\w-])(?!\.\d)")
ISSUERS = re.compile(  # lengths and first digits of the large card schemes
    r"4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|(?:222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}|3[47]\d{13}"
    r"|(?:6011|65\d\d|64[4-9]\d)\d{12}|3(?:0[0-5]|[68]\d)\d{11}|35(?:2[89]|[3-8]\d)\d{12}|62\d{14,17}"
)
IPV4 = re.compile(r"\d(?<![\w.]\d)\d{0,2}(?:\.\d{1,3}){3}(?![\w]|\.\d)")
IPV6 = re.compile(r"[23](?<![\w:.][23])[0-9a-fA-F]{3}:[0-9a-fA-F:]{2,34}(?![\w:])")  # the addresses that are given out begin so
DIGITS = re.compile(r"\d(?:\D{0,3}\d){6}")  # fewer are no phone number
PLUS = re.compile(r"\+[ (]{0,2}\d")
SECRETS = {  # what a text must hold, in small letters -> the pattern to look for then
    "private key-----": re.compile(r"-----BEGIN (?:[A-Z]+ ){0,3}PRIVATE KEY-----"),
    "akia": re.compile(r"\bAKIA[0-9A-Z]{16}\b"),  # AWS, as the next one
    "asia": re.compile(r"\bASIA[0-9A-Z]{16}\b"),
    "gh": re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36,}"),  # GitHub, as the next one
    "github_pat_": re.compile(r"\bgithub_pat_\w{40,}"),
    "glpat-": re.compile(r"\bglpat-[\w-]{20,}"),
    "xox": re.compile(r"\bxox[abeprs]-[A-Za-z0-9-]{10,}"),  # Slack
    "aiza": re.compile(r"\bAIza[\w-]{35}"),  # Google
    "k_live_": re.compile(r"\b[sr]k_live_[A-Za-z0-9]{16,}"),  # Stripe
    "sk-": re.compile(r"\bsk-(?=[\w-]{0,40}\d)[\w-]{20,200}"),
    "hf_": re.compile(r"\bhf_[A-Za-z0-9]{30,}"),
    ".eyj": re.compile(r"\beyJ[\w-]{10,2000}\.eyJ[\w-]{10,2000}\.[\w-]{10,}"),  # a JSON web token
    "://": re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{1,64}:[^\s/:@]{1,64}@"),  # a password within an address
    **{
        name: re.compile(rf"(?i){name}\w{{0,20}}[\"']?\s{{0,3}}[:=]\s{{0,3}}([\"'])[^\"'\s]{{8,200}}\1")
        for name in ("passw", "secret", "token", "api_key", "apikey", "api-key")
    },
}


def findings(text: str, kinds: Sequence[Kind] = KINDS, regions: Sequence[str] = ()) -> Counter[Kind]:
    """How many of each of `kinds` are in `text`.

    - email: not at a domain that is reserved for examples.
    - iban: its check digits hold (mod 97) and its country exists.
    - card: its check digit holds (Luhn) and a card scheme has such numbers.
    - ip: addresses of the public internet (v4; v6 of 2000::/3). A version number of four parts looks the same.
    - phone: valid numbers with a leading +; and as one writes them in each of `regions` ("US", "DE", ...), by `phonenumbers`.
    - secret: private keys, access tokens of well-known services, passwords in addresses and in assignments.
    """
    found: Counter[Kind] = Counter()
    for kind in KINDS:
        if kind not in kinds:
            continue
        spans = list(_phones(text, regions) if kind == "phone" else FINDERS[kind](text))
        if spans:
            found[kind] = len(spans)
            text = _blanked(text, spans)
    return found


def luhn(digits: str) -> bool:
    """Does the last digit check the others (ISO/IEC 7812)?"""
    doubled = [2 * int(d) if i % 2 else int(d) for i, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def valid_iban(text: str) -> bool:
    """Do the check digits of an IBAN without spaces hold (ISO 13616), and does its country exist?"""
    from phonenumbers import SUPPORTED_REGIONS

    if not 15 <= len(text) <= 34 or text[:2] not in SUPPORTED_REGIONS:
        return False
    return int("".join(str(int(c, 36)) for c in text[4:] + text[:4])) % 97 == 1


def _secrets(text: str) -> Iterator[Span]:
    small, taken = text.lower(), 0
    spans = sorted(m.span() for marker, pattern in SECRETS.items() if marker in small for m in pattern.finditer(text))
    for start, end in spans:
        if start >= taken:
            yield start, end
            taken = end


def _emails(text: str) -> Iterator[Span]:
    return (match.span() for match in EMAIL.finditer(text) if not EXAMPLE_DOMAIN.fullmatch(match[1])) if "@" in text else iter(())


def _ibans(text: str) -> Iterator[Span]:
    for match in IBAN.finditer(text):
        candidate = match.group()
        while candidate and not valid_iban(candidate.replace(" ", "")):  # capitals that follow may have been taken with it
            candidate = candidate.rpartition(" ")[0]
        if candidate:
            yield match.start(), match.start() + len(candidate)


def _cards(text: str) -> Iterator[Span]:
    for match in CARD.finditer(text):
        digits = re.sub(r"\D", "", match.group())
        if ISSUERS.fullmatch(digits) and luhn(digits):
            yield match.span()


def _addresses(text: str) -> Iterator[Span]:
    for pattern in (IPV4, IPV6):
        for match in pattern.finditer(text):
            try:
                if ipaddress.ip_address(match.group()).is_global:
                    yield match.span()
            except ValueError:
                pass


def _phones(text: str, regions: Sequence[str]) -> list[Span]:
    if not DIGITS.search(text):
        return []
    from phonenumbers import PhoneNumberMatcher

    spans: list[Span] = []
    anywhere: list[str | None] = [None] if PLUS.search(text) else []
    for region in regions or anywhere:
        found = [(match.start, match.end) for match in PhoneNumberMatcher(text, region)]
        spans += found
        text = _blanked(text, found)
    return spans


FINDERS: dict[Kind, Callable[[str], Iterator[Span]]] = {
    "secret": _secrets,
    "email": _emails,
    "iban": _ibans,
    "card": _cards,
    "ip": _addresses,
}


def _blanked(text: str, spans: Sequence[Span]) -> str:
    for start, end in spans:
        text = f"{text[:start]}{' ' * (end - start)}{text[end:]}"
    return text
