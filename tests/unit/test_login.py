"""Login attempts and their cookies, and Spotify's responses to them."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.cookies import Jar, Seal
from chalicelib.errors import (
    AppRefused,
    AuthorizationRefused,
    Cancelled,
    LoginError,
    LoginSpent,
    LoginUnknown,
    SpotifyUnavailable,
)
from chalicelib.login import LIFETIME, MOST, Attempt, Attempts
from chalicelib.oauth import read_callback

ISSUER = "https://accounts.spotify.com"
VSCHAR = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=200)
KEY = "0123456789abcdefghijklmnopqrstuv"


def attempts(*lines: str) -> tuple[Attempts, Jar]:
    """The attempts of a browser with these cookies, given as Set-Cookie lines."""
    jar = Jar("; ".join(line.partition(";")[0] for line in lines), secure=True)
    return Attempts(jar, Seal(Attempts.PURPOSE, [KEY])), jar


@pytest.mark.promise("A1")
def test_a_state_has_128_random_bits_and_a_verifier_has_256() -> None:
    attempts = [Attempt.begin() for _ in range(100)]
    assert len({attempt.state for attempt in attempts}) == 100
    assert len({attempt.code_verifier for attempt in attempts}) == 100
    for attempt in attempts:
        assert re.fullmatch(r"[\w-]{22}\.\d{10}", attempt.state, re.ASCII)
        assert re.fullmatch(r"[\w-]{43}", attempt.code_verifier, re.ASCII)


@pytest.mark.promise("H2")
def test_only_attempt_cookies_in_the_apps_format_are_read_counted_or_cleared() -> None:
    """A request with hundreds of other cookies must not get hundreds of Set-Cookie lines."""
    other_cookies = [
        f"__Host-spotify-login-{suffix}=x" for suffix in ("", "ABCDEF01", "0123456", "x\r\nSet-Cookie: y")
    ]
    other_cookies += [f"__Host-spotify-login-{number:08x}=x" for number in range(300)]
    pending, jar = attempts(*other_cookies)
    pending.begin()
    (line,) = jar.headers()
    assert f"Max-Age={LIFETIME}" in line


@pytest.mark.promise("I3")
def test_an_unknown_state_is_a_security_event_unless_the_attempt_may_have_been_dropped() -> None:
    state = Attempt.begin().state
    pending, jar = attempts()
    for held in range(MOST):
        with pytest.raises(LoginUnknown) as failure:
            attempts(*jar.headers())[0].spend(state, "code")
        assert failure.value.security is True, held
        pending.begin()
    with pytest.raises(LoginSpent) as spent:
        attempts(*jar.headers())[0].spend(state, "code")
    assert spent.value.security is False


def test_a_finished_login_makes_room_before_an_unfinished_one() -> None:
    pending, jar = attempts()
    begun = int(time.time()) - 60
    for number, spent_on in enumerate(("", *["0" * 16] * (MOST - 1))):
        pending._write(Attempt(f"{number:022}.{begun + number}", "v" * 43, spent_on), 60)
    held = jar.headers()
    pending, jar = attempts(*held)
    pending.begin()
    (cleared,) = [line for line in jar.headers() if "Max-Age=0" in line]
    assert cleared.partition("=")[0] == held[1].partition("=")[0], "the oldest finished one"


@given(VSCHAR, VSCHAR)
def test_a_valid_callback_is_parsed(state: str, code: str) -> None:
    callback = read_callback({"state": [state], "code": [code], "iss": [ISSUER]}, ISSUER)
    assert (callback.state, callback.authorization_code()) == (state, code)


@pytest.mark.promise("I3")
@pytest.mark.parametrize(
    ("code", "failure"),
    [
        ("access_denied", Cancelled),
        ("invalid_scope", AppRefused),
        ("unsupported_response_type", AppRefused),
        ("server_error", SpotifyUnavailable),
        ("pia.premium", AuthorizationRefused),
    ],
)
def test_an_error_is_told_apart_by_its_code_and_only_a_known_code_is_logged(
    code: str, failure: type[LoginError]
) -> None:
    with pytest.raises(LoginError) as raised:
        read_callback({"state": ["s"], "error": [code]}, ISSUER).authorization_code()
    assert type(raised.value) is failure
    assert raised.value.detail == ("" if failure is AuthorizationRefused else code)
