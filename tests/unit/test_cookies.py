"""Signed cookies."""

from __future__ import annotations

import contextlib
import re
from string import ascii_letters, digits

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.cookies import Jar, Seal, decode, encode

KEY = "0123456789abcdefghijklmnopqrstuv"
URL_SAFE = st.text(ascii_letters + digits + "-_", max_size=50)
ANYTHING = st.text(st.characters(exclude_categories=()), max_size=200)


@given(st.lists(URL_SAFE, min_size=1, max_size=5))
def test_signed_fields_can_be_opened(fields: list[str]) -> None:
    assert Seal("a purpose", [KEY]).open(Seal("a purpose", [KEY]).sign(*fields)) == fields


@given(ANYTHING)
def test_unsigned_text_cannot_be_opened(text: str) -> None:
    assert Seal("a purpose", [KEY]).open(text) is None


@given(
    st.lists(URL_SAFE, min_size=1, max_size=3), st.integers(min_value=0), st.characters(exclude_categories=())
)
def test_a_changed_character_invalidates_the_signature(fields: list[str], place: int, other: str) -> None:
    sealed = Seal("a purpose", [KEY]).sign(*fields)
    place %= len(sealed)
    changed = sealed[:place] + other + sealed[place + 1 :]
    if changed != sealed:
        assert Seal("a purpose", [KEY]).open(changed) is None


@pytest.mark.promise("C7")
def test_other_base64_spellings_of_a_signature_are_rejected() -> None:
    sealed = Seal("a purpose", [KEY]).sign("x")
    variants = [sealed[:-1] + last for last in ascii_letters + digits + "-_" if last != sealed[-1]]
    assert not any(
        Seal("a purpose", [KEY]).open(variant) for variant in [*variants, sealed + "=", sealed + "!"]
    )


@given(st.text(max_size=500))
def test_any_text_can_be_encoded_as_a_field(text: str) -> None:
    field = encode(text)
    assert set(field) <= set(ascii_letters + digits + "-_")
    assert decode(field) == text


@given(ANYTHING)
def test_any_cookie_header_can_be_parsed(header: str) -> None:
    jar = Jar(header, secure=True)
    assert all(name in header for name in jar.names("(?s).*"))


@given(ANYTHING.filter(lambda text: ";" not in text and "valid" not in text), URL_SAFE)
def test_malformed_cookies_do_not_hide_a_valid_one(noise: str, value: str) -> None:
    jar = Jar(f"{noise};valid={value};{noise}x", secure=False)
    assert jar.get("valid") == value


def test_a_duplicate_cookie_is_ignored_but_its_name_is_listed() -> None:
    jar = Jar("a=1; b=2; a=1", secure=False)
    assert jar.get("a") is None
    assert jar.get("b") == "2"
    assert jar.names("a") == ["a"]


@pytest.mark.promise("C2")
def test_a_host_prefixed_cookie_and_a_plain_one_are_different_cookies() -> None:
    header = "__Host-a=https; a=http"
    assert Jar(header, secure=True).get("a") == "https"
    assert Jar(header, secure=False).get("a") == "http"


@pytest.mark.promise("H2")
@given(ANYTHING, ANYTHING)
def test_setting_a_cookie_cannot_inject_a_header_or_an_attribute(name: str, value: str) -> None:
    jar = Jar("", secure=True)
    with contextlib.suppress(ValueError):
        jar.set(name, value, 60)
        (line,) = jar.headers()
        assert re.fullmatch(
            r"__Host-[\w-]*=[\w.-]*; Max-Age=60; Path=/; HttpOnly; SameSite=Lax; Secure", line, re.ASCII
        )


@pytest.mark.parametrize("name", ["a;b", "a=b", "a\r\nSet-Cookie: x", "é", "a b"])
def test_a_cookie_with_an_invalid_name_or_value_cannot_be_set(name: str) -> None:
    with pytest.raises(ValueError, match="not a cookie"):
        Jar("", secure=True).set(name, "value", 60)
    with pytest.raises(ValueError, match="not a cookie"):
        Jar("", secure=True).set("name", name, 60)


def test_loopback_http_cookies_have_no_prefix_and_no_secure_attribute() -> None:
    jar = Jar("", secure=False)
    jar.set("a", "value", 60)
    assert jar.headers() == ["a=value; Max-Age=60; Path=/; HttpOnly; SameSite=Lax"]
