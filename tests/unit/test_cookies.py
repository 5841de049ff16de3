"""Signed cookies."""

from __future__ import annotations

import contextlib
import re
from string import ascii_letters, digits

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.cookies import Jar, Seal, decode, encode

SEAL = Seal("a purpose", ["0123456789abcdefghijklmnopqrstuv"])
URL_SAFE = st.text(ascii_letters + digits + "-_", max_size=50)
ANYTHING = st.text(st.characters(exclude_categories=()), max_size=200)


@pytest.mark.promise("B6", "C7")
@given(
    st.lists(URL_SAFE, min_size=1, max_size=5), st.integers(min_value=0), st.characters(exclude_categories=())
)
def test_signed_fields_can_be_opened_until_a_character_changes(
    fields: list[str], place: int, other: str
) -> None:
    sealed = SEAL.sign(*fields)
    assert SEAL.open(sealed) == fields
    place %= len(sealed)
    changed = sealed[:place] + other + sealed[place + 1 :]
    assert changed == sealed or SEAL.open(changed) is None


@pytest.mark.promise("B6", "C7")
def test_other_base64_spellings_of_a_signature_are_rejected() -> None:
    sealed = SEAL.sign("x")
    variants = [sealed[:-1] + last for last in ascii_letters + digits + "-_" if last != sealed[-1]]
    assert not any(map(SEAL.open, [*variants, sealed + "=", sealed + "!"]))


@given(st.text(max_size=500))
def test_any_text_can_be_encoded_as_a_field(text: str) -> None:
    field = encode(text)
    assert set(field) <= set(ascii_letters + digits + "-_")
    assert decode(field) == text


@pytest.mark.promise("C7")
@given(ANYTHING.filter(lambda text: ";" not in text and "valid" not in text), URL_SAFE)
def test_malformed_cookies_do_not_hide_a_valid_one(noise: str, value: str) -> None:
    assert Jar(f"{noise};valid={value};{noise}x", secure=False).get("valid") == value


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
