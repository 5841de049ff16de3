"""Login attempts and their cookies."""

from __future__ import annotations

import re
import time

import pytest

from chalicelib.cookies import Jar, Seal
from chalicelib.errors import LoginSpent, LoginUnknown
from chalicelib.login import LIFETIME, MOST, Attempt, Attempts

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
