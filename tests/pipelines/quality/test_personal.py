from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.pipelines.quality.personal import findings, luhn, valid_iban

IBAN = "DE89 3704 0044 0532 0130 00"  # the usual example, as are the card numbers below


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("write to jane.doe+news@mail.corp.co.uk.", "email"),
        (f"pay to {IBAN} AND SOON", "iban"),
        ("pay to GB29NWBK60161331926819", "iban"),
        ("card 4111 1111 1111 1111, please", "card"),
        ("card 3782-822463-10005.", "card"),
        ("card 5555555555554444", "card"),
        ("ping 8.8.8.8, it answers", "ip"),
        ("over 2001:4860:4860::8888", "ip"),
        ("call +49 30 901820 today", "phone"),
        ("call +1 (650) 253-0000", "phone"),
        ("id " + "AKIA" + "Q3EGXWD7K2LPTR5Z", "secret"),
        ("gh" + "p_" + "a1B2" * 10, "secret"),
        ("-----BEGIN RSA " + "PRIVATE KEY-----", "secret"),
        ("postgres://admin:" + "hunter2@db.internal/x", "secret"),
        ("sk-" + "proj-1234567890abcdefghij", "secret"),
        ('API_KEY = "' + '0123456789abcdef"', "secret"),
    ],
)
def test_each_kind_is_found_once(text, kind):
    assert findings(text) == {kind: 1}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nobody@example.com and x@y and a @ b",
        "DE88 3704 0044 0532 0130 00",
        "ZZ89 3704 0044 0532 0130 00",
        "4111 1111 1111 1112 and 3.1415926535897932",
        "1234567890123456",
        "127.0.0.1, 192.168.0.1, 256.1.1.1, section 1.2.3.4.5",
        "at 12:30:45, std::vector, 2001:db8::1",
        "2 + 3 + 4 = 9 and 1,000,000,000",
        "sk-learn-is-a-library-with-a-name, password: secret",
        "call 030 901820",
    ],
)
def test_what_only_looks_like_it_is_not(text):
    assert not findings(text)


def test_numbers_as_written_at_home_are_found_where_a_region_is_named():
    assert findings("call 030 901820", regions=("DE",)) == {"phone": 1}
    assert findings("call (650) 253-0000 or +49 30 901820", regions=("US", "DE")) == {"phone": 2}


def test_what_one_kind_has_found_no_other_sees():
    assert findings(f"{IBAN}, +4111 1111 1111 1111") == {"iban": 1, "card": 1}
    assert findings("https://jane:pass1234" + "@mail.corp.com/") == {"secret": 1}


def test_only_the_kinds_that_are_asked_for():
    text = "a@b.org and 8.8.8.8"
    assert findings(text) == {"email": 1, "ip": 1}
    assert findings(text, kinds=("ip",)) == {"ip": 1}


def test_check_digits():
    assert luhn("79927398713") and not luhn("79927398710")
    assert valid_iban(IBAN.replace(" ", "")) and not valid_iban("DE89")


@given(st.from_regex(r"\d{12}", fullmatch=True))
def test_exactly_one_digit_completes_a_number(digits):
    assert sum(luhn(digits + d) for d in "0123456789") == 1


@given(st.text(alphabet=st.sampled_from("aA1.:@+-_/=\"' sk6"), max_size=200))
def test_any_text_can_be_read(text):
    assert all(n > 0 for n in findings(text, regions=("US",)).values())
